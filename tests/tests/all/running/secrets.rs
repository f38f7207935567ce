//! A canary password: nowhere to be read, and yet it opens the connection.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weir_tests::postgres::{SUPERUSER_PASSWORD, server, tool};
use weir_tests::{Client, Database, Options, StoreKind};

/// What is looked for; the whole password has characters around it that URLs,
/// JSON and shells treat in ways of their own.
const CANARY: &str = "CANARYk9zQ7wXv3";

fn password() -> String {
    format!("p@:/%{CANARY}%2F\"'\\ é?#&=")
}

/// The canary itself and its base64 at each of the three alignments, without
/// the characters at the ends that depend on the neighbours.
fn forms() -> Vec<String> {
    let shifted = (0..3).map(|shift| {
        let text = STANDARD.encode(format!("{}{CANARY}", &"xxx"[..shift]));
        let from = if shift == 0 { 0 } else { 4 };
        text.trim_end_matches('=')[from..text.len() - 4].to_owned()
    });
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    std::iter::once(CANARY.to_owned())
        .chain(shifted)
        .chain([hex])
        .collect()
}

fn assert_absent(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    assert!(!text.is_empty(), "{place}: there is nothing to look into");
    for form in forms() {
        if let Some(at) = text.find(&form.to_lowercase()) {
            let around = text[..at].lines().next_back().unwrap_or_default();
            panic!("{place} has the canary, after: {around}");
        }
    }
}

/// Every kind of request that could echo the config, most of them failing.
async fn provoke(client: &Client, config: &Value) {
    let url = url_form(config);
    for (name, config) in [("canary", config.clone()), ("canary-url", url.clone())] {
        let body = json!({"name": name, "connector": "postgres", "config": config});
        client.post("/v1/sources", &body).await.expect_status(201);
        client
            .post("/v1/sources", &body)
            .await
            .expect_problem(409, "name_taken");
        let base = format!("/v1/sources/{name}");
        let test = client
            .post(&format!("{base}/test"), &json!({}))
            .await
            .expect_status(200);
        assert_eq!(
            test["ok"], true,
            "the password opens the connection: {test:#}"
        );
        client.get(&base).await.expect_status(200);
        client
            .patch(&base, &json!({"description": "x"}))
            .await
            .expect_status(200);
        let rows = client
            .rows(name, &json!({"query": "select 1 as one"}))
            .await;
        assert_eq!(rows, [json!({"one": 1})]);
        client
            .get(&format!("{base}/streams"))
            .await
            .expect_status(200);
        for query in [
            "select 1/0",
            "selec",
            "select * from missing",
            "delete from t",
        ] {
            client
                .post(&format!("{base}/load"), &json!({"query": query}))
                .await;
            client
                .post(&format!("{base}/preview"), &json!({"query": query}))
                .await;
        }
    }
    client.get("/v1/sources").await.expect_status(200);
    for (field, value) in [
        ("port", json!(1)),
        ("host", json!("no-such-host.invalid")),
        ("database", json!("missing")),
        ("user", json!("missing")),
        ("prot", json!(1)),
        ("port", json!("not a number")),
        ("password", json!([password()])),
        ("tls", json!({"mode": "verify-full"})),
        ("tls", json!({"mode": "verify-full", "ca": password()})),
        ("url", url["url"].clone()),
    ] {
        let mut wrong = config.clone();
        wrong[field] = value;
        client
            .post("/v1/connectors/postgres/test", &json!({"config": wrong}))
            .await;
        let body = json!({"name": "wrong", "connector": "postgres", "config": wrong});
        client.post("/v1/sources", &body).await;
        client
            .post("/v1/sources/wrong/load", &json!({"query": "select 1"}))
            .await;
        client.delete("/v1/sources/wrong").await;
    }
    for body in [
        json!({"name": password(), "connector": "postgres", "config": config}),
        json!({"name": "x", "connector": "postgres", "config": config, "extra": 1}),
    ] {
        // The name is the caller's own text and may come back; the config may not.
        if body["extra"].is_number() {
            client.post("/v1/sources", &body).await;
        }
    }
}

fn url_form(config: &Value) -> Value {
    let encoded: String = password()
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    let text = |name: &str| config[name].as_str().unwrap();
    let (host, user, database) = (text("host"), text("user"), text("database"));
    json!({"url": format!("postgresql://{user}:{encoded}@{host}:{}/{database}", config["port"])})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_a_source_is_nowhere_to_be_read() {
    let store = Database::create().await;
    let options = Options::on(StoreKind::Database(store.clone())).env("WEIR_LOG", "trace");
    let service = options.start().await;
    let database = Database::create().await;
    let quoted = password().replace('\'', "''");
    database
        .run(&format!(
            "alter role {} password '{quoted}'",
            database.reader
        ))
        .await;
    let mut config = database.config();
    config["password"] = json!(password());
    provoke(&service.client, &config).await;

    assert_absent("an answer", &service.client.heard());
    assert_absent(
        "the OpenAPI document",
        &service.client.get("/openapi.json").await.body,
    );
    let dump = Command::new(tool("pg_dump"))
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &server().port.to_string(),
            "-U",
            "postgres",
            &store.name,
        ])
        .env("PGPASSWORD", SUPERUSER_PASSWORD)
        .output()
        .unwrap();
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    assert!(
        String::from_utf8_lossy(&dump.stdout).contains("canary-url"),
        "the dump has the sources"
    );
    assert_absent("pg_dump of the store", &dump.stdout);
    let log = service.log();
    assert!(log.contains("TRACE"), "the log is at trace level");
    assert_absent("the log", log.as_bytes());
    for entry in std::fs::read_dir(options.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && std::fs::metadata(&path).unwrap().len() > 0 {
            assert_absent(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
    assert_eq!(service.stop().await, Some(0));
    let service = options.start().await;
    let rows = service
        .client
        .rows("canary", &json!({"query": "select 2 as two"}))
        .await;
    assert_eq!(
        rows,
        [json!({"two": 2})],
        "it opens the connection after a restart too"
    );
}
