//! Types, queries, discovery and stopping.

use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, TimeUnit};
use futures::StreamExt;
use serde_json::json;
use weir_core::read::Params;
use weir_core::types::field_type_name;
use weir_core::{Context, Deadline, Discover, Kind, Read, StreamId, Target, Value};

use crate::support::*;

fn some(texts: &[&str]) -> Vec<Option<String>> {
    let one = |text: &&str| (*text != "-").then(|| (*text).to_owned());
    texts.iter().map(one).collect()
}

/// A declared type, what it is read as, values, `STRICT` or not, and what comes.
type Case = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static [&'static str],
);

#[tokio::test]
async fn every_declared_type_is_read() {
    let cases: [Case; 14] = [
        (
            "INTEGER",
            "int64",
            &["1", "'2'", "'x'", "2.5", "NULL"],
            "",
            &["1", "2", "-", "-", "-"],
        ),
        (
            "REAL",
            "float64",
            &["1", "0.5", "'x'", "9e999", "x'00'"],
            "",
            &["1.0", "0.5", "-", "-", "-"],
        ),
        (
            "DECIMAL(5,2)",
            "decimal(5,2)",
            &["1", "0.1+0.2", "'1.25'", "1000", "1.234", "'x'"],
            "",
            &["1.00", "0.30", "1.25", "-", "-", "-"],
        ),
        (
            "DECIMAL_TEXT(40,2)",
            "decimal(40,2)",
            &["'12345678901234567890123.45'", "7"],
            "",
            &["12345678901234567890123.45", "7.00"],
        ),
        (
            "NUMERIC",
            "float64",
            &["1", "1.5", "9007199254740993"],
            "",
            &["1.0", "1.5", "-"],
        ),
        (
            "BOOLEAN",
            "bool",
            &["1", "0", "TRUE", "'false'", "2", "'x'"],
            "",
            &["true", "false", "true", "false", "-", "-"],
        ),
        (
            "DATE",
            "date",
            &[
                "'2024-02-29'",
                "1709164800",
                "2460369.5",
                "'2024-02-29 01:00'",
                "'x'",
            ],
            "",
            &["2024-02-29", "2024-02-29", "2024-02-29", "-", "-"],
        ),
        (
            "DATETIME",
            "timestamp(us)",
            &[
                "'2024-02-29 12:00'",
                "'2024-02-29T12:00:00.25+01:00'",
                "1709208000",
                "2460370.25",
                "1709208000000",
            ],
            "",
            &[
                "2024-02-29T12:00:00",
                "2024-02-29T11:00:00.250",
                "2024-02-29T12:00:00",
                "2024-02-29T18:00:00",
                "-",
            ],
        ),
        (
            "TIMESTAMPTZ",
            "timestamp(us, UTC)",
            &["'2024-02-29 12:00:00Z'"],
            "",
            &["2024-02-29T12:00:00Z"],
        ),
        (
            "TIME",
            "time",
            &["'12:30'", "'12:30:15.5'", "'24:00'", "5"],
            "",
            &["12:30:00", "12:30:15.500", "-", "-"],
        ),
        (
            "JSON",
            "json",
            &["'{\"a\": 1}'", "5", "x'01'"],
            "",
            &["{\"a\": 1}", "5", "-"],
        ),
        (
            "VARCHAR(9)",
            "string",
            &["'ä'", "5", "x'ff'", "CAST(x'ff' AS TEXT)"],
            "",
            &["ä", "5", "-", "-"],
        ),
        (
            "BLOB",
            "binary",
            &["x'00ff'", "'a'", "5"],
            "",
            &["00ff", "61", "-"],
        ),
        (
            "",
            "string",
            &["1", "0.5", "'a'", "x'ff'", "x'61'", "1e300"],
            "",
            &["1", "0.5", "a", "-", "a", "1.0e+300"],
        ),
    ];
    for (declared, type_, values, strict, expected) in cases {
        let list: Vec<String> = values.iter().map(|value| format!("({value})")).collect();
        let place = Place::new(&format!(
            "CREATE TABLE t (c {declared}) {strict}; INSERT INTO t VALUES {}",
            list.join(", ")
        ));
        let source = place.source().await;
        let batch = rows(&source, &stream("t")).await.unwrap();
        assert_eq!(
            field_type_name(batch.schema().field(0)),
            type_,
            "{declared}"
        );
        assert_eq!(texts(&batch, 0), some(expected), "{declared}");
        let schema = source
            .schema(&context(), &StreamId::from_parts(["t"]))
            .await
            .unwrap();
        assert_eq!(
            (
                schema.columns[0].type_name.as_str(),
                schema.columns[0].native_type.as_str()
            ),
            (type_, declared)
        );
        let Some(bad) = expected.iter().position(|text| *text == "-") else {
            continue;
        };
        if values[bad] != "NULL" {
            let strict = place.source_with(json!({"unrepresentable": "error"})).await;
            let error = failure(&strict, &stream("t")).await;
            assert_eq!(error.stable_code(), "unrepresentable", "{declared}");
            let told = format!("column `c`, row {}:", bad + 1);
            assert!(error.message().starts_with(&told), "{error}");
        }
    }
}

#[tokio::test]
async fn queries_take_types_from_columns_or_first_rows() {
    let place = Place::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, name TEXT);
         INSERT INTO t VALUES (1, '2024-01-01', 'a'), (2, NULL, NULL), (3, '2024-01-03', 'c');
         CREATE VIEW v AS SELECT count(*) AS n, max(at) AS latest FROM t",
    );
    let source = place.source().await;
    let text = "SELECT id, at, count(*) OVER () AS n, id / 2.0, name || '!', x'00', NULL, \
                CASE id WHEN 1 THEN 1 ELSE 'x' END, id FROM t ORDER BY id -- all;";
    let batch = rows(&source, &query(text, Vec::new())).await.unwrap();
    let schema = batch.schema();
    let types: Vec<&DataType> = schema.fields().iter().map(|f| f.data_type()).collect();
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    assert_eq!(
        types,
        [
            &DataType::Int64,
            &at,
            &DataType::Int64,
            &DataType::Float64,
            &DataType::Utf8,
            &DataType::Binary,
            &DataType::Utf8,
            &DataType::Utf8,
            &DataType::Int64
        ]
    );
    assert_eq!(schema.field(8).name(), "id_2");
    assert_eq!(texts(&batch, 7), some(&["1", "x", "x"]));
    let view = rows(&source, &stream("v")).await.unwrap();
    assert_eq!(view.schema().field(0).data_type(), &DataType::Int64);
    // The order of a query is kept, also where fewer columns are wanted.
    let read = Read {
        columns: Some(vec!["name".into()]),
        limit: Some(2),
        ..query("SELECT * FROM t ORDER BY id DESC", Vec::new())
    };
    assert_eq!(
        texts(&rows(&source, &read).await.unwrap(), 0),
        some(&["c", "-"])
    );
    let read = query(
        "SELECT ?1 + 1, ?2 WHERE id = ?1",
        vec![Value::Int(1), Value::Text("'; x".into())],
    );
    assert_eq!(failure(&source, &read).await.stable_code(), "query");
    let read = query(
        "SELECT ?1 + id, ?2 FROM t WHERE id = ?1",
        vec![Value::Int(1), Value::Text("'; x".into())],
    );
    assert_eq!(
        texts(&rows(&source, &read).await.unwrap(), 1),
        some(&["'; x"])
    );
    let named = Read::all(Target::Query {
        text: "SELECT id FROM t WHERE name = :name".into(),
        params: Params::Named(vec![("name".into(), Value::Text("c".into()))]),
    });
    assert_eq!(
        texts(&rows(&source, &named).await.unwrap(), 0),
        some(&["3"])
    );
    for (values, pointer) in [(vec![], "/params"), (vec![Value::Int(1); 3], "/params")] {
        let error = failure(&source, &query("SELECT ?1, ?2", values)).await;
        assert_eq!(error.fields()[0].pointer, pointer);
    }
    let error = failure(&source, &query("SELECT \"nothing\" FROM t", vec![])).await;
    assert_eq!(
        (error.kind(), error.stable_code()),
        (Kind::Source(weir_core::SourceFault::Query), "query")
    );
}

#[tokio::test]
async fn twenty_thousand_tables_are_listed_quickly() {
    let place = Place::new("");
    let conn = place.conn();
    conn.execute_batch(
        "CREATE TABLE t00000 (id INTEGER); INSERT INTO t00000 VALUES (1), (2); ANALYZE",
    )
    .unwrap();
    // Written directly, as making each would take a minute.
    conn.execute_batch(
        "PRAGMA writable_schema = ON;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)
         INSERT INTO sqlite_schema SELECT 'table', format('t%05d', i), format('t%05d', i), 2,
             format('CREATE TABLE t%05d (id INTEGER)', i) FROM n",
    )
    .unwrap();
    let source = place.source().await;
    let mut ask = Discover {
        limit: 1_000,
        ..Discover::default()
    };
    let begun = Instant::now();
    let first = source.discover(&context(), &ask).await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(first.items[0].estimated_rows, Some(2));
    let mut seen = first.items.len();
    ask.after = first.next;
    let begun = Instant::now();
    while ask.after.is_some() {
        let page = source.discover(&context(), &ask).await.unwrap();
        seen += page.items.len();
        ask.after = page.next;
    }
    assert_eq!(seen, 20_000);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn odd_names_work() {
    for name in [
        "a\"b",
        "a'b",
        "a@:/%b",
        "two words",
        "ünï😀",
        "a.b",
        "select",
        "[x]",
        "`y`",
        "-- x",
    ] {
        let quoted = name.replace('"', "\"\"");
        let place = Place::new(&format!(
            "CREATE TABLE \"{quoted}\" (\"{quoted}\" TEXT, id INTEGER PRIMARY KEY); INSERT INTO \"{quoted}\" VALUES ('x', 1)"
        ));
        let source = place.source().await;
        let ask = Discover {
            limit: 10,
            ..Discover::default()
        };
        let page = source.discover(&context(), &ask).await.unwrap();
        assert_eq!(page.items[0].name, name);
        let read = Read {
            columns: Some(vec![name.to_owned()]),
            ..Read::all(Target::Stream(
                StreamId::parse(&page.items[0].stream, "/stream").unwrap(),
            ))
        };
        let batch = rows(&source, &read).await.unwrap();
        assert_eq!(texts(&batch, 0), some(&["x"]), "{name}");
        let write = to(name, weir_core::WriteMode::Upsert).by(&["id"]);
        assert_eq!(
            crate::support::write(&source, &write, full(&source, name).await)
                .await
                .unwrap()
                .rows,
            1,
            "{name}"
        );
        // The file may have such a name, too, where a path can.
        if !name.contains('/') {
            let path = place.home.path().join(format!("{name}.db"));
            std::fs::copy(place.path(), &path).unwrap();
            let other = open(place.home.path(), json!({"path": path}))
                .await
                .unwrap();
            assert_eq!(rows(&other, &stream(name)).await.unwrap().num_rows(), 1);
        }
    }
}

async fn full(source: &weir_core::OpenSource, name: &str) -> arrow::record_batch::RecordBatch {
    rows(source, &stream(name)).await.unwrap()
}

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_end_is_stopped() {
    let place = Place::new("CREATE TABLE t (id INTEGER)");
    let source = place.source_with(json!({"pool": {"max": 1}})).await;
    // Dropped in the middle; with one connection the next would wait for it.
    for _ in 0..20 {
        let mut stream = source
            .scan(&context(), &query(ENDLESS, vec![]))
            .await
            .unwrap()
            .stream;
        assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    }
    // Never gives a row.
    let counted = format!("SELECT count(*) FROM ({ENDLESS})");
    for (deadline, kind) in [(true, Kind::Deadline), (false, Kind::Cancelled)] {
        let ctx = Context {
            deadline: Deadline::after(Duration::from_millis(if deadline { 200 } else { 60_000 })),
            ..context()
        };
        let cancel = ctx.cancel.clone();
        let canceller = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if !deadline {
                cancel.cancel();
            }
        };
        let begun = Instant::now();
        let read = query(&counted, vec![]);
        let (outcome, ()) = tokio::join!(source.scan(&ctx, &read), canceller);
        assert_eq!(outcome.err().unwrap().kind(), kind);
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    }
    assert_eq!(rows(&source, &stream("t")).await.unwrap().num_rows(), 0);
}

/// Readers that do not read keep nobody from the few threads that may block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_hold_no_threads() {
    let place = Place::new("CREATE TABLE t (id INTEGER)");
    let source = place.source_with(json!({"pool": {"max": 50}})).await;
    let ctx = context();
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = source
            .scan(&ctx, &query(ENDLESS, vec![]))
            .await
            .unwrap()
            .stream;
        assert!(stream.next().await.is_some());
        slow.push(stream);
    }
    let quick = tokio::time::timeout(Duration::from_secs(10), async {
        source
            .schema(&ctx, &StreamId::from_parts(["t"]))
            .await
            .unwrap()
    });
    assert_eq!(quick.await.unwrap().columns.len(), 1);
}

#[tokio::test]
async fn values_that_would_fill_the_memory_are_refused() {
    let place = Place::new("CREATE TABLE t (id INTEGER)");
    let source = place.source().await;
    for text in [
        "SELECT zeroblob(1000000000)",
        "SELECT randomblob(1000000000)",
        "SELECT replace(hex(zeroblob(30000000)), '0', 'aaaaaaaa')",
        "SELECT group_concat(hex(zeroblob(1000000))) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT i FROM n)",
        "SELECT printf('%.*c', 1000000000, 'x')",
    ] {
        match rows(&source, &query(text, vec![])).await {
            Ok(batch) => assert!(weir_core::memory_of(&batch) < 70 << 20, "{text}"),
            Err(error) => assert!(error.kind() != Kind::Internal, "{text}: {error}"),
        }
    }
    let wide: Vec<String> = (0..30).map(|_| "randomblob(60000000)".to_owned()).collect();
    let error = failure(
        &source,
        &query(&format!("SELECT {}", wide.join(", ")), vec![]),
    )
    .await;
    assert_eq!(error.stable_code(), "too_large_to_compute", "{error}");
    assert_eq!(
        rows(&source, &query("SELECT 1", vec![]))
            .await
            .unwrap()
            .num_rows(),
        1
    );
}
