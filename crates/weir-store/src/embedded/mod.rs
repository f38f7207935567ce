//! The private Postgres: server programs found on the machine, a data folder of
//! its own, a socket that only its account and ours can reach.
//!
//! Below the service's data folder lie `pg/` (0700, of the account that runs
//! the server; `pg/data` is the cluster), and ours: `pg.lock`, which one start
//! at a time holds, `pg.log`, and `pg.socket` when the socket had to go elsewhere
//! because its path would be too long.
//!
//! Who may log in: the socket lies in a folder that only the server's account
//! (and root) can enter, and whoever is that account can read and write the
//! cluster's files anyway. So connections through it are trusted, and a password
//! would only be one more secret to keep. Through TCP, which is off unless a
//! port is asked for, a password is always wanted.
//!
//! The server is a child in a process group of its own. When it dies it is
//! started again; when this process dies it stays, and the next start on the
//! folder stops it before it starts its own.

mod account;
mod binaries;
mod cluster;
mod folders;
mod leftover;
mod server;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;
use weir_core::task::{Compute, Task};
use weir_core::{Error, Kind, Result, Secret};

use account::Account;
use binaries::Binaries;
use folders::Folders;
use server::{Plan, Server};

/// Name of the role and of the database that the server is made with.
const NAME: &str = "weir";

/// How to run the private server.
#[derive(Debug, Clone, Default)]
pub struct EmbeddedSettings {
    /// The service's data folder; the server's lies below it.
    pub data_dir: PathBuf,
    /// Where the server's programs are; `None` looks for them.
    pub binaries: Option<PathBuf>,
    /// More server settings, which win over ours.
    pub extra: Vec<(String, String)>,
    /// Listens on this loopback TCP port, too; logging in there takes a password.
    pub tcp_port: Option<u16>,
}

/// A running private server. Dropping it tells the server to stop;
/// [`EmbeddedPostgres::stop`] also waits until it has.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    url: Secret,
    stop: Option<oneshot::Sender<()>>,
    keeper: Task<()>,
    folders: Folders,
}

/// Where the private server of a service that runs in this folder listens.
pub fn running(data_dir: &Path) -> Option<Secret> {
    let notes = std::fs::read_to_string(data_dir.join("pg/data/postmaster.pid")).ok()?;
    let lines: Vec<&str> = notes.lines().map(str::trim).collect();
    // The server's own file: pid, data folder, start, port, socket folder …
    let (port, socket) = (lines.get(3)?, lines.get(4)?);
    (!socket.is_empty()).then(|| Secret::new(server::url(port, socket, NAME)))
}

impl EmbeddedPostgres {
    /// Starts the server, making its cluster first where there is none.
    /// Needs a tokio runtime, which must outlive the server.
    pub async fn start(settings: EmbeddedSettings) -> Result<Self> {
        let folders = Folders::open(&settings.data_dir)?;
        let account = Account::of_server(&folders.pg)?;
        folders.make_pg(account.as_ref())?;
        account::check_reach(account.as_ref(), &folders.pg)?;
        let major = cluster::major(&folders.data)?;
        let binaries = Binaries::find(
            settings.binaries.as_deref(),
            major,
            account.as_ref(),
            &folders.pg,
        )
        .await?;
        leftover::clear(&folders.data, account.as_ref()).await?;
        if major.is_none() {
            cluster::create(&folders, &binaries, account.as_ref()).await?;
        }
        folders.drop_stale_socket_folder(account.as_ref());
        let socket = folders.choose_socket_folder()?;
        let plan = Plan::new(&settings, &folders, binaries, account, socket);
        let server = plan.launch().await?;
        plan.make_database().await?;
        tracing::info!(folder = %folders.pg.display(), "private postgres started");
        let url = Secret::new(plan.url(NAME));
        let (stop, stopped) = oneshot::channel();
        let keeper = Compute::current().spawn(keep(plan, server, stopped));
        Ok(EmbeddedPostgres {
            url,
            stop: Some(stop),
            keeper,
            folders,
        })
    }

    /// Where it listens, as a url for the store.
    pub fn url(&self) -> Secret {
        self.url.clone()
    }

    /// Stops the server and waits until it has stopped.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails only when the keeper is gone, and with it the server.
            let _ = stop.send(());
        }
        if let Err(error) = (&mut self.keeper).await {
            tracing::warn!(
                detail = error.log_detail(),
                "the private postgres may not have stopped: {error}"
            );
        }
        self.folders.drop_stale_socket_folder(None);
    }
}

/// Starts the server again when it dies, until told to stop.
async fn keep(plan: Plan, mut server: Server, mut stop: oneshot::Receiver<()>) {
    let mut look = tokio::time::interval(Duration::from_secs(600));
    loop {
        tokio::select! {
            _ = &mut stop => return server.stop().await,
            _ = look.tick() => plan.cut_log(),
            status = server.ended() => {
                tracing::error!(%status, "the private postgres ended; starting it again");
                server = tokio::select! {
                    _ = &mut stop => return,
                    again = relaunch(&plan) => again,
                };
            }
        }
    }
}

async fn relaunch(plan: &Plan) -> Server {
    let mut pause = Duration::from_millis(200);
    loop {
        match plan.launch().await {
            Ok(server) => {
                tracing::info!("private postgres started again");
                return server;
            }
            Err(error) => {
                tracing::error!(
                    detail = error.log_detail(),
                    "the private postgres does not start: {error}"
                );
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
}

/// What to do instead, for every hint of this module.
const OR_URL: &str = "or set WEIR_DATABASE_URL to use a postgres server of your own";

fn failed(message: impl Into<String>) -> Error {
    Error::new(Kind::NotReady, message.into()).code("private_postgres")
}

/// An error about a file or folder, with the system's own words.
fn io_failed(what: &str, path: &std::path::Path, error: &std::io::Error) -> Error {
    failed(format!("cannot {what} {}: {error}", path.display()))
        .hint(format!("check the folder's owner and permissions, or choose another one with WEIR_DATA_DIR, {OR_URL}"))
}
