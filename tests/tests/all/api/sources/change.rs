//! `PATCH /v1/sources/{source}`.

use reqwest::Method;
use serde_json::json;
use weir_tests::{Database, Service};

#[tokio::test(flavor = "multi_thread")]
async fn stars_in_a_secret_field_mean_unchanged() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let path = format!("/v1/sources/{}", client.register(&database).await);
    let before = client.get(&path).await.expect_status(200);
    // What a form does: read, change one thing, send everything back.
    let mut config = before["config"].clone();
    config["schema"] = json!("other");
    let after = client
        .patch(&path, &json!({"config": config}))
        .await
        .expect_status(200);
    assert_eq!(after["config"]["schema"], "other");
    assert_ne!(after["config_hash"], before["config_hash"]);
    let result = client
        .post(&format!("{path}/test"), &json!({}))
        .await
        .expect_status(200);
    assert_eq!(
        result["ok"], true,
        "the password still opens the connection: {result:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_used_at_once_and_null_removes_it() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let path = format!("/v1/sources/{}", client.register(&database).await);
    let test = async || {
        client
            .post(&format!("{path}/test"), &json!({}))
            .await
            .expect_status(200)
    };
    assert_eq!(test().await["ok"], true);
    let before = client.get(&path).await.expect_status(200);
    let change = json!({"config": {"password": "not it"}});
    let after = client.patch(&path, &change).await.expect_status(200);
    assert_ne!(
        after["config_hash"], before["config_hash"],
        "a secret's version counts"
    );
    assert_eq!(test().await["error"]["code"], "authentication");
    let removed = client
        .patch(&path, &json!({"config": {"password": null}}))
        .await;
    assert_eq!(removed.expect_status(200)["secret_fields_set"], json!([]));
    client
        .patch(
            &path,
            &json!({"config": {"password": weir_tests::database::PASSWORD}}),
        )
        .await;
    assert_eq!(test().await["ok"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_patch_adds_changes_and_removes() {
    let service = Service::start().await;
    let client = &service.client;
    let body = json!({"name": "m", "connector": "sample", "config": {},
        "labels": {"a": "1", "b": "2"}, "metadata": {"x": {"y": 1, "z": 2}}, "description": "d"});
    client.post("/v1/sources", &body).await.expect_status(201);
    let change =
        json!({"labels": {"a": null, "c": "3"}, "metadata": {"x": {"y": null}}, "name": "n"});
    client
        .patch("/v1/sources/m", &change)
        .await
        .expect_status(200);
    let after = client.get("/v1/sources/n").await.expect_status(200);
    assert_eq!(after["labels"], json!({"b": "2", "c": "3"}));
    assert_eq!(after["metadata"], json!({"x": {"z": 2}}));
    assert_eq!(after["description"], "d");
    client
        .get("/v1/sources/m")
        .await
        .expect_problem(404, "not_found");
    let wrong = client
        .patch("/v1/sources/n", &json!({"labels": {"a": 1}}))
        .await;
    assert_eq!(
        wrong.expect_problem(422, "invalid")["errors"][0]["pointer"],
        "#/labels/a"
    );
    let wrong = client
        .patch("/v1/sources/n", &json!({"connector": "postgres"}))
        .await;
    assert_eq!(
        wrong.status,
        422,
        "the kind of a source never changes: {}",
        wrong.text()
    );
    let wrong = client
        .patch("/v1/sources/n", &json!({"name": "sample"}))
        .await;
    wrong.expect_problem(409, "name_taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_etag_changes_and_removes_nothing() {
    let service = Service::start().await;
    let client = &service.client;
    let body = json!({"name": "e", "connector": "sample", "config": {}});
    let old = client
        .post("/v1/sources", &body)
        .await
        .header("etag")
        .to_owned();
    let call = |method, tag: &str| client.call(method, "/v1/sources/e").header("if-match", tag);
    let patch = call(Method::PATCH, &old)
        .json(&json!({"description": "one"}))
        .send()
        .await;
    patch.expect_status(200);
    let new = patch.header("etag").to_owned();
    assert_ne!(new, old);
    let stale = call(Method::PATCH, &old)
        .json(&json!({"description": "two"}))
        .send()
        .await;
    stale.expect_problem(412, "precondition_failed");
    call(Method::DELETE, &old)
        .send()
        .await
        .expect_problem(412, "precondition_failed");
    let kept = client.get("/v1/sources/e").await.expect_status(200);
    assert_eq!(kept["description"], "one");
    assert_eq!(call(Method::DELETE, &new).send().await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_changes_at_once_with_one_etag_one_wins() {
    let service = Service::start().await;
    let client = &service.client;
    let body = json!({"name": "race", "connector": "sample", "config": {}});
    let tag = client
        .post("/v1/sources", &body)
        .await
        .header("etag")
        .to_owned();
    let changes = (0..8).map(|number| {
        let call = client
            .call(Method::PATCH, "/v1/sources/race")
            .header("if-match", &tag);
        call.json(&json!({"description": number.to_string()}))
            .send()
    });
    let answers = futures::future::join_all(changes).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(
        won,
        1,
        "{:?}",
        answers.iter().map(|a| a.status).collect::<Vec<_>>()
    );
}
