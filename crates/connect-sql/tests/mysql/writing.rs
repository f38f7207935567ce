//! What is written, what is refused, and what is left behind.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use serde_json::json;
use weir_core::{SchemaChange, StreamId, Write, WriteMode};
use weir_tests::mariadb::sql;

use crate::support::*;

fn batch(ids: &[i64], names: &[Option<&str>]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_rows_are_told_by_number_and_nothing_is_written() {
    let database = MyDatabase::with(
        "create table t (id tinyint primary key, name varchar(3) not null, d decimal(4,1), l varchar(5) character set latin1, e enum('a','b'));
         insert into t values (1, 'old', 1, 'x', 'a')",
    );
    let source = source_with(&database, json!({})).await;
    let before = database.dump();
    for local_infile in [1, 0] {
        sql("", &format!("SET GLOBAL local_infile = {local_infile}"));
        let text = |name: &str, value: &str| {
            (
                name.to_owned(),
                Arc::new(StringArray::from(vec!["a", "a", value])) as ArrayRef,
            )
        };
        for (column, row) in [
            (
                (
                    "id".to_owned(),
                    Arc::new(Int64Array::from(vec![7, 8, 300])) as ArrayRef,
                ),
                "row 3, column `id`",
            ),
            (text("name", "four"), "row 3, column `name`"),
            (text("l", "日本"), "row 3, column `l`"),
            (text("e", "c"), "row 3, column `e`"),
            (
                (
                    "d".to_owned(),
                    Arc::new(Float64Array::from(vec![1.0, 2.0, 1e9])) as ArrayRef,
                ),
                "row 3, column `d`",
            ),
            (
                (
                    "d".to_owned(),
                    Arc::new(Float64Array::from(vec![1.0, 2.0, f64::NAN])) as ArrayRef,
                ),
                "row 3, column `d`",
            ),
        ] {
            let mut columns = vec![
                (
                    "id".to_owned(),
                    Arc::new(Int64Array::from(vec![7, 8, 9])) as ArrayRef,
                ),
                text("name", "abc"),
            ];
            columns.retain(|(name, _)| *name != column.0);
            columns.push(column.clone());
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            for (mode, keys) in [
                (WriteMode::Append, &[][..]),
                (WriteMode::Replace, &[]),
                (WriteMode::Upsert, &["id"]),
            ] {
                let error = write(&source, "t", mode, keys, &batch).await.unwrap_err();
                assert_eq!(error.stable_code(), "bad_row", "{row}: {error}");
                assert!(error.message().starts_with(row), "{row}: {error}");
            }
        }
        let twice = batch(&[5, 1], &[Some("new"), Some("new")]);
        let error = write(&source, "t", WriteMode::Append, &[], &twice)
            .await
            .unwrap_err();
        assert!(
            error.message().contains("its key is there already"),
            "{error}"
        );
    }
    sql("", "SET GLOBAL local_infile = 1");
    assert_eq!(database.dump(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_mean_the_index_over_them_and_no_other() {
    let database = MyDatabase::with(
        "create table t (id int primary key, name varchar(20) unique, more int default 5);
         insert into t values (1, 'a', 1), (2, 'b', 2);
         create table m (id int primary key, name text) engine=MyISAM;
         create view v as select * from t",
    );
    let source = source_with(&database, json!({})).await;
    // Row 3 is equal to row 2 by the other index: not taken for it.
    let clash = batch(&[1, 3], &[Some("x"), Some("b")]);
    for mode in [WriteMode::Upsert, WriteMode::Ignore] {
        let error = write(&source, "t", mode, &["id"], &clash)
            .await
            .unwrap_err();
        assert!(
            error.message().contains("its key is there already"),
            "{mode:?}: {error}"
        );
        assert_eq!(
            database.run("select * from t order by id"),
            "1\ta\t1\n2\tb\t2\n"
        );
    }
    let fine = batch(&[2, 3, 3], &[Some("y"), Some("z"), Some("w")]);
    let written = write(&source, "t", WriteMode::Upsert, &["id"], &fine)
        .await
        .unwrap();
    assert_eq!(written.rows, 2);
    assert_eq!(
        database.run("select * from t order by id"),
        "1\ta\t1\n2\ty\t2\n3\tw\t5\n"
    );
    let written = write(
        &source,
        "t",
        WriteMode::Ignore,
        &["id"],
        &batch(&[3, 4], &[Some("q"), Some("r")]),
    )
    .await
    .unwrap();
    assert_eq!(written.rows, 1);
    let error = write(&source, "t", WriteMode::Upsert, &["id", "name"], &fine)
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "no_unique_key");
    for stream in ["m", "v"] {
        let error = write(&source, stream, WriteMode::Append, &[], &fine)
            .await
            .unwrap_err();
        assert_eq!(error.stable_code(), "unsupported", "{stream}: {error}");
    }
    let with_null = batch(&[9], &[None]);
    let error = write(&source, "t", WriteMode::Upsert, &["name"], &with_null)
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "bad_row");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_added_and_odd_values_come_back() {
    let database = MyDatabase::with(
        "create table t (id int primary key, b bit(9), g bit(1)); insert into t values (1, 3, 1)",
    );
    let source = source_with(&database, json!({})).await;
    let odd = ["\\N", "a\tb\nc\r\\'\"\0\u{1a}", "", "😀", "NULL"];
    for local_infile in [1, 0] {
        sql("", &format!("SET GLOBAL local_infile = {local_infile}"));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![10, 11, 12, 13, 14]));
        let texts_sent: ArrayRef = Arc::new(StringArray::from(odd.to_vec()));
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![
            &b"\0\xff\\\n'"[..],
            b"",
            b"a",
            b"\t",
            b"\\N",
        ]));
        let bits: ArrayRef = Arc::new(Int64Array::from(vec![511, 0, 1, 48, 49]));
        let batch = RecordBatch::try_from_iter([
            ("id", ids),
            ("text", texts_sent),
            ("bytes", bytes),
            ("b", bits),
        ])
        .unwrap();
        let write = Write {
            schema_change: SchemaChange::Evolve,
            ..Write::new(StreamId::from_parts(["t"]), WriteMode::Replace)
        };
        let written = write_as(&source, &write, &batch).await.unwrap();
        assert_eq!(written.rows, 5);
        assert_eq!(
            written.added_columns.len(),
            if local_infile == 1 { 2 } else { 0 }
        );
        let read = query("select text, bytes, b from t order by id", Vec::new());
        let came = rows(&source, &read).await.unwrap();
        assert_eq!(texts(&came, 0), odd);
        assert_eq!(came.column(1).as_ref(), batch.column(2).as_ref());
        assert_eq!(texts(&came, 2), ["511", "0", "1", "48", "49"]);
    }
    sql("", "SET GLOBAL local_infile = 1");
    let reader = open(database.config()).await.unwrap();
    let error = write(&reader, "t", WriteMode::Append, &[], &batch(&[1], &[None]))
        .await
        .unwrap_err();
    assert_ne!(error.stable_code(), "internal", "{error}");
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let only = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let error = write(&reader, "t", WriteMode::Append, &[], &only)
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "permission");
    assert!(
        error
            .hint_text()
            .unwrap()
            .contains("CREATE TEMPORARY TABLES")
    );
}
