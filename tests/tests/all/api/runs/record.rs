//! What is kept of a load, however it ends.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use weir_tests::wire::Wire;
use weir_tests::{Database, Options, Service, eventually};

use super::{ended, on_known_store, two};
use crate::api::sources::hang_up::ENDLESS;

const THREE: &str =
    "create table three as select n as id, 'x' || n as name from generate_series(1, 3) n";

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_recorded_with_what_it_read_and_how_it_ended() {
    let service = Service::start().await;
    let database = Database::with(THREE).await;
    let name = service.client.register(&database).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let body = json!({"stream": "three", "columns": ["name"], "filter": "id > 1"});
    let answer = service
        .client
        .call(Method::POST, &format!("/v1/sources/{name}/load.ndjson"))
        .header("accept-encoding", "identity")
        .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&body)
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let id = answer.header("weir-run-id");
    let run = ended(&service.client, id).await;
    assert_eq!(run["id"], id);
    assert_eq!(
        (&run["kind"], &run["status"]),
        (&json!("load"), &json!("succeeded"))
    );
    assert_eq!(
        (&run["source_name"], &run["stream"]),
        (&json!(name), &json!("three"))
    );
    assert_eq!(run["columns"], json!(["name"]));
    assert_eq!(
        (&run["rows"], &run["bytes"]),
        (&json!(2), &json!(answer.body.len()))
    );
    assert_eq!(run["trace_id"], trace);
    let me = service.client.get("/v1/whoami").await.json();
    assert_eq!(run["key_id"], me["key_id"]);
    assert!(
        run["finished_at"].as_str() >= run["started_at"].as_str(),
        "{run}"
    );
    assert_eq!(run.get("error"), None);
    let text = run.to_string();
    assert!(!text.contains("id > 1"), "no filter is kept: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_query_only_the_hash_is_kept_unless_set() {
    let query = "select 'very private' as v";
    for (setting, is_kept) in [("false", false), ("true", true)] {
        let options = Options::fresh().await.env("WEIR_LOG_QUERIES", setting);
        let service = options.start().await;
        let database = Database::create().await;
        let name = service.client.register(&database).await;
        let path = format!("/v1/sources/{name}/load");
        let answer = service.client.post(&path, &json!({"query": query})).await;
        let run = ended(&service.client, answer.header("weir-run-id")).await;
        let client = database.client().await;
        let hash = "select encode(sha256($1::text::bytea), 'hex')";
        let hash: String = client.query_one(hash, &[&query]).await.unwrap().get(0);
        assert_eq!(run["query_hash"], hash);
        assert_eq!(run.get("query").is_some(), is_kept, "{run}");
        assert!(!service.log().contains("very private"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_before_and_after_the_first_byte_are_recorded() {
    let service = Service::start().await;
    let database = Database::with(
        "create view breaks as select 1 / (2000000 - n) as v, repeat('x', 50) as filler
         from generate_series(1, 2000000) n",
    )
    .await;
    let client = &service.client;
    let name = client.register(&database).await;
    let early = uuid::Uuid::new_v4().to_string();
    let answer = client
        .call(
            Method::GET,
            &format!("/v1/sources/{name}/load?stream=nowhere"),
        )
        .header("weir-run-id", &early)
        .send()
        .await;
    answer.expect_problem(424, "source_not_found");
    assert_eq!(answer.header("weir-run-id"), early);
    let run = ended(client, &early).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("source_not_found"))
    );

    let path = format!("/v1/sources/{name}/load.ndjson?stream=breaks");
    let mut wire = Wire::get(client, &path).await;
    wire.read_all().await;
    let head = wire.head();
    let id = head
        .lines()
        .find_map(|line| line.strip_prefix("weir-run-id: "))
        .unwrap();
    let run = ended(client, id).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("data"))
    );
    assert!(run["rows"].as_u64().unwrap() > 100_000, "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_leaves_a_cancelled_run() {
    let service = Service::start().await;
    let database = Database::with(ENDLESS).await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/load.arrow?stream=endless");
    let mut wire = Wire::get(&service.client, &path).await;
    wire.read_at_least(1_000_000).await;
    let listed = service.client.get("/v1/runs?status=running").await.json();
    let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    drop(wire);
    let run = ended(&service.client, &id).await;
    assert_eq!(run["status"], "cancelled");
    assert_eq!(run["error"]["message"], "the caller went away");
    assert!(run["rows"].as_u64().unwrap() > 1_000, "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_no_whole_table_has_an_id_and_no_record() {
    let service = Service::start().await;
    let database = Database::with(THREE).await;
    let client = &service.client;
    let name = client.register(&database).await;
    let load = format!("/v1/sources/{name}/load");
    let answers = [
        client
            .post(
                &format!("/v1/sources/{name}/preview"),
                &json!({"stream": "three"}),
            )
            .await,
        client
            .post(&load, &json!({"stream": "three", "dry_run": true}))
            .await,
        client
            .call(Method::HEAD, &format!("{load}?stream=three"))
            .send()
            .await,
    ];
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer.header("weir-run-id");
        assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
        let path = format!("/v1/runs/{id}");
        client.get(&path).await.expect_problem(404, "not_found");
    }
    let listed = client.get("/v1/runs").await.json();
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_cannot_be_recorded_is_refused_and_stopped() {
    let (service, store) = on_known_store().await;
    let database = Database::with(ENDLESS).await;
    let name = service.client.register(&database).await;
    let blocker = store.client().await;
    blocker
        .batch_execute("begin; lock table runs in access exclusive mode")
        .await
        .unwrap();
    let path = format!("/v1/sources/{name}/load?stream=endless");
    let answer = service.client.get(&path).await;
    answer.expect_problem(503, "store_unavailable");
    let watcher = database.client().await;
    let gone = eventually(Duration::from_secs(1), async || {
        (database.sessions_running(&watcher, "endless").await == 0).then_some(())
    });
    gone.await.expect("the query is stopped");
    blocker.batch_execute("rollback").await.unwrap();
    let listed = service.client.get("/v1/runs").await.json();
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_an_instance_that_died_are_marked_by_another() {
    let (one, other, store) = two().await;
    let database = Database::with(ENDLESS).await;
    let name = one.client.register(&database).await;
    let path = format!("/v1/sources/{name}/load.arrow?stream=endless");
    let mut wire = Wire::get(&one.client, &path).await;
    wire.read_at_least(100_000).await;
    let running = other.client.get("/v1/runs?status=running").await.json();
    let run = &running["items"][0];
    let (id, instance) = (
        run["id"].as_str().unwrap(),
        run["instance_id"].as_str().unwrap(),
    );
    one.kill().await;
    // In place of a minute of silence.
    store
        .run(&format!(
            "update instances set heartbeat_at = now() - interval '2 minutes' where id = '{instance}'"
        ))
        .await;
    let run = ended(&other.client, id).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("instance_lost"))
    );
}
