//! `kill -9` of the service at random moments of writes: the target is what it
//! was or what it should become, and the next service goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::duckdb::DuckFile;
use weir_tests::{Client, Database, Options, project, setting};

use super::super::files::Place as Files;

/// Rounds when `WEIR_TEST_KILL_ROUNDS` names no other number.
const ROUNDS: usize = 3;
/// Rows of a body.
const ROWS: usize = 40_000;

fn rounds() -> usize {
    setting("WEIR_TEST_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"))
}

fn body(turn: usize) -> String {
    (0..ROWS)
        .map(|id| format!("{{\"id\": {id}, \"turn\": {turn}}}\n"))
        .collect()
}

/// Sends a write; whether it was said to have succeeded.
async fn write(client: &Client, path: &str, turn: usize) -> Option<u16> {
    let call = client.call("POST".parse().unwrap(), path);
    let call = call.header("content-type", "application/x-ndjson");
    call.body(body(turn)).status().await
}

/// A moment of a write that takes about `usual`, another one each time.
fn moment(round: usize, usual: Duration) -> Duration {
    // The golden ratio spreads them evenly, however many there are.
    let part = (round as f64 * 0.618_033_988_75).fract();
    usual.mul_f64(part * 1.1)
}

fn judged(turn: usize, last: usize, answered: Option<u16>, seen: Value) -> usize {
    let [count, least, most] =
        ["count", "least", "most"].map(|name| seen[name].as_u64().unwrap_or(0) as usize);
    assert_eq!(count, ROWS, "half of the rows, turn {turn}: {seen}");
    assert_eq!(least, most, "rows of two turns, turn {turn}: {seen}");
    assert!(
        least == turn || least == last,
        "rows of turn {least}, not of {turn} or {last}"
    );
    assert!(
        answered != Some(200) || least == turn,
        "it was said to be written"
    );
    least
}

/// Kills the service in writes into tables of the source `db`, and looks through
/// the next service what is there. `stream` is where a table is found by its name,
/// `table` how a query speaks of it.
async fn tables_are_whole(
    options: &Options,
    source: Value,
    stream: fn(&str) -> String,
    table: fn(&str) -> String,
) {
    let mut service = options.start().await;
    let body = json!({"name": "db", "connector": source["connector"], "config": source["config"]});
    service
        .client
        .post("/v1/sources", &body)
        .await
        .expect_status(201);
    for (name, query) in [("r", "mode=replace"), ("u", "mode=upsert&keys=id")] {
        let path = format!("/v1/sources/db/write?stream={}&{query}", stream(name));
        let start = Instant::now();
        assert_eq!(write(&service.client, &path, 0).await, Some(200));
        assert_eq!(write(&service.client, &path, 0).await, Some(200));
        let (usual, mut last) = (start.elapsed() / 2, 0);
        for turn in 1..=rounds() {
            let client = service.client.clone();
            let sent = write(&client, &path, turn);
            let die = async {
                tokio::time::sleep(moment(turn, usual)).await;
                service.kill().await;
            };
            let (answered, ()) = tokio::join!(sent, die);
            service = options.start().await;
            last = judged(
                turn,
                last,
                answered,
                settled(&service.client, &table(name)).await,
            );
        }
    }
    assert_eq!(service.stop().await, Some(0));
}

/// What is in a table once it does not change any more: a server may still be
/// busy with the end of a connection that is gone.
async fn settled(client: &Client, table: &str) -> Value {
    let sql =
        format!("select count(*) as count, min(turn) as least, max(turn) as most from {table}");
    let look = async || client.rows("db", &json!({"query": sql})).await.remove(0);
    let (mut seen, mut same) = (look().await, 0);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let again = look().await;
        same = if again == seen { same + 1 } else { 0 };
        seen = again;
        if same == 6 {
            break;
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_postgres_is_whole_whenever_the_service_dies() {
    let database = Database::create().await;
    let source = json!({"connector": "postgres", "config": database.owner_config()});
    let name = |name: &str| name.to_owned();
    tables_are_whole(&Options::fresh().await, source, name, name).await;
}

/// A service that may open files below `folder`.
async fn with_files(folder: &std::path::Path) -> Options {
    let folder = folder.canonicalize().unwrap();
    Options::fresh()
        .await
        .env("WEIR_FILE_ROOTS", folder.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_sqlite_is_whole_whenever_the_service_dies() {
    let name = |name: &str| name.to_owned();
    for journal in ["delete", "wal"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("a.db");
        let file = rusqlite::Connection::open(&path).unwrap();
        let sql = format!("pragma journal_mode = {journal}; create table other (id integer)");
        file.execute_batch(&sql).unwrap();
        drop(file);
        let source = json!({"connector": "sqlite", "config": {"path": path}});
        tables_are_whole(&with_files(folder.path()).await, source, name, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_duckdb_is_whole_whenever_the_service_dies() {
    let file = DuckFile::with("create table t (id integer)");
    let options = Options::fresh()
        .await
        .env("WEIR_FILE_ROOTS", file.folder().to_str().unwrap())
        .env(
            "WEIR_DUCKDB_LIB",
            project::duckdb_library().to_str().unwrap(),
        );
    let source = json!({"connector": "duckdb", "config": file.config()});
    let name = |name: &str| name.to_owned();
    tables_are_whole(&options, source, name, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_mysql_is_whole_whenever_the_service_dies() {
    let database = weir_tests::MyDatabase::create();
    let source = json!({"connector": "mysql", "config": database.owner_config()});
    let name = |name: &str| name.to_owned();
    tables_are_whole(&Options::fresh().await, source, name, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_whole_whenever_the_service_dies() {
    let place = Files::new().await;
    let path = "/v1/sources/f/write?stream=a.csv&mode=replace";
    let start = Instant::now();
    assert_eq!(write(place.client(), path, 0).await, Some(200));
    let (usual, mut last) = (start.elapsed(), 0);
    let (root, options) = (place.root(), place.service.options().clone());
    let (home, mut service) = place.into_parts();
    for turn in 1..=rounds() {
        let client = service.client.clone();
        let sent = write(&client, path, turn);
        let die = async {
            tokio::time::sleep(moment(turn, usual)).await;
            service.kill().await;
        };
        let (answered, ()) = tokio::join!(sent, die);
        let text = std::fs::read_to_string(root.join("a.csv")).unwrap();
        let turns: Vec<usize> = text
            .lines()
            .skip(1)
            .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
            .collect();
        let seen =
            json!({"count": turns.len(), "least": turns.iter().min(), "most": turns.iter().max()});
        last = judged(turn, last, answered, seen);
        service = options.start().await;
    }
    drop((service, home));
}
