//! A secret with a text of its own, put wherever a secret can be put: no
//! answer, no log line and no row of the store has it.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Site, place, source};
use weir_tests::postgres::{SUPERUSER_PASSWORD, server, tool};
use weir_tests::{Client, Database};

const CANARY: &str = "CANARYx4Tq81";

fn canary(place: &str) -> String {
    format!("{CANARY}-{place}")
}

/// Puts it wherever a secret can be put; what is made uses it and fails.
async fn put(client: &Client, database: &Database) {
    let config = |field: &str, value: Value| {
        let mut config = database.config();
        config[field] = value;
        config
    };
    for (path, body) in [
        (
            "/v1/credentials",
            json!({"name": "main", "fields": {"user": canary("user"), "password": canary("password")}}),
        ),
        (
            "/v1/credentials",
            json!({"name": "typed", "fields": {"user": "u", "port": canary("port")}}),
        ),
        (
            "/v1/credentials",
            json!({"name": "odd", "fields": {"user": "u", "sslmode": canary("odd")}}),
        ),
        (
            "/v1/credentials",
            json!({"name": "key", "fields": {"user": "u", "tls.key": canary("key"), "tls.cert": canary("cert")}}),
        ),
        (
            "/v1/credentials",
            json!({"name": "bad name", "fields": {"p": canary("name")}}),
        ),
        (
            "/v1/credentials",
            json!({"name": "p", "fields": {"p": [canary("array")]}}),
        ),
        (
            "/v1/credentials",
            json!({"name": "main", "fields": {"p": canary("taken")}}),
        ),
        (
            "/v1/credentials/main/rotate",
            json!({"fields": {"password": canary("rotated")}}),
        ),
        (
            "/v1/credentials/main/rotate",
            json!({"fields": {"password": {"x": canary("object")}}}),
        ),
        ("/v1/sources", source("attached", place(database), "main")),
        (
            "/v1/sources?test=true",
            source("tested", place(database), "main"),
        ),
        (
            "/v1/sources",
            source("typed", json!({"host": "127.0.0.1"}), "typed"),
        ),
        ("/v1/sources", source("odd", place(database), "odd")),
        ("/v1/sources", source("key", place(database), "key")),
        (
            "/v1/sources",
            json!({"name": "own", "connector": "postgres", "config": config("password", json!(canary("own")))}),
        ),
        (
            "/v1/sources?test=true",
            json!({"name": "own-tested", "connector": "postgres", "config": config("password", json!(canary("own")))}),
        ),
        (
            "/v1/sources",
            json!({"name": "url", "connector": "postgres",
            "config": {"url": format!("postgresql://u:{}@127.0.0.1:{}/x", canary("url"), server().port)}}),
        ),
        (
            "/v1/connectors/postgres/test",
            json!({"config": config("password", json!(canary("test")))}),
        ),
        (
            "/v1/connectors/postgres/test",
            json!({"config": place(database), "credential": "main"}),
        ),
    ] {
        client.post(path, &body).await;
    }
    for (path, body) in [
        (
            "/v1/credentials/main",
            json!({"fields": {"password": canary("patched")}}),
        ),
        (
            "/v1/credentials/main",
            json!({"fields": {"x y": canary("patched")}}),
        ),
        (
            "/v1/sources/own",
            json!({"config": {"password": canary("patched")}}),
        ),
        (
            "/v1/sources/own",
            json!({"config": {"password": {"p": canary("patched")}}}),
        ),
    ] {
        client.patch(path, &body).await;
    }
}

/// Every operation of the document, with each of the things that were made.
async fn call_everything(client: &Client) -> usize {
    let document = client.get("/openapi.json").await.expect_status(200);
    client.get("/v1/sources/sample/load?stream=penguins").await;
    let runs = client.get("/v1/runs").await.expect_status(200);
    let run = runs["items"][0]["id"].as_str().unwrap().to_owned();
    let keys = client.get("/v1/api-keys").await.expect_status(200);
    let key = keys["items"][0]["name"].as_str().unwrap().to_owned();
    let mut calls = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for source in ["attached", "own", "url"] {
            let url = path
                .replace("{source}", source)
                .replace("{credential}", "main")
                .replace("{recipe}", "clean")
                .replace("{kind}", "postgres")
                .replace("{run}", &run)
                .replace("{key}", &key)
                .replace("{code}", "invalid");
            assert!(
                !url.contains('{'),
                "{path} has a part that is not filled in"
            );
            for method in operations.as_object().unwrap().keys() {
                let method: Method = method.to_uppercase().parse().unwrap();
                // Removed they could not be asked again.
                if method == Method::DELETE {
                    continue;
                }
                let call = client.call(method.clone(), &url);
                let call = match method {
                    Method::GET => call,
                    _ => call.json(&json!({"query": "select 1"})),
                };
                call.send().await;
                calls += 1;
            }
        }
        for query in ["stream=public.t", "query=select 1"] {
            for source in ["attached", "own"] {
                if path.contains("{source}") && path.contains("load") {
                    let url = path.replace("{source}", source);
                    client.get(&format!("{url}?{query}")).await;
                    calls += 1;
                }
            }
        }
    }
    client.delete("/v1/credentials/main").await;
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_no_log_line_and_no_row_has_a_value() {
    let site = Site::with(|options| options.env("WEIR_LOG", "trace")).await;
    let database = Database::create().await;
    let client = site.admin();
    put(client, &database).await;
    let calls = call_everything(client).await;
    assert!(calls > 50, "only {calls} calls");
    let made = client.get("/v1/sources").await.expect_status(200);
    assert_eq!(made["items"].as_array().unwrap().len(), 4, "{made:#}");
    let dump = Command::new(tool("pg_dump"))
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &server().port.to_string(),
            "-U",
            "postgres",
            &site.store.name,
        ])
        .env("PGPASSWORD", SUPERUSER_PASSWORD)
        .output()
        .unwrap();
    assert!(dump.status.success());
    for (place, bytes) in [
        ("an answer", client.heard()),
        ("the log", site.service.log().into_bytes()),
        ("the store", dump.stdout),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.len() > 1000, "{place}: nothing to look into");
        if let Some(at) = text.find(CANARY) {
            let start = text[..at]
                .char_indices()
                .rev()
                .nth(200)
                .map_or(0, |(i, _)| i);
            panic!("{place} has the canary: {}", &text[start..at + 30]);
        }
    }
}
