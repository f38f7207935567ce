//! Steps that deal with what is missing, end to end.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int64Type, SchemaRef};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_values::ColumnKind;

use super::testing::{Outcome, batches, golden, run, schema, through};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_impute() {
    golden("impute").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_impute_auto() {
    golden("impute_auto").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_fill_nulls() {
    golden("fill_nulls").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_drop_nulls() {
    golden("drop_nulls").await;
}

/// Memory in which nothing of some size stays.
const LITTLE: usize = 4 << 20;

async fn refused(columns: &[(&str, &str)], rows: Value, steps: Value) -> (String, String) {
    let error = run(columns, rows, steps).await.unwrap_err();
    let pointer = error.fields().first().map(|field| field.pointer.clone());
    (error.stable_code().to_owned(), pointer.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_numbers_stay_whole_where_their_value_is() {
    let columns = [
        ("a", "int64"),
        ("b", "int32"),
        ("c", "decimal(10,2)"),
        ("d", "float32"),
    ];
    let rows = json!([
        {"a": 1, "b": 1, "c": 1.25, "d": 0.5},
        {"a": null, "b": null, "c": null, "d": null},
        {"a": 3, "b": 2, "c": 1.50, "d": 1.0},
    ]);
    let names = json!(["a", "b", "c", "d"]);
    let steps = json!([{"op": "impute", "columns": names, "strategy": "average"}]);
    let out = run(&columns, rows, steps).await.unwrap();
    let types = ["a: int64", "b: float64", "c: decimal(10,2)", "d: float64"];
    assert_eq!(out.types(), types);
    let filled = &out.rows()[1];
    assert_eq!(filled, &json!({"a": 2, "b": 1.5, "c": 1.38, "d": 0.75}));
    let report = &out.report[0];
    assert_eq!(
        report["columns"]["b"],
        json!({"strategy": "average", "value": 1.5})
    );
    assert_eq!(report["filled"], json!({"a": 1, "b": 1, "c": 1, "d": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_whole_numbers_are_never_rounded() {
    let columns = [("a", "int64"), ("b", "int64")];
    let big = 9_007_199_254_740_993_i64;
    let rows = json!([{"a": big, "b": 1}, {"a": null, "b": null}, {"a": big, "b": 2}]);
    let average = json!([{"op": "impute", "columns": ["a"], "strategy": "median"}]);
    let out = run(&columns, rows.clone(), average).await.unwrap();
    assert_eq!(out.types()[0], "a: int64");
    let odd = json!([{"a": big, "b": 1}, {"a": null, "b": null}, {"a": 1 - big, "b": 2}]);
    let average = json!([{"op": "impute", "columns": ["a"], "strategy": "average"}]);
    let (code, pointer) = refused(&columns, odd, average).await;
    assert_eq!(
        (code.as_str(), pointer.as_str()),
        ("out_of_range", "/steps/0/columns/0")
    );
    let auto = json!([{"op": "impute", "columns": ["a", "b"], "strategy": "auto",
        "thresholds": {"complete_rows": 0.9, "small_missing_rate": 0.5}}]);
    let out = run(&columns, rows, auto).await.unwrap();
    assert_eq!(out.types(), ["a: int64", "b: float64"]);
    assert_eq!(out.rows()[1], json!({"a": big, "b": 1.5}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_behind_is_told_before_rows_flow() {
    let columns = [("a", "int64")];
    let rows = json!([{"a": 1}, {"a": null}]);
    let steps = json!([
        {"op": "impute", "columns": ["a"], "strategy": "average"},
        {"op": "sort", "by": [{"column": "aa"}]},
    ]);
    let (code, pointer) = refused(&columns, rows.clone(), steps).await;
    assert_eq!(code, "unknown_column");
    assert_eq!(pointer, "/steps/1/by/0/column");
    let steps = json!([
        {"op": "impute", "columns": ["a"], "strategy": "average"},
        {"op": "impute", "columns": ["a"], "strategy": "auto"},
        {"op": "normalize", "columns": ["a"]},
        {"op": "sort", "by": [{"column": "a"}]},
    ]);
    let out = run(&columns, rows, steps).await.unwrap();
    assert_eq!(out.rows(), json!([{"a": null}, {"a": null}]));
    assert_eq!(out.report.as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_with_its_place() {
    let columns = [
        ("a", "int64"),
        ("d", "date"),
        ("t", "string"),
        ("l", "list<int64>"),
    ];
    let rows = json!([{"a": 1, "d": "2020-01-01", "t": "x", "l": [1]}]);
    let impute = |rest: Value| {
        let mut step = json!({"op": "impute"});
        for (key, value) in rest.as_object().unwrap() {
            step[key] = value.clone();
        }
        json!([step])
    };
    for (rest, pointer) in [
        (
            json!({"columns": ["d"], "strategy": "average"}),
            "/steps/0/columns/0",
        ),
        (
            json!({"columns": ["l"], "strategy": "median"}),
            "/steps/0/columns/0",
        ),
        (json!({"columns": ["a"]}), "/steps/0/strategy"),
        (json!({"columns": ["a"], "value": "x"}), "/steps/0/value"),
        (json!({"columns": ["a"], "value": 1.5}), "/steps/0/value"),
        (
            json!({"columns": ["a", "a"], "strategy": "mode"}),
            "/steps/0/columns/1",
        ),
        (
            json!({"columns": ["a"], "strategy": "column", "source_column": "t"}),
            "/steps/0/source_column",
        ),
        (
            json!({"columns": ["a"], "strategy": "sequential", "order_by": ["l"]}),
            "/steps/0/order_by/0",
        ),
        (
            json!({"columns": ["a"], "strategy": "auto", "thresholds": {"skw": 1}}),
            "/steps/0/thresholds/skw",
        ),
    ] {
        let (_, found) = refused(&columns, rows.clone(), impute(rest.clone())).await;
        assert_eq!(found, pointer, "{rest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_that_do_nothing_are_told() {
    let rows = json!([{"a": 1}, {"a": null}]);
    let steps = json!([{"op": "impute", "columns": ["a"], "strategy": "mode", "value": 5, "order_by": ["a"]}]);
    let out = run(&[("a", "int64")], rows, steps).await.unwrap();
    assert_eq!(out.report[0]["warnings"].as_array().unwrap().len(), 2);
    assert_eq!(out.rows()[1], json!({"a": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_given_as_something_is_read_as_it() {
    let table = schema(&[("n", "string"), ("t", "string")]);
    let rows = json!([
        {"n": "10", "t": "Feb 1, 2023"}, {"n": " ", "t": "3/4/2021"}, {"n": "5", "t": "not a date"},
    ]);
    let kinds = [("n", ColumnKind::Number), ("t", ColumnKind::Datetime)];
    let steps = json!([
        {"op": "impute", "columns": ["n"], "strategy": "sequential", "order_by": ["t"]},
        {"op": "impute", "columns": ["n"], "strategy": "median"},
    ]);
    let given = batches(&table, &rows);
    let out = through(Arc::clone(&table), given, &steps, &kinds, 64 << 20)
        .await
        .unwrap();
    let rows = out.rows();
    let first: Vec<&Value> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["n"])
        .collect();
    assert_eq!(first, [&json!(7.5), &json!(10.0), &json!(5.0)]);
    let bad = batches(&table, &json!([{"n": "1"}, {"n": "2"}, {"n": "three"}]));
    let steps = json!([{"op": "impute", "columns": ["n"], "strategy": "average"}]);
    let error = through(table, bad, &steps, &kinds, 64 << 20)
        .await
        .unwrap_err();
    assert!(error.message().contains("row 2"), "{}", error.message());
}

fn numbers(rows: i64, every: i64) -> (SchemaRef, Vec<RecordBatch>) {
    let table = schema(&[("n", "int64"), ("t", "string"), ("f", "float64")]);
    let made = (0..rows / 1000).map(|batch| {
        let all = batch * 1000..(batch + 1) * 1000;
        let there = |n: &i64| n % every != 0;
        let n: Int64Array = all
            .clone()
            .map(|n| there(&n).then_some(n * 7919 % 1_000_003))
            .collect();
        let t: StringArray = all
            .clone()
            .map(|n| there(&n).then(|| format!("text {}", n * 31 % 50_021)))
            .collect();
        let f: Float64Array = all
            .map(|n| there(&n).then_some((n % 977) as f64 / 3.0))
            .collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(n), Arc::new(t), Arc::new(f)];
        RecordBatch::try_new(Arc::clone(&table), columns).unwrap()
    });
    let made = made.collect();
    (table, made)
}

async fn filled(rows: i64, memory: usize, steps: &Value) -> Outcome {
    let (table, given) = numbers(rows, 10);
    through(table, given, steps, &[], memory).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_memory_finds_what_much_memory_finds() {
    let (_, given) = numbers(60_000, 10);
    let bytes: usize = given.iter().map(weir_core::memory_of).sum();
    assert!(
        bytes > LITTLE / 3,
        "{bytes}: more than a spool keeps in memory"
    );
    for step in [
        json!({"op": "impute", "columns": ["n", "f"], "strategy": "median"}),
        json!({"op": "impute", "columns": ["n", "t", "f"], "strategy": "mode"}),
        json!({"op": "fill_nulls", "columns": ["n", "t"], "method": "bfill"}),
        json!({"op": "remove_outliers", "columns": ["n", "f"], "method": "iqr", "threshold": 0.1}),
        json!({"op": "standardize", "columns": ["n", "f"]}),
        json!({"op": "impute", "columns": ["n", "t"], "strategy": "sequential", "order_by": ["f"]}),
    ] {
        let steps = json!([step]);
        let (much, little) = (
            filled(60_000, 1 << 30, &steps).await,
            filled(60_000, LITTLE, &steps).await,
        );
        assert_eq!(much.report, little.report, "{step}");
        let whole =
            |out: &Outcome| arrow::compute::concat_batches(&out.schema, &out.batches).unwrap();
        assert_eq!(whole(&much), whole(&little), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chance_takes_what_is_there_and_the_same_for_a_seed() {
    let steps = json!([{"op": "impute", "columns": ["n", "t"], "strategy": "random", "seed": 5}]);
    let (first, again) = (
        filled(300_000, 1 << 30, &steps).await,
        filled(300_000, 1 << 30, &steps).await,
    );
    let whole = |out: &Outcome| arrow::compute::concat_batches(&out.schema, &out.batches).unwrap();
    assert_eq!(whole(&first), whole(&again));
    assert_eq!(first.report[0]["seed"], 5);
    assert_eq!(first.report[0]["columns"]["n"]["sampled"], true);
    let all = whole(&first);
    assert_eq!(all.column(0).null_count() + all.column(1).null_count(), 0);
    let drawn = all.column(0).as_primitive::<Int64Type>();
    let mut values: Vec<i64> = (0..drawn.len())
        .step_by(10)
        .map(|row| drawn.value(row))
        .collect();
    assert!(values.iter().all(|n| (0..1_000_003).contains(n)));
    values.sort_unstable();
    values.dedup();
    assert!(values.len() > 5000, "{}", values.len());
    let drawn = json!([{"op": "impute", "columns": ["n"], "strategy": "random"}]);
    assert!(filled(300_000, 1 << 30, &drawn).await.report[0]["seed"].is_u64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_and_large_text_keep_their_types() {
    let columns = [("j", "json"), ("a", "int64")];
    let rows = json!([{"j": "{\"a\":1}", "a": 1}, {"j": null, "a": 2}]);
    let steps = json!([{"op": "impute", "columns": ["j"], "strategy": "constant"}]);
    let out = run(&columns, rows, steps).await.unwrap();
    assert_eq!(out.types()[0], "j: json");
    assert_eq!(out.rows()[1]["j"], "\"missing\"");
    let field = arrow::datatypes::Field::new("t", arrow::datatypes::DataType::LargeUtf8, true);
    let table = Arc::new(arrow::datatypes::Schema::new(vec![field]));
    let array = arrow::array::LargeStringArray::from(vec![Some("a"), None, Some(" ")]);
    let batch = RecordBatch::try_new(Arc::clone(&table), vec![Arc::new(array)]).unwrap();
    for strategy in ["mode", "random", "sequential", "constant"] {
        let steps = json!([{"op": "impute", "columns": ["t"], "strategy": strategy}]);
        let out = through(
            Arc::clone(&table),
            vec![batch.clone()],
            &steps,
            &[],
            64 << 20,
        )
        .await
        .unwrap();
        assert_eq!(out.schema.field(0).data_type(), table.field(0).data_type());
        assert_eq!(out.batches[0].column(0).null_count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn detection_decides_what_a_constant_is() {
    let columns = [("n", "string"), ("l", "string"), ("d", "string")];
    let rows = json!([
        {"n": "1,000", "l": "[1]", "d": "2020-01-01"}, {"n": "$5", "l": "(2)", "d": "2020-01-02"},
        {"n": "", "l": null, "d": "2020-01-03"},
    ]);
    let steps = json!([{"op": "impute", "columns": ["n", "l", "d"], "strategy": "constant"}]);
    let out = run(&columns, rows, steps.clone()).await.unwrap();
    assert_eq!(
        out.rows()[2],
        json!({"n": "0", "l": "[]", "d": "2020-01-03"})
    );
    let gap = json!([{"d": "2020-01-01"}, {"d": null}]);
    let (_, pointer) = refused(&columns, gap, steps).await;
    assert_eq!(pointer, "/steps/0/columns/2");
}

fn any_step() -> impl Strategy<Value = Value> {
    let impute = prop::sample::select(vec!["mode", "constant", "random", "sequential", "row_rm", "auto"])
        .prop_map(|strategy| json!({"op": "impute", "columns": ["n", "t", "f"], "strategy": strategy, "seed": 1}));
    let numbers = prop::sample::select(vec!["average", "median"])
        .prop_map(|strategy| json!({"op": "impute", "columns": ["n", "f"], "strategy": strategy}));
    let nulls = prop::sample::select(vec!["mode", "ffill", "bfill", "constant"]).prop_map(
        |method| json!({"op": "fill_nulls", "columns": ["n", "t", "f"], "method": method}),
    );
    let scale = prop::sample::select(vec!["normalize", "standardize"])
        .prop_map(|op| json!({"op": op, "columns": ["n", "f"]}));
    let outliers = prop::sample::select(vec!["iqr", "zscore", "lof", "isolation_forest", "auto"])
        .prop_map(
            |method| json!({"op": "remove_outliers", "columns": ["n", "f", "t"], "method": method}),
        );
    prop_oneof![
        impute,
        numbers,
        nulls,
        scale,
        outliers,
        Just(json!({"op": "drop_nulls"}))
    ]
}

fn any_rows() -> impl Strategy<Value = Vec<(Option<i64>, Option<String>, Option<f64>)>> {
    let small = || -5_i64..5;
    let n = prop::option::of(prop_oneof![small(), any::<i64>(), Just(i64::MAX)]);
    let t = prop::option::of(prop_oneof!["[ab]{0,1}", " {0,2}", ".{0,6}"]);
    let f = prop::option::of(prop_oneof![
        any::<f64>(),
        Just(1e300),
        (-3_i32..3).prop_map(f64::from)
    ]);
    prop::collection::vec((n, t, f), 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_table_comes_through(rows in any_rows(), steps in prop::collection::vec(any_step(), 1..3)) {
        let table = schema(&[("n", "int64"), ("t", "string"), ("f", "float64")]);
        let given: Vec<RecordBatch> = rows.chunks(7).map(|rows| {
            let n: Int64Array = rows.iter().map(|row| row.0).collect();
            let t: StringArray = rows.iter().map(|row| row.1.clone()).collect();
            let f: Float64Array = rows.iter().map(|row| row.2).collect();
            let columns: Vec<ArrayRef> = vec![Arc::new(n), Arc::new(t), Arc::new(f)];
            RecordBatch::try_new(Arc::clone(&table), columns).unwrap()
        }).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let steps = json!(steps);
        match runtime.block_on(through(table, given, &steps, &[], 64 << 20)) {
            Err(error) => prop_assert_eq!(error.kind(), weir_core::Kind::Invalid, "{:?}", error),
            Ok(out) => {
                for batch in &out.batches {
                    prop_assert_eq!(batch.schema(), Arc::clone(&out.schema));
                    for column in batch.columns() {
                        if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
                            prop_assert!(floats.iter().flatten().all(f64::is_finite));
                        }
                    }
                }
                let removes = |step: &Value| ["remove_outliers", "drop_nulls"].contains(&step["op"].as_str().unwrap())
                    || ["row_rm", "auto"].contains(&step["strategy"].as_str().unwrap_or(""));
                let left: usize = out.batches.iter().map(RecordBatch::num_rows).sum();
                let removed: u64 = out.report.as_array().unwrap().iter().filter_map(|step| step["removed"].as_u64()).sum();
                if steps.as_array().unwrap().iter().any(removes) {
                    prop_assert_eq!(left + removed as usize, rows.len());
                } else {
                    prop_assert_eq!(left, rows.len());
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_finds_out_what_columns_mean() {
    let columns = [("n", "string"), ("c", "string"), ("b", "int64")];
    let rows: Vec<Value> = (0..12)
        .map(|at| {
            let n = match at {
                0..3 => json!(" "),
                at => json!(format!("{},000", at)),
            };
            let c = (at % 3 > 0).then_some("red");
            let b = (at < 10).then_some(at % 2);
            json!({"n": n, "c": c, "b": b})
        })
        .collect();
    let steps =
        json!([{"op": "impute", "columns": ["n", "c", "b"], "strategy": "auto", "seed": 1}]);
    let out = run(&columns, json!(rows), steps).await.unwrap();
    let report = &out.report[0];
    let told = |name: &str, key: &str| report["columns"][name][key].clone();
    assert_eq!(told("n", "type"), "number");
    assert_eq!(told("n", "strategy"), "average");
    assert_eq!(told("n", "missing"), 3);
    assert_eq!(told("c", "strategy"), "mode");
    assert_eq!(told("b", "type"), "true_or_false");
    assert_eq!(told("b", "strategy"), "mode");
    assert_eq!(out.types(), ["n: string", "c: string", "b: int64"]);
    assert_eq!(out.rows()[0], json!({"n": "7000.0", "c": "red", "b": 0}));
    assert_eq!(report["seed"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_looks_like_dates_makes_a_time_series() {
    let columns = [("day", "string"), ("a", "float64"), ("b", "float64")];
    let rows: Vec<Value> = (0..9)
        .map(|at| {
            let there = |gap: i64| (at % 3 != gap).then_some(at as f64);
            json!({"day": format!("{}/{}/2024", 9 - at, 9 - at), "a": there(1), "b": there(2)})
        })
        .collect();
    let steps = json!([{"op": "impute", "columns": ["a", "b"], "strategy": "auto"}]);
    let out = run(&columns, json!(rows), steps).await.unwrap();
    assert_eq!(out.report[0]["columns"]["a"]["strategy"], "sequential");
    assert_eq!(out.report[0]["columns"]["a"]["order_by"], json!(["day"]));
    assert_eq!(
        out.rows()[0],
        json!({"day": "1/1/2024", "a": 8.0, "b": null})
    );
    assert_eq!(out.rows()[8]["day"], "9/9/2024");
}
