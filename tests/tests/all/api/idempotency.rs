//! `Idempotency-Key`: a request that is sent twice happens once.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::wire::Wire;
use weir_tests::{Answer, Client, Database, Options, Service, StoreKind, eventually, unique};

async fn create(client: &Client, key: &str, body: &Value) -> Answer {
    let call = client.call(Method::POST, "/v1/sources").json(body);
    call.header("idempotency-key", key).send().await
}

fn source(name: &str) -> Value {
    json!({"name": name, "connector": "sample", "config": {}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_first_answer() {
    let service = Service::start().await;
    let body = source("once");
    let first = create(&service.client, "\"key-1\"", &body).await;
    first.expect_status(201);
    assert!(first.headers.get("idempotency-replayed").is_none());
    // Bare and quoted are the same key.
    let again = create(&service.client, "key-1", &body).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    for name in ["etag", "location", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    // Without a key, or with another one, it is another request.
    let other = create(&service.client, "key-2", &body).await;
    other.expect_problem(409, "name_taken");
    let kept = create(&service.client, "key-2", &body).await;
    kept.expect_problem(409, "name_taken");
    assert_eq!(kept.header("idempotency-replayed"), "true");
    assert_eq!(kept.header("weir-error-code"), "name_taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_request_of_one_caller_and_route() {
    let service = Service::start().await;
    create(&service.client, "k", &source("a"))
        .await
        .expect_status(201);
    create(&service.client, "k", &source("b"))
        .await
        .expect_problem(422, "idempotency_mismatch");
    // Another route, and reading rows, are not meant by it.
    let preview = service
        .client
        .call(Method::POST, "/v1/sources/sample/preview")
        .json(&json!({"stream": "penguins", "limit": 1}));
    let preview = preview.header("idempotency-key", "k").send().await;
    assert_eq!(preview.status, 200, "{}", preview.text());
    for bad in ["\"open", &"x".repeat(256)] {
        create(&service.client, bad, &source("c"))
            .await
            .expect_problem(400, "malformed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_what_was_answered_and_of_many_one_runs() {
    let store = StoreKind::Database(Database::create().await);
    let key = "an-admin-key-for-two-instances";
    let one = Options::on(store.clone()).env("WEIR_ADMIN_KEY", key);
    let two = Options::on(store).env("WEIR_ADMIN_KEY", key);
    let one = one.start().await;
    let master = std::fs::read_to_string(one.options().data().join("master.key")).unwrap();
    let two = two.env("WEIR_MASTER_KEY", master.trim()).start().await;
    let body = source(&unique("shared"));
    let calls = (0..12).map(|n| {
        let client = if n % 2 == 0 { &one.client } else { &two.client };
        create(client, "shared", &body)
    });
    let mut fresh = 0;
    for answer in futures::future::join_all(calls).await {
        match answer.status {
            201 => fresh += usize::from(answer.headers.get("idempotency-replayed").is_none()),
            // A busy machine may keep a store's connection waiting too long.
            503 => drop(answer.expect_problem(503, "store_unavailable")),
            _ => {
                answer.expect_problem(409, "in_flight");
                assert!(!answer.header("retry-after").is_empty());
            }
        }
    }
    assert!(fresh <= 1, "{fresh} of them ran");
    let mut ids = std::collections::BTreeSet::new();
    for client in [&one.client, &two.client, &one.client] {
        let answered = async || {
            let answer = create(client, "shared", &body).await;
            (answer.status == 201).then_some(answer)
        };
        let limit = Duration::from_secs(20);
        let answer = eventually(limit, answered).await.expect("it is answered");
        ids.insert(answer.json()["id"].to_string());
        fresh += usize::from(answer.headers.get("idempotency-replayed").is_none());
    }
    assert_eq!((ids.len(), fresh), (1, 1), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_kept_with_an_answer() {
    let database = Database::create().await;
    let service = Options::on(StoreKind::Database(database.clone()))
        .start()
        .await;
    let config =
        json!({"host": "h.invalid", "database": "d", "user": "u", "password": "hunter2-hunter2"});
    let body = json!({"name": "secretive", "connector": "postgres", "config": config});
    create(&service.client, "s", &body).await.expect_status(201);
    let sql = "select convert_from(body, 'UTF8') || headers::text from idempotency";
    let rows = database.client().await.query(sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    let kept: String = rows[0].get(0);
    assert!(
        kept.contains("\"***\"") && !kept.contains("hunter2"),
        "{kept}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_does_not_stop_a_change_half_way() {
    let database = Database::create().await;
    let service = Options::on(StoreKind::Database(database.clone()))
        .start()
        .await;
    let holder = database.client().await;
    let hold = "begin; lock table sources in access exclusive mode";
    holder.batch_execute(hold).await.unwrap();
    let body = source("left").to_string();
    let request = format!(
        "POST /v1/sources HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nIdempotency-Key: gone\r\nContent-Length: {}\r\n\r\n{body}",
        service.client.key(),
        body.len()
    );
    let wire = Wire::send(&service.client, request.as_bytes()).await;
    let watcher = database.client().await;
    let waiting = async || {
        let running = database.sessions_running(&watcher, "into sources").await;
        (running > 0).then_some(())
    };
    let limit = Duration::from_secs(20);
    eventually(limit, waiting).await.expect("the change waits");
    create(&service.client, "gone", &source("left"))
        .await
        .expect_problem(409, "in_flight");
    drop(wire);
    tokio::time::sleep(Duration::from_millis(300)).await;
    holder.batch_execute("rollback").await.unwrap();
    let answered = async || {
        let answer = create(&service.client, "gone", &source("left")).await;
        (answer.status != 409).then_some(answer)
    };
    let answer = eventually(limit, answered).await.expect("it is answered");
    answer.expect_status(201);
    assert_eq!(answer.header("idempotency-replayed"), "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn for_how_long_a_key_stands_has_its_bounds() {
    let options = Options::fresh().await;
    for hours in ["0", "721"] {
        let options = options.clone().env("WEIR_IDEMPOTENCY_HOURS", hours);
        let failed = options.try_start().await.unwrap_err();
        assert!(failed.log.contains("between 1 and 720"), "{}", failed.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_shown_once_however_often_it_is_asked_for() {
    let database = Database::create().await;
    let service = Options::on(StoreKind::Database(database.clone()))
        .start()
        .await;
    let ask = async |path: &str, body: &Value| {
        let call = service.client.call(Method::POST, path).json(body);
        call.header("idempotency-key", "k").send().await
    };
    let body = json!({"name": "dashboard", "role": "reader"});
    let made = ask("/v1/api-keys", &body).await.expect_status(201);
    let (key, id) = (made["key"].as_str().unwrap(), &made["api_key"]["id"]);
    let rotate = format!("/v1/api-keys/{}/rotate", id.as_str().unwrap());
    let again = ask("/v1/api-keys", &body).await;
    let problem = again.expect_problem(409, "already_created");
    assert_eq!(&problem["id"], id);
    assert_eq!(again.header("idempotency-replayed"), "true");
    let rotated = ask(&rotate, &json!({})).await;
    assert!(rotated.status < 300, "{}", rotated.text());
    let fresh = rotated.json()["key"].as_str().unwrap().to_owned();
    let problem = ask(&rotate, &json!({})).await;
    let problem = problem.expect_problem(409, "already_created");
    assert_eq!(&problem["id"], id);
    let sql = "select coalesce(string_agg(t::text, ''), '') from idempotency t";
    let rows = database.client().await.query(sql, &[]).await.unwrap();
    let kept: String = rows[0].get(0);
    assert!(!kept.contains(key) && !kept.contains(&fresh), "{kept}");
}
