//! Callers that go away in mid-load.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::wire::Wire;
use weir_tests::{Database, Service, eventually};

/// A stream that never ends and needs no room in the server.
pub const ENDLESS: &str = "create view endless as
    select generate_series(1, 2000000000) as id, repeat('x', 100) as filler";

/// Waits for the query to leave the server, at most a second.
pub async fn assert_gone(database: &Database, watcher: &tokio_postgres::Client) -> Duration {
    let start = Instant::now();
    let gone = eventually(Duration::from_secs(5), async || {
        (database.sessions_running(watcher, "endless").await == 0).then(|| start.elapsed())
    });
    let took = gone.await.expect("the query still runs after five seconds");
    assert!(
        took < Duration::from_secs(1),
        "the query ran on for {took:?}"
    );
    took
}

async fn drop_one(service: &Service, name: &str, suffix: &str) {
    let path = format!("/v1/sources/{name}/load.{suffix}?stream=endless");
    let mut wire = Wire::get(&service.client, &path).await;
    let read = wire.read_at_least(100_000).await.len();
    assert!(read >= 100_000, "{}", String::from_utf8_lossy(&wire.read));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_stops_the_query_within_a_second() {
    let service = Service::start().await;
    let database = Database::with(ENDLESS).await;
    let name = service.client.register(&database).await;
    let watcher = database.client().await;
    for suffix in ["arrow", "ndjson", "json"] {
        let path = format!("/v1/sources/{name}/load.{suffix}?stream=endless");
        let mut wire = Wire::get(&service.client, &path).await;
        wire.read_at_least(1_000_000).await;
        assert_eq!(
            database.sessions_running(&watcher, "endless").await,
            1,
            "it runs"
        );
        drop(wire);
        let took = assert_gone(&database, &watcher).await;
        println!(
            "{suffix}: gone from pg_stat_activity {} ms after the hang-up",
            took.as_millis()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_before_the_first_row_stops_the_query_too() {
    let service = Service::start().await;
    let database = Database::create().await;
    let name = service.client.register(&database).await;
    let watcher = database.client().await;
    let path = format!("/v1/sources/{name}/load?query=select%20pg_sleep(60)");
    let wire = Wire::get(&service.client, &path).await;
    let running = async || database.sessions_running(&watcher, "pg_sleep").await;
    let runs = eventually(Duration::from_secs(5), async || {
        (running().await == 1).then_some(())
    });
    runs.await.expect("the query starts");
    drop(wire);
    let gone = eventually(Duration::from_secs(1), async || {
        (running().await == 0).then_some(())
    });
    gone.await.expect("the query is stopped in the source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_dropped_loads_leave_a_hundred_right_answers() {
    let service = Service::start().await;
    let database = Database::with(ENDLESS).await;
    let name = service.client.register(&database).await;
    for number in 0..100 {
        let suffix = ["arrow", "ndjson", "json"][number % 3];
        drop_one(&service, &name, suffix).await;
    }
    for number in 0..100 {
        let body = json!({"query": "select $1::int as n, $2::text as t", "params": [number, format!("t{number}")]});
        let rows = service.client.rows(&name, &body).await;
        assert_eq!(rows, [json!({"n": number, "t": format!("t{number}")})]);
    }
    let watcher = database.client().await;
    assert_gone(&database, &watcher).await;
    let sessions: i64 = watcher
        .query_one(
            "select count(*) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
            &[&database.name],
        )
        .await
        .unwrap()
        .get(0);
    assert!(sessions <= 10, "{sessions} connections of one source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_caller_slows_the_source_down_instead_of_filling_memory() {
    let service = Service::start().await;
    let database = Database::with(ENDLESS).await;
    let name = service.client.register(&database).await;
    let before = service.peak_memory();
    let path = format!("/v1/sources/{name}/load.arrow?stream=endless");
    let mut wire = Wire::get(&service.client, &path).await;
    wire.read_at_least(100_000).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let grown = service.peak_memory() - before;
    assert!(
        grown < 128 << 20,
        "{grown} bytes for a caller who does not read"
    );
    drop(wire);
}
