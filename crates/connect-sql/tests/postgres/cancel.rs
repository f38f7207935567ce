//! Hanging up: the query ends in the server, and its connection serves nobody else.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use weir_core::{Deadline, Kind, Value};
use weir_tests::eventually;

use crate::support::*;

const MANY: &str = "select a.i, repeat('x', 100) as t \
     from generate_series(1, 10000) as a(i) cross join generate_series(1, 10000) as b(i)";

async fn gone_within_a_second(database: &Database, client: &tokio_postgres::Client, text: &str) {
    let start = Instant::now();
    let gone = eventually(Duration::from_secs(5), async || {
        (database.sessions_running(client, text).await == 0).then_some(())
    });
    gone.await.expect("the query runs on");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_load_leaves_nothing_and_spoils_nothing() {
    let database = Database::create().await;
    let source = source_with(&database, json!({"pool": {"max": 1}})).await;
    let admin = database.client().await;
    assert_eq!(number(&source, "select 41::int8 + 1").await, 42);
    for round in 0..100 {
        let scan = source
            .scan(&context(), &query(MANY, Vec::new()))
            .await
            .unwrap();
        let mut stream = scan.stream;
        assert!(
            stream.next().await.unwrap().unwrap().num_rows() > 0,
            "round {round}"
        );
        drop(stream);
    }
    gone_within_a_second(&database, &admin, "generate_series").await;
    for expected in 0..100 {
        let read = query("select $1::int8", vec![Value::Int(expected)]);
        let batch = rows(&source, &read).await.unwrap();
        assert_eq!(texts(&batch, 0), [Some(expected.to_string())]);
    }
}

/// A pool that takes a connection back in the middle of a `COPY` is one message
/// out of step from then on: cached queries then give nothing, without an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_dropped_half_read_puts_no_later_answer_out_of_step() {
    let sql =
        "create table many as select n, repeat('x', 20) as t from generate_series(1, 200000) n";
    let database = Database::with(sql).await;
    let source = source_with(&database, json!({"pool": {"max": 1}})).await;
    let admin = database.client().await;
    let read = query("select $1::int8", vec![Value::Int(7)]);
    assert_eq!(
        texts(&rows(&source, &read).await.unwrap(), 0),
        [Some("7".to_owned())]
    );
    let many = query("select n, t from many", Vec::new());
    for round in 0..100 {
        let mut stream = source.scan(&context(), &many).await.unwrap().stream;
        let first = stream.next().await.unwrap().unwrap();
        assert!((1..200_000).contains(&first.num_rows()), "round {round}");
        drop(stream);
        for expected in 0..6 {
            let read = query("select $1::int8", vec![Value::Int(expected)]);
            let answer = rows(&source, &read).await.unwrap();
            assert_eq!(
                texts(&answer, 0),
                [Some(expected.to_string())],
                "round {round}"
            );
        }
        gone_within_a_second(&database, &admin, "from many").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_says_nothing_is_cancelled() {
    let database = Database::create().await;
    let source = source(&database).await;
    let admin = database.client().await;
    for (text, params) in [
        ("select pg_sleep(60), 1 as mark_one", Vec::new()),
        ("select pg_sleep($1), 1 as mark_one", vec![Value::Int(60)]),
        (
            "select count(*) as mark_one from generate_series(1, 10000000000)",
            Vec::new(),
        ),
    ] {
        let mut stream = source
            .scan(&context(), &query(text, params))
            .await
            .unwrap()
            .stream;
        let waited = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
        assert!(waited.is_err(), "{text}");
        assert_eq!(
            database.sessions_running(&admin, "mark_one").await,
            1,
            "{text}"
        );
        drop(stream);
        gone_within_a_second(&database, &admin, "mark_one").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_with_bound_values_is_cancelled_too() {
    let database = Database::create().await;
    let source = source_with(&database, json!({"pool": {"max": 1}})).await;
    let admin = database.client().await;
    let text = "select a.i, repeat('x', 100) as t \
                from generate_series(1, $1::int8) as a(i) cross join generate_series(1, 10000) as b(i)";
    for _ in 0..20 {
        let read = query(text, vec![Value::Int(10_000)]);
        let mut stream = source.scan(&context(), &read).await.unwrap().stream;
        stream.next().await.unwrap().unwrap();
        drop(stream);
        assert_eq!(number(&source, "select 42::int8").await, 42);
    }
    gone_within_a_second(&database, &admin, "generate_series").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passed_deadline_and_a_cancelled_call_stop_the_query() {
    let database = Database::create().await;
    let source = source(&database).await;
    let admin = database.client().await;
    let read = query("select pg_sleep(60), 1 as mark_two", Vec::new());
    let mut ctx = context();
    ctx.deadline = Deadline::after(Duration::from_millis(300));
    let mut stream = source.scan(&ctx, &read).await.unwrap().stream;
    assert_eq!(
        stream.next().await.unwrap().unwrap_err().kind(),
        Kind::Deadline
    );
    gone_within_a_second(&database, &admin, "mark_two").await;
    let ctx = context();
    let mut stream = source.scan(&ctx, &read).await.unwrap().stream;
    let cancel = ctx.cancel.clone();
    let (next, ()) = tokio::join!(stream.next(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    assert_eq!(next.unwrap().unwrap_err().kind(), Kind::Cancelled);
    gone_within_a_second(&database, &admin, "mark_two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_the_server_down() {
    let database = Database::create().await;
    let source = source(&database).await;
    let mut stream = source
        .scan(&context(), &query(MANY, Vec::new()))
        .await
        .unwrap()
        .stream;
    let first = Instant::now();
    let batch = stream.next().await.unwrap().unwrap();
    assert!(first.elapsed() < Duration::from_secs(5) && batch.num_rows() <= 1024);
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..5 {
        let batch = stream.next().await.unwrap().unwrap();
        assert!(batch.num_rows() <= 65_536 && batch.get_array_memory_size() < 16 * 1024 * 1024);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_before_the_first_poll() {
    let database = Database::create().await;
    let source = source_with(&database, json!({"pool": {"max": 1}})).await;
    let admin = database.client().await;
    let scan = source
        .scan(
            &context(),
            &query("select pg_sleep(60) as mark_three", Vec::new()),
        )
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let idle = "select state from pg_stat_activity where datname = $1 and usename = $2";
    let state: String = admin
        .query_one(idle, &[&database.name, &database.reader])
        .await
        .unwrap()
        .get(0);
    assert_eq!(state, "idle in transaction");
    drop(scan);
    // Looked at only, its connection is clean and goes to the next.
    let pid = number(&source, "select pg_backend_pid()::int8").await;
    assert_eq!(number(&source, "select pg_backend_pid()::int8").await, pid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_is_bounded_and_says_so() {
    let database = Database::create().await;
    let source = source_with(&database, json!({"pool": {"max": 2}})).await;
    let read = query("select pg_sleep(60)", Vec::new());
    let held = [
        source.scan(&context(), &read).await.unwrap(),
        source.scan(&context(), &read).await.unwrap(),
    ];
    let start = Instant::now();
    let error = source.scan(&context(), &read).await.err().unwrap();
    assert_eq!(
        (error.kind(), error.stable_code()),
        (Kind::Busy, "source_busy")
    );
    assert!(error.retry_after_hint().is_some() && start.elapsed() >= Duration::from_secs(4));
    drop(held);
    assert_eq!(number(&source, "select 1::int8").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_server_ended_is_replaced() {
    let database = Database::create().await;
    let source = source(&database).await;
    let admin = database.client().await;
    let pid = number(&source, "select pg_backend_pid()::int8").await as i32;
    let ended = admin
        .query_one("select pg_terminate_backend($1, 5000)", &[&pid])
        .await
        .unwrap();
    assert!(ended.get::<_, bool>(0));
    assert_ne!(
        number(&source, "select pg_backend_pid()::int8").await as i32,
        pid
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_one_request_stays_for_the_next() {
    // A function of the database's own may do what a query may not say.
    let database = Database::with(
        "create function sneaky() returns int8 language plpgsql as $$
         begin
           perform pg_advisory_lock(77); perform set_config('search_path', 'pg_catalog', false);
           perform set_config('timezone', 'Asia/Tokyo', false);
           return pg_backend_pid();
         end $$",
    )
    .await;
    let source = source_with(&database, json!({"pool": {"max": 1}})).await;
    let pid = number(&source, "select sneaky()").await;
    let text = "select pg_backend_pid()::int8 + (select count(*) from pg_locks where locktype = 'advisory') * 1000000000 \
                + (case when current_setting('timezone') = 'UTC' then 0 else 2000000000000 end)";
    assert_eq!(number(&source, text).await, pid);
}
