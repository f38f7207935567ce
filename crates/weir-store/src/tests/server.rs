//! The server all tests share.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use weir_core::Secret;

use crate::embedded::{EmbeddedPostgres, EmbeddedSettings};

static SERVER: OnceLock<EmbeddedPostgres> = OnceLock::new();

/// Ends the server and removes its folder when the pipe to this process closes,
/// however the process ends.
const WATCH: &str = r#"read _
note="$1/weir/pg/data/postmaster.pid"
kill -INT "$(head -n 1 "$note")"
n=0
while test -e "$note" && test $n -lt 100; do sleep 0.2; n=$((n + 1)); done
rm -rf "$1""#;

fn watch(folder: &Path) {
    let child = Command::new("sh")
        .args(["-c", WATCH, "sh"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    // The pipe must stay open as long as the process lives.
    std::mem::forget(child);
}

fn start() -> EmbeddedPostgres {
    // On a runtime of its own: those of single tests end with them.
    let started = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap().keep();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711)).unwrap();
        watch(&folder);
        let extra = [("max_connections", "200"), ("fsync", "off")];
        let settings = EmbeddedSettings {
            data_dir: folder.join("weir"),
            extra: extra
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..EmbeddedSettings::default()
        };
        let server = runtime.block_on(EmbeddedPostgres::start(settings)).unwrap();
        std::mem::forget(runtime);
        server
    });
    started.join().unwrap()
}

/// The url of a fresh, empty database.
pub(super) async fn database() -> Secret {
    let server = SERVER.get_or_init(start);
    let name = format!("t_{}", uuid::Uuid::now_v7().simple());
    let url = server.url();
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("create database {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    Secret::new(url.expose().replace("/weir?", &format!("/{name}?")))
}
