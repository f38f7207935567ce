//! `POST /v1/sources`, `GET /v1/sources/{source}`, `DELETE`.

use reqwest::Method;
use serde_json::json;
use weir_tests::{Database, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_registered_read_and_removed() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let body = json!({
        "name": "shop", "connector": "postgres", "config": database.config(),
        "labels": {"team": "sales"}, "metadata": {"ticket": [1, 2]}, "description": "orders",
    });
    let made = client.post("/v1/sources", &body).await;
    let source = made.expect_status(201);
    let id = source["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/v1/sources/{id}"));
    assert!(!made.header("etag").is_empty());
    assert_eq!(source["config"]["password"], "***");
    assert_eq!(source["secret_fields_set"], json!(["password"]));
    assert_eq!(source["config"]["host"], "127.0.0.1");
    assert_eq!(
        (&source["labels"], &source["metadata"]),
        (&body["labels"], &body["metadata"])
    );
    assert_eq!(source["ref"], "@postgres.shop");
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
    for name in ["shop", &id, "@postgres.shop"] {
        let read = client.get(&format!("/v1/sources/{name}")).await;
        assert_eq!(read.expect_status(200), source);
        assert_eq!(read.header("etag"), made.header("etag"));
    }
    client
        .get("/v1/sources/@sample.shop")
        .await
        .expect_problem(404, "not_found");
    assert_eq!(client.delete("/v1/sources/shop").await.status, 204);
    client
        .get("/v1/sources/shop")
        .await
        .expect_problem(404, "not_found");
    client
        .delete("/v1/sources/shop")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_would_be_ambiguous_or_ugly_are_refused() {
    let service = Service::start().await;
    let register = async |name: &str| {
        let body = json!({"name": name, "connector": "sample", "config": {}});
        service.client.post("/v1/sources", &body).await
    };
    let long = "a".repeat(64);
    let id = uuid::Uuid::now_v7().to_string();
    for name in [
        "", "A", "-a", "_a", "a b", "a.b", "ä", "@a", "test", &long, &id,
    ] {
        let problem = register(name).await.expect_problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], "#/name", "{name}");
        assert!(problem["hint"].is_string());
    }
    for name in ["a", "0", "a-b_c", &"a".repeat(63)] {
        register(name).await.expect_status(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_is_a_conflict() {
    let service = Service::start().await;
    let body = json!({"name": "twice", "connector": "sample", "config": {}});
    service
        .client
        .post("/v1/sources", &body)
        .await
        .expect_status(201);
    service
        .client
        .post("/v1/sources", &body)
        .await
        .expect_problem(409, "name_taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn strings_that_look_like_references_stay_literal() {
    let service = Service::start().await;
    let database = Database::create().await;
    let mut config = database.config();
    config["user"] = json!("${HOME}");
    config["database"] = json!("{{ env_var('HOME') }}");
    let name = service
        .client
        .register_config("literal", config.clone())
        .await;
    let read = service
        .client
        .get(&format!("/v1/sources/{name}"))
        .await
        .expect_status(200);
    assert_eq!(read["config"]["user"], config["user"]);
    assert_eq!(read["config"]["database"], config["database"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_source_is_not_sent_twice() {
    let service = Service::start().await;
    let first = service.client.get("/v1/sources/sample").await;
    let again = service.client.call(Method::GET, "/v1/sources/sample");
    let again = again
        .header("if-none-match", first.header("etag"))
        .send()
        .await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_remembered_with_the_source() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let name = client.register(&database).await;
    let path = format!("/v1/sources/{name}");
    assert!(client.get(&path).await.expect_status(200)["last_test"].is_null());
    let result = client
        .post(&format!("{path}/test"), &json!({}))
        .await
        .expect_status(200);
    assert_eq!(result["ok"], true, "{result:#}");
    let source = client.get(&path).await.expect_status(200);
    assert_eq!(source["last_test"]["ok"], true);
}
