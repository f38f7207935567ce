//! Against the server programs of this machine; as root the server runs under
//! a lesser account, as anybody else under ours.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::{EmbeddedPostgres, EmbeddedSettings};

/// A folder that the server's account may pass.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

fn settings(data_dir: PathBuf) -> EmbeddedSettings {
    EmbeddedSettings {
        data_dir,
        ..EmbeddedSettings::default()
    }
}

async fn connect(server: &EmbeddedPostgres) -> PgConnection {
    PgConnection::connect(server.url().expose()).await.unwrap()
}

async fn number(server: &EmbeddedPostgres, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&mut connect(server).await)
        .await
        .unwrap()
}

async fn run(server: &EmbeddedPostgres, sql: &'static str) {
    sqlx::raw_sql(sql)
        .execute(&mut connect(server).await)
        .await
        .unwrap();
}

fn server_pid(data_dir: &Path) -> Pid {
    let note = std::fs::read_to_string(data_dir.join("pg/data/postmaster.pid")).unwrap();
    Pid::from_raw(note.lines().next().unwrap().parse().unwrap())
}

async fn until_gone(pid: Pid) {
    let start = Instant::now();
    while kill(pid, None).is_ok() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "process {pid} is still there"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let folder = folder();
    let data_dir = folder.path().join("weir");
    let server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    run(&server, "create table t as select 42::int8 as n").await;
    for durable in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String = sqlx::query_scalar("select current_setting($1)")
            .bind(durable)
            .fetch_one(&mut connect(&server).await)
            .await
            .unwrap();
        assert_eq!(value, "on", "{durable}");
    }
    let pid = server_pid(&data_dir);
    server.stop().await;
    assert!(kill(pid, None).is_err(), "the server stopped with us");
    let server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    assert_eq!(number(&server, "select n from t").await, 42);
    server.stop().await;
}

#[tokio::test]
async fn files_are_closed_to_others() {
    let folder = folder();
    let data_dir = folder.path().join("weir");
    let server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    let mode = |path: &str| std::fs::metadata(data_dir.join(path)).unwrap().mode() & 0o777;
    assert_eq!(mode(""), if geteuid().is_root() { 0o711 } else { 0o700 });
    for path in ["pg", "pg/data", "pg/socket"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
    for path in ["pg.lock", "pg.log"] {
        assert_eq!(mode(path), 0o600, "{path}");
    }
    if geteuid().is_root() {
        assert_ne!(std::fs::metadata(data_dir.join("pg")).unwrap().uid(), 0);
    }
    let listens = number(
        &server,
        "select count(*) from pg_settings where name = 'listen_addresses' and setting = ''",
    );
    assert_eq!(listens.await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_second_start_on_the_folder_is_refused() {
    let folder = folder();
    let data_dir = folder.path().join("weir");
    let server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    let error = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap_err();
    let expected = format!("is in use by process {}", std::process::id());
    assert!(error.message().contains(&expected), "{error}");
    assert!(error.hint_text().unwrap().contains("WEIR_DATA_DIR"));
    assert_eq!(number(&server, "select 1::int8").await, 1);
    server.stop().await;
    EmbeddedPostgres::start(settings(data_dir))
        .await
        .unwrap()
        .stop()
        .await;
}

#[tokio::test]
async fn a_killed_server_is_started_again() {
    let folder = folder();
    let data_dir = folder.path().join("weir");
    let server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    run(&server, "create table t as select 7::int8 as n").await;
    let killed = server_pid(&data_dir);
    kill(killed, Signal::SIGKILL).unwrap();
    let start = Instant::now();
    let back = loop {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "the server did not come back"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        if let Ok(mut connection) = PgConnection::connect(server.url().expose()).await
            && let Ok(n) = sqlx::query_scalar::<_, i64>("select n from t")
                .fetch_one(&mut connection)
                .await
        {
            break n;
        }
    };
    assert_eq!(back, 7);
    assert_ne!(server_pid(&data_dir), killed);
    server.stop().await;
}

/// As `kill -9` of the service and its server leaves it: the lock is free, the
/// note and the socket are stale.
#[tokio::test]
async fn the_folder_is_taken_up_after_both_were_killed() {
    let folder = folder();
    let data_dir = folder.path().join("weir");
    let mut server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    run(&server, "create table t (n int8)").await;
    for round in 1..=5 {
        run(&server, "insert into t values (1)").await;
        let pid = server_pid(&data_dir);
        server.keeper.abort();
        kill(pid, Signal::SIGKILL).unwrap();
        drop(server);
        server = EmbeddedPostgres::start(settings(data_dir.clone()))
            .await
            .unwrap();
        assert_eq!(number(&server, "select count(*) from t").await, round);
    }
    server.stop().await;
}

/// As `kill -9` of the service alone leaves it: the server still runs.
#[tokio::test]
async fn a_server_that_outlived_its_service_is_replaced() {
    let folder = folder();
    let data_dir = folder.path().join("weir");
    let server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    run(&server, "create table t as select 9::int8 as n").await;
    server.stop().await;
    // Started as the service does it, by somebody who then forgets it.
    let orphan = orphan(&data_dir);
    let server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    until_gone(orphan).await;
    assert_eq!(number(&server, "select n from t").await, 9);
    server.stop().await;
}

/// Runs the server of a cluster as the child of a shell that ends at once.
fn orphan(data_dir: &Path) -> Pid {
    let pg = data_dir.canonicalize().unwrap().join("pg");
    let account = super::account::Account::of_server(&pg).unwrap();
    let program = "exec \"$(command -v postgres || ls -d /usr/lib/postgresql/*/bin/postgres | tail -n 1)\" \"$@\"";
    let script =
        format!("(exec setsid sh -c '{program}' postgres \"$@\") >/dev/null 2>&1 & echo $!");
    let mut command = super::account::command(Path::new("/bin/sh"), account.as_ref(), &pg);
    let settings = format!("unix_socket_directories={}", pg.join("socket").display());
    command
        .args(["-c", &script, "sh", "-D"])
        .arg(pg.join("data"))
        .args(["-c", &settings, "-c", "listen_addresses="]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let note = pg.join("data/postmaster.pid");
    let start = Instant::now();
    loop {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the orphan did not start: {output:?}"
        );
        if std::fs::read_to_string(&note).is_ok_and(|note| note.contains("ready")) {
            return server_pid(data_dir);
        }
        std::hint::spin_loop();
    }
}

#[tokio::test]
async fn a_path_of_150_characters_and_odd_signs_works() {
    let folder = folder();
    let odd = folder.path().join("it's, a \"fine\" dir % @ ü");
    std::fs::create_dir(&odd).unwrap();
    std::fs::set_permissions(&odd, std::fs::Permissions::from_mode(0o755)).unwrap();
    let length = odd.as_os_str().len();
    let data_dir = odd.join("x".repeat(150 - length));
    let server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    assert_eq!(number(&server, "select 1::int8").await, 1);
    let note = std::fs::read_to_string(data_dir.join("pg.socket")).unwrap();
    assert_eq!(std::fs::metadata(&note).unwrap().mode() & 0o777, 0o700);
    server.stop().await;
    assert!(!Path::new(&note).exists(), "{note} was removed");
    // The same signs in a path that is short enough for the socket.
    let server = EmbeddedPostgres::start(settings(odd.join("d")))
        .await
        .unwrap();
    assert!(odd.join("d/pg/socket").exists());
    server.stop().await;
}

#[tokio::test]
async fn a_cluster_of_another_version_is_named() {
    let folder = folder();
    let data = folder.path().join("weir/pg/data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("PG_VERSION"), "11\n").unwrap();
    let error = EmbeddedPostgres::start(settings(folder.path().join("weir")))
        .await
        .unwrap_err();
    assert!(
        error
            .message()
            .contains("was made by postgres 11, but the programs found are of version"),
        "{error}"
    );
    assert!(error.hint_text().unwrap().contains("postgresql-11"));
}

#[tokio::test]
async fn missing_programs_are_told_with_what_to_install() {
    let folder = folder();
    let binaries = Some(folder.path().join("nothing"));
    let settings = EmbeddedSettings {
        binaries,
        ..settings(folder.path().join("weir"))
    };
    let error = EmbeddedPostgres::start(settings).await.unwrap_err();
    assert!(
        error
            .message()
            .contains("holds no usable postgres and initdb"),
        "{error}"
    );
    assert!(error.hint_text().unwrap().contains("WEIR_PG_BIN"));
}

#[tokio::test]
async fn a_folder_below_a_closed_parent_is_named() {
    if !geteuid().is_root() {
        // Whoever runs the server himself passes his own folders.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("home");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = EmbeddedPostgres::start(settings(closed.join("weir")))
        .await
        .unwrap_err();
    let expected = format!("cannot pass the folder {}:", closed.display());
    assert!(error.message().contains(&expected), "{error}");
    assert!(error.hint_text().unwrap().contains("WEIR_DATA_DIR"));
}

#[tokio::test]
async fn an_interrupted_initdb_is_made_good() {
    let folder = folder();
    let data_dir = folder.path().join("weir");
    let half = data_dir.join("pg/data.new");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("PG_VERSION"), "15\n").unwrap();
    let server = EmbeddedPostgres::start(settings(data_dir)).await.unwrap();
    assert_eq!(number(&server, "select 1::int8").await, 1);
    server.stop().await;
    assert!(!half.exists());
}

#[tokio::test]
async fn tcp_is_there_when_asked_for_and_takes_a_password() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let folder = folder();
    let extra = vec![("max_connections".to_owned(), "17".to_owned())];
    let settings = EmbeddedSettings {
        extra,
        tcp_port: Some(port),
        ..settings(folder.path().join("weir"))
    };
    let server = EmbeddedPostgres::start(settings).await.unwrap();
    assert_eq!(
        number(&server, "select current_setting('max_connections')::int8").await,
        17
    );
    run(&server, "create role reader login password 'p'").await;
    let with = format!("postgres://reader:p@127.0.0.1:{port}/weir");
    PgConnection::connect(&with)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let wrong = format!("postgres://reader:q@127.0.0.1:{port}/weir");
    assert!(PgConnection::connect(&wrong).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn a_dropped_server_stops() {
    let folder = folder();
    let data_dir = folder.path().join("weir");
    let server = EmbeddedPostgres::start(settings(data_dir.clone()))
        .await
        .unwrap();
    let pid = server_pid(&data_dir);
    drop(server);
    until_gone(pid).await;
}
