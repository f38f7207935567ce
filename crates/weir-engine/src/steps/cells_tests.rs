//! Steps over cells: what they report, where they refuse, and that nothing is
//! too odd for them.

use proptest::prelude::*;
use serde_json::{Value, json};
use weir_values::ColumnKind;

use super::testing::{Outcome, batches, run, schema, through};

async fn refused(columns: &[(&str, &str)], rows: Value, step: Value) -> (String, String, String) {
    let error = run(columns, rows, json!([step.clone()])).await;
    let error = error.expect_err(&step.to_string());
    let pointer = error.fields().first().map(|field| field.pointer.clone());
    let code = error.stable_code().to_owned();
    (
        pointer.unwrap_or_default(),
        code,
        error.message().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_cannot_be_read_is_named_by_its_row_in_the_whole_table() {
    let rows = json!([{"a": "1"}, {"a": "2"}, {"a": ""}, {"a": null}, {"a": "five"}, {"a": "six"}]);
    let step = json!({"op": "convert_type", "columns": ["a"], "type": "int64", "on_error": "fail"});
    let (pointer, code, message) = refused(&[("a", "string")], rows.clone(), step).await;
    assert_eq!(
        (pointer.as_str(), code.as_str()),
        ("/steps/0/columns", "unreadable_value")
    );
    assert_eq!(
        message,
        "column `a`, row 4: `five` is not a whole number of 64 bits"
    );
    let steps =
        json!([{"op": "add_column", "name": "z", "udf": "multiply", "columns": ["a"], "value": 2}]);
    let schema = schema(&[("a", "string")]);
    let given = batches(&schema, &rows);
    let error = through(
        schema,
        given,
        &steps,
        &[("a", ColumnKind::Number)],
        64 << 20,
    )
    .await;
    assert_eq!(
        error.unwrap_err().message(),
        "column `a`, row 4: `five` is not a number"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_reports_what_it_did() {
    let rows = json!([{"a": " x", "b": "$5"}, {"a": "y", "b": "?"}, {"a": "Z", "b": ""}, {"a": null, "b": null}]);
    let steps = json!([
        {"op": "trim_whitespace", "columns": ["a", "b"]},
        {"op": "uppercase", "columns": ["a"]},
        {"op": "replace", "columns": ["a"], "pattern": "X", "replacement": "xx"},
        {"op": "reformat", "mode": "currency", "columns": ["b"]},
        {"op": "replace", "columns": ["b"], "pattern": 5, "replacement": null, "whole_cell": true},
        {"op": "convert_type", "columns": ["a"], "type": "float64"},
        {"op": "clean_column_names", "columns": ["a"]},
    ]);
    let out = run(&[("a", "string"), ("b", "string")], rows, steps)
        .await
        .unwrap();
    let report = &out.report;
    assert_eq!(report[0]["changed"], json!({"a": 1, "b": 0}));
    assert_eq!(report[1]["changed"], json!({"a": 2}));
    assert_eq!(report[2]["changed"], json!({"a": 1}));
    assert_eq!(report[3]["changed"], json!({"b": 1}));
    assert_eq!(report[3]["unreadable"], json!({"b": 1}));
    assert_eq!(report[4]["changed"], json!({"b": 1}));
    assert_eq!(report[5]["unreadable"], json!({"a": 3}));
    assert_eq!(report[6]["renamed"], json!({}));
    assert_eq!(out.types(), ["a: float64", "b: float64"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_column_means_is_found_out_where_it_is_not_told() {
    let mails: Vec<Value> = (0..20).map(|n| json!({"m": if n == 7 { "oops".to_owned() } else { format!("a{n}@b.de") }, "t": "x"})).collect();
    let steps = json!([{"op": "fix_syntax_errors", "columns": ["m", "t"]}]);
    let out = run(&[("m", "string"), ("t", "string")], json!(mails), steps)
        .await
        .unwrap();
    assert_eq!(out.rows()[7]["m"], "invalid");
    assert_eq!(out.report[0]["changed"], json!({"m": 1, "t": 0}));
    assert_eq!(out.report[0]["types"]["m"], "email");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_that_do_not_belong_are_refused() {
    let columns = [
        ("a", "int64"),
        ("t", "string"),
        ("d", "timestamp"),
        ("l", "list<int64>"),
    ];
    for (step, pointer) in [
        (
            json!({"op": "add_column", "name": "z", "udf": "constant", "value": 1, "columns": ["a"]}),
            "/steps/0/columns",
        ),
        (
            json!({"op": "add_column", "name": "z", "expression": "a", "value": 1}),
            "/steps/0/value",
        ),
        (
            json!({"op": "add_column", "name": "", "expression": "a"}),
            "/steps/0/name",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "constant", "value": [1]}),
            "/steps/0/value",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "addition", "columns": ["a"], "value": "x"}),
            "/steps/0/value",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "addition", "columns": ["t"], "value": 1}),
            "/steps/0/columns/0",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "addition", "columns": ["a", "l"]}),
            "/steps/0/columns/1",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "multiply", "columns": ["d"], "value": 1}),
            "/steps/0/columns",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "addition", "columns": ["a", "d"]}),
            "/steps/0/columns",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "date_trunc", "columns": ["a"], "date_part": "day"}),
            "/steps/0/columns/0",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "substring", "columns": ["t"]}),
            "/steps/0/start",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "string_split", "columns": ["t"], "separator": "", "part_index": 0}),
            "/steps/0/separator",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "if_else", "condition": "a > 1", "then": {"columm": "a"}, "else": 1}),
            "/steps/0/then",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "if_else", "condition": "a > 1", "then": {"column": "zz"}, "else": 1}),
            "/steps/0/then/column",
        ),
        (
            json!({"op": "add_column", "name": "z", "udf": "constant", "value": 1, "type": "int"}),
            "/steps/0/type",
        ),
        (
            json!({"op": "replace", "columns": ["t"], "pattern": null, "replacement": "x"}),
            "/steps/0/pattern",
        ),
        (
            json!({"op": "replace", "columns": ["t"], "pattern": "", "replacement": "x"}),
            "/steps/0/pattern",
        ),
        (
            json!({"op": "replace", "columns": ["t"], "pattern": "x", "replacement": null}),
            "/steps/0/replacement",
        ),
        (
            json!({"op": "replace", "columns": ["a"], "pattern": 1, "replacement": "x", "whole_cell": true}),
            "/steps/0/replacement",
        ),
        (
            json!({"op": "replace", "columns": ["t"], "pattern": {"a": 1}, "replacement": "x"}),
            "/steps/0/pattern",
        ),
    ] {
        let (at, _, message) = refused(&columns, json!([]), step.clone()).await;
        assert_eq!(at, pointer, "{step}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_added_of_every_kind() {
    let columns = [
        ("a", "int64"),
        ("p", "decimal(10,2)"),
        ("t", "string"),
        ("d", "date"),
    ];
    let rows = json!([{"a": i64::MAX, "p": "1.50", "t": "2024-01-31", "d": "2024-01-31"}, {"a": 1, "p": null, "t": "x", "d": null}]);
    let steps = json!([
        {"op": "add_column", "name": "price", "udf": "multiply", "columns": ["p"], "value": 3},
        {"op": "add_column", "name": "back", "udf": "difference", "columns": ["a", "a"]},
        {"op": "add_column", "name": "later", "udf": "addition", "columns": ["t"], "value": 1.5, "time_unit": "d"},
        {"op": "add_column", "name": "days", "udf": "difference", "columns": ["d", "d"]},
        {"op": "add_column", "name": "pick", "udf": "if_else", "condition": "a > 1", "then": {"column": "d"}, "else": "1999-12-31"},
        {"op": "add_column", "name": "mixed", "udf": "if_else", "condition": "a > 1", "then": {"column": "a"}, "else": "none"},
        {"op": "add_column", "name": "none", "udf": "constant", "value": null},
        {"op": "add_column", "name": "cut", "udf": "substring", "columns": ["a"], "stop": 3},
        {"op": "select", "columns": ["price", "back", "later", "days", "pick", "mixed", "none", "cut"]},
    ]);
    let out = run(&columns, rows, steps).await.unwrap();
    assert_eq!(
        out.types(),
        [
            "price: decimal(30,2)",
            "back: int64",
            "later: timestamp(us)",
            "days: float64",
            "pick: date",
            "mixed: string",
            "none: string",
            "cut: string"
        ]
    );
    let rows = out.rows();
    assert_eq!(rows[0]["later"], "2024-02-01T12:00:00");
    assert_eq!(rows[0]["mixed"], "9223372036854775807");
    assert_eq!(rows[0]["cut"], "922");
    assert_eq!(
        rows[1],
        json!({"price": null, "back": 0, "later": null, "days": null, "pick": "1999-12-31", "mixed": "none", "none": null, "cut": "1"})
    );
    let step =
        json!({"op": "add_column", "name": "z", "udf": "addition", "columns": ["a"], "value": 1});
    let (pointer, code, _) = refused(&[("a", "int64")], json!([{"a": i64::MAX}]), step).await;
    assert_eq!(
        (pointer.as_str(), code.as_str()),
        ("/steps/0/columns", "overflow")
    );
}

/// Steps that take any column `c`.
fn steps() -> impl Strategy<Value = Value> {
    let types = prop::sample::select(vec![
        "int64",
        "float64",
        "decimal(9,2)",
        "string",
        "bool",
        "date",
        "timestamp",
    ]);
    prop_oneof![
        types.prop_map(|to| json!({"op": "convert_type", "columns": ["c"], "type": to})),
        prop::sample::select(vec!["trim_whitespace", "uppercase", "lowercase", "fix_syntax_errors"]).prop_map(|op| json!({"op": op, "columns": ["c"]})),
        prop::sample::select(vec!["caps", "currency", "date", "trim"]).prop_map(|mode| json!({"op": "reformat", "mode": mode, "columns": ["c"]})),
        ("[a1 .]{1,2}", any::<bool>(), any::<bool>()).prop_map(|(pattern, regex, whole)| {
            let pattern = if regex { "[a1]".to_owned() } else { pattern };
            json!({"op": "replace", "columns": ["c"], "pattern": pattern, "replacement": "2", "regex": regex, "whole_cell": whole})
        }),
        Just(json!({"op": "add_column", "name": "c", "udf": "substring", "columns": ["c"], "start": -3})),
        Just(json!({"op": "add_column", "name": "c", "udf": "if_else", "condition": "c == null", "then": "x", "else": {"column": "c"}})),
    ]
}

fn is_finite(outcome: &Outcome) -> bool {
    outcome.batches.iter().all(|batch| {
        batch.columns().iter().all(|column| {
            let floats = column.as_any().downcast_ref::<arrow::array::Float64Array>();
            floats.is_none_or(|floats| floats.iter().flatten().all(f64::is_finite))
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_table_goes_through_any_steps(
        cells in prop::collection::vec(prop::option::of("[-+ .,:/$aß10]{0,9}"), 0..7), steps in prop::collection::vec(steps(), 1..5)
    ) {
        let rows: Vec<Value> = cells.iter().map(|cell| json!({"c": cell})).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let outcome = runtime.block_on(run(&[("c", "string")], json!(rows), json!(steps)));
        match outcome {
            Ok(outcome) => {
                let count: usize = outcome.batches.iter().map(|batch| batch.num_rows()).sum();
                prop_assert_eq!(count, cells.len());
                prop_assert!(is_finite(&outcome));
            }
            // A replacement may not fit the type that an earlier step made.
            Err(error) => prop_assert_eq!(error.kind(), weir_core::Kind::Invalid, "{:?}", error),
        }
    }
}
