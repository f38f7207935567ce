//! Stopping a run: here, on another instance, before and after the first row.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_tests::wire::Wire;
use weir_tests::{Answer, Client, Database, Service, eventually};

use super::{caller, ended, on_known_store, two};
use crate::api::sources::hang_up::ENDLESS;

/// Cancels the run once it is there.
async fn stop(client: &Client, id: &str) -> Value {
    let path = format!("/v1/runs/{id}/cancel");
    let stopped = eventually(Duration::from_secs(5), async || {
        let answer = client.post(&path, &json!({})).await;
        (answer.status == 202).then(|| answer.json())
    });
    stopped.await.expect("the run can be stopped")
}

async fn sleeping(client: &Client, path: &str, id: &str) -> Answer {
    client
        .call(Method::POST, path)
        .header("weir-run-id", id)
        .json(&json!({"query": "select pg_sleep(60)::text as n"}))
        .send()
        .await
}

async fn assert_gone(database: &Database, text: &str) -> Duration {
    let watcher = database.client().await;
    let start = Instant::now();
    let gone = eventually(Duration::from_secs(2), async || {
        (database.sessions_running(&watcher, text).await == 0).then(|| start.elapsed())
    });
    gone.await.expect("the query is stopped in the source")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_its_first_row_is_stopped() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let name = client.register(&database).await;
    let id = Uuid::new_v4().to_string();
    let path = format!("/v1/sources/{name}/load");
    let (answer, shown) = tokio::join!(sleeping(client, &path, &id), stop(client, &id));
    answer.expect_problem(499, "cancelled");
    assert_eq!(shown["id"], id);
    assert_gone(&database, "pg_sleep").await;
    let run = ended(client, &id).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    let again = client
        .post(&format!("/v1/runs/{id}/cancel"), &json!({}))
        .await;
    again.expect_problem(409, "run_finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_stopped_too() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let name = client.register(&database).await;
    let id = Uuid::new_v4().to_string();
    let path = format!("/v1/sources/{name}/preview");
    let (answer, shown) = tokio::join!(sleeping(client, &path, &id), stop(client, &id));
    answer.expect_problem(499, "cancelled");
    assert_eq!(shown["kind"], "preview");
    assert_gone(&database, "pg_sleep").await;
    client
        .get(&format!("/v1/runs/{id}"))
        .await
        .expect_problem(404, "not_found");
}

/// Cancels an endless load through `by`, and gives how long the query lived on.
async fn cut(
    owner: &Service,
    by: &Client,
    database: &Database,
    name: &str,
    suffix: &str,
) -> Duration {
    let path = format!("/v1/sources/{name}/load.{suffix}?stream=endless");
    let mut wire = Wire::get(&owner.client, &path).await;
    // From here on nothing is read: the load waits for its caller.
    wire.read_at_least(100_000).await;
    let head = wire.head();
    let id = head
        .lines()
        .find_map(|line| line.strip_prefix("weir-run-id: "))
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let start = Instant::now();
    stop(by, id).await;
    assert_gone(database, "endless").await;
    let took = start.elapsed();
    let run = ended(by, id).await;
    assert_eq!(run["status"], "cancelled");
    assert!(run["rows"].as_u64().unwrap() > 1_000, "{run}");
    let body = wire.read_all().await;
    assert!(
        !body.ends_with(b"0\r\n\r\n"),
        "{suffix}: the last chunk must not come"
    );
    if suffix == "arrow" {
        let tail = &body[body.len().saturating_sub(96)..];
        assert!(
            tail.windows(4).any(|four| four == [0xff; 4]),
            "an invalid message header"
        );
    }
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_under_way_breaks_off_visibly_even_for_who_does_not_read() {
    let service = Service::start().await;
    let database = Database::with(ENDLESS).await;
    let name = service.client.register(&database).await;
    for suffix in ["ndjson", "arrow", "json"] {
        let took = cut(&service, &service.client, &database, &name, suffix).await;
        println!(
            "{suffix}: gone from the source {} ms after the cancel",
            took.as_millis()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_stops_it_within_two_seconds() {
    let (one, other, _) = two().await;
    let database = Database::with(ENDLESS).await;
    let name = one.client.register(&database).await;
    for suffix in ["ndjson", "arrow"] {
        let took = cut(&one, &other.client, &database, &name, suffix).await;
        println!(
            "{suffix}: gone {} ms after the other instance was asked",
            took.as_millis()
        );
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_elses_run_can_be_stopped_but_by_an_admin() {
    let (service, store) = on_known_store().await;
    let database = Database::create().await;
    let name = service.client.register(&database).await;
    let owner = caller(&service, &store, "reader", "null").await;
    let stranger = caller(&service, &store, "editor", "null").await;
    let id = Uuid::new_v4().to_string();
    let path = format!("/v1/sources/{name}/load");
    let refuse = async {
        let running = eventually(Duration::from_secs(5), async || {
            let seen = service.client.get(&format!("/v1/runs/{id}")).await;
            (seen.status == 200).then_some(())
        });
        running.await.expect("it runs");
        let answer = stranger
            .post(&format!("/v1/runs/{id}/cancel"), &json!({}))
            .await;
        answer.expect_problem(404, "not_found");
        stop(&service.client, &id).await;
    };
    let (answer, ()) = tokio::join!(sleeping(&owner, &path, &id), refuse);
    answer.expect_problem(499, "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_is_revoked_and_others_go_on() {
    let service = Service::start().await;
    let admin = &service.client;
    let database = Database::with(ENDLESS).await;
    let name = admin.register(&database).await;
    let path = format!("/v1/sources/{name}/load.ndjson?stream=endless");
    let mut callers = Vec::new();
    for key in ["leaver", "stayer"] {
        let body = json!({"name": key, "role": "reader"});
        let made = admin.post("/v1/api-keys", &body).await.expect_status(201);
        callers.push(admin.with_key(made["key"].as_str()));
    }
    let [leaver, stayer] = callers.try_into().unwrap();
    let mut wires = Vec::new();
    for client in [&leaver, &stayer] {
        let mut wire = Wire::get(client, &path).await;
        wire.read_at_least(100_000).await;
        wires.push(wire);
    }
    let listed = leaver.get("/v1/runs").await.expect_status(200);
    let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    // A change that takes nothing away stops nothing.
    let name = json!({"name": "left"});
    let renamed = admin.patch("/v1/api-keys/leaver", &name).await;
    renamed.expect_status(200);
    wires[0].read_at_least(2_000_000).await;
    assert!(wires[0].read.len() >= 2_000_000);
    admin.delete("/v1/api-keys/left").await.expect_status(204);
    let ends = tokio::time::timeout(Duration::from_secs(10), wires[0].read_all()).await;
    let body = ends.expect("the stream of a revoked key goes on");
    assert!(!body.ends_with(b"0\r\n\r\n"), "it ends visibly broken");
    let run = ended(admin, &id).await;
    assert_eq!(run["status"], "cancelled");
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("key was revoked"), "{message}");
    let before = wires[1].read.len();
    let more = wires[1].read_at_least(before + 1_000_000).await.len();
    assert!(more >= before + 1_000_000, "another key's stream goes on");
}
