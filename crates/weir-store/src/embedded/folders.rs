//! The folders and files of the private server, and the lock on them.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use weir_core::Result;

use super::account::{Account, server_uid};
use super::{OR_URL, failed, io_failed};

/// A socket's path has room for 107 bytes on Linux and 103 on macOS.
const LONGEST_SOCKET: usize = 100;
/// Where a socket goes whose path would be too long.
const SHORT_PLACE: &str = "/tmp";
const SHORT_NAME: &str = "weir-pg-";

/// Where everything lies. Holds the lock.
#[derive(Debug)]
pub(super) struct Folders {
    /// The server's own folder.
    pub(super) pg: PathBuf,
    /// The cluster.
    pub(super) data: PathBuf,
    /// What the server says.
    pub(super) log: PathBuf,
    /// Names the socket's folder when it is not below `pg`.
    socket_note: PathBuf,
    _lock: Flock<File>,
}

/// The socket's folder.
#[derive(Debug, Clone)]
pub(super) struct SocketFolder(pub(super) PathBuf);

impl Folders {
    /// Makes the service's folder if need be, and locks it for the server.
    pub(super) fn open(data_dir: &Path) -> Result<Self> {
        let root = make_root(data_dir)?;
        if root.to_str().is_none() {
            return Err(
                failed(format!("the path {} is not valid UTF-8", root.display()))
                    .hint("choose another data folder with WEIR_DATA_DIR"),
            );
        }
        let lock = lock(&root.join("pg.lock"))?;
        let pg = root.join("pg");
        Ok(Folders {
            data: pg.join("data"),
            pg,
            log: root.join("pg.log"),
            socket_note: root.join("pg.socket"),
            _lock: lock,
        })
    }

    /// Makes the server's own folder.
    pub(super) fn make_pg(&self, account: Option<&Account>) -> Result<()> {
        private_folder(&self.pg, account)
            .map_err(|error| io_failed("make the folder", &self.pg, &error))
    }

    /// Where the socket goes: below `pg` unless the path would be too long.
    pub(super) fn choose_socket_folder(&self) -> Result<SocketFolder> {
        let near = self.pg.join("socket");
        let file = near.join(".s.PGSQL.65535.lock");
        if file.as_os_str().len() <= LONGEST_SOCKET {
            return Ok(SocketFolder(near));
        }
        let far =
            Path::new(SHORT_PLACE).join(format!("{SHORT_NAME}{:016x}", rand::random::<u64>()));
        let noted = private_file(&self.socket_note, true)
            .and_then(|mut note| note.write_all(far.as_os_str().as_encoded_bytes()));
        noted.map_err(|error| io_failed("write", &self.socket_note, &error))?;
        Ok(SocketFolder(far))
    }

    /// Removes the socket's folder of a start before, where it was not below `pg`.
    pub(super) fn drop_stale_socket_folder(&self, account: Option<&Account>) {
        let Ok(note) = std::fs::read_to_string(&self.socket_note) else {
            return;
        };
        let folder = PathBuf::from(note);
        let named_by_us = folder.parent() == Some(Path::new(SHORT_PLACE))
            && folder
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(SHORT_NAME.as_bytes()));
        let owners = [server_uid(account), geteuid().as_raw(), self.pg_owner()];
        let ours = std::fs::symlink_metadata(&folder)
            .is_ok_and(|found| found.is_dir() && owners.contains(&found.uid()));
        if named_by_us
            && ours
            && let Err(error) = std::fs::remove_dir_all(&folder)
        {
            tracing::warn!(folder = %folder.display(), "cannot remove an old socket folder: {error}");
        }
        // What stays of it is a name in a file of ours, overwritten by the next start.
        let _ = std::fs::remove_file(&self.socket_note);
    }

    fn pg_owner(&self) -> u32 {
        std::fs::symlink_metadata(&self.pg).map_or_else(|_| geteuid().as_raw(), |found| found.uid())
    }
}

impl SocketFolder {
    /// Makes the folder and clears sockets of a server that is gone.
    pub(super) fn make(&self, account: Option<&Account>) -> Result<()> {
        private_folder(&self.0, account)
            .map_err(|error| io_failed("make the folder", &self.0, &error))?;
        let found = std::fs::symlink_metadata(&self.0);
        // In a folder open to all, somebody else could have made one by that name.
        if !found.is_ok_and(|found| found.is_dir() && found.uid() == server_uid(account)) {
            return Err(failed(format!(
                "the socket folder {} belongs to somebody else",
                self.0.display()
            )));
        }
        let Ok(entries) = std::fs::read_dir(&self.0) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(b".s.PGSQL.")
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// The service's folder: 0700, or 0711 where another account must pass it.
fn make_root(data_dir: &Path) -> Result<PathBuf> {
    let told = |error: std::io::Error| io_failed("use the data folder", data_dir, &error);
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    if let Some(parent) = data_dir.parent() {
        std::fs::create_dir_all(parent).map_err(told)?;
    }
    match DirBuilder::new().mode(mode).create(data_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(told(error)),
        _ => {}
    }
    let root = data_dir.canonicalize().map_err(told)?;
    let found = std::fs::metadata(&root).map_err(told)?;
    if geteuid().is_root() && found.uid() == 0 && found.mode() & 0o001 == 0 {
        std::fs::set_permissions(&root, Permissions::from_mode(mode)).map_err(told)?;
    }
    Ok(root)
}

/// A 0700 folder of the server's account.
fn private_folder(path: &Path, account: Option<&Account>) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => account.map_or(Ok(()), |account| account.own(path)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            // A start that was killed between making and giving away is made good.
            let found = std::fs::symlink_metadata(path)?;
            match account {
                Some(account) if found.is_dir() && found.uid() == 0 => account.own(path),
                _ => Ok(()),
            }
        }
        Err(error) => Err(error),
    }
}

/// A file that only we can read.
pub(super) fn private_file(path: &Path, truncate: bool) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(0o600)
        .open(path)
}

fn lock(path: &Path) -> Result<Flock<File>> {
    let file = private_file(path, false).map_err(|error| io_failed("open", path, &error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            let noted = lock
                .set_len(0)
                .and_then(|()| writeln!(lock, "{}", std::process::id()));
            noted.map_err(|error| io_failed("write", path, &error))?;
            Ok(lock)
        }
        Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            // The holder's id only makes the message better.
            let _ = file.read_to_string(&mut holder);
            Err(in_use(path, holder.trim()))
        }
        Err((_, error)) => Err(io_failed("lock", path, &error.into())),
    }
}

fn in_use(path: &Path, holder: &str) -> weir_core::Error {
    let folder = path.parent().unwrap_or(path).display();
    let holder = if holder.is_empty() {
        "another process".to_owned()
    } else {
        format!("process {holder}")
    };
    failed(format!("the data folder {folder} is in use by {holder}")).hint(format!(
        "stop that one first, or give this one a folder of its own with WEIR_DATA_DIR; for several instances on one store, {}",
        OR_URL.trim_start_matches("or ")
    ))
}
