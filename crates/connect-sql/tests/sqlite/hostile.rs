//! Files of strangers: no panic, no error of ours, nothing followed.

use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::json;
use weir_core::{Context, Deadline, Discover, Kind, StreamId};

use crate::support::*;

const SCHEMA: &str = "
    CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, raw BLOB, at DATETIME, n DECIMAL(10,2));
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    INSERT INTO t SELECT i, 'name ' || i, zeroblob(i * 20), '2024-01-01', i / 4.0 FROM n;
    CREATE INDEX i ON t (name);
    CREATE TABLE g (a INTEGER, b TEXT GENERATED ALWAYS AS (a || 'x') VIRTUAL, c GENERATED ALWAYS AS (a + 1) STORED);
    INSERT INTO g (a) VALUES (1), (2);
    CREATE VIEW v AS SELECT t.id, count(*) AS n FROM t JOIN g ON g.a = t.id GROUP BY t.id;
    CREATE VIRTUAL TABLE f USING fts5(word);
    INSERT INTO f VALUES ('hello'), ('world');
    CREATE VIRTUAL TABLE r USING rtree(id, a, b);
    INSERT INTO r VALUES (1, 2.0, 3.0);
    ANALYZE";

struct Dice(u64);

impl Dice {
    fn roll(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
}

fn is_said(error: &weir_core::Error, what: &str) {
    assert!(
        error.kind() != Kind::Internal,
        "{what}: {error} {:?}",
        error.log_detail()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mangled_files_are_errors_or_rows() {
    let place = Place::new(SCHEMA);
    let whole = place.dump();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..400 {
        let mut bytes = whole.clone();
        // The header and the schema are small and deserve as much as the rest.
        let within = [100, 4096, bytes.len()][round % 3];
        for _ in 0..=dice.roll(20) {
            let at = dice.roll(within);
            bytes[at] = dice.roll(256) as u8;
        }
        if round % 10 == 0 {
            bytes.truncate(dice.roll(bytes.len()));
        }
        std::fs::write(place.path(), &bytes).unwrap();
        let source = place.source().await;
        let ctx = Context {
            deadline: Deadline::after(Duration::from_secs(5)),
            ..context()
        };
        let ask = Discover {
            limit: 100,
            ..Discover::default()
        };
        if let Err(error) = source.discover(&ctx, &ask).await {
            is_said(&error, &format!("round {round}"));
        }
        for name in ["t", "g", "v", "f", "r", "sqlite_stat1"] {
            if let Err(error) = source.schema(&ctx, &StreamId::from_parts([name])).await {
                is_said(&error, &format!("round {round}"));
            }
            if let Err(error) = rows(&source, &stream(name)).await {
                is_said(&error, &format!("round {round}, {name}"));
            }
        }
        if round % 4 == 0 {
            let batch = crate::writing::batch(&[(1, "new")]);
            let write = to("t", weir_core::WriteMode::Append);
            if let Err(error) = crate::support::write(&source, &write, batch).await {
                is_said(&error, &format!("round {round}, write"));
            }
            for name in ["a.db-journal", "a.db-wal", "a.db-shm"] {
                let _gone = std::fs::remove_file(place.home.path().join(name));
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_database_says_so() {
    let place = Place::new("");
    for content in [&b"hello, this is no database at all, but long enough to look like one....................................."[..], b"SQLite format 3\0"] {
        std::fs::write(place.path(), content).unwrap();
        let error = failure(&place.source().await, &stream("t")).await;
        assert!(["data", "source_not_found"].contains(&error.stable_code()), "{error}");
    }
    let source = place
        .source_with(json!({"path": place.home.path().join("none.db")}))
        .await;
    assert_eq!(
        failure(&source, &stream("t")).await.stable_code(),
        "source_not_found"
    );
    let source = place.source_with(json!({"path": place.home.path()})).await;
    assert_eq!(
        failure(&source, &stream("t")).await.stable_code(),
        "path_not_allowed"
    );
}

#[tokio::test]
async fn links_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(outside.path().join("b.db"))
        .unwrap()
        .execute_batch("CREATE TABLE secret (id INTEGER); INSERT INTO secret VALUES (1)")
        .unwrap();
    let place = Place::new("CREATE TABLE t (id INTEGER)");
    symlink(
        outside.path().join("b.db"),
        place.home.path().join("link.db"),
    )
    .unwrap();
    symlink(outside.path(), place.home.path().join("folder")).unwrap();
    for name in ["link.db", "folder/b.db"] {
        let source = place
            .source_with(json!({"path": place.home.path().join(name)}))
            .await;
        assert_eq!(
            failure(&source, &stream("secret")).await.stable_code(),
            "path_not_allowed"
        );
    }
    for sibling in ["-wal", "-journal", "-shm"] {
        let link = place.home.path().join(format!("a.db{sibling}"));
        symlink(outside.path().join("b.db"), &link).unwrap();
        let error = failure(&place.source().await, &stream("t")).await;
        assert_eq!(error.stable_code(), "path_not_allowed", "{sibling}");
        std::fs::remove_file(link).unwrap();
    }
}

/// A journal may name a second file, which SQLite would read and remove.
#[tokio::test]
async fn a_journal_that_names_another_file_is_refused() {
    let place = Place::new("CREATE TABLE t (id INTEGER)");
    let victim = place.home.path().join("victim.txt");
    std::fs::write(&victim, "mine").unwrap();
    let name = victim.to_str().unwrap().as_bytes();
    let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    journal.extend_from_slice(&[
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0x10, 0,
    ]);
    journal.resize(512, 0);
    journal.extend_from_slice(&[0, 0, 0x10, 1]);
    journal.extend_from_slice(name);
    journal.extend_from_slice(&(name.len() as u32).to_be_bytes());
    let sum: u32 = name.iter().map(|byte| u32::from(*byte)).sum();
    journal.extend_from_slice(&sum.to_be_bytes());
    journal.extend_from_slice(&[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    std::fs::write(place.home.path().join("a.db-journal"), journal).unwrap();
    let source = place.source().await;
    let _read = rows(&source, &stream("t")).await;
    let batch = crate::writing::batch(&[(1, "new")]);
    let outcome = write(&source, &to("u", weir_core::WriteMode::Append), batch).await;
    assert_eq!(outcome.unwrap_err().stable_code(), "unavailable");
    assert!(victim.exists());
}

#[tokio::test]
async fn generated_columns_and_virtual_tables_are_read() {
    let place = Place::new(SCHEMA);
    let source = place.source().await;
    let batch = rows(&source, &stream("g")).await.unwrap();
    assert_eq!(texts(&batch, 1), [Some("1x".into()), Some("2x".into())]);
    assert_eq!(rows(&source, &stream("f")).await.unwrap().num_rows(), 2);
    // Also in a session that has not looked at it before.
    let scan = source.scan(&context(), &stream("r")).await.unwrap();
    let _taken = source.scan(&context(), &stream("t")).await.unwrap();
    let batches: Vec<_> = futures::TryStreamExt::try_collect(scan.stream)
        .await
        .unwrap();
    assert_eq!(batches[0].num_rows(), 1);
    let ask = Discover {
        limit: 100,
        ..Discover::default()
    };
    let page = source.discover(&context(), &ask).await.unwrap();
    let names: Vec<&str> = page.items.iter().map(|item| item.name.as_str()).collect();
    // Neither SQLite's own tables nor those that a virtual one keeps.
    assert_eq!(names, ["f", "g", "r", "t", "v"]);
}
