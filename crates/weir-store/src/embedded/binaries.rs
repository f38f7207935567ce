//! Finding the server's programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use weir_core::Result;

use super::account::{self, Account};
use super::{OR_URL, failed};

/// The oldest major version that works.
const OLDEST: u32 = 14;
const PATIENCE: Duration = Duration::from_secs(10);

/// Folders that hold the programs themselves.
const PLACES: [&str; 7] = [
    "/usr/local/pgsql/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/opt/homebrew/opt/postgresql/bin",
    "/usr/local/opt/postgresql/bin",
    "/run/current-system/sw/bin",
    "/nix/var/nix/profiles/default/bin",
];

/// Folders with a folder for each version: parent, start of the name, what follows.
const VERSIONED: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) folder: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    /// The programs in `given`, or the newest on the machine. With `wanted`,
    /// the major version of an existing cluster, those of that version.
    pub(super) async fn find(
        given: Option<&Path>,
        wanted: Option<u32>,
        account: Option<&Account>,
        runs_in: &Path,
    ) -> Result<Self> {
        let places = match given {
            Some(given) => vec![given.to_owned(), given.join("bin")],
            None => places(),
        };
        let mut found = Vec::new();
        let mut unusable = Vec::new();
        for folder in places.into_iter().filter(|folder| complete(folder)) {
            match major_of(&folder, account, runs_in).await {
                Ok(major) => found.push(Binaries { folder, major }),
                Err(why) => unusable.push(format!("{}: {why}", folder.display())),
            }
        }
        choose(&found, wanted).cloned().ok_or_else(|| {
            let error = match (given, wanted) {
                (_, Some(wanted)) if !found.is_empty() => other_major(wanted, &found),
                (Some(given), _) => nothing_in(given),
                (None, _) => nothing(),
            };
            if unusable.is_empty() {
                error
            } else {
                error.detail(unusable.join("; "))
            }
        })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn choose(found: &[Binaries], wanted: Option<u32>) -> Option<&Binaries> {
    match wanted {
        Some(wanted) => found.iter().find(|binaries| binaries.major == wanted),
        None => {
            // The first of equal ones: places are in the order of preference.
            let newest = found
                .iter()
                .map(|binaries| binaries.major)
                .max()
                .filter(|major| *major >= OLDEST)?;
            found.iter().find(|binaries| binaries.major == newest)
        }
    }
}

fn places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = asked_pg_config().into_iter().collect();
    for (parent, start, rest) in VERSIONED {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let versions =
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
        places.extend(versions.map(|entry| entry.path().join(rest)));
    }
    places.extend(PLACES.iter().map(PathBuf::from));
    places
}

fn asked_pg_config() -> Option<PathBuf> {
    let answer = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(answer.stdout).ok()?;
    answer
        .status
        .success()
        .then(|| PathBuf::from(folder.trim()))
}

fn complete(folder: &Path) -> bool {
    ["postgres", "initdb"]
        .iter()
        .all(|program| folder.join(program).is_file())
}

/// Asks the server program, as the account that will run it.
async fn major_of(folder: &Path, account: Option<&Account>, runs_in: &Path) -> Result<u32, String> {
    let program = folder.join("postgres");
    let mut asked = tokio::process::Command::from(account::command(&program, account, runs_in));
    let answer = asked.arg("--version").kill_on_drop(true).output();
    let answer = match tokio::time::timeout(PATIENCE, answer).await {
        Err(_) => return Err("does not answer".to_owned()),
        Ok(Err(error)) => {
            let barred = account.and_then(|account| account::first_barred(account, folder));
            let barred =
                barred.map(|at| format!(", the account running it cannot pass {}", at.display()));
            return Err(format!("{error}{}", barred.unwrap_or_default()));
        }
        Ok(Ok(answer)) => answer,
    };
    let text = String::from_utf8_lossy(&answer.stdout);
    parse_major(&text).ok_or_else(|| format!("says {:?} as its version", text.trim()))
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0)`.
fn parse_major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL)")?;
    let version = version.trim_start();
    let end = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..end].parse().ok()
}

fn nothing() -> weir_core::Error {
    failed(format!("no postgres server programs (version {OLDEST} or newer) were found on this machine")).hint(format!(
        "install them: `apt-get install postgresql` on Debian and Ubuntu, `dnf install postgresql-server` on Fedora and RHEL, \
         `brew install postgresql` on macOS; or set WEIR_PG_BIN to the folder that holds postgres and initdb, {OR_URL}"
    ))
}

fn nothing_in(given: &Path) -> weir_core::Error {
    failed(format!(
        "the folder {} holds no usable postgres and initdb of version {OLDEST} or newer",
        given.display()
    ))
    .hint(format!("set WEIR_PG_BIN to the folder that holds both, or leave it unset to have it looked for, {OR_URL}"))
}

fn other_major(wanted: u32, found: &[Binaries]) -> weir_core::Error {
    let majors: Vec<String> = found
        .iter()
        .map(|binaries| binaries.major.to_string())
        .collect();
    failed(format!(
        "the data folder was made by postgres {wanted}, but the programs found are of version {}",
        majors.join(", ")
    ))
    .hint(format!(
        "install version {wanted} beside them (`apt-get install postgresql-{wanted}`), or bring the folder to the new version with pg_upgrade, {OR_URL}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(major: u32) -> Binaries {
        Binaries {
            folder: PathBuf::from(format!("/pg/{major}")),
            major,
        }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 18devel"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(parse_major("command not found"), None);
    }

    #[test]
    fn the_newest_is_taken_unless_a_cluster_wants_another() {
        let found = [of(13), of(17), of(15)];
        assert_eq!(choose(&found, None), Some(&found[1]));
        assert_eq!(choose(&found, Some(15)), Some(&found[2]));
        assert_eq!(choose(&found, Some(16)), None);
        assert_eq!(choose(&found[..1], None), None);
    }
}
