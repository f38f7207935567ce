//! Every type of PostgreSQL, value by value, against a reader that shares no
//! code with the service.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use weir_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD, server};
use weir_tests::{Client, Database, Service, project};

/// Runs `tests/reference/compare.py`; gives what it printed.
fn compare(client: &Client, database: &Database, source: &str, stream: &str) -> (bool, String) {
    let dsn = format!(
        "host=127.0.0.1 port={} user={SUPERUSER} password='{SUPERUSER_PASSWORD}' dbname={}",
        server().port,
        database.name
    );
    let ask = json!({"dsn": dsn, "base": client.base(), "key": client.key(), "source": source,
        "stream": stream, "order": "id"});
    let mut python = Command::new(project::python())
        .arg(project::root().join("tests/reference/compare.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(ask.to_string().as_bytes())
        .unwrap();
    let output = python.wait_with_output().unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_every_type_is_what_the_reference_reader_gives() {
    let service = Service::start().await;
    let database = Database::with(include_str!("types.sql")).await;
    let source = service.client.register(&database).await;
    let (same, told) = compare(&service.client, &database, &source, "everything");
    println!("{told}");
    assert!(same, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_reads_values_as_a_stream_does() {
    let service = Service::start().await;
    let database = Database::with(include_str!("types.sql")).await;
    let client = &service.client;
    let source = client.register(&database).await;
    let path = format!("/v1/sources/{source}/load");
    let order = json!([{"column": "id"}]);
    let stream = json!({"stream": "everything", "order_by": order});
    // Multi-dimensional arrays declare their depth in the table only.
    let chosen = columns_but(client, &source, &["a_matrix", "a_cube"]).await;
    let query = format!("select {} from everything", chosen.join(", "));
    for suffix in ["json", "arrow"] {
        let path = format!("{path}.{suffix}");
        let mut stream = stream.clone();
        stream["columns"] = json!(chosen);
        let of_stream = client.post(&path, &stream).await;
        let of_query = client
            .post(&path, &json!({"query": query, "order_by": order}))
            .await;
        if suffix == "json" {
            assert!(of_stream.text() == of_query.text(), "the two texts differ");
        } else {
            let (one, other) = (of_stream.arrow(), of_query.arrow());
            // The server says of a query's column what lies below its domain, so
            // the native type may differ, but nothing else.
            for (one, other) in one.schema.fields().iter().zip(other.schema.fields()) {
                assert_eq!(
                    (one.name(), one.data_type()),
                    (other.name(), other.data_type())
                );
            }
            let join = |table: &weir_tests::client::Table| {
                arrow::compute::concat_batches(&table.schema, &table.batches)
                    .unwrap()
                    .columns()
                    .to_vec()
            };
            assert!(join(&one) == join(&other), "the two tables differ");
        }
    }
}

async fn columns_but(client: &Client, source: &str, not: &[&str]) -> Vec<String> {
    let schema = client
        .get(&format!("/v1/sources/{source}/schema?stream=everything"))
        .await;
    let schema = schema.expect_status(200);
    let names = schema["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap());
    names
        .filter(|name| !not.contains(name))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_represented_is_an_error_where_that_is_wanted() {
    let service = Service::start().await;
    let database = Database::with("create table t as select 'infinity'::date as day").await;
    let mut config = database.config();
    config["unrepresentable"] = json!("error");
    let source = service.client.register_config("strict", config).await;
    let answer = service
        .client
        .post(
            &format!("/v1/sources/{source}/load"),
            &json!({"stream": "t"}),
        )
        .await;
    let problem = answer.expect_problem(424, "unrepresentable");
    assert!(
        problem["detail"].as_str().unwrap().contains("`day`"),
        "{problem}"
    );
    let lenient = service.client.register(&database).await;
    let rows = service.client.rows(&lenient, &json!({"stream": "t"})).await;
    assert_eq!(rows, [json!({"day": Value::Null})]);
}
