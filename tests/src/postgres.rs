//! The PostgreSQL server of this test process: real, fresh, on loopback, with
//! passwords and TLS.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::unistd::User;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::guard::{Guarded, Program};
use crate::project;

/// The superuser of the test server.
pub const SUPERUSER: &str = "postgres";
/// Its password.
pub const SUPERUSER_PASSWORD: &str = "only for tests";

/// A running server.
pub struct Server {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// `PostgreSQL 15.18 …`
    pub version: String,
    /// The authority that signed its certificate, PEM.
    pub ca: String,
    _guard: Guarded,
}

/// The server of this process, started when first asked for.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

/// The account that servers run under: PostgreSQL refuses to run as root.
pub fn account() -> Option<User> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let known = ["postgres", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten());
    Some(known.expect("an account named postgres or nobody"))
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("weir-test-pg-")
            .tempdir()
            .unwrap()
            .keep();
        let account = account();
        let (data, log) = (folder.join("data"), folder.join("log"));
        let (ca, certificate, key) = certificates();
        let files = [
            ("password", SUPERUSER_PASSWORD.to_owned()),
            ("server.crt", certificate),
            ("server.key", key),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            give(&path, account.as_ref());
        }
        give(&folder, account.as_ref());
        initdb(&folder, &data, account.as_ref());
        let mut last = String::new();
        for _ in 0..5 {
            let port = free_port();
            let mut guard = Guarded::start(&program(&folder, &data, &log, port, account.clone()));
            match await_ready(&mut guard, &log) {
                Ok(()) => {
                    let version = version();
                    return Server {
                        port,
                        version,
                        ca,
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
    let settings = [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".into(),
        "unix_socket_directories=".into(),
        "max_connections=400".into(),
        "shared_buffers=64MB".into(),
        "fsync=off".into(),
        "full_page_writes=off".into(),
        "ssl=on".into(),
        format!("ssl_cert_file={}", folder.join("server.crt").display()),
        format!("ssl_key_file={}", folder.join("server.key").display()),
    ];
    let mut command = vec![tool("postgres"), "-D".into(), data.display().to_string()];
    command.extend(
        settings
            .into_iter()
            .flat_map(|setting| ["-c".to_owned(), setting]),
    );
    Program {
        command,
        env: vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("LC_ALL".into(), "C".into()),
        ],
        log: log.to_owned(),
        user,
        signal: "INT",
        follow: None,
        trash: Some(folder.to_owned()),
    }
}

fn initdb(folder: &Path, data: &Path, account: Option<&User>) {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(tool("initdb"));
    command
        .args([
            "--no-sync",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "-U",
            SUPERUSER,
        ])
        .arg(format!("--pwfile={}", folder.join("password").display()))
        .arg("-D")
        .arg(data)
        .current_dir(folder)
        .env("LC_ALL", "C");
    if let Some(user) = account {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "runs once, outside of any runtime's care"
)]
fn await_ready(guard: &mut Guarded, log: &Path) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if guard.ended().is_some() || start.elapsed() > Duration::from_secs(60) {
            return Err(text);
        }
        if text.contains("ready to accept connections") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn version() -> String {
    let output = Command::new(tool("postgres"))
        .arg("--version")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().replace("postgres (PostgreSQL)", "PostgreSQL")
}

/// A server program by name.
pub fn tool(name: &str) -> String {
    project::postgres_programs()
        .join(name)
        .display()
        .to_string()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn give(path: &PathBuf, user: Option<&User>) {
    if let Some(user) = user {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

/// An authority and a certificate of it for `localhost`, but not for the
/// address 127.0.0.1, so that a wrong name can be tested.
pub fn certificates() -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "weir test authority");
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    (authority.pem(), certificate.pem(), key.serialize_pem())
}
