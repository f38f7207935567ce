//! The MariaDB server of this test process: real, fresh, on loopback, with
//! passwords and TLS; and its databases, of which each test makes its own.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::unistd::User;
use serde_json::{Value, json};

use crate::guard::{Guarded, Program};
use crate::postgres::{certificates, free_port};
use crate::{report, unique};

/// The password of the test server's `root`.
pub const ROOT_PASSWORD: &str = "only for tests";
/// The password of the users that tests make.
pub const PASSWORD: &str = "reads only";

/// A running server.
pub struct Server {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// `MariaDB 10.11.6 …`
    pub version: String,
    /// The authority that signed its certificate, PEM.
    pub ca: String,
    folder: PathBuf,
    _guard: Guarded,
}

/// The server of this process, started when first asked for.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

/// The account that the server runs under: it refuses to run as root.
fn account() -> Option<User> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let known = ["mysql", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten());
    Some(known.expect("an account named mysql or nobody"))
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("weir-test-my-")
            .tempdir()
            .unwrap()
            .keep();
        let account = account();
        let (data, log) = (folder.join("data"), folder.join("log"));
        let (ca, certificate, key) = certificates();
        let first = format!(
            "ALTER USER root@localhost IDENTIFIED BY '{ROOT_PASSWORD}';\n\
             CREATE USER root@'127.0.0.1' IDENTIFIED BY '{ROOT_PASSWORD}';\n\
             GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n"
        );
        for (name, text) in [
            ("first.sql", first),
            ("server.crt", certificate),
            ("server.key", key),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            give(&path, account.as_ref());
        }
        give(&folder, account.as_ref());
        install(&folder, &data, account.as_ref());
        let mut last = String::new();
        for _ in 0..5 {
            let port = free_port();
            let mut guard = Guarded::start(&program(&folder, &data, &log, port, account.clone()));
            match await_ready(&mut guard, port, &log) {
                Ok(()) => {
                    return Server {
                        port,
                        version: version(),
                        ca,
                        folder,
                        _guard: guard,
                    };
                }
                Err(text) => last = text,
            }
        }
        panic!("the test server does not start:\n{last}");
    }
}

fn program(folder: &Path, data: &Path, log: &Path, port: u16, user: Option<User>) -> Program {
    let folder_of = |name: &str| folder.join(name).display().to_string();
    let command = vec![
        "/usr/sbin/mariadbd".to_owned(),
        "--no-defaults".into(),
        format!("--datadir={}", data.display()),
        format!("--port={port}"),
        "--bind-address=127.0.0.1".into(),
        "--skip-name-resolve".into(),
        format!("--socket={}", folder_of("socket")),
        format!("--pid-file={}", folder_of("pid")),
        format!("--init-file={}", folder_of("first.sql")),
        format!("--ssl-cert={}", folder_of("server.crt")),
        format!("--ssl-key={}", folder_of("server.key")),
        "--max-connections=400".into(),
        "--innodb-flush-log-at-trx-commit=0".into(),
        "--innodb-buffer-pool-size=64M".into(),
        "--innodb-log-file-size=64M".into(),
        "--local-infile=1".into(),
        "--plugin-load-add=auth_ed25519".into(),
    ];
    Program {
        command,
        env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/bin".into())],
        log: log.to_owned(),
        user,
        signal: "TERM",
        follow: None,
        trash: Some(folder.to_owned()),
    }
}

fn install(folder: &Path, data: &Path, account: Option<&User>) {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("/usr/bin/mariadb-install-db");
    command
        .args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ])
        .arg(format!("--datadir={}", data.display()))
        .current_dir(folder);
    if let Some(user) = account {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "mariadb-install-db: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "runs once, outside of any runtime's care"
)]
fn await_ready(guard: &mut Guarded, port: u16, log: &Path) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if guard.ended().is_some() || start.elapsed() > Duration::from_secs(60) {
            return Err(text);
        }
        if text.contains("ready for connections") && TcpStream::connect(("127.0.0.1", port)).is_ok()
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn version() -> String {
    let output = Command::new("/usr/sbin/mariadbd")
        .arg("--version")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let version = text.split_whitespace().nth(2).unwrap_or_default();
    format!("MariaDB {version}")
}

fn give(path: &Path, user: Option<&User>) {
    if let Some(user) = user {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

/// A fresh, empty database with a user that owns it and one that only reads.
#[derive(Debug, Clone)]
pub struct MyDatabase {
    /// Its name.
    pub name: String,
    /// A user that may do everything in it, and nothing elsewhere.
    pub owner: String,
    /// A user that may read everything in it and write nothing.
    pub reader: String,
}

impl MyDatabase {
    /// Creates one.
    pub fn create() -> Self {
        report::note(&format!(
            "{} over TCP with TLS, fresh for the run",
            server().version
        ));
        let name = unique("db");
        let database = MyDatabase {
            owner: format!("{name}_o"),
            reader: format!("{name}_r"),
            name,
        };
        let MyDatabase {
            name,
            owner,
            reader,
        } = &database;
        sql(
            "",
            &format!(
                "CREATE DATABASE {name} CHARACTER SET utf8mb4;
                 CREATE USER {owner}@'%' IDENTIFIED BY '{PASSWORD}';
                 CREATE USER {reader}@'%' IDENTIFIED BY '{PASSWORD}';
                 GRANT ALL ON {name}.* TO {owner}@'%';
                 GRANT SELECT, SHOW VIEW ON {name}.* TO {reader}@'%';"
            ),
        );
        database
    }

    /// Creates one and runs `text` in it as root.
    pub fn with(text: &str) -> Self {
        let database = MyDatabase::create();
        database.run(text);
        database
    }

    /// Runs statements as root; gives what they print, tab by tab, without names.
    pub fn run(&self, text: &str) -> String {
        sql(&self.name, text)
    }

    /// Everything in it, as statements.
    pub fn dump(&self) -> String {
        let mut command = client("/usr/bin/mariadb-dump");
        command.args([
            "--skip-comments",
            "--skip-dump-date",
            "--routines",
            "--databases",
            &self.name,
        ]);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The config of a mysql source that reads it.
    pub fn config(&self) -> Value {
        json!({
            "host": "127.0.0.1",
            "port": server().port,
            "database": self.name,
            "user": self.reader,
            "password": PASSWORD,
        })
    }

    /// The same with the user that may write.
    pub fn owner_config(&self) -> Value {
        let mut config = self.config();
        config["user"] = self.owner.clone().into();
        config
    }

    /// How many sessions of its users run a statement whose text contains `text`.
    pub fn sessions_running(&self, text: &str) -> usize {
        let mut ask = String::new();
        let _never = write!(
            ask,
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER IN ('{}', '{}') AND LOCATE('{text}', INFO) > 0",
            self.owner, self.reader
        );
        sql("", &ask).trim().parse().unwrap()
    }
}

fn client(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args([
            "--no-defaults",
            "--user=root",
            "--default-character-set=utf8mb4",
        ])
        .arg(format!("--password={ROOT_PASSWORD}"))
        .arg(format!(
            "--socket={}",
            server().folder.join("socket").display()
        ));
    command
}

/// Runs statements as root in `database`; gives what they print.
pub fn sql(database: &str, text: &str) -> String {
    use std::io::Write;
    let mut command = client("/usr/bin/mariadb");
    command.args(["--batch", "--skip-column-names", "--raw"]);
    if !database.is_empty() {
        command.arg(database);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
