//! Who did what: every change, and every read before its first byte.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};
use weir_tests::{Client, Database, Options, Service, StoreKind};

use super::keys::made;

async fn records(admin: &Client, query: &str) -> Vec<Value> {
    let page = admin
        .get(&format!("/v1/audit?{query}"))
        .await
        .expect_status(200);
    page["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_recorded_with_who_and_in_which_request() {
    let service = Service::start().await;
    let admin = &service.client;
    let (anna, id) = made(admin, &json!({"name": "anna", "role": "editor"})).await;
    let source = json!({"name": "s", "connector": "sample"});
    let call = anna.call(reqwest::Method::POST, "/v1/sources");
    let call = call.header("x-request-id", "anna-1").json(&source);
    call.send().await.expect_status(201);
    anna.patch("/v1/sources/s", &json!({"labels": {"a": "b"}}))
        .await
        .expect_status(200);
    anna.patch("/v1/sources/s", &json!({"nme": "b"}))
        .await
        .expect_status(422);
    let test = json!({"config": {}});
    anna.post("/v1/connectors/sample/test", &test)
        .await
        .expect_status(200);
    assert_eq!(anna.delete("/v1/sources/s").await.status, 204);
    let done = records(admin, "actor=anna&class=admin").await;
    let actions: Vec<&str> = done.iter().map(|r| r["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "source.delete",
            "connector.test",
            "source.update",
            "source.create"
        ]
    );
    let made = done.last().unwrap();
    for (field, value) in [
        ("request_id", json!("anna-1")),
        ("key_id", json!(id)),
        ("address", json!("127.0.0.1")),
        ("target_kind", json!("source")),
        ("target_name", json!("s")),
        ("details", json!({"connector": "sample"})),
    ] {
        assert_eq!(made[field], value, "{made:#}");
    }
    let about = records(
        admin,
        &format!("target={}", made["target_id"].as_str().unwrap()),
    )
    .await;
    assert_eq!(about.len(), 3);
    let system = records(admin, "actor=system").await;
    let actions: Vec<&str> = system
        .iter()
        .map(|r| r["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        ["source.create", "api_key.create"],
        "the start, newest first"
    );
    let keys = records(admin, "action=api_key.create&actor=admin").await;
    assert_eq!(keys[0]["target_name"], "anna");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_is_recorded_without_its_text() {
    let service = Service::start().await;
    let admin = &service.client;
    let database =
        Database::with("create table t (a int, b text); insert into t values (1, 'x')").await;
    let name = admin.register(&database).await;
    let (rob, _) = made(admin, &json!({"name": "rob", "role": "reader"})).await;
    let base = format!("/v1/sources/{name}");
    let stream = json!({"stream": "t", "columns": ["a"], "filter": "b == 'CANARY'"});
    let preview = rob.post(&format!("{base}/preview"), &stream).await;
    preview.expect_status(200);
    let query = json!({"query": "select 'CANARY' as c from t where b = $1", "params": ["CANARY"]});
    for _ in 0..2 {
        rob.post(&format!("{base}/load.ndjson"), &query)
            .await
            .expect_status(200);
    }
    let failed = json!({"query": "select 1 / 0"});
    rob.post(&format!("{base}/load"), &failed)
        .await
        .expect_status(424);
    // These read no data.
    rob.call(reqwest::Method::HEAD, &format!("{base}/load?stream=t"))
        .send()
        .await;
    rob.get(&format!("{base}/schema?stream=t"))
        .await
        .expect_status(200);
    let read = records(admin, "class=access&actor=rob").await;
    let actions: Vec<&str> = read.iter().map(|r| r["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["load", "load", "load", "preview"]);
    let [bad, second, first, preview_record] = &read[..] else {
        panic!("{read:#?}")
    };
    assert_eq!(preview_record["stream"], "t");
    assert_eq!(preview_record["columns"], json!(["a"]));
    assert_eq!(preview_record["run_id"], preview.header("weir-run-id"));
    assert_eq!(preview_record["request_id"], preview.header("x-request-id"));
    assert_eq!(preview_record["target_name"], json!(name));
    assert!(preview_record.get("query_hash").is_none());
    let hash = first["query_hash"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    assert_eq!(second["query_hash"], hash, "equal for equal queries");
    assert_ne!(bad["query_hash"], hash);
    let all = admin.get("/v1/audit").await.text();
    assert!(!all.contains("CANARY"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_paged_and_bounded_in_time() {
    let store = Database::create().await;
    let service = Options::on(StoreKind::Database(store.clone()))
        .start()
        .await;
    let admin = &service.client;
    store
        .run(
            "insert into audit (id, at, class, action, actor, request_id, target_kind) \
             select gen_random_uuid(), now() - d * interval '5 days', 'admin', 'old', 'x', '', 'x' \
             from generate_series(1, 60) d",
        )
        .await;
    let mut seen = Vec::new();
    let mut path = "/v1/audit?action=old&limit=7".to_owned();
    loop {
        let page = admin.get(&path).await.expect_status(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        seen.extend(
            items
                .iter()
                .map(|item| item["at"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/audit?action=old&limit=7&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 60);
    assert!(
        seen.windows(2).all(|pair| pair[0] > pair[1]),
        "newest first"
    );
    let (since, until) = (&seen[19], &seen[9]);
    let some = records(admin, &format!("action=old&since={since}&until={until}")).await;
    assert_eq!(
        some.len(),
        10,
        "from the older one on, before the newer one"
    );
    assert!(records(admin, "action=never").await.is_empty());
    for bad in ["class=x", "limit=0", "since=yesterday", "cursor=x", "wat=1"] {
        admin
            .get(&format!("/v1/audit?{bad}"))
            .await
            .expect_status(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_cannot_be_recorded_is_refused_and_nothing_hangs() {
    let store = Database::create().await;
    let service = Options::on(StoreKind::Database(store.clone()))
        .start()
        .await;
    let admin = &service.client;
    let read = json!({"stream": "penguins", "limit": 1});
    admin
        .post("/v1/sources/sample/preview", &read)
        .await
        .expect_status(200);
    let holder = store.client().await;
    holder
        .batch_execute("begin; lock table audit in access exclusive mode")
        .await
        .unwrap();
    for path in ["preview", "load", "load.arrow"] {
        let start = Instant::now();
        let answer = admin
            .post(&format!("/v1/sources/sample/{path}"), &read)
            .await;
        let problem = answer.expect_problem(503, "audit_unavailable");
        assert_eq!(problem["retryable"], true);
        assert!(!answer.header("retry-after").is_empty());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(4), "{path} took {took:?}");
    }
    // What reads no data goes on.
    admin
        .get("/v1/sources/sample/streams")
        .await
        .expect_status(200);
    holder.batch_execute("rollback").await.unwrap();
    let back = weir_tests::eventually(Duration::from_secs(10), async || {
        let answer = admin.post("/v1/sources/sample/preview", &read).await;
        (answer.status == 200).then_some(())
    });
    assert!(back.await.is_some(), "reads work again");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reads_share_their_commits_and_each_has_its_record() {
    let service = Service::start().await;
    let admin = &service.client;
    let read = json!({"stream": "penguins", "limit": 1});
    let asked = futures::stream::iter(0..200)
        .map(|_| admin.post("/v1/sources/sample/preview", &read))
        .buffer_unordered(8);
    for answer in asked.collect::<Vec<_>>().await {
        answer.expect_status(200);
    }
    let kept = records(admin, "class=access&limit=1000").await;
    assert_eq!(kept.len(), 200);
}
