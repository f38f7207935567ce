//! The steps of a test, and what each failure says.

use serde_json::json;
use weir_core::{Error, TestReport};

use crate::support::*;

async fn tested(database: &Database, extra: serde_json::Value) -> (TestReport, Result<(), Error>) {
    source_with(database, extra).await.test(&context()).await
}

fn names(report: &TestReport) -> Vec<&str> {
    report.steps.iter().map(|step| step.name).collect()
}

#[tokio::test]
async fn a_good_login_walks_all_steps() {
    let database = Database::create().await;
    let (report, outcome) = tested(&database, json!({})).await;
    outcome.unwrap();
    assert_eq!(
        names(&report),
        ["resolve", "connect", "tls", "login", "query"]
    );
    assert!(report.server_version.unwrap().starts_with("PostgreSQL "));
}

#[tokio::test]
async fn rights_beyond_reading_are_warned_of() {
    let database = Database::with("create table t (a int); grant insert on t to public").await;
    let (report, _) = tested(&database, json!({})).await;
    let detail = report.steps.last().unwrap().detail.clone().unwrap();
    assert!(
        report.steps.last().unwrap().ok && detail.contains("may change rows"),
        "{detail}"
    );
    let superuser = json!({
        "user": weir_tests::postgres::SUPERUSER,
        "password": weir_tests::postgres::SUPERUSER_PASSWORD
    });
    let (report, _) = tested(&database, superuser).await;
    assert!(
        report
            .steps
            .last()
            .unwrap()
            .detail
            .clone()
            .unwrap()
            .contains("superuser")
    );
}

#[tokio::test]
async fn each_failure_names_its_step_code_and_hint() {
    let database = Database::create().await;
    for (extra, step, code) in [
        (json!({"host": "no-such-host.invalid"}), "resolve", "dns"),
        (
            json!({"host": "169.254.169.254"}),
            "resolve",
            "egress_denied",
        ),
        (
            json!({"port": weir_tests::postgres::free_port()}),
            "connect",
            "connect_refused",
        ),
        (json!({"password": "wrong"}), "login", "authentication"),
        (json!({"user": "nobody_knows"}), "login", "authentication"),
        (json!({"database": "nowhere"}), "login", "source_not_found"),
        (json!({"tls": {"mode": "verify-full"}}), "tls", "tls"),
    ] {
        let (report, outcome) = tested(&database, extra.clone()).await;
        let error = outcome.unwrap_err();
        let last = report.steps.last().unwrap();
        assert_eq!(
            (last.name, last.ok, error.stable_code()),
            (step, false, code),
            "{extra}"
        );
        assert!(
            error.hint_text().is_some() && !error.message().contains("wrong"),
            "{extra}: {error}"
        );
        // A read fails in the same way.
        let error = failure(&source_with(&database, extra.clone()).await, &stream("t")).await;
        assert_eq!(error.stable_code(), code, "{extra}");
    }
    let mut config = database.config();
    config.as_object_mut().unwrap().remove("password");
    let (_, outcome) = open(config).await.unwrap().test(&context()).await;
    let error = outcome.unwrap_err();
    assert_eq!(
        (error.stable_code(), error.hint_text()),
        ("authentication", Some("set password"))
    );
}

#[tokio::test]
async fn servers_that_are_not_postgres_are_told() {
    use tokio::io::AsyncWriteExt;
    let database = Database::create().await;
    for (words, code) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "not_postgres"),
        ("", "unavailable"),
        ("N", "unavailable"),
        ("NR\0\0\0\u{7f}garbage", "protocol"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let source = source_with(
            &database,
            json!({"port": port, "connect_timeout_seconds": 2}),
        )
        .await;
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(words.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        let ctx = context();
        let ((_, outcome), ()) = tokio::join!(source.test(&ctx), serve);
        let error = outcome.unwrap_err();
        assert!(
            [code, "unavailable", "protocol"].contains(&error.stable_code()),
            "{words:?}: {}",
            error.stable_code()
        );
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let database = Database::create().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let source = source_with(
        &database,
        json!({"port": port, "connect_timeout_seconds": 1}),
    )
    .await;
    let (report, outcome) = source.test(&context()).await;
    assert_eq!(outcome.unwrap_err().stable_code(), "connect_timeout");
    assert_eq!(report.steps.last().unwrap().name, "tls");
}

#[tokio::test]
async fn a_password_is_in_no_text_of_ours() {
    let database = Database::create().await;
    let canary = "c4n4ry-in-the-mine";
    let port = weir_tests::postgres::server().port;
    for config in [
        json!({"host": "127.0.0.1", "port": port, "user": "x", "password": canary}),
        json!({"url": format!("postgres://x:{canary}@127.0.0.1:{port}/{}", database.name)}),
        json!({"url": format!("postgres://x:{canary}@127.0.0.1:{port}/{}?nope=1", database.name)}),
        json!({"url": format!("postgres//x:{canary}@127.0.0.1")}),
    ] {
        let said = match open(config.clone()).await {
            Ok(source) => format!("{:?}", source.test(&context()).await),
            Err(error) => format!("{error:?}"),
        };
        assert!(!said.contains(canary), "{said}");
    }
}

#[test]
fn the_example_validates_and_facts_are_known() {
    let entry = connect_sql::postgres::entry();
    entry.check(&entry.descriptor().example).unwrap();
    let paths =
        |list: &[Vec<String>]| -> Vec<String> { list.iter().map(|path| path.join(".")).collect() };
    assert_eq!(paths(&entry.facts().secret), ["password", "url", "tls.key"]);
    assert_eq!(
        paths(&entry.facts().endpoint),
        ["host", "port", "url", "tls", "tls.server_name"]
    );
}
