//! The private Postgres: no `WEIR_DATABASE_URL`.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::unistd::User;
use serde_json::json;
use weir_tests::{Options, Service, StoreKind, eventually};

/// Registers something, restarts, and finds it again.
async fn works_and_keeps(options: &Options) {
    let service = options.start().await;
    let body = json!({"name": "kept", "connector": "sample", "config": {}});
    service
        .client
        .post("/v1/sources", &body)
        .await
        .expect_status(201);
    let postgres = service.embedded_pid().expect("a server of its own");
    assert_eq!(service.stop().await, Some(0));
    assert!(ended(postgres).await, "it stops with the service");
    let service = options.start().await;
    service
        .client
        .get("/v1/sources/kept")
        .await
        .expect_status(200);
    assert!(service.client.get("/readyz").await.status == 200);
}

async fn ended(pid: i32) -> bool {
    let gone = || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(());
    eventually(Duration::from_secs(10), async || gone())
        .await
        .is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_for_whoever_runs_the_tests() {
    works_and_keeps(&Options::on(StoreKind::Embedded)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_for_an_ordinary_user() {
    // An ordinary user has run the test above already.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let user = User::from_name("nobody")
        .unwrap()
        .expect("an account named nobody");
    works_and_keeps(&Options::on(StoreKind::Embedded).run_as(user)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_below_a_path_of_150_characters() {
    let options = Options::on(StoreKind::Embedded);
    let home = options.data().parent().unwrap().as_os_str().len();
    let long = format!("{}/data", "d".repeat(150 - home - "//data".len()));
    let options = options.data_dir(&long);
    assert_eq!(options.data().as_os_str().len(), 150);
    works_and_keeps(&options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_to_nobody_else() {
    let service = Options::on(StoreKind::Embedded).start().await;
    let pid = service.embedded_pid().unwrap();
    let sockets = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let of_it: Vec<String> = sockets
        .filter_map(|entry| {
            std::fs::read_link(entry.ok()?.path())
                .ok()?
                .to_str()
                .map(str::to_owned)
        })
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table)
            .unwrap_or_default()
            .lines()
            .skip(1)
        {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields[3] == "0A";
            assert!(
                !(listens && of_it.iter().any(|inode| inode == fields[9])),
                "{table}: {line}"
            );
        }
    }
    let mode = std::fs::metadata(service.options().data().join("pg"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "its data belongs to its account alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_on_the_same_folder_is_refused() {
    let options = Options::on(StoreKind::Embedded);
    let service: Service = options.start().await;
    let failed = options.try_start().await.expect_err("only one per folder");
    assert!(failed.code.is_some_and(|code| code != 0), "{failed:?}");
    let folder = options.data().display().to_string();
    let last = failed.log.lines().rfind(|line| line.contains(&folder));
    assert!(
        last.is_some(),
        "the message names the folder: {}",
        failed.log
    );
    service.client.get("/v1/sources").await.expect_status(200);
    assert_eq!(
        service.client.get("/readyz").await.status,
        200,
        "the first one goes on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_server_program_is_a_clear_message() {
    let options = Options::on(StoreKind::Embedded).env("WEIR_PG_BIN", "/nonexistent");
    let failed = options.try_start().await.expect_err("there is no server");
    assert!(failed.log.contains("/nonexistent"), "{}", failed.log);
    assert!(
        failed.log.contains("WEIR_PG_BIN"),
        "what to do: {}",
        failed.log
    );
}
