//! Callers that go away, connections that are not there.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use weir_core::{Kind, Secret};

use super::{actor, open, proxy, server, source, store_at};
use crate::{ObjectRef, Scopes, SourceChange, Store};

/// Polls `work` a few times, then drops it, as a server does to a handler
/// whose caller hung up.
async fn cut_after(polls: usize, work: impl Future) {
    let mut work = Box::pin(work);
    for _ in 0..polls {
        let done = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_ready())).await;
        if done {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until no session of the database is idle within a transaction; the
/// pool clears a connection in the background, so on a busy machine it takes a while.
async fn until_nothing_is_open(watcher: &Store) {
    let start = Instant::now();
    loop {
        let open: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity \
             where datname = current_database() and state like 'idle in transaction%'",
        )
        .fetch_one(&watcher.pool)
        .await
        .unwrap();
        if open == 0 {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{open} sessions keep a transaction open"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `WEIR_TEST_CUTS`, for those who want more rounds than CI does.
#[expect(clippy::disallowed_methods, reason = "the one setting of these tests")]
fn rounds(usual: usize) -> usize {
    let given = std::env::var("WEIR_TEST_CUTS").ok();
    given.map_or(usual, |text| text.parse().unwrap())
}

/// Cuts a `begin` at each of its polls, and looks at what is left: no session
/// in a transaction, and no query that finds itself in one.
async fn cut_begins(url: &Secret, through: &Secret, rounds: usize) {
    let watcher = store_at(url, 1).await;
    for polls in 1..=6 {
        let store = store_at(through, 1).await;
        for _ in 0..rounds {
            cut_after(polls, store.pool.begin()).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            until_nothing_is_open(&watcher).await;
            sqlx::query("insert into missing values (1)")
                .execute(&store.pool)
                .await
                .unwrap_err();
            let one: i32 = sqlx::query_scalar("select 1")
                .fetch_one(&store.pool)
                .await
                .unwrap();
            assert_eq!(one, 1);
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_begin_that_was_cut_leaves_nothing_open() {
    let url = server::database().await;
    cut_begins(&url, &url, 50).await;
}

#[tokio::test]
async fn a_begin_that_was_cut_on_a_slow_line_leaves_nothing_open() {
    let url = server::database().await;
    let slow = proxy::slow(&url, Duration::from_millis(3)).await;
    cut_begins(&url, &slow, 9).await;
}

/// All cuts first, and as many plain queries after them: each must stand
/// outside of any transaction and give what it was asked for.
#[tokio::test]
async fn plain_queries_after_many_cut_begins_find_no_transaction() {
    let url = server::database().await;
    let slow = proxy::slow(&url, Duration::from_millis(3)).await;
    let (watcher, store) = (store_at(&url, 1).await, store_at(&slow, 1).await);
    let rounds = rounds(50);
    for round in 0..rounds {
        cut_after(1 + round % 6, store.pool.begin()).await;
    }
    until_nothing_is_open(&watcher).await;
    let mut before = 0;
    for round in 0..rounds {
        let number = i64::try_from(round).unwrap();
        // Within one transaction the second query would have the id of the first.
        let (same, id): (i64, i64) = sqlx::query_as("select $1::int8, txid_current()")
            .bind(number)
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(same, number, "round {round}");
        assert!(
            id > before,
            "round {round} is in the transaction of another"
        );
        before = id;
    }
    until_nothing_is_open(&watcher).await;
    println!(
        "{rounds} begins cut through a slow line, then {rounds} plain queries: no stale transaction"
    );
}

#[tokio::test]
async fn a_change_whose_caller_went_away_is_made_whole() {
    let (store, _) = open().await;
    for round in 0..20 {
        let name = format!("s{round}");
        cut_after(
            1,
            store.create_source(source(&name, &[("password", "p")]), &actor()),
        )
        .await;
        let start = Instant::now();
        let row = loop {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{name} was never made"
            );
            if let Some(row) = store
                .find_source(&ObjectRef::Name(name.clone()), &Scopes::all())
                .await
                .unwrap()
            {
                break row;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert_eq!(store.source_secrets(&row).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn one_connection_is_enough_for_everything() {
    let url = server::database().await;
    let store = store_at(&url, 1).await;
    store.migrate().await.unwrap();
    store
        .unlock(None, || Ok(weir_vault::KeyRing::generate()))
        .await
        .unwrap();
    let work = (0..10).map(|n| {
        let store = store.clone();
        async move {
            let row = store
                .create_source(source(&format!("s{n}"), &[("password", "p")]), &actor())
                .await
                .unwrap();
            let row = store
                .update_source(row.id, Some(1), SourceChange::default(), &actor())
                .await
                .unwrap();
            store.source_secrets(&row).await.unwrap();
            store.ready().await.unwrap();
            store
                .delete_source(row.id, Some(2), &actor())
                .await
                .unwrap();
        }
    });
    futures::future::join_all(work).await;
}

#[tokio::test]
async fn a_request_waits_for_a_connection_only_shortly() {
    let url = server::database().await;
    let store = store_at(&url, 1).await;
    store.migrate().await.unwrap();
    let held = store.pool.acquire().await.unwrap();
    let start = Instant::now();
    let error = store
        .find_source(&ObjectRef::Name("a".into()), &Scopes::all())
        .await
        .unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(4));
    assert_eq!(
        (error.kind(), error.stable_code()),
        (Kind::NotReady, "store_unavailable")
    );
    assert!(error.retry_after_hint().is_some() && error.hint_text().is_some());
    drop(held);
    assert!(
        store
            .find_source(&ObjectRef::Name("a".into()), &Scopes::all())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn sessions_have_limits() {
    let store = store_at(&server::database().await, 1).await;
    for (setting, value) in [
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("application_name", "weir"),
    ] {
        let seen: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(seen, value, "{setting}");
    }
}

#[tokio::test]
async fn lost_connections_are_replaced() {
    let (store, _) = open().await;
    store
        .create_source(source("a", &[]), &actor())
        .await
        .unwrap();
    for _ in 0..5 {
        // Ends every session of this database, the one it runs in last.
        let _ = sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()")
            .execute(&store.pool)
            .await;
        let found = store
            .find_source(&ObjectRef::Name("a".into()), &Scopes::all())
            .await;
        assert!(found.is_ok_and(|row| row.is_some()));
    }
}
