//! Names and passwords with everything in them that somebody might forget to
//! quote, in every system that can be written to: connect, write, discover, load.

use serde_json::{Value, json};
use weir_tests::duckdb::DuckFile;
use weir_tests::{Client, Database, MyDatabase, Options, Service, project};

/// What every name has in it.
const ODD: &str = "a \"b\" 'c' `d` @:/% ü\\n;--";
/// A password.
const PASSWORD: &str = "p@:/% \"q\" 'r' `s` ü\\#?&=$";

/// Part of a stream id.
fn part(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Registers the source, and walks from a test of it to the rows that were written.
async fn all_the_way(
    client: &Client,
    connector: &str,
    config: Value,
    stream: &str,
    keyed: Option<&str>,
) {
    let name = weir_tests::unique("odd");
    let body = json!({"name": name, "connector": connector, "config": config});
    client.post("/v1/sources", &body).await.expect_status(201);
    let test = client
        .post(&format!("/v1/sources/{name}/test"), &json!({}))
        .await;
    assert_eq!(test.expect_status(200)["ok"], true, "{connector}");
    let column = format!("c {ODD}");
    let row = |id: i32, value: &str| json!({"id": id, column.as_str(): value});
    let path = |query: &str| {
        let stream = encoded(stream);
        format!("/v1/sources/{name}/write?stream={stream}&{query}")
    };
    let rows = json!([row(1, "one"), row(2, ODD)]);
    let made = client.post(&path("mode=replace"), &rows).await;
    assert_eq!(made.expect_status(200)["created"], true, "{connector}");
    let mut wanted = vec![row(1, "one"), row(2, ODD)];
    if let Some(keyed) = keyed {
        let (stream, key) = (encoded(keyed), encoded(&column));
        let path = format!("/v1/sources/{name}/write?stream={stream}&mode=upsert&keys={key}");
        for _ in 0..2 {
            client.post(&path, &rows).await.expect_status(200);
        }
        let found = client.rows(&name, &json!({"stream": keyed})).await;
        assert_eq!(found.len(), 2, "{connector}");
    }
    let again = client
        .post(&path("mode=append"), &json!([row(3, "three")]))
        .await;
    again.expect_status(200);
    wanted.push(row(3, "three"));
    let streams = client
        .get(&format!("/v1/sources/{name}/streams?limit=1000"))
        .await;
    let streams = streams.expect_status(200);
    let items = streams["items"].as_array().unwrap();
    assert!(
        items.iter().any(|item| item["stream"] == stream),
        "{streams}"
    );
    let schema = format!("/v1/sources/{name}/schema?stream={}", encoded(stream));
    let schema = client.get(&schema).await.expect_status(200);
    assert_eq!(schema["columns"][1]["name"], column, "{connector}");
    let load = json!({"stream": stream, "order_by": [{"column": "id"}], "filter": {"column": column, "operator": "ne", "value": "one"}});
    assert_eq!(client.rows(&name, &load).await, wanted[1..], "{connector}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let service = Service::start().await;
    let database = Database::create().await;
    let user = format!("{ODD} {}", &database.name[3..9]);
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let admin = database.client().await;
    for sql in [
        format!(
            "create role {} login password {}",
            part(&user),
            quoted(PASSWORD)
        ),
        format!("create database {} owner {}", part(&user), part(&user)),
    ] {
        admin.batch_execute(&sql).await.unwrap();
    }
    let port = database.config()["port"].clone();
    let parts = json!({"host": "127.0.0.1", "port": port, "user": user, "database": user, "password": PASSWORD});
    let url = format!(
        "postgres://{0}:{1}@127.0.0.1:{port}/{0}",
        encoded(&user),
        encoded(PASSWORD)
    );
    for (config, table) in [(parts, "a"), (json!({"url": url}), "a \"u\"")] {
        let stream = |table: &str| format!("public.{}", part(&format!("{table} {ODD}")));
        let keyed = stream(&format!("{table} keyed"));
        let client = &service.client;
        all_the_way(client, "postgres", config, &stream(table), Some(&keyed)).await;
    }
    // Roles are the whole server's.
    for sql in [
        format!("drop database {} with (force)", part(&user)),
        format!("drop role {}", part(&user)),
    ] {
        admin.batch_execute(&sql).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql() {
    let service = Service::start().await;
    let database = MyDatabase::create();
    let name = format!("{ODD} {}", &database.name[3..9]);
    let user = format!("u'\"@:/% ü{}", &database.name[3..9]);
    let text = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let quoted = |text: &str| format!("`{}`", text.replace('`', "``"));
    let granted = quoted(
        &name
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_"),
    );
    weir_tests::mariadb::sql(
        "",
        &format!(
            "CREATE DATABASE {}; CREATE USER {user}@'%' IDENTIFIED BY {}; GRANT ALL ON {granted}.* TO {user}@'%'",
            quoted(&name),
            text(PASSWORD),
            user = text(&user),
        ),
    );
    let mut config = database.owner_config();
    for (field, value) in [
        ("user", user.as_str()),
        ("database", &name),
        ("password", PASSWORD),
    ] {
        config[field] = value.into();
    }
    let stream = format!("{}.{}", part(&name), part(ODD));
    let keyed = format!("{}.{}", part(&name), part(&format!("keyed {ODD}")));
    all_the_way(&service.client, "mysql", config, &stream, Some(&keyed)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let folder = root.join(ODD.replace('/', "|"));
    std::fs::create_dir(&folder).unwrap();
    let duck = DuckFile::with("create table other (id int)");
    let library = project::duckdb_library();
    let roots = format!("{}:{}", root.display(), duck.folder().display());
    let options = Options::fresh().await;
    let options = options.env("WEIR_DUCKDB_LIB", library.to_str().unwrap());
    let service = options.env("WEIR_FILE_ROOTS", &roots).start().await;
    let client = &service.client;
    let path = folder.join(format!("{}.db", ODD.replace('/', "|")));
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("create table other (id integer)")
        .unwrap();
    drop(file);
    let config = json!({"path": path});
    let keyed = part(&format!("keyed {ODD}"));
    all_the_way(client, "sqlite", config, &part(ODD), Some(&keyed)).await;
    let (stream, keyed) = (format!("main.{}", part(ODD)), format!("main.{keyed}"));
    all_the_way(client, "duckdb", duck.config(), &stream, Some(&keyed)).await;
    let stream = format!("{}.csv", ODD.replace('/', "|"));
    all_the_way(client, "files", json!({"root": folder}), &stream, None).await;
}
