//! Steps that this folder holds itself, end to end.

use serde_json::json;

use futures::StreamExt;

use super::run::planned;
use super::testing::{run, schema};
use super::{Pipeline, Report, Side, TransformOptions, plan_from_bytes, plan_to_bytes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_chosen_removed_and_renamed() {
    let rows = json!([{"a": 1, "b": "x", "c": 1.5}, {"a": 2, "b": null, "c": null}, {"a": 3, "b": "z", "c": 2.0}]);
    let steps = json!([
        {"op": "rename", "names": {"a": "b", "b": "a", "zz": "y"}},
        {"op": "drop_columns", "columns": ["c", "nope"]},
        {"op": "select", "columns": ["b", "a"]},
    ]);
    let columns = [("a", "int64"), ("b", "string"), ("c", "float64")];
    let out = run(&columns, rows, steps).await.unwrap();
    assert_eq!(out.types(), ["b: int64", "a: string"]);
    assert_eq!(
        out.rows(),
        json!([{"b": 1, "a": "x"}, {"b": 2, "a": null}, {"b": 3, "a": "z"}])
    );
    assert_eq!(out.report[0]["renamed"], json!({"a": "b", "b": "a"}));
    assert_eq!(out.report[0]["warnings"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_filtered_sorted_cut_and_removed() {
    let rows = json!([{"a": 3}, {"a": 1}, {"a": null}, {"a": 2}, {"a": 5}]);
    let steps = json!([
        {"op": "filter", "condition": "a != 5"},
        {"op": "sort", "by": [{"column": "a", "ascending": false}]},
        {"op": "remove_row", "rows": [1, 77]},
        {"op": "limit", "rows": 2},
    ]);
    let out = run(&[("a", "int64")], rows, steps).await.unwrap();
    assert_eq!(out.rows(), json!([{"a": 3}, {"a": 1}]));
    assert_eq!(out.report[0], json!({"op": "filter_rows", "removed": 1}));
    assert_eq!(out.report[2], json!({"op": "remove_row", "removed": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_is_exact_ordered_and_the_same_for_a_seed() {
    let rows: Vec<_> = (0..100).map(|n| json!({"a": n})).collect();
    let steps = json!([{"op": "sample", "fraction": 0.25, "seed": 7}]);
    let first = run(&[("a", "int64")], json!(rows), steps.clone())
        .await
        .unwrap();
    let again = run(&[("a", "int64")], json!(rows), steps).await.unwrap();
    assert_eq!(first.rows(), again.rows());
    let kept: Vec<i64> = first
        .rows()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["a"].as_i64().unwrap())
        .collect();
    assert_eq!(kept.len(), 25);
    assert!(kept.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_with_its_place() {
    for (step, pointer, code) in [
        (
            json!({"op": "selct", "columns": []}),
            "/steps/0/op",
            "unknown_step",
        ),
        (
            json!({"op": "select", "columns": ["b"]}),
            "/steps/0/columns/0",
            "unknown_column",
        ),
        (
            json!({"op": "select", "colums": ["a"]}),
            "/steps/0/colums",
            "unknown_field",
        ),
        (json!({"columns": ["a"]}), "/steps/0/op", "invalid"),
        (
            json!({"op": "filter_rows", "condition": "b > 1"}),
            "/steps/0/condition",
            "unknown_column",
        ),
        (
            json!({"op": "limit", "rows": -1}),
            "/steps/0/rows",
            "invalid",
        ),
        (json!(5), "/steps/0", "invalid"),
    ] {
        let error = run(&[("a", "int64")], json!([]), json!([step]))
            .await
            .unwrap_err();
        assert_eq!(error.fields()[0].pointer, pointer, "{step}: {error}");
        assert_eq!(error.stable_code(), code, "{step}: {error}");
    }
}

/// Steps with rows of columns `a: int64`, `b: string`, of which the plan is
/// written down and read back.
const WRITTEN: &[&str] = &[
    r#"{"op": "select", "columns": ["b", "a"]}"#,
    r#"{"op": "rename", "names": {"a": "x"}}"#,
    r#"{"op": "filter_rows", "condition": "a > 1 and b contains 'x'"}"#,
    r#"{"op": "sort_rows", "by": [{"column": "a"}]}"#,
    r#"{"op": "limit", "rows": 3}"#,
    r#"{"op": "sample", "rows": 3}"#,
    r#"{"op": "clean_column_names"}"#,
    r#"{"op": "convert_type", "columns": ["a", "b"], "type": "decimal(9,2)"}"#,
    r#"{"op": "convert_type", "columns": ["b"], "type": "date", "on_error": "fail"}"#,
    r#"{"op": "trim_whitespace", "columns": ["b"]}"#,
    r#"{"op": "uppercase", "columns": ["b"]}"#,
    r#"{"op": "replace", "columns": ["b"], "pattern": "(x)", "replacement": "$1", "regex": true}"#,
    r#"{"op": "replace", "columns": ["a", "b"], "pattern": 1, "replacement": null, "whole_cell": true}"#,
    r#"{"op": "reformat", "columns": ["b"], "mode": "currency"}"#,
    r#"{"op": "fix_syntax_errors", "columns": ["b"]}"#,
    r#"{"op": "add_column", "name": "z", "udf": "addition", "columns": ["a"], "value": 1.5}"#,
    r#"{"op": "add_column", "name": "a", "udf": "difference", "columns": ["a", "a"]}"#,
    r#"{"op": "add_column", "name": "z", "udf": "constant", "value": "x"}"#,
    r#"{"op": "add_column", "name": "z", "udf": "if_else", "condition": "a > 1", "then": {"column": "b"}, "else": 1}"#,
    r#"{"op": "add_column", "name": "z", "udf": "formatted_date", "columns": ["b"], "format": "%Y"}"#,
    r#"{"op": "add_column", "name": "z", "udf": "string_split", "columns": ["a"], "separator": ",", "part_index": 0, "type": "int64"}"#,
    r#"{"op": "remove_row", "rows": [3, 1]}"#,
    r#"{"op": "impute", "columns": ["a"], "strategy": "average"}"#,
    r#"{"op": "impute", "columns": ["a", "b"], "strategy": "mode"}"#,
    r#"{"op": "impute", "columns": ["a", "b"], "strategy": "random", "seed": 5}"#,
    r#"{"op": "impute", "columns": ["a", "b"], "strategy": "constant"}"#,
    r#"{"op": "impute", "columns": ["b"], "value": "x"}"#,
    r#"{"op": "impute", "columns": ["b"], "strategy": "column", "source_column": "a"}"#,
    r#"{"op": "impute", "columns": ["b"], "strategy": "sequential", "order_by": ["a"]}"#,
    r#"{"op": "impute", "columns": ["b"], "strategy": "row_rm"}"#,
    r#"{"op": "impute", "columns": ["a", "b"], "strategy": "auto", "seed": 1, "thresholds": {"skew": 1.5}}"#,
    r#"{"op": "fill_nulls", "columns": ["a", "b"], "method": "bfill"}"#,
    r#"{"op": "drop_nulls", "thresh": 1}"#,
    r#"{"op": "normalize", "columns": ["a"]}"#,
    r#"{"op": "standardize", "columns": ["a"], "ddof": 1}"#,
    r#"{"op": "remove_outliers", "columns": ["a"], "method": "iqr", "threshold": 2}"#,
    r#"{"op": "remove_outliers", "columns": ["a"], "contamination": 0.1}"#,
    r#"{"op": "filter_rows", "where": "a > 1 and upper(b) = 'X'"}"#,
    r#"{"op": "sql", "query": "select b, count(*) as n from input group by b"}"#,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_are_written_and_read_back() {
    for step in WRITTEN {
        let step: serde_json::Value = serde_json::from_str(step).unwrap();
        let pipeline = Pipeline::parse(std::slice::from_ref(&step), "/steps").unwrap();
        let rows = Side {
            schema: schema(&[("a", "int64"), ("b", "string")]),
            stream: futures::stream::empty().boxed(),
        };
        let options = TransformOptions::default();
        let mut report = Report::default();
        let planned = planned(rows, &pipeline, &options, &mut report);
        let (plan, _) = planned.await.unwrap();
        let bytes = plan_to_bytes(&plan).unwrap();
        let read = plan_from_bytes(&bytes).unwrap();
        assert_eq!(
            plan.display_indent().to_string(),
            read.display_indent().to_string()
        );
        assert_eq!(plan_to_bytes(&read).unwrap(), bytes, "{step}");
    }
}
