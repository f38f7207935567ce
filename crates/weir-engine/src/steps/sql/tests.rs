//! SQL that computes, and SQL that tries to get out.

use serde_json::{Value, json};

use crate::steps::testing::run;

fn rows() -> Value {
    json!([
        {"a": 1, "Good Col": "x", "f": 1.5},
        {"a": 2, "Good Col": "y", "f": null},
        {"a": 3, "Good Col": "x", "f": 0.0},
    ])
}

const COLUMNS: [(&str, &str); 3] = [("a", "int64"), ("Good Col", "string"), ("f", "float64")];

async fn sql(query: &str) -> weir_core::Result<crate::steps::testing::Outcome> {
    run(&COLUMNS, rows(), json!([{"op": "sql", "query": query}])).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_select_groups_joins_and_looks_over_windows() {
    let out = sql(r#"select "Good Col" as g, sum(a) as n from input group by 1 order by 1"#)
        .await
        .unwrap();
    assert_eq!(out.rows(), json!([{"g": "x", "n": 4}, {"g": "y", "n": 2}]));
    let out = sql("select l.a, r.a as b from INPUT l join input r on l.a = r.a + 1 order by 1")
        .await
        .unwrap();
    assert_eq!(out.rows(), json!([{"a": 2, "b": 1}, {"a": 3, "b": 2}]));
    let out = sql("select a, sum(a) over () as s, row_number() over (order by a desc) as n from input order by a").await.unwrap();
    assert_eq!(out.rows()[0], json!({"a": 1, "s": 6, "n": 3}));
    let out = sql("select l.a / l.f as q, l.a, r.a from input l join input r on l.a = r.a where l.a != 2 order by l.a")
        .await
        .unwrap();
    assert_eq!(out.rows()[1]["q"], Value::Null, "an infinity is null");
    assert_eq!(out.types()[2], "a_2: int64");
    let out = sql("with t as (select a from input) select count(*) as n from t where a in (select a from t where a > 1)").await.unwrap();
    assert_eq!(out.rows(), json!([{"n": 2}]));
    let out = sql("select unnest(range(0, 3)) as n").await.unwrap();
    assert_eq!(out.rows(), json!([{"n": 0}, {"n": 1}, {"n": 2}]));
}

/// What tries to get out, write, or take everything.
const BREAK_OUTS: &[&str] = &[
    "select * from '/etc/passwd'",
    "select * from read_csv('/etc/passwd')",
    "select * from 'file:///etc/passwd'",
    "create external table t stored as csv location '/etc/passwd'",
    "copy input to '/tmp/weir_was_here.csv'",
    "copy (select * from input) to '/tmp/weir_was_here.parquet'",
    "insert into input values (1, 'x', 1)",
    "with t as (insert into input values (1, 'x', 1) returning *) select * from t",
    "select 1; drop table input",
    "drop table input",
    "delete from input",
    "update input set a = 1",
    "set datafusion.execution.batch_size = 1",
    "select * into t from input",
    "create table t as select * from input",
    "explain select * from input",
    "show tables",
    "select * from information_schema.tables",
    "select * from pg_catalog.pg_class",
    "select * from other",
    "select * from generate_series(1, 9876543210)",
    "select version()",
    "select pg_read_file('/etc/passwd')",
    "select current_setting('data_directory')",
    "select @@version",
    "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
    "select * from input for update",
    "load data local infile '/etc/passwd' into table input",
    "create function f() returns int as '/tmp/x.so'",
    "attach 'x.db'",
    "install httpfs",
    "call system('id')",
    "select input_file_name()",
    "select $1",
    "",
    "select",
    "table input",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tries_to_get_out_is_refused() {
    for query in BREAK_OUTS {
        let Err(error) = sql(query).await else {
            panic!("{query} ran");
        };
        assert_eq!(error.kind(), weir_core::Kind::Invalid, "{query}: {error:?}");
        assert_eq!(error.fields()[0].pointer, "/steps/0/query", "{query}");
    }
    assert!(!std::path::Path::new("/tmp/weir_was_here.csv").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_much_of_little_is_refused() {
    for query in [
        "select unnest(range(0, 9876543210)) as n",
        "select unnest(generate_series(1, 9876543210)) as n",
        "select repeat('x', 2000000000) as t",
        "select repeat(repeat('x', 100000), 100000) as t",
        "select array_repeat(1, 2000000000) as t",
        "select lpad('x', 2000000000, 'y') as t",
        "select array_resize([1], 2000000000, 0) as t",
    ] {
        let error = sql(query).await.unwrap_err();
        assert_eq!(
            error.stable_code(),
            "too_large_to_compute",
            "{query}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_and_deep_statements_are_refused_or_run_but_never_end_the_process() {
    let sum = |terms: usize| {
        format!(
            "select {} as n from input limit 1",
            vec!["a"; terms].join("+")
        )
    };
    assert_eq!(sql(&sum(900)).await.unwrap().rows(), json!([{"n": 900}]));
    assert_eq!(
        sql(&sum(5000)).await.unwrap_err().stable_code(),
        "invalid_query"
    );
    let deep = format!("select {}1{} as n", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(sql(&deep).await.unwrap_err().stable_code(), "invalid_query");
    let nested = format!(
        "select * from {}input{}",
        "(select * from ".repeat(500),
        ") t".repeat(500)
    );
    assert!(sql(&nested).await.is_err());
    let many = format!(
        "select a from input where a in ({})",
        (0..5000)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(",")
    );
    assert_eq!(
        sql(&many).await.unwrap().rows().as_array().unwrap().len(),
        3
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_name_what_was_wrong() {
    for (query, code, says) in [
        ("select aa from input", "unknown_column", "`a`"),
        ("select summ(a) from input", "invalid_query", "`sum`"),
        ("select * from inputs", "invalid_query", "`input`"),
        (
            "selec a from input",
            "invalid_query",
            "only a SELECT|cannot be read|Expected",
        ),
        (
            "select cast(\"Good Col\" as bigint) as n from input",
            "invalid_query",
            "cannot be computed",
        ),
    ] {
        let error = sql(query).await.unwrap_err();
        assert_eq!(error.stable_code(), code, "{query}: {error:?}");
        assert!(
            says.split('|').any(|part| error.message().contains(part)),
            "{query}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_where_keeps_what_is_true() {
    let steps = json!([{"op": "filter_rows", "where": "f > 0 or \"Good Col\" = 'y'"}]);
    let out = run(&COLUMNS, rows(), steps).await.unwrap();
    assert_eq!(out.rows().as_array().unwrap().len(), 2);
    assert_eq!(out.report[0]["removed"], json!(1));
    for (text, code) in [
        ("a + 1", "invalid_query"),
        ("sum(a) > 1", "invalid_query"),
        ("a in (select a from input)", "invalid_query"),
        ("a > 1; drop table input", "invalid_query"),
        ("b > 1", "unknown_column"),
    ] {
        let steps = json!([{"op": "filter_rows", "where": text}]);
        let error = run(&COLUMNS, rows(), steps).await.unwrap_err();
        assert_eq!(error.stable_code(), code, "{text}: {error:?}");
        assert_eq!(error.fields()[0].pointer, "/steps/0/where");
    }
}
