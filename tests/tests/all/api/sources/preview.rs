//! `POST /v1/sources/{s}/preview`.

use serde_json::json;
use weir_tests::{Database, Service};

const NUMBERS: &str = "create table numbers as
    select g as id, 'n' || g as label from generate_series(1, 1000) g";

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_an_envelope_in_a_fixed_order() {
    let service = Service::start().await;
    let database = Database::with(NUMBERS).await;
    let path = format!(
        "/v1/sources/{}/preview",
        service.client.register(&database).await
    );
    let body = json!({"stream": "numbers", "order_by": [{"column": "id"}], "limit": 3});
    let answer = service.client.post(&path, &body).await;
    let preview = answer.expect_status(200);
    assert_eq!(
        preview["columns"],
        json!([{"name": "id", "type": "int32"}, {"name": "label", "type": "string"}])
    );
    assert_eq!(preview["rows"][2], json!({"id": 3, "label": "n3"}));
    assert_eq!(
        (&preview["row_count"], &preview["truncated"]),
        (&json!(3), &json!(true))
    );
    let text = answer.text();
    let places: Vec<usize> = [
        "\"columns\"",
        "\"rows\"",
        "\"row_count\"",
        "\"truncated\"",
        "\"elapsed_ms\"",
    ]
    .iter()
    .map(|key| text.find(key).expect(key))
    .collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.header("server-timing").contains("first_batch;dur="));
    assert!(uuid::Uuid::parse_str(answer.header("weir-run-id")).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_rows_unless_asked_otherwise() {
    let service = Service::start().await;
    let database = Database::with(NUMBERS).await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/preview");
    let preview = async |body| service.client.post(&path, &body).await.expect_status(200);
    let default = preview(json!({"stream": "numbers"})).await;
    assert_eq!(
        (&default["row_count"], &default["truncated"]),
        (&json!(100), &json!(true))
    );
    let all = preview(json!({"stream": "numbers", "limit": 1000})).await;
    assert_eq!(
        (&all["row_count"], &all["truncated"]),
        (&json!(1000), &json!(false))
    );
    let none = preview(json!({"stream": "numbers", "filter": "id > 5000"})).await;
    assert_eq!(
        (&none["row_count"], &none["columns"][0]["name"]),
        (&json!(0), &json!("id"))
    );
    let answer = service
        .client
        .post(&path, &json!({"stream": "numbers", "limit": 10001}))
        .await;
    assert_eq!(
        answer.expect_problem(422, "invalid")["errors"][0]["pointer"],
        "#/limit"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_as_lists_and_in_other_formats() {
    let service = Service::start().await;
    let database = Database::with(NUMBERS).await;
    let name = service.client.register(&database).await;
    let body = json!({"stream": "numbers", "order_by": [{"column": "id", "ascending": false}], "limit": 2});
    let base = format!("/v1/sources/{name}/preview");
    let arrays = service
        .client
        .post(&format!("{base}?shape=arrays"), &body)
        .await;
    assert_eq!(
        arrays.expect_status(200)["rows"],
        json!([[1000, "n1000"], [999, "n999"]])
    );
    let lines = service.client.post(&format!("{base}.ndjson"), &body).await;
    assert_eq!(lines.ndjson()[1], json!({"id": 999, "label": "n999"}));
    assert_eq!(lines.header("weir-truncated"), "true");
    let arrow = service.client.post(&format!("{base}.arrow"), &body).await;
    assert_eq!(arrow.arrow().rows(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_bounded_in_bytes() {
    let service = Service::start().await;
    let database = Database::with(
        "create table wide as select g, repeat('x', 1000000) t from generate_series(1, 100) g",
    )
    .await;
    let name = service.client.register(&database).await;
    let body = json!({"stream": "wide"});
    let answer = service
        .client
        .post(&format!("/v1/sources/{name}/preview"), &body)
        .await;
    let preview = answer.expect_status(200);
    assert_eq!(preview["truncated"], true);
    let rows = preview["row_count"].as_u64().unwrap();
    assert!((1..60).contains(&rows), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_leaves_no_query_behind() {
    let service = Service::start().await;
    let database = Database::with(super::hang_up::ENDLESS).await;
    let name = service.client.register(&database).await;
    let watcher = database.client().await;
    let body = json!({"stream": "endless", "limit": 10});
    let answer = service
        .client
        .post(&format!("/v1/sources/{name}/preview"), &body)
        .await;
    assert_eq!(answer.expect_status(200)["row_count"], 10);
    super::hang_up::assert_gone(&database, &watcher).await;
}
