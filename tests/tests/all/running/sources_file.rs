//! `WEIR_SOURCES_FILE`: sources and credentials as a file in git.

use serde_json::{Value, json};
use weir_tests::{Client, Database, Options, StoreKind};

/// A service whose sources file is `text`, on one store.
async fn options(store: &Database, name: &str, text: &str) -> Options {
    let options = Options::on(StoreKind::Database(store.clone()));
    let path = options.data().with_file_name(name);
    std::fs::write(&path, text).unwrap();
    options
        .env("WEIR_SOURCES_FILE", &path.display().to_string())
        .env("WEIR_ADMIN_KEY", "weir_sources-file-admin-key-000")
        .env(
            "WEIR_MASTER_KEY",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        )
}

fn toml(database: &Database, more: &str) -> String {
    let config = database.config();
    format!(
        "[[credentials]]\nname = \"main\"\nkind = \"postgres\"\nallowed_hosts = [\"127.0.0.1\"]\n\
         [credentials.fields]\nuser = {}\npassword = {}\n\n\
         [[sources]]\nname = \"shop\"\nconnector = \"postgres\"\ncredential = \"main\"\ndescription = \"orders\"\n\
         labels = {{ team = \"sales\" }}\n[sources.config]\nhost = \"127.0.0.1\"\nport = {}\ndatabase = {}\n{more}",
        config["user"], config["password"], config["port"], config["database"]
    )
}

async fn state(client: &Client) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ["/v1/credentials", "/v1/sources"] {
        let page = client.get(path).await.expect_status(200);
        let items = page["items"].as_array().unwrap().iter();
        all.extend(items.map(|item| {
            json!([
                item["name"],
                item["version"],
                item["managed_by"],
                item["updated_at"]
            ])
        }));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn it_makes_changes_and_removes_what_is_its_own() {
    let store = Database::create().await;
    let database = Database::create().await;
    let second = "\n[[sources]]\nname = \"second\"\nconnector = \"sample\"\n";
    let service = options(&store, "s.toml", &toml(&database, second))
        .await
        .start()
        .await;
    let client = &service.client;
    let rows = client
        .rows("shop", &json!({"query": "select 1 as one"}))
        .await;
    assert_eq!(rows, [json!({"one": 1})]);
    let shop = client.get("/v1/sources/shop").await.expect_status(200);
    assert_eq!(
        (&shop["managed_by"], &shop["labels"]["team"]),
        (&json!("sources_file"), &json!("sales"))
    );
    let body = json!({"name": "by-hand", "connector": "sample", "config": {}});
    client.post("/v1/sources", &body).await.expect_status(201);
    let before = state(client).await;
    assert_eq!(service.stop().await, Some(0));

    // The same again changes nothing, also as JSON.
    let config = database.config();
    let as_json = json!({
        "credentials": [{"name": "main", "kind": "postgres", "allowed_hosts": ["127.0.0.1"],
            "fields": {"user": config["user"], "password": config["password"]}}],
        "sources": [
            {"name": "shop", "connector": "postgres", "credential": "main", "description": "orders",
                "labels": {"team": "sales"},
                "config": {"host": "127.0.0.1", "port": config["port"], "database": config["database"]}},
            {"name": "second", "connector": "sample"}]
    });
    let service = options(&store, "s.json", &as_json.to_string())
        .await
        .start()
        .await;
    assert_eq!(state(&service.client).await, before);
    assert!(
        service.log().contains("sources file applied"),
        "{}",
        service.log()
    );
    assert_eq!(service.stop().await, Some(0));

    let changed = toml(&database, "").replace("orders", "all orders");
    let service = options(&store, "s.toml", &changed).await.start().await;
    let client = &service.client;
    let shop = client.get("/v1/sources/shop").await.expect_status(200);
    assert_eq!(
        (&shop["description"], &shop["version"]),
        (&json!("all orders"), &json!(2))
    );
    client
        .get("/v1/sources/second")
        .await
        .expect_problem(404, "not_found");
    client.get("/v1/sources/by-hand").await.expect_status(200);
    client.get("/v1/sources/sample").await.expect_status(200);
    assert_eq!(service.stop().await, Some(0));

    // A credential that somebody else uses stays.
    let service = options(&store, "s.toml", "").await.start().await;
    service
        .client
        .get("/v1/credentials/main")
        .await
        .expect_problem(404, "not_found");
    service
        .client
        .get("/v1/sources/by-hand")
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_is_told_with_entry_and_field() {
    let store = Database::create().await;
    let database = Database::create().await;
    let good = toml(&database, "");
    for (text, said) in [
        ("[[sources]]\nname = 1", vec!["sources[0]", "/name"]),
        ("[[source]]\nname = \"x\"", vec!["did you mean `sources`"]),
        (
            "[[sources]]\nname = \"a b\"\nconnector = \"sample\"",
            vec!["sources[0] `a b`", "/name"],
        ),
        (
            "[[sources]]\nname = \"a\"\nconnector = \"postgre\"",
            vec!["sources[0] `a`", "/connector", "did you mean `postgres`"],
        ),
        (
            "[[sources]]\nname = \"a\"\nconnector = \"postgres\"\nconfig = { host = \"h\", user = \"u\", prot = 1 }",
            vec!["sources[0] `a`", "/config/prot", "did you mean `port`"],
        ),
        (
            "[[sources]]\nname = \"a\"\nconnector = \"sample\"\n[[sources]]\nname = \"a\"\nconnector = \"sample\"",
            vec!["sources[1] `a`", "used twice"],
        ),
        (
            "[[sources]]\nname = \"sample\"\nconnector = \"sample\"",
            vec!["sources[0] `sample`", "did not make"],
        ),
        (
            "[[credentials]]\nname = \"c\"\nfields = { p = { \"$from\" = \"nonsense\" } }",
            vec!["credentials[0] `c`", "/fields/p"],
        ),
        ("not toml", vec!["s.toml"]),
    ] {
        let failed = options(&store, "s.toml", text).await.try_start().await;
        let failed = failed.expect_err("a wrong file is refused");
        assert_eq!(failed.code, Some(1), "{text}");
        for part in said {
            assert!(
                failed.log.contains(part),
                "{text}: no {part} in {}",
                failed.log
            );
        }
        assert!(failed.log.contains("s.toml"), "{}", failed.log);
    }
    let secret = good.replace("port =", "prot =");
    let failed = options(&store, "s.toml", &secret).await.try_start().await;
    let log = failed.expect_err("a wrong field is refused").log;
    assert!(!log.contains(weir_tests::database::PASSWORD), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_instances_apply_it_at_once() {
    let store = Database::create().await;
    let database = Database::create().await;
    let first = options(&store, "s.toml", &toml(&database, "")).await;
    let lone = first.start().await;
    let mut all = Vec::new();
    for _ in 0..2 {
        let changed = toml(&database, "").replace("orders", "all orders");
        all.push(options(&store, "s.toml", &changed).await);
    }
    let started = futures::future::join_all(all.iter().map(Options::start)).await;
    let shop = lone.client.get("/v1/sources/shop").await.expect_status(200);
    assert_eq!(shop["version"], 2, "one of them changed it, once");
    let credential = lone
        .client
        .get("/v1/credentials/main")
        .await
        .expect_status(200);
    assert_eq!(credential["version"], 1);
    drop(started);
}
