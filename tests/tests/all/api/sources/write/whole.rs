//! All rows or none: whatever breaks off leaves the target as it was, and
//! nobody ever sees a part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::wire::Wire;
use weir_tests::{Client, eventually};

use super::{Place, numbered, path};

/// The head of a write whose body comes in chunks.
fn head(client: &Client, query: &str, id: &str) -> Vec<u8> {
    let (path, key) = (path(query), client.key());
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nweir-run-id: {id}\r\n\
         Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes()
}

fn chunk(first: i64, count: i64) -> Vec<u8> {
    let lines: String = numbered(first, count)
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{row}\n"))
        .collect();
    format!("{:x}\r\n{lines}\r\n", lines.len()).into_bytes()
}

async fn status(place: &Place, id: &str) -> Value {
    let client = place.client();
    let ended = eventually(Duration::from_secs(20), async || {
        let run = client.get(&format!("/v1/runs/{id}")).await;
        let run = (run.status == 200).then(|| run.json())?;
        (run["status"] != "running").then_some(run)
    });
    ended.await.expect("the run ends")
}

/// Nothing of ours is at work in the server.
async fn quiet(place: &Place) {
    let watcher = place.database.client().await;
    let gone = eventually(Duration::from_secs(10), async || {
        let sql = "select count(*) from pg_stat_activity where datname = current_database()
            and application_name = 'weir' and state <> 'idle'";
        let count: i64 = watcher.query_one(sql, &[]).await.unwrap().get(0);
        (count == 0).then_some(())
    });
    gone.await.expect("the transaction ends");
}

const SEEDED: &str =
    "create table t (id bigint primary key, name text); insert into t values (0, 'old')";

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_leaves_what_was_there() {
    let place = Place::with(SEEDED).await;
    for query in [
        "stream=t",
        "stream=t&mode=replace",
        "stream=t&mode=upsert&keys=id",
        "stream=fresh",
    ] {
        let id = uuid::Uuid::now_v7().to_string();
        let mut bytes = head(place.client(), query, &id);
        for piece in 0..20 {
            bytes.extend(chunk(piece * 2_000, 2_000));
        }
        let wire = Wire::send(place.client(), &bytes).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(wire);
        let run = status(&place, &id).await;
        assert_ne!(run["status"], "succeeded", "{query}: {run}");
        quiet(&place).await;
        assert_eq!(
            place.rows().await,
            json!([{"id": 0, "name": "old"}]),
            "{query}"
        );
        assert_eq!(place.ask("select to_regclass('fresh')::text").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_write_leaves_what_was_there() {
    let place = Place::with(SEEDED).await;
    let id = uuid::Uuid::now_v7().to_string();
    let mut bytes = head(place.client(), "stream=t&mode=replace", &id);
    bytes.extend(chunk(1, 20_000));
    let mut wire = Wire::send(place.client(), &bytes).await;
    let client = place.client();
    let running = eventually(Duration::from_secs(10), async || {
        (client.get(&format!("/v1/runs/{id}")).await.status == 200).then_some(())
    });
    running.await.expect("the run is there");
    client
        .post(&format!("/v1/runs/{id}/cancel"), &json!({}))
        .await;
    assert_eq!(status(&place, &id).await["status"], "cancelled");
    quiet(&place).await;
    assert_eq!(place.rows().await, json!([{"id": 0, "name": "old"}]));
    let answer = wire.read_at_least(12).await.to_vec();
    assert!(
        answer.starts_with(b"HTTP/1.1 499"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// Replaces again and again, while readers count.
#[tokio::test(flavor = "multi_thread")]
async fn readers_see_all_rows_of_before_or_of_after() {
    let place = Arc::new(Place::with(SEEDED).await);
    place
        .write("stream=t&mode=replace", &numbered(0, 1_000))
        .await
        .expect_status(200);
    let done = Arc::new(AtomicBool::new(false));
    let reading = async {
        let mut looks = 0;
        while !done.load(Ordering::SeqCst) {
            let rows = place.client().rows("db", &json!({"stream": "t"})).await;
            assert!([1_000, 2_000].contains(&rows.len()), "{} rows", rows.len());
            let first = rows[0]["id"].as_i64().unwrap();
            assert!(
                rows.iter()
                    .all(|row| (row["id"].as_i64().unwrap() < 5_000) == (first < 5_000))
            );
            looks += 1;
        }
        assert!(looks > 3);
    };
    let writing = async {
        for turn in 0..12 {
            let rows = if turn % 2 == 0 {
                numbered(10_000, 2_000)
            } else {
                numbered(0, 1_000)
            };
            place
                .write("stream=t&mode=replace", &rows)
                .await
                .expect_status(200);
        }
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(reading, writing);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_writers_at_once_lose_nothing() {
    let place = Place::with("").await;
    let place = &place;
    // All want to make the table.
    let appends = (0..6).map(|writer| async move {
        place
            .write("stream=t", &numbered(writer * 100, 100))
            .await
            .expect_status(200)
    });
    let made = futures::future::join_all(appends).await;
    assert_eq!(
        made.iter()
            .filter(|answer| answer["created"] == true)
            .count(),
        1
    );
    assert_eq!(place.rows().await, numbered(0, 600));
    place.run("alter table t add primary key (id)").await;
    let upserts = (0..6).map(|writer| async move {
        let rows: Value = (0..200)
            .map(|id| json!({"id": id, "name": format!("w{writer}")}))
            .collect();
        let rows = match writer % 2 {
            0 => rows,
            _ => rows.as_array().unwrap().iter().rev().cloned().collect(),
        };
        place
            .write("stream=t&mode=upsert&keys=id", &rows)
            .await
            .expect_status(200)
    });
    futures::future::join_all(upserts).await;
    let rows = place.rows().await;
    let names: std::collections::BTreeSet<&str> = rows.as_array().unwrap()[..200]
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    // Each statement is one, so the last one's rows are all there.
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_somebody_else_is_waited_for_no_longer_than_the_deadline() {
    let place = Place::with(SEEDED).await;
    let holder = place.database.client().await;
    holder.batch_execute("begin; lock table t").await.unwrap();
    let late = place
        .write("stream=t&timeout_ms=1500", &numbered(1, 1))
        .await;
    late.expect_problem(504, "deadline");
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(place.rows().await, json!([{"id": 0, "name": "old"}]));
}
