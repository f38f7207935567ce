//! What is particular to writing into DuckDB; the modes and types are in the
//! conformance suite.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use futures::StreamExt;
use serde_json::json;
use weir_core::{Error, Kind, Rows, SchemaChange, StreamId, Write, WriteMode};

use crate::support::*;

/// Rows with `id` from `first` on, and a text.
pub fn numbers(first: i64, count: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + count));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        (first..first + count).map(|id| format!("n{id}")),
    ));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

fn into(stream: &str, mode: WriteMode) -> Write {
    let keys: &[&str] = if mode.needs_keys() { &["id"] } else { &[] };
    Write::new(StreamId::parse(stream, "").unwrap(), mode).by(keys)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replace_and_upsert_keep_what_belongs_to_the_table() {
    let file = DuckFile::with(
        "create table t (id bigint primary key, name text not null check (name <> 'bad'), \"at\" timestamp default '2024-01-01');
         create index by_time on t (\"at\"); comment on table t is 'kept'; insert into t (id, name) select range, 'old' from range(5000);",
    );
    let source = source(&file).await;
    let written = write(&source, &into("t", WriteMode::Replace), numbers(0, 3000))
        .await
        .unwrap();
    assert_eq!((written.rows, written.created), (3000, false));
    assert_eq!(
        ask(
            &source,
            "select count(*) from t where name <> 'old' and \"at\" = '2024-01-01'"
        )
        .await,
        [Some("3000".into())]
    );
    let written = write(&source, &into("t", WriteMode::Upsert), numbers(2990, 20))
        .await
        .unwrap();
    assert_eq!(written.rows, 20);
    let written = write(&source, &into("t", WriteMode::Ignore), numbers(3000, 20))
        .await
        .unwrap();
    assert_eq!(written.rows, 10);
    assert_eq!(
        ask(
            &source,
            "select comment from duckdb_tables() where table_name = 't'"
        )
        .await,
        [Some("kept".into())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_rows_are_told_by_number_and_column_without_their_value() {
    let file = DuckFile::with(
        "create table t (id integer primary key, name text not null);
         create table e (m enum('sad', 'ok'), u uuid, n decimal(4, 1));
         create table g (a integer, b integer generated always as (a + 1), c bigint default 4);
         create table p (id integer references t(id));",
    );
    let source = source(&file).await;
    let column = |name: &str, array: ArrayRef| RecordBatch::try_from_iter([(name, array)]).unwrap();
    let ids = |values: Vec<i64>| column("id", Arc::new(Int64Array::from(values)));
    let words = |name: &str, word: &str| {
        column(
            name,
            Arc::new(StringArray::from(vec![None, Some("ok"), Some(word)])),
        )
    };
    let too_far = RecordBatch::try_from_iter([
        (
            "id",
            Arc::new(Int64Array::from(vec![1, 1 << 40])) as ArrayRef,
        ),
        ("name", Arc::new(StringArray::from(vec!["a", "b"]))),
    ])
    .unwrap();
    let no_name = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec![Some("a"), None]))),
    ])
    .unwrap();
    let halves: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 1.25]));
    for (stream, rows, row, name) in [
        ("t", too_far, "/1/id", "id"),
        ("t", no_name, "/1/name", "name"),
        ("e", words("m", "secret-word"), "/2/m", "m"),
        ("e", words("u", "secret-word"), "/1/u", "u"),
        ("e", column("n", halves), "/1/n", "n"),
    ] {
        let error = write(&source, &into(stream, WriteMode::Append), rows)
            .await
            .unwrap_err();
        assert_eq!(
            error.stable_code(),
            "bad_row",
            "{name}: {error} {:?}",
            error.source_message()
        );
        assert_eq!(error.fields()[0].pointer, row);
        assert!(!format!("{error:?}").contains("secret-word"), "{error:?}");
    }
    for (stream, rows, code) in [
        (
            "g",
            column("b", Arc::new(Int64Array::from(vec![1]))),
            "unsupported_type",
        ),
        ("nowhere.t", ids(vec![1]), "query"),
        ("p", ids(vec![77]), "data"),
        ("t", words("name", "x"), "bad_row"),
        ("t", words("nane", "x"), "unknown_column"),
    ] {
        let error = write(&source, &into(stream, WriteMode::Append), rows)
            .await
            .unwrap_err();
        assert_eq!(error.stable_code(), code, "{stream}: {error}");
    }
    let twice = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1, 1])) as ArrayRef),
        (
            "name",
            Arc::new(StringArray::from(vec!["secret-a", "secret-b"])),
        ),
    ])
    .unwrap();
    let error = write(&source, &into("t", WriteMode::Append), twice)
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "data");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    for table in ["t", "e", "g", "p"] {
        assert_eq!(
            ask(&source, &format!("select count(*) from {table}")).await,
            [Some("0".into())]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_lose_nothing() {
    let file = DuckFile::with("create table t (id bigint primary key, name text)");
    let source = Arc::new(source(&file).await);
    let mut tasks = Vec::new();
    for writer in 0..6 {
        let source = Arc::clone(&source);
        let job = async move {
            for round in 0..4 {
                // Half of the rows are everybody's.
                write(&source, &into("t", WriteMode::Upsert), numbers(0, 500))
                    .await
                    .unwrap();
                let own = numbers(10_000 + (writer * 4 + round) * 100, 100);
                write(&source, &into("t", WriteMode::Append), own)
                    .await
                    .unwrap();
                write(
                    &source,
                    &into(&format!("new{round}"), WriteMode::Append),
                    numbers(0, 10),
                )
                .await
                .unwrap();
            }
        };
        tasks.push(weir_core::task::Compute::current().spawn(job));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(
        ask(&source, "select count(*) from t").await,
        [Some("2900".into())]
    );
    assert_eq!(
        ask(&source, "select count(*) from new0").await,
        [Some("60".into())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_added_and_files_made_when_wanted() {
    let file = DuckFile::with("create table t (id bigint primary key)");
    let source = source(&file).await;
    let mut widen = into("t", WriteMode::Upsert);
    widen.schema_change = SchemaChange::Evolve;
    let written = write(&source, &widen, numbers(0, 5)).await.unwrap();
    assert_eq!(written.added_columns, ["name"]);
    let fresh = file.folder().join("fresh.duckdb");
    let fresh = source_with(&file, json!({"path": fresh, "create": true})).await;
    assert_eq!(
        failure(&fresh, &stream("t")).await.stable_code(),
        "source_not_found"
    );
    let written = write(&fresh, &into("t", WriteMode::Fail), numbers(0, 5))
        .await
        .unwrap();
    assert!(written.created);
    assert_eq!(rows(&fresh, &stream("t")).await.unwrap().num_rows(), 5);
    let error = write(&fresh, &into("t", WriteMode::Fail), numbers(0, 5))
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "stream_exists");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_beyond_its_memory_waits_on_disk_and_an_aborted_one_leaves_nothing() {
    let file = DuckFile::with("create table t (id bigint, name text)");
    let source = source_with(&file, json!({"memory_limit_mb": 64, "threads": 1})).await;
    let batches = futures::stream::iter((0..40).map(|part| Ok(wide(part * 5_000, 5_000))));
    let all = Rows {
        schema: wide(0, 1).schema(),
        batches: batches.boxed(),
    };
    let written = source
        .write(&context(), &into("t", WriteMode::Append), all)
        .await;
    assert_eq!(
        written
            .unwrap_or_else(|e| panic!("{e} {:?}", e.source_message()))
            .rows,
        200_000
    );
    let broken = Rows {
        schema: wide(0, 1).schema(),
        batches: futures::stream::iter([
            Ok(wide(0, 5_000)),
            Err(Error::new(Kind::Malformed, "broken off")),
        ])
        .boxed(),
    };
    let error = source
        .write(&context(), &into("t", WriteMode::Replace), broken)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert_eq!(
        ask(&source, "select count(*) from t").await,
        [Some("200000".into())]
    );
    drop(source);
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let scratch = std::fs::read_dir(file.folder().join("scratch")).unwrap();
    assert_eq!(scratch.count(), 0);
}

fn wide(first: i64, count: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + count));
    let text = (first..first + count).map(|id| format!("{id}").repeat(100));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(text));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}
