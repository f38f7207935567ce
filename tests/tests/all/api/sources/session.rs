//! Neither the role's odd defaults nor an earlier request change what is read.

use serde_json::{Value, json};
use weir_tests::{Database, Service};

const READING: &str = "select timestamptz '2026-07-01 12:00:00+02' as at, date '2026-07-01' as day,
    0.1::float8 + 0.2::float8 as sum, '\\x00ff'::bytea as bytes, interval '1 mon 2 days 03:04:05' as span,
    1.10::numeric(4,2) as price, array[1.5::float8, null] as list";

#[tokio::test(flavor = "multi_thread")]
async fn odd_defaults_of_the_role_change_nothing() {
    let service = Service::start().await;
    let database = Database::with(
        "create schema hidden; create table hidden.t (id int); create table t (id int)",
    )
    .await;
    let client = &service.client;
    let name = client.register(&database).await;
    let before = client.rows(&name, &json!({"query": READING})).await;
    let reader = &database.reader;
    for setting in [
        "datestyle = 'SQL, DMY'",
        "timezone = 'Asia/Kathmandu'",
        "bytea_output = 'escape'",
        "extra_float_digits = -10",
        "intervalstyle = 'sql_standard'",
        "search_path = hidden",
        "standard_conforming_strings = off",
        "default_transaction_isolation = 'serializable'",
        "lc_monetary = 'C'",
    ] {
        database
            .run(&format!("alter role {reader} set {setting}"))
            .await;
    }
    client.register_config("again", database.config()).await;
    assert_eq!(
        client.rows("again", &json!({"query": READING})).await,
        before
    );
    assert_eq!(before[0]["sum"].to_string(), "0.30000000000000004");
    let streams = client
        .get("/v1/sources/again/streams")
        .await
        .expect_status(200);
    let ids: Vec<&Value> = streams["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["stream"])
        .collect();
    assert_eq!(ids, ["hidden.t", "public.t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_request_stays_in_the_session() {
    let service = Service::start().await;
    let database = Database::create().await;
    let mut config = database.config();
    config["pool"] = json!({"max": 1});
    let name = service.client.register_config("one", config).await;
    let settings = json!({"query": "select name, setting from pg_settings
        where name in ('statement_timeout', 'search_path', 'role', 'TimeZone', 'transaction_read_only') order by 1"});
    let first = service.client.rows(&name, &settings).await;
    let bad = service
        .client
        .post(
            &format!("/v1/sources/{name}/load"),
            &json!({"query": "select 1/0"}),
        )
        .await;
    assert_eq!(bad.status, 424);
    let short = json!({"query": "select pg_sleep(9)", "timeout_ms": 200});
    assert_eq!(
        service
            .client
            .post(&format!("/v1/sources/{name}/load"), &short)
            .await
            .status,
        504
    );
    let mut after = service.client.rows(&name, &settings).await;
    // The deadline of the request itself is the only thing that may differ.
    for rows in [&mut after, &mut first.clone()] {
        rows.retain(|row| row["name"] != "statement_timeout");
    }
    let mut first = first;
    first.retain(|row| row["name"] != "statement_timeout");
    assert_eq!(after, first);
    assert!(
        first.contains(&json!({"name": "transaction_read_only", "setting": "on"})),
        "{first:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_bounded_in_connections_and_says_when_it_is_busy() {
    let service = Service::start().await;
    let database = Database::create().await;
    let mut config = database.config();
    config["pool"] = json!({"max": 2});
    let name = service.client.register_config("two", config).await;
    let path = format!("/v1/sources/{name}/load");
    let slow = json!({"query": "select pg_sleep(8)"});
    let calls = (0..4).map(|_| service.client.post(&path, &slow));
    let answers = futures::future::join_all(calls).await;
    let mut states: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    states.sort_unstable();
    assert_eq!(states, [200, 200, 429, 429]);
    let busy = answers.iter().find(|answer| answer.status == 429).unwrap();
    busy.expect_problem(429, "source_busy");
    assert!(busy.header("retry-after").parse::<u32>().unwrap() >= 1);
}
