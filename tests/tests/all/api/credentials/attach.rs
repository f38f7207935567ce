//! Sources that attach a credential.

use serde_json::{Value, json};

use super::{Site, login, make, place, source};
use weir_tests::{Client, Database, Options, Service, StoreKind, database::PASSWORD, postgres};

async fn one(client: &Client, name: &str) -> Vec<Value> {
    client
        .rows(name, &json!({"query": "select 1 as one"}))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn its_fields_are_laid_over_the_config() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let mut fields = login(&database);
    fields["port"] = json!(postgres::server().port.to_string());
    make(client, "main", fields, json!({})).await;
    let mut config = place(&database);
    config.as_object_mut().unwrap().remove("port");
    let made = client
        .post("/v1/sources", &source("s", config.clone(), "main"))
        .await
        .expect_status(201);
    assert_eq!(
        (&made["credential"], &made["config"]),
        (&json!("main"), &config)
    );
    assert_eq!(made["secret_fields_set"], json!([]));
    assert_eq!(made["config_hash"].as_str().unwrap().len(), 64);
    assert_eq!(one(client, "s").await, [json!({"one": 1})]);
    let tested = client
        .post("/v1/sources/s/test", &json!({}))
        .await
        .expect_status(200);
    assert_eq!(tested["ok"], true, "{tested:#}");
    let before_saving = json!({"config": config, "credential": "main"});
    let tested = client
        .post("/v1/connectors/postgres/test", &before_saving)
        .await
        .expect_status(200);
    assert_eq!(tested["ok"], true, "{tested:#}");
    // Without it the source has no login any more.
    let problem = client
        .patch("/v1/sources/s", &json!({"credential": null}))
        .await
        .expect_problem(422, "invalid");
    assert_eq!(
        problem["errors"][0]["pointer"], "#/config/user",
        "{problem:#}"
    );
    let whole = json!({"credential": null, "config": database.config()});
    let alone = client
        .patch("/v1/sources/s", &whole)
        .await
        .expect_status(200);
    assert_eq!(alone["credential"], Value::Null);
    assert_eq!(one(client, "s").await, [json!({"one": 1})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_is_set_in_one_place_only() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    make(client, "main", login(&database), json!({})).await;
    for (field, value) in [("user", json!("x")), ("password", json!("x"))] {
        let mut config = place(&database);
        config[field] = value;
        let problem = client
            .post("/v1/sources", &source("s", config, "main"))
            .await
            .expect_problem(422, "set_twice");
        assert_eq!(problem["errors"][0]["pointer"], format!("#/config/{field}"));
    }
    client
        .post("/v1/sources", &source("s", place(&database), "main"))
        .await
        .expect_status(201);
    client
        .patch("/v1/sources/s", &json!({"config": {"password": "x"}}))
        .await
        .expect_problem(422, "set_twice");
    let problem = client
        .patch(
            "/v1/credentials/main",
            &json!({"fields": {"database": "x"}}),
        )
        .await
        .expect_problem(422, "set_twice");
    assert!(
        problem["detail"].as_str().unwrap().contains("`s`"),
        "{problem:#}"
    );
    // A field that the connector does not know is told without its value.
    make(
        client,
        "odd",
        json!({"user": "u", "pasword": "odd-value"}),
        json!({}),
    )
    .await;
    let problem = client
        .post("/v1/sources", &source("t", place(&database), "odd"))
        .await;
    let problem = problem.expect_problem(422, "unknown_field");
    assert_eq!(problem["errors"][0]["pointer"], "#/credential");
    make(
        client,
        "wrong",
        json!({"user": "u", "schema": "", "port": "odd-value"}),
        json!({}),
    )
    .await;
    let mut config = place(&database);
    config.as_object_mut().unwrap().remove("port");
    let answer = client
        .post("/v1/sources", &source("t", config, "wrong"))
        .await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let heard = String::from_utf8_lossy(&client.heard()).into_owned();
    assert!(!heard.contains("odd-value"), "{}", answer.text());
    client
        .post("/v1/sources", &source("t", place(&database), "missing"))
        .await
        .expect_problem(422, "unknown_credential");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_reaches_every_source_at_once() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    make(client, "main", login(&database), json!({})).await;
    client
        .post("/v1/sources", &source("s", place(&database), "main"))
        .await
        .expect_status(201);
    let before = client.get("/v1/sources/s").await;
    assert_eq!(one(client, "s").await.len(), 1);
    let rotate = async |password: &str| {
        let body = json!({"fields": {"password": password}});
        client
            .post("/v1/credentials/main/rotate", &body)
            .await
            .expect_status(200);
    };
    rotate("not it").await;
    let load = client
        .post("/v1/sources/s/load", &json!({"query": "select 1"}))
        .await;
    load.expect_problem(424, "authentication");
    let after = client.get("/v1/sources/s").await;
    assert_ne!(after.json()["config_hash"], before.json()["config_hash"]);
    assert_ne!(after.header("etag"), before.header("etag"));
    rotate(PASSWORD).await;
    assert_eq!(one(client, "s").await, [json!({"one": 1})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_of_a_credential_bind_admins_too() {
    let site = Site::start().await;
    let client = site.admin();
    let database = Database::create().await;
    let lists = json!({"allowed_sources": ["good", "team:sales"], "allowed_hosts": ["127.0.0.1"], "kind": "postgres"});
    make(client, "main", login(&database), lists).await;
    client
        .post("/v1/sources", &source("bad", place(&database), "main"))
        .await
        .expect_problem(422, "source_not_allowed");
    client
        .post("/v1/sources", &source("good", place(&database), "main"))
        .await
        .expect_status(201);
    client
        .patch("/v1/sources/good", &json!({"name": "bad"}))
        .await
        .expect_problem(422, "source_not_allowed");
    let labelled = json!({"name": "bad", "labels": {"team": "sales"}});
    client
        .patch("/v1/sources/good", &labelled)
        .await
        .expect_status(200);
    let problem = client
        .patch("/v1/sources/bad", &json!({"config": {"host": "localhost"}}))
        .await
        .expect_problem(422, "host_not_allowed");
    assert_eq!(problem["errors"][0]["pointer"], "#/config/host");
    let other = json!({"name": "x", "connector": "sample", "config": {}, "credential": "main"});
    let wrong_kind = client.post("/v1/sources", &other).await;
    assert_eq!(wrong_kind.status, 422, "{}", wrong_kind.text());
    assert_eq!(one(client, "bad").await.len(), 1);
    // Narrowed later, it does not open any more.
    client
        .patch(
            "/v1/credentials/main",
            &json!({"allowed_hosts": ["db.example.com"]}),
        )
        .await
        .expect_status(200);
    client
        .post("/v1/sources/bad/load", &json!({"query": "select 1"}))
        .await
        .expect_problem(422, "host_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_reaches_other_instances_and_lets_loads_finish() {
    let store = Database::create().await;
    let key = (
        "WEIR_MASTER_KEY",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    );
    let start = async || {
        let options = Options::on(StoreKind::Database(store.clone()));
        let options = options.env("WEIR_ADMIN_KEY", "weir_two-instances-admin-key-000");
        options.env(key.0, key.1).start().await
    };
    let (first, second) = (start().await, start().await);
    let database = Database::create().await;
    make(&first.client, "main", login(&database), json!({})).await;
    first
        .client
        .post("/v1/sources", &source("s", place(&database), "main"))
        .await
        .expect_status(201);
    assert_eq!(one(&second.client, "s").await.len(), 1);
    let slow = async {
        let body = json!({"query": "select 1 as one from pg_sleep(3)"});
        second.client.rows("s", &body).await
    };
    let rotate = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let wrong = json!({"fields": {"password": "not it"}});
        first
            .client
            .post("/v1/credentials/main/rotate", &wrong)
            .await
            .expect_status(200);
        second
            .client
            .post("/v1/sources/s/load", &json!({"query": "select 1"}))
            .await
            .expect_problem(424, "authentication");
    };
    let (rows, ()) = tokio::join!(slow, rotate);
    assert_eq!(rows, [json!({"one": 1})], "what ran kept its connection");
}
