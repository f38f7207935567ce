//! Several files read as one stream.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use serde_json::{Value, json};

use super::Place;
use super::parquet::{numbers, write};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_and_a_folder_are_read_in_the_order_of_names() {
    let place = Place::new().await;
    for (path, from) in [
        ("e/2024-02.parquet", 10),
        ("e/2024-01.parquet", 0),
        ("e/deep/x.parquet", 20),
        ("e/2025-01.parquet", 30),
    ] {
        write(&place, path, &numbers(from..from + 10), 4);
    }
    let rows = async |stream: &str| ids(&place.rows(&json!({"stream": stream})).await);
    assert_eq!(rows("e/2024-*.parquet").await, (0..20).collect::<Vec<_>>());
    assert_eq!(rows("e/").await, (0..20).chain(30..40).collect::<Vec<_>>());
    assert_eq!(
        rows("**/*.parquet").await,
        (0..20).chain(30..40).chain(20..30).collect::<Vec<_>>()
    );
    assert_eq!(
        rows("e/202{4-02,5-01}.parquet").await,
        (10..20).chain(30..40).collect::<Vec<_>>()
    );
    let filtered = json!({"stream": "e/*.parquet", "filter": "id >= 8 and id < 32", "columns": ["id"], "limit": 13});
    assert_eq!(
        ids(&place.rows(&filtered).await),
        (8..20).chain(30..31).collect::<Vec<_>>()
    );
    let schema = place
        .client()
        .get("/v1/sources/f/schema?stream=e%2F")
        .await
        .expect_status(200);
    assert_eq!(
        (&schema["kind"], &schema["estimated_rows"]),
        (&json!("files"), &json!(30))
    );
    // What exists under the very name is meant, whatever it looks like.
    write(&place, "e/[1]*.parquet", &numbers(77..78), 4);
    assert_eq!(rows("e/[1]*.parquet").await, [77]);
    assert_eq!(
        place.refused(&json!({"stream": "e/{a"}), 422).await,
        "invalid"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_go_by_name_and_missing_ones_are_null() {
    let place = Place::new().await;
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![3_000_000_000]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["new"]));
    write(
        &place,
        "p/1.parquet",
        &batch(vec![("id", Arc::clone(&narrow)), ("old", narrow)]),
        10,
    );
    write(
        &place,
        "p/2.parquet",
        &batch(vec![("new", Arc::clone(&text)), ("id", wide)]),
        10,
    );
    let rows = place.rows(&json!({"stream": "p/"})).await;
    assert_eq!(
        rows,
        [
            json!({"id": 1, "old": 1, "new": null}),
            json!({"id": 2, "old": 2, "new": null}),
            json!({"id": 3_000_000_000_i64, "old": null, "new": "new"}),
        ]
    );
    let some = json!({"stream": "p/", "filter": "old == null", "columns": ["new"]});
    assert_eq!(place.rows(&some).await, [json!({"new": "new"})]);
    place
        .register("named", json!({"file_column": "file"}))
        .await;
    let named =
        json!({"stream": "p/", "columns": ["file", "id"], "filter": "file == 'p/2.parquet'"});
    assert_eq!(
        place.client().rows("named", &named).await,
        [json!({"file": "p/2.parquet", "id": 3_000_000_000_i64})]
    );
    write(&place, "p/3.parquet", &batch(vec![("id", text)]), 10);
    let problem = place
        .load(&json!({"stream": "p/"}))
        .await
        .expect_status(424);
    assert_eq!(problem["code"], "files_disagree");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("p/2.parquet") && detail.contains("p/3.parquet"),
        "{detail}"
    );
}
