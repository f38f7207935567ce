//! The account that runs the server. Postgres refuses to run as root, so a
//! service that does hands it to a lesser account.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User, chown, geteuid};
use weir_core::Result;

use super::{OR_URL, failed};

/// Accounts to take, the first that exists.
const CANDIDATES: [&str; 3] = ["postgres", "weir", "nobody"];

/// An account other than ours; only root can use one.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// Who runs the server whose folder is `pg`; `None` means we ourselves do.
    pub(super) fn of_server(pg: &Path) -> Result<Option<Self>> {
        let owner = std::fs::symlink_metadata(pg)
            .ok()
            .map(|found| Uid::from_raw(found.uid()));
        if !geteuid().is_root() {
            return match owner {
                Some(owner) if owner != geteuid() => Err(foreign(pg, owner)),
                _ => Ok(None),
            };
        }
        // A cluster stays with the account that it was made by.
        if let Some(owner) = owner.filter(|owner| !owner.is_root()) {
            let user = User::from_uid(owner)
                .ok()
                .flatten()
                .ok_or_else(|| foreign(pg, owner))?;
            return Ok(Some(Self::from_user(user)));
        }
        let user = CANDIDATES
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten());
        let user = user.filter(|user| !user.uid.is_root()).ok_or_else(|| {
            failed("postgres does not run as root, and there is no account postgres, weir or nobody to run it")
                .hint(format!("make one with `useradd --system weir`, or start weir as an ordinary user, {OR_URL}"))
        })?;
        Ok(Some(Self::from_user(user)))
    }

    fn from_user(user: User) -> Self {
        Account {
            name: user.name,
            uid: user.uid,
            gid: user.gid,
        }
    }

    /// Gives a folder to this account.
    pub(super) fn own(&self, path: &Path) -> std::io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(std::io::Error::from)
    }

    /// Whether the permission bits let this account pass the folder.
    fn may_pass(&self, found: &std::fs::Metadata) -> bool {
        let bit = if found.uid() == self.uid.as_raw() {
            0o100
        } else if found.gid() == self.gid.as_raw() {
            0o010
        } else {
            0o001
        };
        found.mode() & bit != 0
    }
}

/// The user id the server runs under.
pub(super) fn server_uid(account: Option<&Account>) -> u32 {
    account.map_or_else(geteuid, |account| account.uid).as_raw()
}

/// A command that runs as the server's account in `folder`. It sees nothing of
/// our environment: keys may be in there, and the server's account can read the
/// environment of its processes.
pub(super) fn command(program: &Path, account: Option<&Account>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .current_dir(folder)
        .stdin(std::process::Stdio::null());
    if let Some(account) = account {
        // Setting the user as root also empties the list of further groups.
        command.gid(account.gid.as_raw()).uid(account.uid.as_raw());
    }
    command
}

/// Fails, naming the folder in the way, when the account cannot come to `path`.
pub(super) fn check_reach(account: Option<&Account>, path: &Path) -> Result<()> {
    let Some(account) = account else {
        return Ok(());
    };
    let tried = command(Path::new("/bin/sh"), Some(account), path)
        .args(["-c", "exit 0"])
        .status();
    let Err(error) = tried else { return Ok(()) };
    let in_the_way = first_barred(account, path);
    if in_the_way.is_none() && error.raw_os_error() == Some(nix::libc::EPERM) {
        return Err(failed(format!(
            "root may not start a process as the account {}: {error}",
            account.name
        ))
        .hint(format!("start weir as an ordinary user, {OR_URL}")));
    }
    let folder = in_the_way.as_deref().unwrap_or(path);
    Err(failed(format!(
        "the account {}, which runs the private postgres, cannot pass the folder {}: {error}",
        account.name,
        folder.display()
    ))
    .hint(format!(
        "set WEIR_DATA_DIR to a folder whose parents every account may pass, such as /var/lib/weir, {OR_URL}"
    )))
}

/// The first folder on the way to `path`, and `path` itself, that is closed to the account.
pub(super) fn first_barred(account: &Account, path: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    way.into_iter()
        .find(|folder| {
            std::fs::metadata(folder).is_ok_and(|found| found.is_dir() && !account.may_pass(&found))
        })
        .map(Path::to_owned)
}

fn foreign(pg: &Path, owner: Uid) -> weir_core::Error {
    let name = User::from_uid(owner)
        .ok()
        .flatten()
        .map_or_else(|| owner.to_string(), |user| user.name);
    failed(format!("the folder {} belongs to the account {name}", pg.display()))
        .hint(format!("start weir as that account or as root, or choose another folder with WEIR_DATA_DIR, {OR_URL}"))
}
