//! A `weir` process of its own for each test.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::User;
use tempfile::TempDir;

use crate::guard::{Guarded, Program};
use crate::{Client, Database, eventually, project, report};

/// Where a private Postgres names its pid, below the data folder.
const POSTMASTER: &str = "pg/data/postmaster.pid";
const START_LIMIT: Duration = Duration::from_secs(90);

/// Where a service keeps what it knows.
#[derive(Debug, Clone)]
pub enum StoreKind {
    /// A database on the test server.
    Database(Database),
    /// A PostgreSQL that the service starts itself in its data folder.
    Embedded,
}

/// How to start a service.
#[derive(Debug, Clone)]
pub struct Options {
    home: Arc<TempDir>,
    data: PathBuf,
    binary: PathBuf,
    store: StoreKind,
    env: Vec<(String, String)>,
    user: Option<User>,
}

impl Options {
    /// With a fresh database of the test server as store.
    pub async fn fresh() -> Self {
        Options::on(StoreKind::Database(Database::create().await))
    }

    /// With this store and a data folder of its own.
    pub fn on(store: StoreKind) -> Self {
        let home = tempfile::Builder::new()
            .prefix("weir-test-")
            .tempdir()
            .unwrap();
        // A private Postgres started by root runs under another account, which must get in.
        std::fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let data = home.path().join("data");
        let (home, binary) = (Arc::new(home), project::weir());
        Options {
            home,
            data,
            binary,
            store,
            env: Vec::new(),
            user: None,
        }
    }

    /// Sets a setting.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another data folder, below the test's own folder.
    #[must_use]
    pub fn data_dir(mut self, below_home: &str) -> Self {
        self.data = self.home.path().join(below_home);
        self
    }

    /// Runs the service under another account, with a copy of the binary that
    /// this account can reach.
    #[must_use]
    pub fn run_as(mut self, user: User) -> Self {
        let copy = self.home.path().join("weir");
        std::fs::copy(&self.binary, &copy).unwrap();
        let (uid, gid) = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
        chown(self.home.path(), uid, gid).unwrap();
        self.binary = copy;
        self.user = Some(user);
        self
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("weir.log")
    }

    fn program(&self) -> Program {
        let mut env = vec![
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("WEIR_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("WEIR_DATA_DIR".to_owned(), self.data.display().to_string()),
        ];
        match &self.store {
            StoreKind::Database(store) => env.push(("WEIR_DATABASE_URL".into(), store.owner_url())),
            StoreKind::Embedded => {
                let programs = project::postgres_programs().display().to_string();
                env.push(("WEIR_PG_BIN".into(), programs));
            }
        }
        env.extend(self.env.iter().cloned());
        Program {
            command: vec![self.binary.display().to_string(), "serve".to_owned()],
            env,
            log: self.log(),
            user: self.user.clone(),
            signal: "TERM",
            follow: Some(self.data.join(POSTMASTER)),
            trash: Some(self.home.path().to_owned()),
        }
    }

    /// Starts the service and waits until it answers.
    pub async fn start(&self) -> Service {
        match self.try_start().await {
            Ok(service) => service,
            Err(failed) => panic!("the service does not start ({failed:?}):\n{}", failed.log),
        }
    }

    /// Starts the service; gives what it said when it ends instead of serving.
    pub async fn try_start(&self) -> Result<Service, Failed> {
        if let StoreKind::Embedded = self.store {
            let account = report::account(self.user.as_ref());
            report::note(&format!("private PostgreSQL, service run by {account}"));
        }
        let address = self.data.join("address");
        let before = std::fs::metadata(&address)
            .and_then(|file| file.modified())
            .ok();
        let mut guard = Guarded::start(&self.program());
        let fresh = eventually(START_LIMIT, async || {
            let written = std::fs::metadata(&address)
                .and_then(|file| file.modified())
                .ok();
            match guard.ended() {
                Some(code) => Some(Err(Some(code))),
                None if written.is_some() && written != before => Some(Ok(())),
                None => None,
            }
        });
        match fresh.await.unwrap_or(Err(None)) {
            Ok(()) => {
                let base = std::fs::read_to_string(&address).unwrap().trim().to_owned();
                let key = self.admin_key();
                let client = Client::new(&base, key);
                Ok(Service {
                    guard,
                    client,
                    options: self.clone(),
                })
            }
            Err(code) => {
                if code.is_some() {
                    // A private server in this folder may belong to a service that runs.
                    guard.leave(Duration::from_secs(10)).await;
                }
                Err(Failed {
                    code,
                    log: read(&self.log()),
                })
            }
        }
    }

    fn admin_key(&self) -> Option<String> {
        let given = self.env.iter().find(|(name, _)| name == "WEIR_ADMIN_KEY");
        let file = || std::fs::read_to_string(self.data.join("admin.key")).ok();
        given
            .map(|(_, key)| key.clone())
            .or_else(file)
            .map(|key| key.trim().to_owned())
    }
}

/// A service that did not come up.
#[derive(Debug)]
pub struct Failed {
    /// Its exit code; none when it neither served nor ended.
    pub code: Option<i32>,
    /// What it logged.
    pub log: String,
}

/// A running service; dropping it stops it.
#[derive(Debug)]
pub struct Service {
    guard: Guarded,
    /// A caller with the admin key.
    pub client: Client,
    options: Options,
}

impl Service {
    /// One with a fresh store.
    pub async fn start() -> Self {
        Options::fresh().await.start().await
    }

    /// How it was started.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        read(&self.options.log())
    }

    /// Its own pid.
    pub fn pid(&self) -> nix::unistd::Pid {
        self.guard.pid()
    }

    /// The pid of its private Postgres.
    pub fn embedded_pid(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.options.data.join(POSTMASTER)).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Asks it to stop and gives its exit code.
    pub async fn stop(mut self) -> Option<i32> {
        self.guard.signal(Signal::SIGTERM);
        self.guard.wait(Duration::from_secs(30)).await
    }

    /// Kills it without warning; a private Postgres of it is left alone.
    pub async fn kill(self) {
        self.guard.signal(Signal::SIGKILL);
        self.guard.leave(Duration::from_secs(10)).await;
    }

    /// The most memory it has used so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory it uses now, which is its peak from now on.
    pub fn forget_peak(&self) -> u64 {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
        self.memory("VmRSS:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.pid())));
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }
}

fn read(path: &Path) -> String {
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
