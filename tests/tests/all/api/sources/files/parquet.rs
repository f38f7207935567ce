//! Parquet files: what is pushed down gives what the engine would.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StringDictionaryBuilder,
};
use arrow::datatypes::Int32Type;
use serde_json::{Value, json};

use super::Place;

pub fn numbers(rows: Range<i64>) -> RecordBatch {
    let mut kinds = StringDictionaryBuilder::<Int32Type>::new();
    for row in rows.clone() {
        kinds.append_value(["north", "south", "east"][(row % 3) as usize]);
    }
    let texts: StringArray = rows
        .clone()
        .map(|row| (row % 5 > 0).then(|| format!("t{}", row % 17)))
        .collect();
    let halves: Float64Array = rows
        .clone()
        .map(|row| (row % 7 > 0).then_some(row as f64 / 2.0))
        .collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(rows))),
        ("text", Arc::new(texts)),
        ("half", Arc::new(halves)),
        ("kind", Arc::new(kinds.finish())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

pub fn write(place: &Place, path: &str, batch: &RecordBatch, group: usize) {
    place.write(path, "");
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .build();
    let file = File::create(place.root().join(path)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_described_without_its_rows() {
    let place = Place::new().await;
    write(&place, "n.parquet", &numbers(0..1_000), 100);
    let schema = place
        .client()
        .get("/v1/sources/f/schema?stream=n.parquet")
        .await
        .expect_status(200);
    assert_eq!(schema["estimated_rows"], 1_000);
    assert_eq!(schema["kind"], "file");
    let columns: Vec<(&str, &str)> = schema["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            (
                column["name"].as_str().unwrap(),
                column["type"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        columns,
        [
            ("id", "int64"),
            ("text", "string"),
            ("half", "float64"),
            ("kind", "string")
        ]
    );
    assert_eq!(schema["columns"][1]["native_type"], "BYTE_ARRAY (STRING)");
    let tested = place
        .client()
        .post("/v1/sources/f/test", &json!({}))
        .await
        .expect_status(200);
    assert_eq!(tested["ok"], true, "{tested}");
    let names: Vec<&Value> = tested["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| &check["name"])
        .collect();
    assert_eq!(names, ["credentials", "root", "list", "read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_columns_orders_and_limits_give_the_right_rows() {
    let place = Place::new().await;
    write(&place, "n.parquet", &numbers(0..5_000), 500);
    let ids = |rows: &[Value]| {
        rows.iter()
            .map(|row| row["id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    let kept = |test: &dyn Fn(i64) -> bool| (0..5_000).filter(|row| test(*row)).collect::<Vec<_>>();
    let text = |row: i64| (row % 5 > 0).then(|| format!("t{}", row % 17));
    let cases: [(&str, Vec<i64>); 8] = [
        (
            "id >= 1234 and id < 1300",
            kept(&|row| (1234..1300).contains(&row)),
        ),
        (
            "text == 't3'",
            kept(&|row| text(row).as_deref() == Some("t3")),
        ),
        (
            "text != 't3' and id < 100",
            kept(&|row| row < 100 && text(row).as_deref() != Some("t3")),
        ),
        (
            "text == null and id > 4900",
            kept(&|row| row > 4900 && row % 5 == 0),
        ),
        ("half > 2490.5", kept(&|row| row % 7 > 0 && row > 4981)),
        (
            "kind == 'east' and id < 30",
            kept(&|row| row < 30 && row % 3 == 2),
        ),
        (
            "text contains '^t1[0-2]$' and id < 200",
            kept(&|row| row < 200 && matches!(text(row).as_deref(), Some("t10" | "t11" | "t12"))),
        ),
        ("id > 99999", Vec::new()),
    ];
    for (filter, expected) in cases {
        let all = place
            .rows(&json!({"stream": "n.parquet", "filter": filter}))
            .await;
        assert_eq!(ids(&all), expected, "{filter}");
        let few = place.rows(&json!({"stream": "n.parquet", "filter": filter, "columns": ["half", "id"], "limit": 5})).await;
        assert_eq!(ids(&few), expected[..expected.len().min(5)], "{filter}");
        assert!(
            few.iter()
                .all(|row| row.as_object().unwrap().keys().eq(["half", "id"]))
        );
    }
    let sorted = json!({"stream": "n.parquet", "columns": ["text"], "order_by": [{"column": "id", "ascending": false}], "limit": 3});
    assert_eq!(
        place.rows(&sorted).await,
        [
            json!({"text": "t1"}),
            json!({"text": "t0"}),
            json!({"text": "t16"})
        ]
    );
    let dry = json!({"stream": "n.parquet", "filter": "id > 5 and text contains 'a.b'", "limit": 5, "dry_run": true});
    let dry = place.load(&dry).await.expect_status(200);
    assert!(dry.to_string().contains("exact"), "{dry}");
    let unknown = json!({"stream": "n.parquet", "filter": "idd > 5"});
    assert_eq!(place.refused(&unknown, 422).await, "unknown_column");
    let mistyped = json!({"stream": "n.parquet", "filter": "id contains 'a'"});
    assert_eq!(place.refused(&mistyped, 422).await, "invalid_filter");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_told_as_such() {
    let place = Place::new().await;
    write(&place, "n.parquet", &numbers(0..5_000), 500);
    let whole = std::fs::read(place.root().join("n.parquet")).unwrap();
    place.write("cut.parquet", &whole[..whole.len() - 100]);
    place.write("empty.parquet", "");
    let mut broken = whole.clone();
    broken[4..2_000].fill(0xff);
    place.write("broken.parquet", &broken);
    for path in ["cut.parquet", "empty.parquet", "broken.parquet"] {
        let code = place.refused(&json!({"stream": path}), 424).await;
        assert_eq!(code, "data", "{path}");
    }
}
