//! Modes, keys, constraints, and what is refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use serde_json::json;
use weir_core::{Kind, SchemaChange, WriteMode};

use crate::support::*;

pub fn batch(rows: &[(i64, &str)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

fn all(place: &Place) -> String {
    let sql = "SELECT group_concat(id || ' ' || coalesce(name, '-'), ', ') FROM (SELECT * FROM t ORDER BY id)";
    place.conn().query_row(sql, [], |row| row.get(0)).unwrap()
}

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, extra TEXT DEFAULT 'e');
    INSERT INTO t VALUES (1, 'one', 'x'), (2, 'two', 'x')";

#[tokio::test]
async fn modes_do_what_they_say() {
    for (mode, keys, rows, expected) in [
        (WriteMode::Append, &[][..], 2, "1 one, 2 two, 3 a, 4 b"),
        (WriteMode::Replace, &[], 2, "3 a, 4 b"),
        (WriteMode::Upsert, &["id"], 2, "1 one, 2 two, 3 a, 4 b"),
    ] {
        let place = Place::new(TABLE);
        let source = place.source().await;
        let write = to("t", mode).by(keys);
        let written = crate::support::write(&source, &write, batch(&[(3, "a"), (4, "b")]))
            .await
            .unwrap();
        assert_eq!((written.rows, written.created), (rows, false));
        assert_eq!(all(&place), expected);
        assert_eq!(
            place.number("SELECT count(*) FROM t WHERE id > 2 AND extra = 'e'"),
            2
        );
    }
    let twice = batch(&[(2, "first"), (5, "first"), (2, "last"), (5, "last")]);
    for (mode, rows, expected) in [
        (WriteMode::Upsert, 2, "1 one, 2 last, 5 last"),
        (WriteMode::Ignore, 1, "1 one, 2 two, 5 first"),
    ] {
        let place = Place::new(TABLE);
        let source = place.source().await;
        let written = write(&source, &to("t", mode).by(&["id"]), twice.clone())
            .await
            .unwrap();
        assert_eq!(written.rows, rows);
        assert_eq!(all(&place), expected);
        assert_eq!(place.number("SELECT count(*) FROM t WHERE extra = 'x'"), 2);
    }
    let place = Place::new(TABLE);
    let source = place.source().await;
    let error = write(&source, &to("t", WriteMode::Fail), batch(&[(1, "a")]))
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "stream_exists");
    let written = write(&source, &to("new", WriteMode::Fail), batch(&[(1, "a")]))
        .await
        .unwrap();
    assert!(written.created);
}

#[tokio::test]
async fn rows_that_the_table_refuses_leave_it_as_it_was() {
    let place = Place::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE t (id INTEGER PRIMARY KEY REFERENCES p, name TEXT NOT NULL CHECK (length(name) < 5)) STRICT;
         INSERT INTO p VALUES (1), (2), (3); INSERT INTO t VALUES (1, 'one')",
    );
    let source = place.source().await;
    let before = all(&place);
    for (mode, rows) in [
        (WriteMode::Append, [(2, "fine"), (3, "too long")]),
        (WriteMode::Append, [(2, "fine"), (1, "once")]),
        (WriteMode::Append, [(2, "fine"), (9, "none")]),
        (WriteMode::Replace, [(2, "fine"), (2, "twice")]),
    ] {
        let error = write(&source, &to("t", mode), batch(&rows))
            .await
            .unwrap_err();
        assert_eq!(error.stable_code(), "data", "{rows:?}: {error}");
        assert!(error.hint_text().unwrap().contains("nothing was written"));
        assert_eq!(all(&place), before);
    }
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![2, 3]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let nulls = RecordBatch::try_from_iter([("id", ids.clone()), ("name", names)]).unwrap();
    let error = write(&source, &to("t", WriteMode::Append), nulls)
        .await
        .unwrap_err();
    assert!(
        error.message().starts_with("row 2, column `name`"),
        "{error}"
    );
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![2.0, 2.5]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let odd = RecordBatch::try_from_iter([("id", floats), ("name", names)]).unwrap();
    let error = write(&source, &to("t", WriteMode::Append), odd)
        .await
        .unwrap_err();
    assert_eq!(
        (error.stable_code(), error.fields()[0].pointer.as_str()),
        ("bad_row", "/1/id")
    );
    assert_eq!(all(&place), before);
}

#[tokio::test]
async fn numbers_come_back_as_they_were() {
    let place = Place::new("");
    let source = place.source().await;
    let values = vec![
        Some(0.1),
        Some(f64::MAX),
        Some(f64::MIN_POSITIVE),
        None,
        Some(1e-300),
        Some(-5.0),
        Some(f64::NAN),
    ];
    let floats: ArrayRef = Arc::new(Float64Array::from(values));
    let sent = RecordBatch::try_from_iter([("f", floats)]).unwrap();
    write(&source, &to("t", WriteMode::Replace), sent)
        .await
        .unwrap();
    let came = rows(&source, &stream("t")).await.unwrap();
    let expected = Float64Array::from(vec![
        Some(0.1),
        Some(f64::MAX),
        Some(f64::MIN_POSITIVE),
        None,
        Some(1e-300),
        Some(-5.0),
        None,
    ]);
    assert_eq!(
        came.column(0).as_ref(),
        &expected as &dyn arrow::array::Array
    );
}

#[tokio::test]
async fn what_cannot_be_written_to_says_so() {
    let place = Place::new(&format!(
        "{TABLE}; CREATE VIEW v AS SELECT * FROM t; CREATE VIRTUAL TABLE f USING fts5(id, name);
         CREATE TABLE child (parent INTEGER REFERENCES t (id) ON DELETE CASCADE);
         CREATE TABLE g (id INTEGER, name TEXT GENERATED ALWAYS AS (id || 'x'));
         CREATE UNIQUE INDEX part ON g (id) WHERE id > 5"
    ));
    let source = place.source().await;
    for (name, mode, keys, code) in [
        ("v", WriteMode::Append, &[][..], "unsupported"),
        ("f", WriteMode::Append, &[], "unsupported"),
        ("t", WriteMode::Replace, &[], "replace_followed"),
        ("g", WriteMode::Append, &[], "unsupported_type"),
        ("t", WriteMode::Upsert, &["name"], "no_unique_key"),
        ("T", WriteMode::Append, &[], "stream_exists"),
        ("sqlite_x", WriteMode::Append, &[], "query"),
    ] {
        let outcome = write(&source, &to(name, mode).by(keys), batch(&[(7, "a")])).await;
        assert_eq!(outcome.unwrap_err().stable_code(), code, "{name} {mode:?}");
    }
    let read_only = place.source_with(json!({"read_only": true})).await;
    let error = write(&read_only, &to("t", WriteMode::Append), batch(&[(7, "a")]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::ReadOnly);
    assert_eq!(all(&place), "1 one, 2 two");
}

#[tokio::test]
async fn a_file_is_made_only_where_the_config_says_so() {
    let place = Place::new("");
    let path = place.home.path().join("new.db");
    let source = place.source_with(json!({"path": path})).await;
    let error = write(&source, &to("t", WriteMode::Append), batch(&[(1, "a")]))
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "source_not_found");
    assert!(!path.exists());
    let source = place
        .source_with(json!({"path": path, "create": true}))
        .await;
    assert_eq!(
        failure(&source, &stream("t")).await.stable_code(),
        "source_not_found"
    );
    assert!(!path.exists());
    assert!(
        write(&source, &to("t", WriteMode::Append), batch(&[(1, "a")]))
            .await
            .unwrap()
            .created
    );
    assert_eq!(rows(&source, &stream("t")).await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn columns_are_added_and_self_references_survive_a_replace() {
    let place = Place::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, up INTEGER REFERENCES t (id));
         INSERT INTO t VALUES (1, 'one', NULL), (2, 'two', 1);
         CREATE TABLE other (t INTEGER REFERENCES t (id)); INSERT INTO other VALUES (2)",
    );
    let source = place.source().await;
    // Row 2 goes and comes again, so whoever refers to it still may.
    let rows = batch(&[(1, "a"), (2, "b")]);
    assert_eq!(
        write(&source, &to("t", WriteMode::Replace), rows)
            .await
            .unwrap()
            .rows,
        2
    );
    let error = write(&source, &to("t", WriteMode::Replace), batch(&[(1, "a")]))
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "data", "{error}");
    assert_eq!(all(&place), "1 a, 2 b");
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![3]));
    let more = RecordBatch::try_from_iter([("id", ids.clone()), ("score", ids.clone())]).unwrap();
    let frozen = to("t", WriteMode::Append);
    let error = write(&source, &frozen, more.clone()).await.unwrap_err();
    assert_eq!(error.stable_code(), "unknown_column");
    let mut evolve = to("t", WriteMode::Append);
    evolve.schema_change = SchemaChange::Evolve;
    assert_eq!(
        write(&source, &evolve, more).await.unwrap().added_columns,
        ["score"]
    );
    let alike = RecordBatch::try_from_iter([("id", ids.clone()), ("NAME", ids)]).unwrap();
    let error = write(&source, &evolve, alike).await.unwrap_err();
    assert_eq!(error.stable_code(), "bad_column_name");
}
