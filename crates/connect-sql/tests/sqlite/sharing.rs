//! Others who use the same file: locks, dead writers, WAL.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use weir_core::WriteMode;

use crate::support::*;
use crate::writing::batch;

const TABLE: &str =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'old')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_somebody_else_is_waited_for_and_then_told() {
    let place = Place::new(TABLE);
    let source = place.source_with(json!({"busy_timeout_ms": 300})).await;
    let other = place.conn();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begun = Instant::now();
    for outcome in [
        rows(&source, &stream("t")).await.err(),
        write(&source, &to("t", WriteMode::Append), batch(&[(2, "new")]))
            .await
            .err(),
    ] {
        let error = outcome.unwrap();
        assert_eq!(error.stable_code(), "unavailable", "{error}");
        assert!(error.kind().retryable());
    }
    let waited = begun.elapsed();
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(3)).contains(&waited),
        "{waited:?}"
    );
    // One who waits long enough gets it.
    let patient = place.source().await;
    let into = to("t", WriteMode::Append);
    let (outcome, ()) = tokio::join!(write(&patient, &into, batch(&[(2, "new")])), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.execute_batch("COMMIT").unwrap();
    });
    assert_eq!(outcome.unwrap().rows, 1);
    assert_eq!(place.number("SELECT count(*) FROM t"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_locked_out_while_rows_come() {
    let place = Place::new(TABLE);
    let source = place.source().await;
    let (send, receive) = futures::channel::mpsc::channel(1);
    let first = batch(&[(2, "new")]);
    let rows = weir_core::Rows {
        schema: first.schema(),
        batches: receive.boxed(),
    };
    let (ctx, into) = (context(), to("t", WriteMode::Replace));
    let writing = source.write(&ctx, &into, rows);
    let feeding = async move {
        let mut send = send;
        use futures::SinkExt;
        send.send(Ok(first)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let other = place.conn();
        other.busy_timeout(Duration::ZERO).unwrap();
        other
            .execute_batch("INSERT INTO t VALUES (7, 'of another')")
            .unwrap();
        assert_eq!(place.number("SELECT count(*) FROM t"), 2);
        drop(send);
        place
    };
    let (outcome, place) = tokio::join!(writing, feeding);
    assert_eq!(outcome.unwrap().rows, 1);
    assert_eq!(place.number("SELECT sum(id) FROM t"), 2);
}

/// A journal as a writer leaves it that was killed: the next reader takes it back.
#[tokio::test]
async fn what_a_dead_writer_left_is_taken_back() {
    for read_only in [false, true] {
        let place = Place::new(TABLE);
        let conn = place.conn();
        let fill = "PRAGMA cache_size = 5; PRAGMA cache_spill = 1; BEGIN; \
            WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
            INSERT INTO t SELECT i, hex(randomblob(50)) FROM n";
        conn.execute_batch(fill).unwrap();
        // The files as they are in the middle of it, in another place.
        let after = tempfile::tempdir().unwrap();
        for name in ["a.db", "a.db-journal"] {
            std::fs::copy(place.home.path().join(name), after.path().join(name)).unwrap();
        }
        let config = json!({"path": after.path().join("a.db"), "read_only": read_only});
        let source = open(after.path(), config).await.unwrap();
        let outcome = rows(&source, &stream("t")).await;
        if read_only {
            assert_eq!(outcome.unwrap_err().stable_code(), "unavailable");
        } else {
            assert_eq!(outcome.unwrap().num_rows(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_wal_mode_a_reader_keeps_no_writer_out() {
    let place = Place::new(&format!("PRAGMA journal_mode = WAL; {TABLE}"));
    let conn = place.conn();
    conn.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO t SELECT i, 'x' FROM n",
    )
    .unwrap();
    let source = place.source().await;
    let mut slow = source.scan(&context(), &stream("t")).await.unwrap().stream;
    let mut seen = slow.next().await.unwrap().unwrap().num_rows();
    let written = write(&source, &to("t", WriteMode::Replace), batch(&[(1, "new")])).await;
    assert_eq!(written.unwrap().rows, 1);
    assert_eq!(rows(&source, &stream("t")).await.unwrap().num_rows(), 1);
    // The reader sees what was there when it began.
    while let Some(more) = slow.next().await {
        seen += more.unwrap().num_rows();
    }
    assert_eq!(seen, 100_000);
}

#[tokio::test]
async fn a_file_put_into_the_place_of_another_is_noticed() {
    let place = Place::new(TABLE);
    let source = place.source().await;
    assert_eq!(rows(&source, &stream("t")).await.unwrap().num_rows(), 1);
    let other = Place::new("CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1), (2), (3)");
    std::fs::rename(other.path(), place.path()).unwrap();
    assert_eq!(rows(&source, &stream("t")).await.unwrap().num_rows(), 3);
}

/// Weir and a process of another program, at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_lose_nothing() {
    let place = Place::new("CREATE TABLE t (id INTEGER, name TEXT)");
    let source = place.source_with(json!({"busy_timeout_ms": 30_000})).await;
    let other = place.conn();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    let outside = std::thread::spawn(move || {
        for id in 0..50 {
            other
                .execute("INSERT INTO t VALUES (?1, 'other')", [id])
                .unwrap();
        }
    });
    let into = to("t", WriteMode::Append);
    let writes = (0..20).map(|id| write(&source, &into, batch(&[(id, "mine")])));
    for outcome in futures::future::join_all(writes).await {
        assert_eq!(outcome.unwrap().rows, 1);
    }
    outside.join().unwrap();
    assert_eq!(place.number("SELECT count(*) FROM t"), 70);
}

/// Writes a lot in its working folder, and never ends it: a program of somebody
/// else's, with the SQLite that it brings.
const IN_THE_MIDDLE: &str = "
import sqlite3, time
connection = sqlite3.connect('a.db', isolation_level=None)
connection.execute('PRAGMA cache_size = 5')
connection.execute('BEGIN EXCLUSIVE')
rows = 'WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)'
connection.execute('INSERT INTO t ' + rows + ' SELECT i, hex(randomblob(50)) FROM n')
open('locked', 'w').close()
time.sleep(60)
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_is_waited_for_and_its_death_mended() {
    let place = Place::new(TABLE);
    let mut process = std::process::Command::new(weir_tests::project::python())
        .args(["-c", IN_THE_MIDDLE])
        .current_dir(place.home.path())
        .spawn()
        .unwrap();
    let locked = place.home.path().join("locked");
    let is_locked = async || locked.exists().then_some(());
    let begun = weir_tests::eventually(Duration::from_secs(30), is_locked).await;
    begun.expect("the other process writes");
    let hasty = place.source_with(json!({"busy_timeout_ms": 100})).await;
    let error = failure(&hasty, &stream("t")).await;
    assert_eq!(error.stable_code(), "unavailable", "{error}");
    // As `kill -9` does it.
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(place.home.path().join("a.db-journal").exists());
    assert_eq!(rows(&hasty, &stream("t")).await.unwrap().num_rows(), 1);
    let written = write(&hasty, &to("t", WriteMode::Append), batch(&[(2, "new")])).await;
    assert_eq!(written.unwrap().rows, 1);
    assert_eq!(place.number("SELECT count(*) FROM t"), 2);
}
