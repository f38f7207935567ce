//! Several instances on one store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use weir_tests::{Database, Options, Service, StoreKind};

fn master_key() -> String {
    let bytes = [
        *uuid::Uuid::new_v4().as_bytes(),
        *uuid::Uuid::new_v4().as_bytes(),
    ]
    .concat();
    STANDARD.encode(bytes)
}

fn options(store: &Database, master_key: &str) -> Options {
    Options::on(StoreKind::Database(store.clone()))
        .env("WEIR_MASTER_KEY", master_key)
        .env("WEIR_ADMIN_KEY", "the-same-admin-key-for-all-of-them")
}

#[tokio::test(flavor = "multi_thread")]
async fn four_start_at_once_on_an_empty_store() {
    let store = Database::create().await;
    let key = master_key();
    let all = [(); 4].map(|()| options(&store, &key));
    let services: Vec<Service> = futures::future::join_all(all.iter().map(Options::start)).await;
    for service in &services {
        service.client.get("/readyz").await;
        let sources = service.client.get("/v1/sources").await.expect_status(200);
        assert_eq!(
            sources["items"].as_array().unwrap().len(),
            1,
            "one sample for all"
        );
    }
    let database = Database::create().await;
    services[0].client.register(&database).await;
    let path = format!("/v1/sources/{}", database.name);
    for service in &services {
        let test = service
            .client
            .post(&format!("{path}/test"), &json!({}))
            .await;
        assert_eq!(
            test.expect_status(200)["ok"],
            true,
            "each opens what one has sealed"
        );
    }
    let change = json!({"config": {"password": "wrong now"}});
    services[1]
        .client
        .patch(&path, &change)
        .await
        .expect_status(200);
    for service in &services {
        let body = json!({"query": "select 1"});
        let answer = service.client.post(&format!("{path}/load"), &body).await;
        answer.expect_problem(424, "authentication");
    }
    let renamed = json!({"name": "renamed"});
    services[3]
        .client
        .patch(&path, &renamed)
        .await
        .expect_status(200);
    for service in &services {
        // No wait: names are looked up in the store that all of them share.
        service
            .client
            .get(&path)
            .await
            .expect_problem(404, "not_found");
        let new = service.client.get("/v1/sources/renamed").await;
        assert_eq!(new.expect_status(200)["name"], "renamed");
    }
    let path = "/v1/sources/renamed";
    assert_eq!(services[2].client.delete(path).await.status, 204);
    for service in &services {
        service
            .client
            .get(path)
            .await
            .expect_problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_with_another_master_key_starts_sealed() {
    let store = Database::create().await;
    let database = Database::create().await;
    let right = options(&store, &master_key()).start().await;
    let name = right.client.register(&database).await;
    let wrong = options(&store, &master_key()).start().await;
    wrong
        .client
        .get("/readyz")
        .await
        .expect_problem(503, "sealed");
    assert_eq!(wrong.client.get("/healthz").await.status, 200);
    wrong
        .client
        .get(&format!("/v1/sources/{name}"))
        .await
        .expect_status(200);
    let load = wrong
        .client
        .post(
            &format!("/v1/sources/{name}/load"),
            &json!({"query": "select 1"}),
        )
        .await;
    load.expect_problem(503, "sealed");
    right
        .client
        .rows(&name, &json!({"query": "select 1"}))
        .await;
    assert_eq!(
        right.client.get("/readyz").await.status,
        200,
        "the other one is not disturbed"
    );
}
