//! Every limit, set small: one below, at it, and one above.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::wire::Wire;
use weir_tests::{Answer, Client, Database, Options, eventually};

use super::sources::hang_up::ENDLESS;

/// What an answer must be: a success, or a problem of this status and code.
type Expected = Option<(u16, &'static str)>;

#[track_caller]
fn assert_answer(what: &str, answer: &Answer, expected: Expected) {
    match expected {
        None => assert!(
            answer.status < 300,
            "{what}: {} {}",
            answer.status,
            answer.text()
        ),
        Some((status, code)) => {
            assert_eq!(answer.status, status, "{what}: {}", answer.text());
            answer.expect_problem(status, code);
        }
    }
}

async fn sized(client: &Client, bytes: usize) -> Answer {
    let empty = r#"{"stream":"numbers","limit":1,"columns":["id"]}"#;
    let body = format!("{empty}{}", " ".repeat(bytes - empty.len()));
    let call = client.call(Method::POST, "/v1/sources/limited/load");
    let call = call.header("content-type", "application/json");
    call.body(body).send().await
}

async fn load(client: &Client, body: &Value) -> Answer {
    client.post("/v1/sources/limited/load", body).await
}

/// A filter that makes the body this many levels deep, its values included.
fn nested(levels: usize) -> Value {
    let mut filter = json!({"column": "id", "operator": "eq", "value": 1});
    // The body, the filter's leaf and the value in it are three levels.
    for _ in 3..levels {
        filter = json!({"not": filter});
    }
    json!({"stream": "numbers", "filter": filter, "limit": 1})
}

const SETTINGS: [(&str, &str); 11] = [
    ("WEIR_BODY_BYTES", "3000"),
    ("WEIR_JSON_BODY_BYTES", "2000"),
    ("WEIR_NESTING_LEVELS", "12"),
    ("WEIR_COLUMNS", "3"),
    ("WEIR_STATEMENT_BYTES", "100"),
    ("WEIR_PREVIEW_ROWS", "20"),
    ("WEIR_LOAD_ROWS", "100"),
    ("WEIR_LOAD_BYTES", "100000"),
    ("WEIR_LOAD_MS", "5000"),
    ("WEIR_PAGE_ITEMS", "7"),
    ("WEIR_FIRST_BATCH_MS", "2000"),
];

#[tokio::test(flavor = "multi_thread")]
async fn one_below_at_and_one_above_each_limit() {
    let mut options = Options::fresh().await;
    for (name, value) in SETTINGS {
        options = options.env(name, value);
    }
    let service = options.start().await;
    let client = &service.client;
    let database = Database::with(
        "create table numbers as select n as id, 'n' || n as label, n as c from generate_series(1, 1000) n",
    )
    .await;
    client.register_config("limited", database.config()).await;
    for (bytes, expected) in [
        (1_999, None),
        (2_000, None),
        (2_001, Some((413, "json_too_large"))),
        (3_000, Some((413, "json_too_large"))),
        (3_001, Some((413, "body_too_large"))),
    ] {
        let what = format!("a body of {bytes} bytes");
        assert_answer(&what, &sized(client, bytes).await, expected);
    }
    for (levels, expected) in [(11, None), (12, None), (13, Some((400, "too_deep")))] {
        let what = format!("{levels} levels");
        assert_answer(&what, &load(client, &nested(levels)).await, expected);
        let (open, close) = ("(".repeat(levels - 1), ")".repeat(levels - 1));
        let path = format!(
            "/v1/sources/limited/load?stream=numbers&limit=1&filter={open}id%20%3D%3D%201{close}"
        );
        assert_answer(&what, &client.get(&path).await, expected);
    }
    // Counted in memory, where a batch takes a little more than its text.
    for (bytes, expected) in [(90_000, None), (110_000, Some((413, "load_bytes")))] {
        let body = json!({"query": format!("select repeat('x', {bytes}) as text")});
        let what = format!("a load of {bytes} bytes");
        assert_answer(&what, &load(client, &body).await, expected);
    }
    let many = Some((422, "too_many_columns"));
    for (columns, expected) in [(2, None), (3, None), (4, many)] {
        let named = vec!["id"; columns];
        let answer = load(
            client,
            &json!({"stream": "numbers", "columns": named, "limit": 1}),
        )
        .await;
        assert_answer(&format!("{columns} columns named"), &answer, expected);
        let query = format!("select {}", vec!["1"; columns].join(", "));
        let answer = load(client, &json!({"query": query})).await;
        assert_answer(&format!("{columns} columns given"), &answer, expected);
    }
    for (bytes, expected) in [
        (99, None),
        (100, None),
        (101, Some((413, "query_too_long"))),
    ] {
        let query = format!("select 1 as n{}", " ".repeat(bytes - 13));
        let answer = load(client, &json!({"query": query})).await;
        assert_answer(&format!("a statement of {bytes} bytes"), &answer, expected);
    }
    for (rows, expected) in [(19, None), (20, None), (21, Some((422, "invalid")))] {
        let body = json!({"stream": "numbers", "limit": rows});
        let answer = client.post("/v1/sources/limited/preview", &body).await;
        assert_answer(&format!("a preview of {rows} rows"), &answer, expected);
    }
    for (rows, expected) in [(99, None), (100, None), (101, Some((413, "load_rows")))] {
        let answer = load(client, &json!({"stream": "numbers", "limit": rows})).await;
        assert_answer(&format!("a load of {rows} rows"), &answer, expected);
    }
    for (ms, expected) in [
        (4_999, None),
        (5_000, None),
        (5_001, Some((422, "timeout_too_long"))),
    ] {
        let answer = load(client, &json!({"query": "select 1 as n", "timeout_ms": ms})).await;
        assert_answer(&format!("a timeout of {ms} ms"), &answer, expected);
    }
    for (items, expected) in [(6, None), (7, None), (8, Some((422, "invalid")))] {
        let answer = client.get(&format!("/v1/runs?limit={items}")).await;
        assert_answer(&format!("a page of {items} items"), &answer, expected);
    }
    for (seconds, expected) in [("1.0", None), ("3.5", Some((504, "first_batch_timeout")))] {
        let query = format!("select pg_sleep({seconds})::text as n");
        let answer = load(client, &json!({"query": query})).await;
        assert_answer(&format!("rows after {seconds} s"), &answer, expected);
    }
    let shown = client.get("/v1/limits").await.expect_status(200);
    for (name, value) in SETTINGS {
        let name = name.trim_start_matches("WEIR_").to_lowercase();
        assert_eq!(shown[&name].to_string(), value, "{name} in {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_of_a_key_are_bounded_and_the_place_is_free_again_however_they_end() {
    let options = Options::fresh().await.env("WEIR_LOADS_PER_KEY", "2");
    let service = options.start().await;
    let client = &service.client;
    let database = Database::with(ENDLESS).await;
    let name = client.register(&database).await;
    let endless = format!("/v1/sources/{name}/load.ndjson?stream=endless");
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::get(client, &endless).await;
        wire.read_at_least(10_000).await;
        assert!(wire.head().starts_with("HTTP/1.1 200"), "{}", wire.head());
        held.push(wire);
    }
    let small = json!({"query": "select 1 as n"});
    let path = format!("/v1/sources/{name}/load");
    let refused = client.post(&path, &small).await;
    refused.expect_problem(429, "too_many_loads");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    let preview = format!("/v1/sources/{name}/preview");
    client.post(&preview, &small).await.expect_status(200);
    let free = async || {
        let answer = eventually(Duration::from_secs(5), async || {
            let answer = client.post(&path, &small).await;
            (answer.status == 200).then_some(())
        });
        answer.await.expect("the place is free again");
    };
    // One hangs up.
    held.pop();
    free().await;
    // One is cancelled.
    let running = client.get("/v1/runs?status=running").await.json();
    let id = running["items"][0]["id"].as_str().unwrap();
    let cancel = format!("/v1/runs/{id}/cancel");
    client.post(&cancel, &json!({})).await.expect_status(202);
    for _ in 0..5 {
        // These fail, before and after their first row.
        let bad = json!({"query": "select 1 / 0 as n"});
        client.post(&path, &bad).await.expect_problem(424, "data");
        free().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_a_source_are_bounded_and_waited_for() {
    let options = Options::fresh()
        .await
        .env("WEIR_SOURCE_CONNECTIONS", "1")
        .env("WEIR_SOURCE_WAIT_MS", "300");
    let service = options.start().await;
    let client = &service.client;
    let database = Database::with(ENDLESS).await;
    let name = client.register(&database).await;
    let endless = format!("/v1/sources/{name}/load.ndjson?stream=endless");
    let mut wire = Wire::get(client, &endless).await;
    wire.read_at_least(10_000).await;
    let start = Instant::now();
    let preview = format!("/v1/sources/{name}/preview");
    let busy = client
        .post(&preview, &json!({"query": "select 1 as n"}))
        .await;
    busy.expect_problem(429, "source_busy");
    assert!(start.elapsed() >= Duration::from_millis(300), "it waited");
    assert!(busy.header("retry-after").parse::<u64>().unwrap() >= 1);
    drop(wire);
    let free = eventually(Duration::from_secs(5), async || {
        let answer = client
            .post(&preview, &json!({"query": "select 1 as n"}))
            .await;
        (answer.status == 200).then_some(())
    });
    free.await.expect("the connection is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_cut_by_bytes_says_so_and_a_load_cut_by_rows_breaks_off() {
    let options = Options::fresh()
        .await
        .env("WEIR_PREVIEW_BYTES", "100000")
        .env("WEIR_LOAD_ROWS", "1000000");
    let service = options.start().await;
    let client = &service.client;
    let database = Database::with(ENDLESS).await;
    let name = client.register(&database).await;
    let body = json!({"stream": "endless", "limit": 10_000});
    let preview = client
        .post(&format!("/v1/sources/{name}/preview"), &body)
        .await;
    let preview = preview.expect_status(200);
    assert_eq!(preview["truncated"], true);
    assert!(
        preview["row_count"].as_u64().unwrap() < 10_000,
        "{}",
        preview["row_count"]
    );
    let mut wire = Wire::get(
        client,
        &format!("/v1/sources/{name}/load.ndjson?stream=endless"),
    )
    .await;
    let body = wire.read_all().await;
    assert!(
        !body.ends_with(b"0\r\n\r\n"),
        "the last chunk must not come"
    );
    let failed = eventually(Duration::from_secs(5), async || {
        let runs = client.get("/v1/runs?status=failed").await.json();
        runs["items"][0]["error"]["code"]
            .as_str()
            .map(str::to_owned)
    });
    assert_eq!(failed.await.as_deref(), Some("load_rows"));
}
