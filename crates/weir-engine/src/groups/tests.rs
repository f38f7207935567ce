//! The steps over groups and over row order, end to end.

use serde_json::{Value, json};
use weir_values::ColumnKind;

use crate::steps::testing::{Outcome, batches, run, schema, through};

async fn rows(columns: &[(&str, &str)], rows: Value, step: Value) -> Outcome {
    run(columns, rows, json!([step])).await.unwrap()
}

async fn error(columns: &[(&str, &str)], rows: Value, step: Value) -> (String, String, String) {
    let error = run(columns, rows, json!([step])).await.unwrap_err();
    let pointer = error.fields().first().map(|f| f.pointer.clone());
    let code = error.stable_code().to_owned();
    (
        pointer.unwrap_or_default(),
        code,
        error.message().to_owned(),
    )
}

/// The values of a column.
fn column(outcome: &Outcome, name: &str) -> Value {
    let rows = outcome.rows();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[name].clone()).collect()
}

const SALES: &[(&str, &str)] = &[("shop", "string"), ("n", "int64"), ("at", "timestamp(us)")];

fn sales() -> Value {
    json!([
        {"shop": "a", "n": 1, "at": "2024-01-01T00:00:00"},
        {"shop": "", "n": 5, "at": "2024-01-02T00:00:00"},
        {"shop": null, "n": 7, "at": "2024-01-03T00:00:00"},
        {"shop": "a", "n": null, "at": "2024-01-04T00:00:00"},
        {"shop": "a", "n": 4, "at": null},
        {"shop": "b", "n": null, "at": "2024-01-06T00:00:00"},
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_gets_what_its_group_amounts_to() {
    for (op, expected) in [
        ("average", json!([2.5, 5.0, null, 2.5, 2.5, null])),
        ("sum", json!([5, 5, null, 5, 5, 0])),
        ("min", json!([1, 5, null, 1, 1, null])),
        ("max", json!([4, 5, null, 4, 4, null])),
        ("median", json!([2.5, 5.0, null, 2.5, 2.5, null])),
        ("count", json!([2, 1, null, 2, 2, 0])),
        ("count_distinct", json!([2, 1, null, 2, 2, 0])),
        ("first", json!([1, 5, null, 1, 1, null])),
        ("last", json!([4, 5, null, 4, 4, null])),
    ] {
        let step = json!({"op": op, "columns": ["n"], "group_by": ["shop"]});
        let out = rows(SALES, sales(), step).await;
        assert_eq!(column(&out, &format!("n_{op}")), expected, "{op}");
        assert_eq!(column(&out, "n"), json!([1, 5, 7, null, 4, null]));
        let step = json!({"op": op, "columns": ["n"], "names": ["n"]});
        let whole = rows(SALES, sales(), step).await;
        let names: Vec<String> = whole.types();
        assert_eq!(names.len(), 3);
        let first = column(&whole, "n")[0].clone();
        let wanted = match op {
            "average" => json!(4.25),
            "sum" => json!(17),
            "median" => json!(4.5),
            "count" | "count_distinct" => json!(4),
            "min" | "first" => json!(1),
            "max" => json!(7),
            _ => json!(4),
        };
        assert_eq!(first, wanted, "{op}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_rows_of_the_condition_and_the_window_count() {
    let step = json!({"op": "sum", "columns": ["n"], "group_by": ["shop"], "condition": "n >= 4", "names": ["s"]});
    let out = rows(SALES, sales(), step).await;
    assert_eq!(column(&out, "s"), json!([4, 5, null, 4, 4, null]));
    let step = json!({"op": "count", "columns": ["n"], "condition": "n > 100", "names": ["c"]});
    let out = rows(SALES, sales(), step).await;
    assert_eq!(
        column(&out, "c"),
        json!([null, null, null, null, null, null])
    );
    let two = &[("k", "int64"), ("a", "string"), ("b", "date")];
    let data = json!([
        {"k": 1, "a": "2024-01-03", "b": "2024-01-01"},
        {"k": 1, "a": "2024-01-02", "b": "2024-01-01"},
        {"k": 1, "a": "2023-12-31", "b": "2024-01-01"},
        {"k": 2, "a": null, "b": "2024-01-01"},
        {"k": 2, "a": "2024-01-01 12:00", "b": "2024-01-01"},
    ]);
    for (seconds, expected) in [
        (86_400, json!([1, 1, 1, 1, 1])),
        (-86_400, json!([1, 1, 1, null, null])),
        (200_000, json!([2, 2, 2, 1, 1])),
        (0, json!([null, null, null, null, null])),
    ] {
        let step = json!({"op": "count", "columns": ["b"], "group_by": ["k"], "names": ["c"],
            "window_seconds": seconds, "timestamp_a": "a", "timestamp_b": "b"});
        let out = rows(two, data.clone(), step).await;
        assert_eq!(column(&out, "c"), expected, "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_keep_every_digit_and_their_types() {
    let big = 9_007_199_254_740_993_i64;
    let data = json!([{"a": big, "b": "1.10"}, {"a": big, "b": "2.05"}, {"a": null, "b": null}]);
    let columns = &[("a", "int64"), ("b", "decimal(5,2)")];
    let out = rows(
        columns,
        data.clone(),
        json!({"op": "sum", "columns": ["a", "b"]}),
    )
    .await;
    assert_eq!(out.types()[2..], ["a_sum: int64", "b_sum: decimal(38,2)"]);
    assert_eq!(column(&out, "a_sum")[0], json!(2 * big));
    let out = rows(columns, data, json!({"op": "max", "columns": ["a", "b"]})).await;
    assert_eq!(out.types()[2..], ["a_max: int64", "b_max: decimal(5,2)"]);
    assert_eq!(column(&out, "a_max")[2], json!(big));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_means_numbers_is_read_as_numbers() {
    let data = json!([{"t": " 10 "}, {"t": ""}, {"t": "9.5"}, {"t": null}]);
    let schema = schema(&[("t", "string")]);
    let kinds = [("t", ColumnKind::Number)];
    for (op, expected) in [
        ("sum", json!(19.5)),
        ("max", json!(10.0)),
        ("count", json!(3)),
    ] {
        let steps = json!([{"op": op, "columns": ["t"], "names": ["r"]}]);
        let given = batches(&schema, &data);
        let out = through(schema.clone(), given, &steps, &kinds, 64 << 20)
            .await
            .unwrap();
        assert_eq!(column(&out, "r")[3], expected, "{op}");
    }
    let steps = json!([{"op": "diff", "column": "t"}]);
    let given = batches(&schema, &data);
    let out = through(schema.clone(), given, &steps, &kinds, 64 << 20)
        .await
        .unwrap();
    assert_eq!(column(&out, "t_diff"), json!([null, null, null, null]));
    let bad = json!([{"t": "1"}, {"t": "2"}, {"t": "x"}]);
    let steps = json!([{"op": "average", "columns": ["t"]}]);
    let given = batches(&schema, &bad);
    let error = through(schema, given, &steps, &kinds, 64 << 20)
        .await
        .unwrap_err();
    assert!(
        error.message().contains("column `t`, row 2"),
        "{}",
        error.message()
    );
    assert_eq!(error.fields()[0].pointer, "/steps/0/columns/0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_become_rows_in_the_order_they_come() {
    let step = json!({"op": "group", "group_by": ["shop"], "aggregations": [
        {"function": "sum", "column": "n"},
        {"function": "mean", "column": "n", "name": "m"},
        {"function": "count"},
        {"function": "last", "column": "at"},
    ]});
    let out = rows(SALES, sales(), step).await;
    assert_eq!(
        out.types(),
        [
            "shop: string",
            "n_sum: int64",
            "m: float64",
            "count: int64",
            "at_last: timestamp(us)"
        ]
    );
    assert_eq!(column(&out, "shop"), json!(["a", "", null, "b"]));
    assert_eq!(column(&out, "n_sum"), json!([5, 5, 7, 0]));
    assert_eq!(column(&out, "m"), json!([2.5, 5.0, 7.0, null]));
    assert_eq!(column(&out, "count"), json!([3, 1, 1, 1]));
    assert_eq!(column(&out, "at_last")[0], json!("2024-01-04T00:00:00"));
    let step = json!({"op": "aggregate", "aggregations": [{"function": "std", "column": "n"}]});
    let out = rows(SALES, sales(), step.clone()).await;
    assert_eq!(column(&out, "n_std"), json!([2.5]));
    assert_eq!(rows(SALES, json!([]), step).await.rows(), json!([]));
    let keys = rows(
        SALES,
        sales(),
        json!({"op": "aggregate", "group_by": ["shop"]}),
    )
    .await;
    assert_eq!(keys.rows().as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_rows_stay_once_or_not_at_all() {
    let columns = &[("k", "float64"), ("v", "int64")];
    let data = json!([{"k": 1, "v": 0}, {"k": null, "v": 1}, {"k": 0.0, "v": 2}, {"k": -0.0, "v": 3}, {"k": null, "v": 4}, {"k": 2, "v": 5}]);
    for (keep, expected) in [
        (json!("first"), json!([0, 1, 2, 5])),
        (json!("last"), json!([0, 3, 4, 5])),
        (json!("none"), json!([0, 5])),
    ] {
        let step = json!({"op": "drop_duplicate", "columns": ["k"], "keep": keep});
        let out = rows(columns, data.clone(), step).await;
        assert_eq!(column(&out, "v"), expected, "{keep}");
        let removed = 6 - expected.as_array().unwrap().len();
        assert_eq!(out.report[0]["removed"], json!(removed));
    }
    let data = json!([{"a": [1, null]}, {"a": [1, null]}, {"a": null}, {"a": []}, {"a": null}]);
    let out = rows(
        &[("a", "list<int64>")],
        data,
        json!({"op": "drop_duplicates"}),
    )
    .await;
    assert_eq!(
        out.rows(),
        json!([{"a": [1, null]}, {"a": []}, {"a": null}])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_move_down_and_up() {
    for (step, expected) in [
        (json!({"op": "shift_down"}), json!([null, 1, 5, 7, null, 4])),
        (
            json!({"op": "shift_up"}),
            json!([5, 7, null, 4, null, null]),
        ),
        (
            json!({"op": "shift_down", "periods": 2, "fill": -1}),
            json!([-1, -1, 1, 5, 7, null]),
        ),
        (
            json!({"op": "shift_down", "periods": -2, "fill": -1}),
            json!([7, null, 4, null, -1, -1]),
        ),
        (
            json!({"op": "shift_up", "periods": 100, "fill": 0}),
            json!([0, 0, 0, 0, 0, 0]),
        ),
        (
            json!({"op": "shift_down", "periods": 99_999_999_999_i64}),
            json!([null, null, null, null, null, null]),
        ),
        (
            json!({"op": "shift_up", "periods": 0}),
            json!([1, 5, 7, null, 4, null]),
        ),
        (
            json!({"op": "shift_down", "group_by": ["shop"], "fill": 0}),
            json!([0, 0, null, 1, null, 0]),
        ),
        (
            json!({"op": "shift_up", "group_by": ["shop"], "fill": 0}),
            json!([null, 0, null, 4, 0, 0]),
        ),
        (
            json!({"op": "shift_down", "group_by": ["shop"], "periods": 2}),
            json!([null, null, null, null, 1, null]),
        ),
        (
            json!({"op": "shift_down", "group_by": ["shop"], "periods": 20}),
            json!([null, null, null, null, null, null]),
        ),
    ] {
        let mut step = step;
        step["column"] = json!("n");
        step["name"] = json!("r");
        let out = rows(SALES, sales(), step.clone()).await;
        assert_eq!(column(&out, "r"), expected, "{step}");
    }
    let out = rows(
        SALES,
        sales(),
        json!({"op": "shift_down", "column": "shop", "name": "shop"}),
    )
    .await;
    assert_eq!(column(&out, "shop"), json!([null, "a", "", null, "a", "a"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_are_exact_and_dates_differ_by_days() {
    let out = rows(SALES, sales(), json!({"op": "diff", "column": "n"})).await;
    assert_eq!(
        column(&out, "n_diff"),
        json!([null, 4, 2, null, null, null])
    );
    let out = rows(
        SALES,
        sales(),
        json!({"op": "diff", "column": "at", "periods": -1}),
    )
    .await;
    assert_eq!(
        column(&out, "at_diff"),
        json!([-1.0, -1.0, -1.0, null, null, null])
    );
    assert_eq!(out.types()[3], "at_diff: float64");
    let out = rows(
        SALES,
        sales(),
        json!({"op": "diff", "column": "n", "group_by": ["shop"], "periods": 2, "name": "d"}),
    )
    .await;
    assert_eq!(column(&out, "d"), json!([null, null, null, null, 3, null]));
    let columns = &[
        ("a", "int64"),
        ("b", "date"),
        ("c", "decimal(4,2)"),
        ("d", "uint64"),
    ];
    let big = 9_007_199_254_740_993_i64;
    let data = json!([
        {"a": 1, "b": "1890-01-01", "c": "0.10", "d": 18_446_744_073_709_551_615_u64},
        {"a": big, "b": "1890-01-03", "c": "99.99", "d": 18_446_744_073_709_551_614_u64},
    ]);
    for (name, expected) in [
        ("a", json!(big - 1)),
        ("b", json!(2.0)),
        ("c", json!(99.89)),
        ("d", json!(-1)),
    ] {
        let out = rows(
            columns,
            data.clone(),
            json!({"op": "diff", "column": name, "name": "r"}),
        )
        .await;
        assert_eq!(
            column(&out, "r")[1].to_string(),
            expected.to_string(),
            "{name}"
        );
    }
    let data = json!([{"a": i64::MIN}, {"a": 1}]);
    let (pointer, code, message) = error(
        &[("a", "int64")],
        data,
        json!({"op": "diff", "column": "a"}),
    )
    .await;
    assert_eq!(
        (pointer.as_str(), code.as_str()),
        ("/steps/0/column", "overflow")
    );
    assert!(message.contains("`a`"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_table_passes_with_the_columns_of_the_step() {
    for (step, width) in [
        (json!({"op": "average", "columns": ["n"]}), 4),
        (
            json!({"op": "median", "columns": ["n"], "group_by": ["shop"]}),
            4,
        ),
        (
            json!({"op": "aggregate", "group_by": ["shop"], "aggregations": [{"function": "max", "column": "n"}]}),
            2,
        ),
        (json!({"op": "drop_duplicates"}), 3),
        (json!({"op": "drop_duplicates", "keep": "first"}), 3),
        (json!({"op": "diff", "column": "n"}), 4),
        (
            json!({"op": "shift_up", "column": "n", "group_by": ["shop"]}),
            4,
        ),
        (
            json!({"op": "shift_down", "column": "n", "group_by": ["shop"]}),
            4,
        ),
    ] {
        let out = rows(SALES, json!([]), step.clone()).await;
        assert_eq!(out.types().len(), width, "{step}");
        assert_eq!(out.rows(), json!([]), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_told_before_rows_flow() {
    for (step, pointer, code) in [
        (
            json!({"op": "sum", "columns": ["shop"]}),
            "/steps/0/columns/0",
            "invalid",
        ),
        (
            json!({"op": "average", "columns": ["n", "at"]}),
            "/steps/0/columns/1",
            "invalid",
        ),
        (
            json!({"op": "sum", "columns": ["m"]}),
            "/steps/0/columns/0",
            "unknown_column",
        ),
        (
            json!({"op": "sum", "columns": []}),
            "/steps/0/columns",
            "invalid",
        ),
        (
            json!({"op": "sum", "columns": ["n"], "group_by": ["shp"]}),
            "/steps/0/group_by/0",
            "unknown_column",
        ),
        (
            json!({"op": "sum", "columns": ["n"], "names": []}),
            "/steps/0/names",
            "invalid",
        ),
        (
            json!({"op": "sum", "columns": ["n", "n"]}),
            "/steps/0/columns/1",
            "invalid",
        ),
        (
            json!({"op": "sum", "columns": ["n"], "condition": "m > 1"}),
            "/steps/0/condition",
            "unknown_column",
        ),
        (
            json!({"op": "sum", "columns": ["n"], "condition": "n >"}),
            "/steps/0/condition",
            "invalid_filter",
        ),
        (
            json!({"op": "sum", "columns": ["n"], "window_seconds": 5}),
            "/steps/0",
            "invalid",
        ),
        (
            json!({"op": "sum", "columns": ["n"], "window_seconds": 5, "timestamp_a": "n", "timestamp_b": "at"}),
            "/steps/0/timestamp_a",
            "invalid",
        ),
        (
            json!({"op": "sum", "columns": ["n"], "groupby": []}),
            "/steps/0/groupby",
            "unknown_field",
        ),
        (
            json!({"op": "aggregate", "aggregations": [{"function": "summ", "column": "n"}]}),
            "/steps/0/aggregations/0/function",
            "invalid",
        ),
        (
            json!({"op": "aggregate", "aggregations": [{"function": "sum"}]}),
            "/steps/0/aggregations/0/column",
            "invalid",
        ),
        (
            json!({"op": "aggregate", "aggregations": [{"function": "sum", "column": "shop"}]}),
            "/steps/0/aggregations/0/column",
            "invalid",
        ),
        (
            json!({"op": "aggregate", "group_by": ["n"], "aggregations": [{"function": "sum", "column": "n", "name": "n"}]}),
            "/steps/0/aggregations/0/name",
            "invalid",
        ),
        (json!({"op": "aggregate"}), "/steps/0", "invalid"),
        (
            json!({"op": "drop_duplicates", "columns": ["x"]}),
            "/steps/0/columns/0",
            "unknown_column",
        ),
        (
            json!({"op": "drop_duplicates", "columns": []}),
            "/steps/0/columns",
            "invalid",
        ),
        (
            json!({"op": "drop_duplicates", "keep": "some"}),
            "/steps/0/keep",
            "invalid",
        ),
        (
            json!({"op": "diff", "column": "shop"}),
            "/steps/0/column",
            "invalid",
        ),
        (
            json!({"op": "diff", "column": "x"}),
            "/steps/0/column",
            "unknown_column",
        ),
        (
            json!({"op": "shift_down", "column": "n", "fill": "x"}),
            "/steps/0/fill",
            "invalid",
        ),
        (
            json!({"op": "shift_up", "column": "n", "group_by": ["nn"]}),
            "/steps/0/group_by/0",
            "unknown_column",
        ),
    ] {
        let told = error(SALES, sales(), step.clone()).await;
        assert_eq!(
            (told.0.as_str(), told.1.as_str()),
            (pointer, code),
            "{step}: {}",
            told.2
        );
    }
}

#[test]
fn operators_are_made_again_from_their_arguments() {
    use crate::steps::operators::operator;
    let measure = json!({"function": "count_distinct", "column": 1, "name": "a", "of": "b", "pointer": "/steps/0/columns/0", "read": "moments"});
    let moment =
        json!({"column": 2, "read": "stored", "of": "c", "pointer": "/steps/0/timestamp_a"});
    for (name, args) in [
        (
            "weir_broadcast",
            json!({"keys": [0], "measures": [measure], "condition": "a > 1", "window": {"micros": -5, "a": moment, "b": moment}}),
        ),
        ("weir_aggregate", json!({"keys": [], "measures": [measure]})),
        ("weir_drop_duplicates", json!({"keys": [1], "keep": "none"})),
        (
            "weir_shift",
            json!({"column": 1, "periods": -3, "keys": [0], "name": "x", "is_difference": false, "read": "numbers", "fill": 1.5, "of": "b", "pointer": "/steps/0/fill"}),
        ),
    ] {
        assert_eq!(operator(name, args.clone()).unwrap().args(), args);
    }
}
