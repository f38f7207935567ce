//! Names that need quoting, all the way through.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir_tests::{Database, Service};

/// Names a person might give, and some that only a machine would. The last one
/// has 63 bytes, the most that the server takes.
const NAMES: [&str; 14] = [
    "plain",
    "With Capitals",
    "quo\"te",
    "\"",
    "dot.ted",
    "sla/sh",
    "back\\slash",
    " leading and trailing ",
    "semi;colon--",
    "percent%26&amp?#",
    "'single'",
    "Übergröße_表",
    "select",
    "exactly_63_bytes_____________________________________________xy",
];

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn database() -> Database {
    let mut sql = String::new();
    for (number, schema) in [(0, NAMES[1]), (1, NAMES[2]), (2, "public")] {
        if schema != "public" {
            sql.push_str(&format!("create schema {}; ", quoted(schema)));
        }
        for name in NAMES {
            let table = format!("{}.{}", quoted(schema), quoted(name));
            let columns: Vec<String> = NAMES
                .iter()
                .map(|n| format!("{} text", quoted(n)))
                .collect();
            let values: Vec<String> = NAMES
                .iter()
                .map(|n| format!("$v${number} {name} {n}$v$"))
                .collect();
            sql.push_str(&format!("create table {table} ({}); ", columns.join(", ")));
            sql.push_str(&format!(
                "insert into {table} values ({}); ",
                values.join(", ")
            ));
        }
    }
    Database::with(&sql).await
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_is_discovered_described_previewed_and_loaded() {
    assert_eq!(NAMES[13].len(), 63);
    let service = Service::start().await;
    let database = database().await;
    let client = &service.client;
    let source = client.register(&database).await;
    let base = format!("/v1/sources/{source}");
    let page = client
        .get(&format!("{base}/streams?limit=1000"))
        .await
        .expect_status(200);
    let items = page["items"].as_array().unwrap();
    let found: BTreeSet<(&str, &str)> = items
        .iter()
        .map(|item| {
            (
                item["namespace"].as_str().unwrap(),
                item["name"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(found.len(), 3 * NAMES.len());
    for item in items {
        let (stream, name) = (
            item["stream"].as_str().unwrap(),
            item["name"].as_str().unwrap(),
        );
        let number = [NAMES[1], NAMES[2], "public"]
            .iter()
            .position(|n| item["namespace"] == **n);
        let number = number.unwrap();
        let expected: Value = NAMES
            .iter()
            .map(|n| ((*n).to_owned(), json!(format!("{number} {name} {n}"))))
            .collect();
        let schema = client
            .get(&format!("{base}/schema?stream={}", encoded(stream)))
            .await;
        let schema = schema.expect_status(200);
        let columns: Vec<&str> = schema["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(columns, NAMES);
        let preview = client
            .post(&format!("{base}/preview"), &json!({"stream": stream}))
            .await;
        assert_eq!(preview.expect_status(200)["rows"][0], expected, "{stream}");
        let lines = client
            .get(&format!("{base}/load.ndjson?stream={}", encoded(stream)))
            .await;
        assert_eq!(lines.ndjson(), [expected], "{stream}");
        let arrow = client
            .post(&format!("{base}/load.arrow"), &json!({"stream": stream}))
            .await;
        assert_eq!(arrow.arrow().names(), NAMES);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_columns_are_chosen_filtered_and_ordered() {
    let service = Service::start().await;
    let database = database().await;
    let source = service.client.register(&database).await;
    for name in NAMES {
        let stream = format!("public.{}", quoted(name));
        for column in NAMES {
            let body = json!({
                "stream": stream,
                "columns": [column],
                "filter": {"column": column, "operator": "eq", "value": format!("2 {name} {column}")},
                "order_by": [{"column": column, "ascending": false}],
            });
            let rows = service.client.rows(&source, &body).await;
            let value = json!(format!("2 {name} {column}"));
            assert_eq!(rows, [json!({ column: value })], "{stream} {column}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_name_of_a_view_or_a_dropped_column_is_no_trap() {
    let service = Service::start().await;
    let database = Database::with(
        "create table t (a int, gone text, b int); insert into t values (1, 'x', 2);
         alter table t drop column gone;
         create table none (); insert into none default values;",
    )
    .await;
    let source = service.client.register(&database).await;
    let rows = service.client.rows(&source, &json!({"stream": "t"})).await;
    assert_eq!(rows, [json!({"a": 1, "b": 2})]);
    let rows = service
        .client
        .rows(&source, &json!({"stream": "none"}))
        .await;
    assert_eq!(
        rows,
        [json!({})],
        "a table without columns has rows all the same"
    );
}
