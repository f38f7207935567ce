//! Kept, read, changed, rotated, removed.

use reqwest::Method;
use serde_json::{Value, json};

use super::{login, make, place, source};
use weir_tests::{Database, Service};

#[tokio::test(flavor = "multi_thread")]
async fn values_go_in_and_never_come_out() {
    let service = Service::start().await;
    let client = &service.client;
    let body = json!({"name": "main", "kind": "postgres", "description": "the reader",
        "fields": {"user": "u-value", "password": "p-value", "tls.key": "k-value"},
        "labels": {"team": "sales"}, "allowed_hosts": ["db.example.com"], "allowed_sources": ["team:sales"]});
    let made = client.post("/v1/credentials", &body).await;
    let credential = made.expect_status(201);
    let id = credential["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/v1/credentials/{id}"));
    let masked = json!({"user": "***", "password": "***", "tls.key": "***"});
    assert_eq!(credential["fields"], masked);
    for part in [
        "name",
        "kind",
        "labels",
        "allowed_hosts",
        "allowed_sources",
        "description",
    ] {
        assert_eq!(credential[part], body[part], "{part}");
    }
    assert_eq!(
        (&credential["version"], &credential["revision"]),
        (&json!(1), &json!(1))
    );
    for name in ["main", &id] {
        let read = client.get(&format!("/v1/credentials/{name}")).await;
        assert_eq!(read.expect_status(200), credential);
        assert_eq!(read.header("etag"), made.header("etag"));
    }
    let same = client.call(Method::GET, "/v1/credentials/main");
    let same = same
        .header("if-none-match", made.header("etag"))
        .send()
        .await;
    assert_eq!(same.status, 304);
    client
        .post("/v1/credentials", &body)
        .await
        .expect_problem(409, "name_taken");
    let resolved = client
        .post("/v1/credentials/main/resolve", &json!({}))
        .await
        .expect_status(200);
    assert_eq!(
        resolved["fields"][0],
        json!({"field": "password", "kind": "literal", "value": "***", "resolved": true})
    );
    assert_eq!(client.delete("/v1/credentials/main").await.status, 204);
    client
        .get("/v1/credentials/main")
        .await
        .expect_problem(404, "not_found");
    let heard = String::from_utf8_lossy(&client.heard()).into_owned();
    for value in ["u-value", "p-value", "k-value"] {
        assert!(!heard.contains(value), "{value} came out");
        assert!(!service.log().contains(value), "{value} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bodies_point_to_the_field() {
    let service = Service::start().await;
    let client = &service.client;
    for (body, pointer) in [
        (json!({"name": "A", "fields": {}}), "#/name"),
        (json!({"name": "test", "fields": {}}), "#/name"),
        (json!({"name": "a", "fields": {"x y": "v"}}), "#/fields/x y"),
        (
            json!({"name": "a", "fields": {"a..b": "v"}}),
            "#/fields/a..b",
        ),
        (json!({"name": "a", "fields": {"port": 1}}), "#/fields/port"),
        (
            json!({"name": "a", "fields": {"tls": {"key": "v"}}}),
            "#/fields/tls",
        ),
        (json!({"name": "a", "fields": {"p": "***"}}), "#/fields/p"),
        (json!({"name": "a", "fields": {"p": null}}), "#/fields/p"),
        (
            json!({"name": "a", "fields": {"tls": "v", "tls.key": "v"}}),
            "#/fields/tls.key",
        ),
        (
            json!({"name": "a", "fields": {"p": {"$from": "nonsense"}}}),
            "#/fields/p",
        ),
        (
            json!({"name": "a", "fields": {"p": {"$from": "credential:b#c"}}}),
            "#/fields/p",
        ),
        (
            json!({"name": "a", "fields": {}, "allowed_hosts": ["*"]}),
            "#/allowed_hosts/0",
        ),
        (
            json!({"name": "a", "fields": {}, "allowed_sources": ["x", ":"]}),
            "#/allowed_sources/1",
        ),
        (json!({"name": "a", "fields": {}, "kind": "No"}), "#/kind"),
        (json!({"name": "a", "fields": {}, "field": {}}), "#/field"),
    ] {
        let answer = client.post("/v1/credentials", &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            pointer,
            "{}",
            answer.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_fields_makes_a_version_and_any_other_none() {
    let service = Service::start().await;
    let client = &service.client;
    make(
        client,
        "main",
        json!({"user": "a", "password": "b"}),
        json!({}),
    )
    .await;
    let patch = async |body: Value| {
        client
            .patch("/v1/credentials/main", &body)
            .await
            .expect_status(200)
    };
    let described = patch(json!({"description": "d", "labels": {"a": "1", "b": "2"}})).await;
    assert_eq!(
        (&described["version"], &described["revision"]),
        (&json!(1), &json!(2))
    );
    let same = patch(json!({"fields": {"user": "***"}, "labels": {"a": null}})).await;
    assert_eq!(
        (&same["version"], &same["labels"]),
        (&json!(1), &json!({"b": "2"}))
    );
    let merged = patch(json!({"fields": {"user": null, "token": "c"}, "description": null})).await;
    assert_eq!(merged["version"], 2);
    assert_eq!(merged["fields"], json!({"password": "***", "token": "***"}));
    assert_eq!(merged["description"], Value::Null);
    client
        .post("/v1/credentials/main/rotate", &json!({"fields": {}}))
        .await
        .expect_problem(422, "invalid");
    let rotated = client
        .post(
            "/v1/credentials/main/rotate",
            &json!({"fields": {"password": "d"}}),
        )
        .await
        .expect_status(200);
    assert_eq!(rotated["version"], 3);
    let wrong = client
        .patch("/v1/credentials/main", &json!({"fields": {"user": "***"}}))
        .await;
    assert_eq!(
        wrong.expect_problem(422, "invalid")["errors"][0]["pointer"],
        "#/fields/user"
    );
    let page = client
        .get("/v1/credentials/main/versions?limit=2")
        .await
        .expect_status(200);
    let numbers: Vec<&Value> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| &v["version"])
        .collect();
    assert_eq!(numbers, [3, 2]);
    assert_eq!(page["items"][0]["by"]["name"], "admin");
    assert_eq!(
        page["items"][0]["fields"],
        json!([{"field": "password", "kind": "literal", "changed": true},
            {"field": "token", "kind": "literal", "changed": false}])
    );
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = client
        .get(&format!(
            "/v1/credentials/main/versions?limit=2&cursor={cursor}"
        ))
        .await
        .expect_status(200);
    assert_eq!(
        (
            rest["items"].as_array().unwrap().len(),
            &rest["next_cursor"]
        ),
        (1, &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_etag_changes_and_removes_nothing() {
    let service = Service::start().await;
    let client = &service.client;
    let made = client
        .post(
            "/v1/credentials",
            &json!({"name": "e", "fields": {"p": "1"}}),
        )
        .await;
    let old = made.header("etag").to_owned();
    let call = |method, path, tag: &str| client.call(method, path).header("if-match", tag);
    let patched = call(Method::PATCH, "/v1/credentials/e", &old)
        .json(&json!({"description": "x"}))
        .send()
        .await;
    patched.expect_status(200);
    for (method, path, body) in [
        (
            Method::PATCH,
            "/v1/credentials/e",
            json!({"description": "y"}),
        ),
        (
            Method::POST,
            "/v1/credentials/e/rotate",
            json!({"fields": {"p": "2"}}),
        ),
        (Method::DELETE, "/v1/credentials/e", json!({})),
    ] {
        let stale = call(method, path, &old).json(&body).send().await;
        stale.expect_problem(412, "precondition_failed");
    }
    let new = patched.header("etag");
    assert_eq!(
        call(Method::DELETE, "/v1/credentials/e", new)
            .send()
            .await
            .status,
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_in_use_stays_and_its_users_are_named() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let made = make(client, "main", login(&database), json!({})).await;
    client
        .post("/v1/sources", &source("uses-it", place(&database), "main"))
        .await
        .expect_status(201);
    let problem = client
        .delete("/v1/credentials/main")
        .await
        .expect_problem(409, "still_referenced");
    assert!(
        problem["detail"].as_str().unwrap().contains("`uses-it`"),
        "{problem:#}"
    );
    let resolved = client
        .post("/v1/credentials/main/resolve", &json!({}))
        .await
        .expect_status(200);
    assert_eq!(resolved["used_by"][0]["name"], "uses-it");
    assert_eq!(resolved["used_by"][0]["attached"], true);
    // A reference by name holds it too, and its name.
    make(client, "other", json!({"password": "x"}), json!({})).await;
    let mut config = database.config();
    config["password"] = json!({"$from": "credential:other#password"});
    client.register_config("refers", config).await;
    client
        .delete("/v1/credentials/other")
        .await
        .expect_problem(409, "still_referenced");
    client
        .patch("/v1/credentials/other", &json!({"name": "another"}))
        .await
        .expect_problem(409, "still_referenced");
    // An attachment is by id: the name may change.
    client
        .patch("/v1/credentials/main", &json!({"name": "renamed"}))
        .await
        .expect_status(200);
    let read = client.get("/v1/sources/uses-it").await.expect_status(200);
    assert_eq!(read["credential"], "renamed");
    for path in ["/v1/sources/uses-it", "/v1/sources/refers"] {
        assert_eq!(client.delete(path).await.status, 204);
    }
    for name in [made["id"].as_str().unwrap(), "other"] {
        let gone = client.delete(&format!("/v1/credentials/{name}")).await;
        assert_eq!(gone.status, 204, "{}", gone.text());
    }
}
