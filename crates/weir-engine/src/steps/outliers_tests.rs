//! Scales and outliers, end to end.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{Float64Type, SchemaRef};
use serde_json::{Value, json};
use weir_values::dice::Dice;

use super::testing::{Outcome, golden, run, schema, through};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_normalize() {
    golden("normalize").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_standardize() {
    golden("standardize").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_remove_outliers() {
    golden("remove_outliers").await;
}

/// A cloud of `rows` rows in `width` columns; every 100th row is far off, and
/// every 50th has a null.
fn cloud(rows: usize, width: usize) -> (SchemaRef, Vec<RecordBatch>) {
    let names: Vec<String> = (0..width).map(|n| format!("c{n}")).collect();
    let fields: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), "float64"))
        .collect();
    let table = schema(&fields);
    let mut dice = Dice::new(1, 0);
    let batches = (0..rows.div_ceil(1000)).map(|batch| {
        let at = batch * 1000..rows.min((batch + 1) * 1000);
        let column = |n: usize| -> ArrayRef {
            let value = |row: usize| match row % 100 {
                // Each in another direction.
                1 if (row / 100 * 31 + n * 17) % 5 < 2 => Some(-50.0 - (row % 7) as f64),
                1 => Some(50.0 + (row % 7) as f64),
                50 if n == 0 => None,
                _ => Some(dice.unit()),
            };
            Arc::new(at.clone().map(value).collect::<Float64Array>())
        };
        let columns = (0..width).map(column).collect();
        RecordBatch::try_new(Arc::clone(&table), columns).unwrap()
    });
    let batches = batches.collect();
    (table, batches)
}

async fn without_outliers(rows: usize, width: usize, rest: Value) -> Outcome {
    let (table, given) = cloud(rows, width);
    let names: Vec<String> = (0..width).map(|n| format!("c{n}")).collect();
    let mut step = json!({"op": "remove_outliers", "columns": names});
    for (key, value) in rest.as_object().unwrap() {
        step[key] = value.clone();
    }
    through(table, given, &json!([step]), &[], 64 << 20)
        .await
        .unwrap()
}

fn largest(out: &Outcome) -> f64 {
    let columns = out
        .batches
        .iter()
        .flat_map(|batch| batch.columns().last().cloned());
    let values = columns.flat_map(|column| column.as_primitive::<Float64Type>().values().to_vec());
    values.fold(0.0, |most, value| most.max(value.abs()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_share_that_is_asked_for_goes_and_the_worst_of_all() {
    for (width, method, called) in [
        (2, "auto", "lof"),
        (6, "auto", "isolation_forest"),
        (25, "isolation_forest", "isolation_forest"),
        (22, "lof", "lof"),
    ] {
        let rest = json!({"method": method, "contamination": 0.0102});
        let out = without_outliers(2000, width, rest).await;
        // A fiftieth has a null, of the rest a hundredth and a little goes.
        assert_eq!(out.report[0]["removed"], 20, "{width} {method}");
        assert_eq!(out.report[0]["method"], called);
        assert!(largest(&out) < 2.0, "{width} {method}");
        let left: usize = out.batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(left, 1980);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_inputs_are_judged_by_a_sample() {
    for method in ["lof", "isolation_forest"] {
        let rest = json!({"method": method, "contamination": 0.005});
        let out = without_outliers(30_000, 2, rest.clone()).await;
        let report = &out.report[0];
        assert!(
            report["sampled"]
                .as_u64()
                .is_some_and(|rows| rows >= 10_000)
        );
        assert_eq!(report["removed"], 148);
        let again = without_outliers(30_000, 2, rest).await;
        assert_eq!(out.batches, again.batches);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_share_the_fences_tell_it() {
    let out = without_outliers(1000, 2, json!({"method": "lof"})).await;
    assert_eq!(out.report[0]["contamination"], 0.025);
    assert_eq!(out.report[0]["neighbours"], 20);
    assert_eq!(out.report[0]["removed"], 24);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_scores_go_from_the_first_row_on() {
    let rows: Vec<Value> = (0..40).map(|n| json!({"a": 5, "n": n})).collect();
    let steps =
        json!([{"op": "remove_outliers", "columns": ["a"], "method": "lof", "contamination": 0.1}]);
    let out = run(&[("a", "int64"), ("n", "int64")], json!(rows), steps)
        .await
        .unwrap();
    let rows = out.rows();
    let left: Vec<i64> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["n"].as_i64().unwrap())
        .collect();
    assert_eq!(left, (4..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_rows_and_large_numbers_come_through() {
    let columns = [("a", "float64"), ("b", "decimal(10,2)"), ("t", "string")];
    let row = |a: Value, b: f64| json!({"a": a, "b": b, "t": "x"});
    for rows in [
        json!([]),
        json!([row(json!(1.0), 1.0)]),
        json!([row(json!(null), 1.0), row(json!(null), 2.0)]),
        json!([
            row(json!(1e300), 1.0),
            row(json!(-1e308), 2.0),
            row(json!(1.7e308), 3.0)
        ]),
    ] {
        for method in ["iqr", "zscore", "lof", "isolation_forest", "auto"] {
            let steps =
                json!([{"op": "remove_outliers", "columns": ["a", "b", "t"], "method": method}]);
            let out = run(&columns, rows.clone(), steps).await.unwrap();
            let left: usize = out.batches.iter().map(RecordBatch::num_rows).sum();
            let removed = out.report[0]["removed"].as_u64().unwrap() as usize;
            assert_eq!(left + removed, rows.as_array().unwrap().len(), "{method}");
            assert_eq!(out.report[0]["warnings"].as_array().unwrap().len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_out_of_range_are_refused() {
    let rows = json!([{"a": 1}]);
    for (rest, pointer) in [
        (json!({"contamination": 0}), "/steps/0/contamination"),
        (json!({"contamination": 0.6}), "/steps/0/contamination"),
        (json!({"threshold": -1}), "/steps/0/threshold"),
        (json!({"method": "LOF"}), "/steps/0/method"),
    ] {
        let mut step = json!({"op": "remove_outliers", "columns": ["a"]});
        for (key, value) in rest.as_object().unwrap() {
            step[key] = value.clone();
        }
        let error = run(&[("a", "int64")], rows.clone(), json!([step]))
            .await
            .unwrap_err();
        assert_eq!(error.fields()[0].pointer, pointer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_number_has_no_scale() {
    let columns = [("d", "date"), ("b", "bool"), ("u", "uint64")];
    let rows = json!([{"d": "2020-01-01", "b": true, "u": u64::MAX}, {"d": null, "b": false, "u": u64::MAX - 2}]);
    let steps = json!([{"op": "normalize", "columns": ["b", "u"]}]);
    let out = run(&columns, rows.clone(), steps).await.unwrap();
    assert_eq!(
        out.rows()[0],
        json!({"d": "2020-01-01", "b": 1.0, "u": 1.0})
    );
    let steps = json!([{"op": "standardize", "columns": ["d"]}]);
    let error = run(&columns, rows, steps).await.unwrap_err();
    assert_eq!(error.fields()[0].pointer, "/steps/0/columns/0");
}
