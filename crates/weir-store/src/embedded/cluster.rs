//! Making a cluster, and reading what made one.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{User, geteuid};
use weir_core::Result;

use super::account::{self, Account};
use super::binaries::Binaries;
use super::folders::Folders;
use super::{NAME, OR_URL, failed, io_failed};

const PATIENCE: Duration = Duration::from_secs(180);
/// A cluster that is not yet whole.
const UNFINISHED: &str = "data.new";

/// The major version that made the cluster; `None` when there is none.
pub(super) fn major(data: &Path) -> Result<Option<u32>> {
    let path = data.join("PG_VERSION");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let major = text
                .trim()
                .split('.')
                .next()
                .and_then(|major| major.parse().ok());
            major
                .map(Some)
                .ok_or_else(|| failed(format!("{} does not hold a version", path.display())))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if data.exists() {
                return Err(failed(format!(
                    "the folder {} holds no postgres cluster",
                    data.display()
                ))
                .hint("move it away or restore it from a backup; weir does not overwrite it"));
            }
            Ok(None)
        }
        Err(error) => Err(io_failed("read", &path, &error)),
    }
}

/// Makes the cluster beside its place and moves it there when it is whole, so
/// that an interrupted start leaves nothing half made.
pub(super) async fn create(
    folders: &Folders,
    binaries: &Binaries,
    account: Option<&Account>,
) -> Result<()> {
    if account.is_none() && User::from_uid(geteuid()).ok().flatten().is_none() {
        return Err(failed(format!(
            "initdb needs the user id {} to have an entry in the passwd file",
            geteuid()
        ))
        .hint(format!("start weir as a user with a name, {OR_URL}")));
    }
    tracing::info!(folder = %folders.data.display(), major = binaries.major, "making a postgres cluster");
    let unfinished = folders.pg.join(UNFINISHED);
    clear(&unfinished)?;
    let outcome = initdb(&unfinished, folders, binaries, account).await;
    if let Err(error) = outcome {
        clear(&unfinished)?;
        return Err(error);
    }
    let moved = std::fs::rename(&unfinished, &folders.data)
        .and_then(|()| File::open(&folders.pg))
        .and_then(|folder| folder.sync_all());
    moved.map_err(|error| io_failed("finish the cluster in", &folders.data, &error))
}

async fn initdb(
    target: &Path,
    folders: &Folders,
    binaries: &Binaries,
    account: Option<&Account>,
) -> Result<()> {
    let program = binaries.program("initdb");
    let mut command = account::command(&program, account, &folders.pg);
    command
        .args(["--username", NAME, "--encoding", "UTF8", "--locale", "C"])
        .args([
            "--auth-local",
            "trust",
            "--auth-host",
            "scram-sha-256",
            "--pgdata",
        ])
        .arg(target);
    let run = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run)
        .await
        .map_err(|_| {
            failed(format!(
                "initdb did not end within {} s",
                PATIENCE.as_secs()
            ))
        })?
        .map_err(|error| io_failed("run", &program, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said
        .lines()
        .rfind(|line| line.contains("error") || line.contains("FATAL"))
        .unwrap_or_default();
    Err(failed(format!(
        "initdb failed in {}: {reason}",
        folders.pg.display()
    ))
    .hint(format!(
        "check that the disk has room and the folder can be written, {OR_URL}"
    ))
    .detail(said.trim()))
}

fn clear(unfinished: &Path) -> Result<()> {
    match std::fs::remove_dir_all(unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_failed("remove", unfinished, &error))
        }
        _ => Ok(()),
    }
}
