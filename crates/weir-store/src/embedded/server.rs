//! Starting the server, waiting for it, stopping it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::process::Child;
use weir_core::Result;

use super::account::{self, Account};
use super::binaries::Binaries;
use super::folders::{Folders, SocketFolder};
use super::{EmbeddedSettings, NAME, OR_URL, failed, io_failed};

/// Longest wait for a server that recovers from a crash.
const PATIENCE: Duration = Duration::from_secs(180);
/// Longest wait for the processes of a crashed server to let go of the cluster.
const LETTING_GO: Duration = Duration::from_secs(20);
/// The socket's port where TCP is off; it is only a part of the file's name.
const SOCKET_PORT: u16 = 5432;
/// The log is cut when it has grown beyond this.
const LONGEST_LOG: u64 = 16 << 20;

/// Small, durable, quiet.
const SETTINGS: [(&str, &str); 16] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("shared_buffers", "32MB"),
    ("max_connections", "40"),
    ("max_wal_size", "256MB"),
    ("unix_socket_permissions", "0700"),
    ("password_encryption", "scram-sha-256"),
    ("cluster_name", NAME),
    ("jit", "off"),
    ("huge_pages", "off"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    // Errors of single statements are the caller's business, not the log's.
    ("log_min_messages", "log"),
    ("log_checkpoints", "off"),
    ("log_line_prefix", "%m [%p] "),
];

/// Everything needed to start the server, again and again.
#[derive(Debug)]
pub(super) struct Plan {
    binaries: Binaries,
    account: Option<Account>,
    socket: SocketFolder,
    port: u16,
    pg: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
}

/// Why a server that was started is not there.
enum Fault {
    /// Processes of one that crashed still hold the cluster.
    Held,
    /// It will not start.
    Final(weir_core::Error),
}

impl Plan {
    pub(super) fn new(
        settings: &EmbeddedSettings,
        folders: &Folders,
        binaries: Binaries,
        account: Option<Account>,
        socket: SocketFolder,
    ) -> Self {
        let port = settings.tcp_port.unwrap_or(SOCKET_PORT);
        let listen = if settings.tcp_port.is_some() {
            "127.0.0.1"
        } else {
            ""
        };
        let own = [
            // The value is a list of folders, so one with a comma needs quotes.
            (
                "unix_socket_directories",
                format!("\"{}\"", text(&socket.0).replace('"', "\"\"")),
            ),
            ("listen_addresses", listen.to_owned()),
            ("port", port.to_string()),
        ];
        let own = own
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        let fixed = SETTINGS
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let extra = settings
            .extra
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let mut arguments = vec!["-D".to_owned(), text(&folders.data)];
        for setting in fixed.chain(own).chain(extra) {
            arguments.extend(["-c".to_owned(), setting]);
        }
        Plan {
            binaries,
            account,
            socket,
            port,
            pg: folders.pg.clone(),
            log: folders.log.clone(),
            arguments,
        }
    }

    /// The url of a database of this server.
    pub(super) fn url(&self, database: &str) -> String {
        url(&self.port.to_string(), &text(&self.socket.0), database)
    }

    /// Starts the server and waits until it takes connections.
    pub(super) async fn launch(&self) -> Result<Server> {
        let start = Instant::now();
        loop {
            self.socket.make(self.account.as_ref())?;
            match self.try_launch().await {
                Ok(server) => return Ok(server),
                Err(Fault::Held) if start.elapsed() < LETTING_GO => {
                    tracing::info!("waiting for the processes of a crashed postgres to end");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(Fault::Held) => {
                    return Err(failed(format!(
                        "processes of an earlier postgres still use {} after {} s",
                        self.pg.display(),
                        LETTING_GO.as_secs()
                    ))
                    .hint("end the postgres processes that have this folder in their command line, then start again"));
                }
                Err(Fault::Final(error)) => return Err(error),
            }
        }
    }

    async fn try_launch(&self) -> std::result::Result<Server, Fault> {
        let (server, log_start) = self.spawn().map_err(Fault::Final)?;
        self.wait(server, log_start).await
    }

    fn spawn(&self) -> Result<(Server, u64)> {
        let told = |error: std::io::Error| io_failed("write", &self.log, &error);
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(told)?;
        let log_start = log.metadata().map_err(told)?.len();
        let program = self.binaries.program("postgres");
        let mut command = account::command(&program, self.account.as_ref(), &self.pg);
        command
            .args(&self.arguments)
            .stdout(log.try_clone().map_err(told)?)
            .stderr(log)
            // Ctrl-C in a terminal is for us; we stop the server in our own order.
            .process_group(0);
        let child = tokio::process::Command::from(command)
            .spawn()
            .map_err(|error| io_failed("run", &program, &error))?;
        Ok((Server(child), log_start))
    }

    async fn wait(&self, mut server: Server, log_start: u64) -> std::result::Result<Server, Fault> {
        let start = Instant::now();
        let mut told = Duration::ZERO;
        let mut last = String::new();
        while start.elapsed() < PATIENCE {
            if let Ok(Some(status)) = server.0.try_wait() {
                return Err(self.why_ended(status, log_start));
            }
            match self.connect("postgres").await {
                Ok(connection) => {
                    // Only a probe; how it ends does not matter.
                    let _ = connection.close().await;
                    return Ok(server);
                }
                Err(error) => last = error,
            }
            if start.elapsed() > told + Duration::from_secs(5) {
                told = start.elapsed();
                tracing::info!(
                    seconds = told.as_secs(),
                    "waiting for the private postgres: {last}"
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server.stop().await;
        Err(Fault::Final(
            failed(format!(
                "the private postgres took no connection within {} s",
                PATIENCE.as_secs()
            ))
            .hint(format!("look into {}, {OR_URL}", self.log.display()))
            .detail(last),
        ))
    }

    fn why_ended(&self, status: ExitStatus, log_start: u64) -> Fault {
        let said = said_since(&self.log, log_start).unwrap_or_default();
        if said.contains("shared memory block") && said.contains("still in use") {
            return Fault::Held;
        }
        let reason = said
            .lines()
            .rfind(|line| line.contains("FATAL"))
            .unwrap_or("it gave no reason");
        Fault::Final(
            failed(format!(
                "the private postgres in {} did not start ({status}): {reason}",
                self.pg.display()
            ))
            .hint(format!("look into {}, {OR_URL}", self.log.display()))
            .detail(said.trim()),
        )
    }

    async fn connect(&self, database: &str) -> std::result::Result<PgConnection, String> {
        let options =
            PgConnectOptions::from_str(&self.url(database)).map_err(|error| error.to_string())?;
        let options = options.disable_statement_logging();
        match tokio::time::timeout(Duration::from_secs(5), options.connect()).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        }
    }

    /// Makes our database, once.
    pub(super) async fn make_database(&self) -> Result<()> {
        let told =
            |error: String| failed("cannot make the private postgres's database").detail(error);
        let mut connection = self.connect("postgres").await.map_err(told)?;
        let there: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = 'weir')")
                .fetch_one(&mut connection)
                .await
                .map_err(|error| told(error.to_string()))?;
        if !there {
            let made = sqlx::raw_sql("create database weir")
                .execute(&mut connection)
                .await;
            made.map_err(|error| told(error.to_string()))?;
        }
        // All is done; a goodbye that fails changes nothing.
        let _ = connection.close().await;
        Ok(())
    }

    /// Empties a log that has grown long.
    pub(super) fn cut_log(&self) {
        let long = std::fs::metadata(&self.log).is_ok_and(|found| found.len() > LONGEST_LOG);
        // The server appends, so it goes on at the new end.
        if long
            && let Err(error) = OpenOptions::new()
                .write(true)
                .open(&self.log)
                .and_then(|log| log.set_len(0))
        {
            tracing::warn!("cannot cut the log of the private postgres: {error}");
        }
    }
}

/// The server's process. Dropping it tells it to stop.
#[derive(Debug)]
pub(super) struct Server(Child);

impl Server {
    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> String {
        match self.0.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Stops it: first rolling back what runs, then at once.
    pub(super) async fn stop(mut self) {
        let steps = [
            (Signal::SIGINT, 10),
            (Signal::SIGQUIT, 5),
            (Signal::SIGKILL, 5),
        ];
        for (signal, seconds) in steps {
            self.signal(signal);
            if tokio::time::timeout(Duration::from_secs(seconds), self.0.wait())
                .await
                .is_ok()
            {
                return;
            }
            tracing::warn!(%signal, seconds, "the private postgres did not stop");
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid {
            // Fails only when it has ended by itself.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

/// A path that was checked to be UTF-8 when the folders were opened.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn said_since(log: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let end = file.metadata()?.len();
    // Enough for the reason of a failed start.
    file.seek(SeekFrom::Start(start.max(end.saturating_sub(8192))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The url of a database of the server with this socket folder.
pub(super) fn url(port: &str, socket: &str, database: &str) -> String {
    let folder = percent_encoded(socket);
    format!("postgres://{NAME}@localhost:{port}/{database}?host={folder}&sslmode=disable")
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
