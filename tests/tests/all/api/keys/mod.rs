//! `/v1/api-keys`: made once, shown once, changed, rotated, revoked.

mod last_admin;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use weir_tests::{Client, Database, Options, Service, StoreKind, eventually};

/// Makes a key and gives a caller with it, and its id.
pub async fn made(admin: &Client, body: &Value) -> (Client, String) {
    let made = admin.post("/v1/api-keys", body).await.expect_status(201);
    let id = made["api_key"]["id"].as_str().unwrap().to_owned();
    (admin.with_key(made["key"].as_str()), id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_kept_as_a_hash() {
    let store = Database::create().await;
    let service = Options::on(StoreKind::Database(store.clone()))
        .start()
        .await;
    let admin = &service.client;
    let end = "2031-02-03T04:05:06Z";
    let body =
        json!({"name": "dashboard", "role": "reader", "scopes": ["team:sales"], "expires_at": end});
    let answer = admin.post("/v1/api-keys", &body).await;
    let made = answer.expect_status(201);
    assert_eq!(answer.header("cache-control"), "no-store");
    let key = made["key"].as_str().unwrap();
    let random = URL_SAFE_NO_PAD.decode(key.strip_prefix("weir_").unwrap());
    assert_eq!((key.len(), random.unwrap().len()), (48, 32));
    let id = made["api_key"]["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/api-keys/{id}"));
    assert_eq!(made["api_key"]["prefix"], key[..12]);

    let caller = admin.with_key(Some(key));
    let me = caller.get("/v1/whoami").await.expect_status(200);
    for (field, value) in [
        ("key_id", json!(id)),
        ("name", json!("dashboard")),
        ("role", json!("reader")),
        ("scopes", json!(["team:sales"])),
        ("expires_at", json!(end)),
    ] {
        assert_eq!(me[field], value, "{me:#}");
    }
    assert!(me["limits"]["preview_rows"].is_number() && me["version"].is_string());

    for reference in [id, "dashboard"] {
        let path = format!("/v1/api-keys/{reference}");
        let read = admin.get(&path).await.expect_status(200);
        assert_eq!(read["name"], "dashboard");
        assert_eq!(read["scopes"], json!(["team:sales"]));
        assert!(!read.to_string().contains(&key[12..]), "{read:#}");
    }
    let list = admin.get("/v1/api-keys").await.text();
    assert!(list.contains("dashboard") && !list.contains(&key[12..]));
    let rows = store.client().await;
    let row = rows
        .query_one(
            "select row_to_json(k)::text from api_keys k where name = 'dashboard'",
            &[],
        )
        .await
        .unwrap();
    let kept: String = row.get(0);
    assert!(!kept.contains(&key[12..]), "{kept}");
    assert!(!service.log().contains(&key[12..]));
    let used = eventually(Duration::from_secs(5), async || {
        let read = admin.get("/v1/api-keys/dashboard").await.json();
        read["last_used_at"].is_string().then_some(())
    });
    assert!(used.await.is_some(), "its use is noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_unique_and_lists_are_paged() {
    let service = Service::start().await;
    let admin = &service.client;
    for name in ["c", "a", "b"] {
        made(admin, &json!({"name": name, "role": "reader"})).await;
    }
    let again = json!({"name": "b", "role": "editor"});
    let taken = admin.post("/v1/api-keys", &again).await;
    let problem = taken.expect_problem(409, "name_taken");
    assert_eq!(problem["errors"][0]["pointer"], "#/name");
    let renamed = admin.patch("/v1/api-keys/a", &json!({"name": "b"})).await;
    renamed.expect_problem(409, "name_taken");
    let mut names = Vec::new();
    let mut path = "/v1/api-keys?limit=2".to_owned();
    loop {
        let page = admin.get(&path).await.expect_status(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(
            items
                .iter()
                .map(|item| item["name"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/api-keys?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "admin", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_is_refused_at_its_field() {
    let service = Service::start().await;
    let admin = &service.client;
    for (field, value, pointer) in [
        ("name", json!("Not A Name"), "#/name"),
        (
            "name",
            json!("0190b6e2-8f3f-7b3c-9d51-0a1b2c3d4e5f"),
            "#/name",
        ),
        ("role", json!("king"), "#/role"),
        ("scopes", json!(["team:sales", "sales"]), "#/scopes/1"),
        ("expires_at", json!("2001-01-01T00:00:00Z"), "#/expires_at"),
        ("expires_at", json!("tomorrow"), "#/expires_at"),
        ("rol", json!("reader"), "#/rol"),
    ] {
        let mut body = json!({"name": "x", "role": "reader"});
        body[field] = value;
        let answer = admin.post("/v1/api-keys", &body).await;
        let problem = answer.expect_status(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
    }
    let scoped = json!({"name": "x", "role": "admin", "scopes": ["team:sales"]});
    let problem = admin
        .post("/v1/api-keys", &scoped)
        .await
        .expect_problem(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "#/scopes");
    made(
        admin,
        &json!({"name": "y", "role": "editor", "scopes": ["team:sales"]}),
    )
    .await;
    let raised = admin
        .patch("/v1/api-keys/y", &json!({"role": "admin"}))
        .await;
    raised.expect_problem(422, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_counts_for_the_next_request() {
    let service = Service::start().await;
    let admin = &service.client;
    let (caller, id) = made(admin, &json!({"name": "x", "role": "reader"})).await;
    let path = format!("/v1/api-keys/{id}");
    let source = json!({"name": "s", "connector": "sample", "labels": {"team": "sales"}});
    caller
        .post("/v1/sources", &source)
        .await
        .expect_problem(403, "forbidden");
    let before = admin.get(&path).await;
    let change =
        json!({"role": "editor", "scopes": ["team:sales"], "expires_at": "2031-01-01T00:00:00Z"});
    let changed = admin.patch(&path, &change).await;
    assert_ne!(changed.header("etag"), before.header("etag"));
    assert_eq!(changed.expect_status(200)["role"], "editor");
    caller.post("/v1/sources", &source).await.expect_status(201);
    caller
        .get("/v1/sources/sample")
        .await
        .expect_problem(404, "not_found");
    let stale = admin
        .call(reqwest::Method::PATCH, &path)
        .header("if-match", before.header("etag"))
        .json(&json!({"role": "reader"}))
        .send()
        .await;
    stale.expect_problem(412, "precondition_failed");
    let removed = json!({"scopes": null, "expires_at": null});
    let wide = admin.patch(&path, &removed).await.expect_status(200);
    assert_eq!(wide["scopes"], json!([]));
    assert!(wide.get("expires_at").is_none());
    caller.get("/v1/sources/sample").await.expect_status(200);
    assert_eq!(admin.delete(&path).await.status, 204);
    caller
        .get("/v1/whoami")
        .await
        .expect_problem(401, "unauthorized");
    admin.get(&path).await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_stops_at_once_or_after_its_overlap() {
    let service = Service::start().await;
    let admin = &service.client;
    let (first, id) = made(admin, &json!({"name": "x", "role": "reader"})).await;
    let path = format!("/v1/api-keys/{id}/rotate");
    let rotate = async |body: &Value| {
        let answer = admin.post(&path, body).await;
        assert_eq!(answer.header("cache-control"), "no-store");
        let shown = answer.expect_status(200);
        admin.with_key(shown["key"].as_str())
    };
    let second = rotate(&json!({})).await;
    first
        .get("/v1/whoami")
        .await
        .expect_problem(401, "unauthorized");
    second.get("/v1/whoami").await.expect_status(200);
    let third = rotate(&json!({"overlap_seconds": 2})).await;
    let start = Instant::now();
    second.get("/v1/whoami").await.expect_status(200);
    let me = third.get("/v1/whoami").await.expect_status(200);
    assert_eq!(me["key_id"], json!(id), "it is the same key");
    let refused = eventually(Duration::from_secs(10), async || {
        (second.get("/v1/whoami").await.status == 401).then(|| start.elapsed())
    });
    let after = refused.await.expect("the overlap ends");
    assert!(after > Duration::from_secs(1), "after {after:?}");
    third.get("/v1/whoami").await.expect_status(200);
    let long = json!({"overlap_seconds": 604_801});
    admin
        .post(&path, &long)
        .await
        .expect_problem(422, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_when_its_time_has_come() {
    let service = Service::start().await;
    let admin = &service.client;
    let sql = "select to_char(now() at time zone 'utc' + interval '2 s', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    let end: String = Database::create()
        .await
        .client()
        .await
        .query_one(sql, &[])
        .await
        .unwrap()
        .get(0);
    let start = Instant::now();
    let (caller, _) = made(
        admin,
        &json!({"name": "x", "role": "reader", "expires_at": end}),
    )
    .await;
    caller.get("/v1/whoami").await.expect_status(200);
    let refused = eventually(Duration::from_secs(10), async || {
        (caller.get("/v1/whoami").await.status == 401).then(|| start.elapsed())
    });
    let after = refused.await.expect("it ends");
    assert!(after < Duration::from_secs(3), "after {after:?}");
    let past = json!({"expires_at": "2001-01-01T00:00:00Z"});
    admin
        .patch("/v1/api-keys/x", &past)
        .await
        .expect_problem(422, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_by_the_other_instance_too() {
    let store = Database::create().await;
    let master =
        base64::engine::general_purpose::STANDARD.encode(*b"only-for-this-test-32-bytes-long");
    let options = [(); 2].map(|()| {
        Options::on(StoreKind::Database(store.clone()))
            .env("WEIR_MASTER_KEY", &master)
            .env("WEIR_ADMIN_KEY", "the-same-admin-key-for-all-of-them")
    });
    let (one, two) = (options[0].start().await, options[1].start().await);
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        let name = format!("k{round}");
        let (_, id) = made(&one.client, &json!({"name": name, "role": "reader"})).await;
        let rotated = one
            .client
            .post(&format!("/v1/api-keys/{id}/rotate"), &json!({}))
            .await;
        let there = two.client.with_key(rotated.json()["key"].as_str());
        there.get("/v1/whoami").await.expect_status(200);
        assert_eq!(
            one.client
                .delete(&format!("/v1/api-keys/{id}"))
                .await
                .status,
            204
        );
        let start = Instant::now();
        let refused = eventually(Duration::from_secs(5), async || {
            (there.get("/v1/whoami").await.status == 401).then(|| start.elapsed())
        });
        slowest = slowest.max(refused.await.expect("the other instance refuses it"));
    }
    println!("revoked on one instance, refused by the other after {slowest:?} at most");
    assert!(slowest < Duration::from_millis(2_500), "{slowest:?}");
}
