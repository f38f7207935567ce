use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use serde_json::{Value, json};
use weir_core::Result;
use weir_values::ColumnKind;

use super::{Profile, ProfileOptions};
use crate::steps::Side;
use crate::steps::testing::{batches, context, engine, schema};

async fn profiled(
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    options: &ProfileOptions,
    bytes: usize,
) -> Result<Profile> {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let side = Side {
        schema,
        stream: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
    };
    engine.profile(side, options, &context(bytes)).await
}

async fn profile(columns: &[(&str, &str)], rows: Value, options: &ProfileOptions) -> Value {
    let schema = schema(columns);
    let given = batches(&schema, &rows);
    let found = profiled(schema, given, options, 256 << 20).await.unwrap();
    serde_json::to_value(found).unwrap()
}

async fn of(data_type: &str, cells: Vec<Value>) -> Value {
    let rows: Vec<Value> = cells.into_iter().map(|cell| json!({"a": cell})).collect();
    let found = profile(&[("a", data_type)], rows.into(), &ProfileOptions::default()).await;
    found["columns"]["a"].clone()
}

fn has(found: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&found[name], value, "{name} of {found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers() {
    let cells = [1, 2, 3, 4, 5, 6, 7, 8, 9, 100].map(Value::from).to_vec();
    let found = of("int64", cells).await;
    assert_eq!(found["type"], "number");
    has(
        &found["statistics"],
        &json!({
            "count": 10, "count_distinct": 10, "null_value_count": 0, "null_value_rate": 0.0,
            "unique_value_rate": 1.0, "max_null_seq": 0, "average": 14.5, "sum": 145, "min": 1,
            "max": 100, "median": 5.5, "std": 30.152390728873666, "skew": 3.1188957452390875,
            "outlier_count": 0, "outlier_ratio": 0.0, "outliers": [], "mode": 1, "mode_ratio": 0.1,
            "box_plot": {"min": 1, "first_quartile": 3, "median": 5.5, "third_quartile": 8,
                         "max": 9, "outliers": [100]},
            "invalid_value_count": 0, "invalid_values": [], "invalid_indices": [],
            "invalid_value_distribution": {}, "completeness": 1.0, "validity": 1.0,
            "quality": "Good", "correlations": {},
        }),
    );
    let histogram = found["statistics"]["histogram"].as_array().unwrap();
    assert_eq!(histogram.len(), 40);
    assert_eq!(histogram[0]["count"], 3);
    assert_eq!(
        histogram[39],
        json!({"min": 97.525, "max": 100.0, "count": 1})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_digit_is_kept() {
    let big = 9_007_199_254_740_993_i64;
    let found = of(
        "int64",
        vec![json!(big), json!(big), json!(i64::MAX), json!(null)],
    )
    .await;
    has(
        &found["statistics"],
        &json!({"min": big, "max": i64::MAX, "median": big, "mode": big, "max_null_seq": 1,
                "value_counts": {"9007199254740993": 2, "9223372036854775807": 1}}),
    );
    let sum = found["statistics"]["sum"].to_string();
    assert_eq!(
        sum,
        (i128::from(big) * 2 + i128::from(i64::MAX)).to_string()
    );
    for data_type in ["decimal(18,4)", "decimal(38,4)"] {
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let cells = vec![
            number("12345678901234.5678"),
            number("0.0001"),
            number("0.0001"),
        ];
        let found = of(data_type, cells).await;
        let shown = |name: &str| found["statistics"][name].to_string();
        assert_eq!(shown("sum"), "12345678901234.5680", "{data_type}");
        assert_eq!(shown("max"), "12345678901234.5678");
        assert_eq!(shown("median"), "0.0001");
        assert_eq!(shown("mode"), "0.0001");
        assert_eq!(
            shown("value_counts"),
            r#"{"0.0001":2,"12345678901234.5678":1}"#
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_cleaned_unless_they_must_not() {
    let cells = ["'1,000'", " $5 ", "10", "", "10.0"]
        .map(Value::from)
        .to_vec();
    let found = of("string", cells.clone()).await;
    assert_eq!(found["type"], "number");
    has(
        &found["statistics"],
        &json!({"count": 4, "null_value_count": 1, "sum": 1025, "median": 10, "mode": 10,
                "mode_ratio": 0.4, "count_distinct": 3,
                "value_counts": {"10": 2, "5": 1, "1000": 1}, "invalid_value_count": 0}),
    );
    let rows: Vec<Value> = cells.into_iter().map(|cell| json!({"a": cell})).collect();
    let options = ProfileOptions {
        clean: false,
        ..ProfileOptions::default()
    };
    let found = profile(&[("a", "string")], rows.into(), &options).await;
    has(
        &found["columns"]["a"]["statistics"],
        &json!({"count": 5, "null_value_count": 0, "count_distinct": 5, "sum": 20.0, "median": 10.0}),
    );
    let shares = of("string", vec![json!("10%"), json!("0.5"), json!("x")]).await;
    assert_eq!(shares["type"], "text");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_invalid_is_told() {
    let cells = ["a@b.c", "d@b.c", "no", "a@B.c"].map(Value::from).to_vec();
    let found = of("string", cells).await;
    assert_eq!(found["type"], "email");
    has(
        &found["statistics"],
        &json!({"invalid_value_count": 1, "invalid_value_rate": 0.25, "invalid_values": ["no"],
                "invalid_indices": [2], "invalid_value_distribution": {"no": 1},
                "completeness": 1.0, "validity": 0.75, "quality": "Bad",
                "domain_distribution": {"b.c": 3}}),
    );
    let options = ProfileOptions {
        kinds: vec![("a".to_owned(), ColumnKind::Number)],
        ..ProfileOptions::default()
    };
    let rows = json!([{"a": "1"}, {"a": "2"}, {"a": "abc"}]);
    let found = profile(&[("a", "string")], rows, &options).await;
    assert_eq!(found["columns"]["a"]["rule"], "given");
    has(
        &found["columns"]["a"]["statistics"],
        &json!({"count": 3, "count_distinct": 3, "average": 1.5, "invalid_value_count": 1,
                "value_counts": {"1": 1, "2": 1, "abc": 1}, "invalid_values": ["abc"]}),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_lists_and_dates() {
    let cells = ["The cat", "the dog, the cat", "Ärger"]
        .map(Value::from)
        .to_vec();
    let found = of("string", cells).await;
    has(
        &found["statistics"],
        &json!({"avg_string_length": 28.0 / 3.0, "min_character_count": 5, "max_character_count": 16,
                "avg_word_count": 7.0 / 3.0, "min_word_count": 1, "max_word_count": 4,
                "word_distribution": {"the": 3, "cat": 2, "dog": 1, "ärger": 1}}),
    );
    let lists = of(
        "list<int64>",
        vec![json!([1, 2, 1]), json!([]), json!(null), json!([3])],
    )
    .await;
    has(
        &lists["statistics"],
        &json!({"avg_list_length": 4.0 / 3.0, "min_list_length": 0, "max_list_length": 3,
                "length_distribution": {"0": 1, "1": 1, "3": 1}, "most_frequent_element": 1,
                "least_frequent_element": 2, "element_distribution": {"1": 2, "2": 1, "3": 1}}),
    );
    let written = of("string", vec![json!("[a, 'b']"), json!("[a]")]).await;
    assert_eq!(written["type"], "list");
    has(
        &written["statistics"],
        &json!({"element_distribution": {"a": 2, "b": 1}, "max_list_length": 2}),
    );
    for data_type in ["string", "date"] {
        let cells = ["1869-05-10", "2024-02-29", "2024-02-29", "1999-01-01"].map(Value::from);
        let found = of(data_type, cells.to_vec()).await;
        assert_eq!(found["type"], "datetime");
        has(
            &found["statistics"],
            &json!({"min": "1869-05-10T00:00:00Z", "max": "2024-02-29T00:00:00Z",
                    "median": "2024-02-29T00:00:00Z", "mode": "2024-02-29T00:00:00Z", "mode_ratio": 0.5}),
        );
        let series = found["statistics"]["time_series"].as_array().unwrap();
        assert_eq!((series.len(), &series[39]["count"]), (40, &json!(2)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_as_a_whole() {
    let rows = json!([
        {"t": "2024-01-01", "n": 1, "e": null, "m": 2.0}, {"t": "2024-01-02", "n": 2, "e": null, "m": 4.5},
        {"t": "2024-01-02", "n": 2, "e": null, "m": 4.5}, {"t": "2024-01-03", "n": null, "e": null, "m": 5.0},
    ]);
    let columns = [
        ("t", "date"),
        ("n", "int64"),
        ("e", "string"),
        ("m", "float64"),
    ];
    let found = profile(&columns, rows, &ProfileOptions::default()).await;
    has(
        &found["dataset"],
        &json!({"row_count": 4, "column_count": 4, "total_null_value_count": 5,
                "total_null_value_rate": 0.3125, "total_invalid_value_count": 0,
                "duplicate_row_count": 1, "duplicate_row_rate": 0.25, "empty_column_count": 1,
                "empty_column_rate": 0.25, "completeness": 0.6875, "validity": 0.6875,
                "is_timeseries": true, "timeseries_index": ["t"]}),
    );
    let n = &found["columns"]["n"]["statistics"];
    assert_eq!(n["time_series"][20]["average"], 2.0);
    assert!(n["correlations"]["m"].as_f64().unwrap() > 0.99);
    assert_eq!(found["columns"]["e"]["statistics"]["mode"], Value::Null);
    assert!(found.get("approximate").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rows_no_columns_and_odd_types() {
    let options = ProfileOptions::default();
    let columns = [
        ("a", "int64"),
        ("b", "string"),
        ("t", "timestamp"),
        ("l", "list<string>"),
    ];
    let found = profile(&columns, json!([]), &options).await;
    has(
        &found["dataset"],
        &json!({"row_count": 0, "total_null_value_rate": 0.0, "duplicate_row_rate": 0.0,
                "empty_column_count": 4, "empty_column_rate": 1.0, "completeness": 1.0,
                "validity": 1.0, "is_timeseries": false}),
    );
    has(
        &found["columns"]["a"]["statistics"],
        &json!({"count": 0, "average": null, "sum": 0, "std": null, "skew": null, "mode": null,
                "min": null, "histogram": [], "quality": "Good"}),
    );
    assert_eq!(
        found["columns"]["b"]["statistics"]["avg_word_count"],
        Value::Null
    );
    let none = profile(&[], json!([]), &options).await;
    assert_eq!(none["dataset"]["column_count"], 0);
    assert_eq!(none["dataset"]["empty_column_rate"], 0.0);

    let nested = of(
        "struct<x: int64, y: list<string>>",
        vec![json!({"x": 1, "y": ["a"]}), json!(null)],
    )
    .await;
    has(
        &nested["statistics"],
        &json!({"count": 1, "count_distinct": 1, "mode": {"x": 1, "y": ["a"]}}),
    );
    let truths = of("bool", vec![json!(true), json!(false), json!(false)]).await;
    has(
        &truths["statistics"],
        &json!({"mode": false, "value_counts": {"false": 2, "true": 1}}),
    );
    let mixed = of("json", vec![json!("[1]"), json!("{}")]).await;
    assert_eq!(mixed["statistics"]["count"], 2);
    let same = of("float64", vec![json!(0.1), json!(0.1), json!(0.1)]).await;
    has(
        &same["statistics"],
        &json!({"std": 0.0, "skew": 0.0, "outlier_count": 0, "histogram": [{"min": 0.1, "max": 0.1, "count": 3}]}),
    );
    let unknown = ProfileOptions {
        kinds: vec![("b".to_owned(), ColumnKind::Text)],
        ..ProfileOptions::default()
    };
    let error = profiled(schema(&[("a", "int64")]), Vec::new(), &unknown, 1 << 20)
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "unknown_column");
}

/// Rows whose tables do not fit into little memory.
fn many(rows: usize) -> (SchemaRef, Vec<RecordBatch>) {
    use arrow::array::{Float64Array, Int64Array, StringArray};
    use std::sync::Arc;
    let table = schema(&[("id", "int64"), ("x", "float64"), ("word", "string")]);
    let made = (0..rows).step_by(1000).map(|start| {
        let at = |n: usize| n * 7919 % rows;
        let range = start..start + 1000;
        let ids = Int64Array::from_iter_values(range.clone().map(|n| at(n) as i64));
        let floats = Float64Array::from_iter_values(range.clone().map(|n| (at(n) / 2) as f64));
        let words = StringArray::from_iter_values(range.map(|n| format!("word {} end", at(n) / 3)));
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(ids), Arc::new(floats), Arc::new(words)];
        RecordBatch::try_new(Arc::clone(&table), columns).unwrap()
    });
    let made = made.collect();
    (table, made)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outgrows_memory_is_exact() {
    const ROWS: usize = 150_000;
    let (table, given) = many(ROWS);
    let options = ProfileOptions::default();
    let large = profiled(table.clone(), given.clone(), &options, 1 << 30)
        .await
        .unwrap();
    let small = profiled(table, given, &options, 12 << 20).await.unwrap();
    let (large, small) = (
        serde_json::to_value(large).unwrap(),
        serde_json::to_value(small).unwrap(),
    );
    assert_eq!(large, small);
    has(
        &large["columns"]["x"]["statistics"],
        &json!({"count": ROWS, "count_distinct": ROWS / 2, "median": (ROWS / 2 - 1) as f64 / 2.0, "mode": 0.0}),
    );
    has(
        &large["columns"]["word"]["statistics"],
        &json!({"count_distinct": ROWS / 3, "mode": "word 0 end"}),
    );
    let words = large["columns"]["word"]["statistics"]["word_distribution"].clone();
    assert_eq!(words["end"], ROWS);
}

/// Columns of numbers that are all different and far from each other.
fn wide(columns: usize, rows: usize) -> (SchemaRef, Vec<RecordBatch>) {
    use arrow::array::{ArrayRef, Int64Array};
    use std::sync::Arc;
    let names: Vec<String> = (0..columns).map(|n| format!("c{n}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "int64")).collect();
    let table = schema(&fields);
    let made = (0..rows).step_by(1000).map(|start| {
        let column = |n: usize| {
            let numbers = (start..start + 1000).map(|row| {
                let place = (row * columns + n) as i64;
                place.wrapping_mul(0x1e37_79b9_7f4a_7c15) >> 4
            });
            Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef
        };
        let arrays = (0..columns).map(column).collect();
        RecordBatch::try_new(Arc::clone(&table), arrays).unwrap()
    });
    let made = made.collect();
    (table, made)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_many_columns_lie_on_disk_in_one_file() {
    let (table, given) = wide(200, 5_000);
    let options = ProfileOptions::default();
    let in_memory = profiled(table.clone(), given.clone(), &options, 1 << 30).await;
    let on_disk = profiled(table, given, &options, 24 << 20).await.unwrap();
    let columns = |profile: &Profile| serde_json::to_value(&profile.columns).unwrap();
    assert_eq!(columns(&on_disk), columns(&in_memory.unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_numbers_of_text_may_turn_out_not_to_be() {
    use arrow::array::StringArray;
    use std::sync::Arc;
    let table = schema(&[("a", "string")]);
    let batch = |start: usize| {
        let texts = (start..start + 1000).map(|n| match n {
            149_999 => "0.5".to_owned(),
            n => n.to_string(),
        });
        let column: arrow::array::ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        RecordBatch::try_new(Arc::clone(&table), vec![column]).unwrap()
    };
    let given: Vec<RecordBatch> = (0..150_000).step_by(1000).map(batch).collect();
    for (bytes, approximate) in [(1 << 30, false), (8 << 20, false), (1 << 30, true)] {
        let options = ProfileOptions {
            approximate,
            ..ProfileOptions::default()
        };
        let found = profiled(Arc::clone(&table), given.clone(), &options, bytes)
            .await
            .unwrap();
        let found = serde_json::to_value(found).unwrap();
        let statistics = &found["columns"]["a"]["statistics"];
        has(
            statistics,
            &json!({"count": 150_000, "max": 149_998.0, "sum": 11_249_775_001.5}),
        );
        if !approximate {
            has(
                statistics,
                &json!({"count_distinct": 150_000, "mode": 0, "median": 74_998.5}),
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn estimates_are_near_and_say_so() {
    const ROWS: usize = 300_000;
    let (table, given) = many(ROWS);
    let options = ProfileOptions {
        approximate: true,
        ..ProfileOptions::default()
    };
    let found = profiled(table, given, &options, 24 << 20).await.unwrap();
    let found = serde_json::to_value(found).unwrap();
    let id = &found["columns"]["id"]["statistics"];
    let distinct = id["count_distinct"].as_f64().unwrap();
    assert!((distinct / ROWS as f64 - 1.0).abs() < 0.04, "{distinct}");
    let median = id["median"].as_f64().unwrap();
    assert!((median / ROWS as f64 - 0.5).abs() < 0.02, "{median}");
    assert_eq!(id["sum"], (ROWS as u64) * (ROWS as u64 - 1) / 2);
    let words = &found["columns"]["word"]["statistics"]["word_distribution"];
    let lost = &found["approximate"]["columns"]["word"]["word_distribution"];
    let lost = lost["counts_too_low_by_at_most"].as_u64().unwrap();
    assert!(words["end"].as_u64().unwrap() + lost >= ROWS as u64);
    assert!(found["approximate"]["columns"]["id"]["median"].is_object());
}
