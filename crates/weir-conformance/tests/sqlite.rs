//! The suite over SQLite, on real files.

#![expect(clippy::unwrap_used, reason = "what cannot work is a failed test")]

mod common;

use common::{context, expect};
use serde_json::json;
use tempfile::TempDir;
use weir_conformance::{ExpectSink, check_all, check_sink, passed, verdict};
use weir_core::{AnyConnector, StreamId};
use weir_tests::conformance::recorded;

const SERVER: &str = "SQLite itself, which Weir brings, over files of both journal modes";

/// Values and nulls of many types, some that do not fit, names that need quotes,
/// and neighbours for discovery to page through.
const TABLES: &str = r#"
    CREATE TABLE "my ""table""" (
        id INTEGER PRIMARY KEY,
        "Good Col" TEXT,
        amount DECIMAL(12, 2),
        ratio REAL,
        count INT,
        at DATETIME,
        day DATE,
        flag BOOLEAN,
        raw BLOB,
        doc JSON,
        anything
    );
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO "my ""table"""
    SELECT i,
           CASE WHEN i % 3 > 0 THEN 'text ' || (i * 7919 % 1000) END,
           CASE WHEN i % 4 > 0 THEN i / 100.0 END,
           CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN 'not a number' WHEN 2 THEN 9e999 ELSE i / 7.0 END,
           CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN 'x' WHEN 2 THEN 2.5 ELSE -i END,
           CASE WHEN i % 5 > 0 THEN datetime(i * 1000, 'unixepoch') END,
           CASE WHEN i % 5 > 0 THEN date(i * 1000, 'unixepoch') END,
           CASE WHEN i % 2 > 0 THEN i % 4 = 1 END,
           CASE WHEN i % 7 > 0 THEN x'00ff' || i ELSE i END,
           CASE WHEN i % 6 > 0 THEN '{"a": 1}' END,
           CASE i % 4 WHEN 0 THEN i WHEN 1 THEN i / 2.0 WHEN 2 THEN 'text' END
    FROM n;
    CREATE TABLE a (x);
    CREATE VIEW b AS SELECT 1 AS one;
    CREATE TABLE c (id INT) STRICT;
    CREATE VIRTUAL TABLE words USING fts5(word);
"#;

struct Place {
    home: TempDir,
}

impl Place {
    fn new(sql: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let conn = rusqlite::Connection::open(home.path().join("a.db")).unwrap();
        conn.execute_batch(sql).unwrap();
        Place { home }
    }

    fn connector(&self) -> std::sync::Arc<dyn AnyConnector> {
        let rules = connect_sql::PathRules {
            roots: vec![self.home.path().to_owned()],
            ..Default::default()
        };
        connect_sql::sqlite::entry_with(rules, connect_sql::KeeperSettings::default())
    }

    fn config(&self) -> serde_json::Value {
        json!({"path": self.home.path().join("a.db")})
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    let place = Place::new(TABLES);
    for order_by in ["Good Col", "id", "count", "ratio", "anything"] {
        let expect = expect(&["my \"table\""], 20_000, order_by);
        let cases = check_all(&*place.connector(), place.config(), &context(), expect).await;
        assert_eq!(verdict(&cases), Ok(()), "ordered by {order_by}");
        recorded("sqlite", "source", SERVER, &passed(&cases));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms_as_a_sink() {
    for mode in ["DELETE", "WAL"] {
        let place = Place::new(&format!("PRAGMA journal_mode = {mode}"));
        let expect = ExpectSink {
            stream: |name| StreamId::from_parts([name]),
            append: true,
            keys: true,
            left_out: &[],
            // Kept as text, as SQLite has no such types; and it stores -0 as 0.
            lossy: &[
                "duration", "interval", "list", "record", "float32", "float64",
            ],
        };
        let cases = check_sink(&*place.connector(), place.config(), &context(), expect).await;
        assert_eq!(verdict(&cases), Ok(()), "journal mode {mode}");
        recorded("sqlite", "sink", SERVER, &passed(&cases));
    }
}
