//! Profiles that are stopped, and those that there are too many of.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_tests::wire::Wire;
use weir_tests::{Client, Database, Options, Service, eventually};

use crate::api::sources::hang_up::{ENDLESS, assert_gone};

async fn start(client: &Client, source: &str) -> Wire {
    let body = json!({"stream": "endless"}).to_string();
    let head = format!(
        "POST /v1/sources/{source}/profile HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nAuthorization: Bearer {}\r\n\r\n{body}",
        body.len(),
        client.key()
    );
    Wire::send(client, head.as_bytes()).await
}

async fn assert_runs(database: &Database, watcher: &tokio_postgres::Client) {
    let runs = eventually(Duration::from_secs(10), async || {
        (database.sessions_running(watcher, "endless").await == 1).then_some(())
    });
    runs.await.expect("the query starts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_stops_the_query() {
    let service = Service::start().await;
    let database = Database::with(ENDLESS).await;
    let source = service.client.register(&database).await;
    let watcher = database.client().await;
    let wire = start(&service.client, &source).await;
    assert_runs(&database, &watcher).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(wire);
    assert_gone(&database, &watcher).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_cancelled_by_its_id() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::with(ENDLESS).await;
    let source = client.register(&database).await;
    let watcher = database.client().await;
    let id = Uuid::new_v4().to_string();
    let path = format!("/v1/sources/{source}/profile");
    let profile = client
        .call(Method::POST, &path)
        .header("weir-run-id", &id)
        .json(&json!({"stream": "endless"}))
        .send();
    let stop = async {
        assert_runs(&database, &watcher).await;
        let shown = client
            .get(&format!("/v1/runs/{id}"))
            .await
            .expect_status(200);
        assert_eq!(
            (&shown["kind"], &shown["status"], &shown["stream"]),
            (&json!("profile"), &json!("running"), &json!("endless"))
        );
        let path = format!("/v1/runs/{id}/cancel");
        client.post(&path, &json!({})).await.expect_status(202)
    };
    let (answer, _): (_, Value) = tokio::join!(profile, stop);
    answer.expect_problem(499, "cancelled");
    assert_eq!(answer.header("weir-run-id"), id);
    assert_gone(&database, &watcher).await;
    let ended = client
        .get(&format!("/v1/runs/{id}"))
        .await
        .expect_status(200);
    assert_eq!(ended["status"], "cancelled", "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_stops_it() {
    let service = Service::start().await;
    let database = Database::with(ENDLESS).await;
    let source = service.client.register(&database).await;
    let watcher = database.client().await;
    let path = format!("/v1/sources/{source}/profile");
    let body = json!({"stream": "endless", "timeout_ms": 1500});
    let answer = service.client.post(&path, &body).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_gone(&database, &watcher).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_of_sources_count_as_loads_of_their_key() {
    let options = Options::fresh().await;
    let service = options.env("WEIR_LOADS_PER_KEY", "2").start().await;
    let client = &service.client;
    let database = Database::with(ENDLESS).await;
    let source = client.register(&database).await;
    let watcher = database.client().await;
    let wires = [start(client, &source).await, start(client, &source).await];
    let both = eventually(Duration::from_secs(10), async || {
        (database.sessions_running(&watcher, "endless").await == 2).then_some(())
    });
    both.await.expect("two queries run");
    let path = format!("/v1/sources/{source}/profile");
    let third = client.post(&path, &json!({"stream": "endless"})).await;
    third.expect_problem(429, "too_many_loads");
    let rows = client
        .post("/v1/profile", &json!({"data": [{"a": 1}]}))
        .await;
    rows.expect_status(200);
    drop(wires);
    assert_gone(&database, &watcher).await;
}
