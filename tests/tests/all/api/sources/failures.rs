//! What callers read when something is wrong with their source: one table of
//! status, code and hint, kept as a snapshot so that a change of wording is seen.

use std::fmt::Write;

use serde_json::{Value, json};
use weir_tests::postgres::{free_port, server};
use weir_tests::{Database, Service};

/// A config with one thing changed.
fn changed(database: &Database, change: Value) -> Value {
    let mut config = database.config();
    for (field, value) in change.as_object().unwrap() {
        config[field] = value.clone();
    }
    config
}

/// Takes what differs from run to run out of a text.
fn redacted(text: &str, database: &Database) -> String {
    text.replace(&database.name, "[database]")
        .replace(&server().port.to_string(), "[port]")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_reached_says_which_step_failed_and_what_to_check() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let closed = free_port();
    let tls = |mode: &str| json!({"mode": mode, "ca": server().ca});
    let cases = [
        ("wrong host", json!({"host": "no-such-host.invalid"})),
        ("wrong port", json!({"port": closed})),
        ("wrong password", json!({"password": "not this one"})),
        ("unknown user", json!({"user": "nobody_here"})),
        ("missing database", json!({"database": "no_such_database"})),
        (
            "untrusted certificate",
            json!({"host": "localhost", "tls": {"mode": "verify-full"}}),
        ),
        (
            "certificate of another name",
            json!({"tls": tls("verify-full")}),
        ),
        ("forbidden address", json!({"host": "169.254.169.254"})),
    ];
    let mut table = String::new();
    for (title, change) in cases {
        let config = changed(&database, change);
        let path = "/v1/connectors/postgres/test";
        let result = client
            .post(path, &json!({"config": config}))
            .await
            .expect_status(200);
        assert_eq!(result["ok"], false, "{title}: {result:#}");
        let failed = result["checks"].as_array().unwrap().last().unwrap();
        assert_eq!(
            failed["ok"], false,
            "{title}: the failed step is the last: {result:#}"
        );

        let name = client
            .register_config(&title.replace(' ', "-"), config)
            .await;
        let load = client
            .post(&format!("/v1/sources/{name}/load"), &json!({"stream": "t"}))
            .await;
        let problem = load.json();
        assert_eq!(
            problem["code"], result["error"]["code"],
            "{title}: test and load agree"
        );
        writeln!(
            table,
            "{title}\n  test: step {}, code {}\n  load: {} {}\n  detail: {}\n  hint: {}\n  retryable: {}\n",
            failed["name"].as_str().unwrap(),
            result["error"]["code"].as_str().unwrap(),
            load.status,
            problem["code"].as_str().unwrap(),
            problem["detail"].as_str().unwrap(),
            problem["hint"].as_str().expect(title),
            problem["retryable"],
        )
        .unwrap();
    }
    insta::assert_snapshot!(
        "unreachable_sources",
        redacted(&table, &database).replace(&closed.to_string(), "[closed port]")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_cannot_be_done_says_why() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::with(
        "create table orders (id int, total numeric(10,2));
         create table hidden (id int)",
    )
    .await;
    let name = client.register(&database).await;
    database
        .run(&format!("revoke pg_read_all_data from {}", database.reader))
        .await;
    database
        .run(&format!("grant select on orders to {}", database.reader))
        .await;
    let cases = [
        ("missing table", json!({"stream": "odrers"})),
        ("missing schema", json!({"stream": "shop.orders"})),
        ("no permission", json!({"stream": "hidden"})),
        (
            "unknown column",
            json!({"stream": "orders", "columns": ["totl"]}),
        ),
        (
            "unknown column in a filter",
            json!({"stream": "orders", "filter": "totl > 1"}),
        ),
        ("malformed stream", json!({"stream": "\"orders"})),
        (
            "malformed filter",
            json!({"stream": "orders", "filter": "total >"}),
        ),
        ("neither stream nor query", json!({})),
        (
            "both stream and query",
            json!({"stream": "orders", "query": "select 1"}),
        ),
        ("a syntax error", json!({"query": "selec 1"})),
        (
            "a missing table in a query",
            json!({"query": "select * from odrers"}),
        ),
        (
            "division by zero",
            json!({"query": "select 1 / (id - id) from (values (1)) t (id)"}),
        ),
        (
            "too few parameters",
            json!({"query": "select $1::int", "params": []}),
        ),
        (
            "a parameter of another type",
            json!({"query": "select $1::int", "params": ["x"]}),
        ),
        ("delete", json!({"query": "delete from orders"})),
        ("two statements", json!({"query": "select 1; select 2"})),
        ("an unknown field", json!({"steam": "orders"})),
    ];
    let mut table = String::new();
    for (title, body) in cases {
        let answer = client
            .post(&format!("/v1/sources/{name}/load"), &body)
            .await;
        let problem = answer.json();
        let code = problem["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{title}: {problem:#}"));
        answer.expect_problem(answer.status, code);
        let sqlstate = problem["source_error"]["sqlstate"].as_str().unwrap_or("-");
        let text = |name: &str| problem[name].as_str().unwrap_or("-").to_owned();
        writeln!(
            table,
            "{title}\n  {} {code}, sqlstate {sqlstate}\n  detail: {}\n  hint: {}\n  fields: {}\n",
            answer.status,
            text("detail"),
            text("hint"),
            problem["errors"],
        )
        .unwrap();
    }
    insta::assert_snapshot!("failed_reads", redacted(&table, &database));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_trusted_opens_the_connection() {
    let service = Service::start().await;
    let database = Database::create().await;
    let ca = &server().ca;
    for tls in [
        json!({"host": "localhost", "tls": {"mode": "verify-full", "ca": ca}}),
        json!({"tls": {"mode": "verify-full", "ca": ca, "server_name": "localhost"}}),
        json!({"tls": {"mode": "verify-ca", "ca": ca}}),
        json!({"tls": {"mode": "require"}}),
        json!({"tls": {"mode": "prefer"}}),
        json!({"tls": {"mode": "disable"}}),
    ] {
        let config = changed(&database, tls.clone());
        let body = json!({"config": config});
        let result = service
            .client
            .post("/v1/connectors/postgres/test", &body)
            .await
            .expect_status(200);
        assert_eq!(result["ok"], true, "{tls}: {result:#}");
        let name = weir_tests::unique("tls").replace('_', "-");
        service.client.register_config(&name, config).await;
        let query = json!({"query": "select ssl from pg_stat_ssl where pid = pg_backend_pid()"});
        let rows = service.client.rows(&name, &query).await;
        assert_eq!(
            rows[0]["ssl"],
            json!(tls["tls"]["mode"] != "disable"),
            "{tls}"
        );
    }
}
