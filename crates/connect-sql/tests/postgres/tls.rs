//! TLS towards a real server, whose certificate is for `localhost` and not for
//! the address.

use serde_json::{Value as Json, json};

use crate::support::*;

async fn outcome(
    database: &Database,
    host: &str,
    tls: Json,
) -> (Option<String>, Result<(), weir_core::Error>) {
    let source = source_with(database, json!({"host": host, "tls": tls})).await;
    let (report, outcome) = source.test(&context()).await;
    let detail = report
        .steps
        .iter()
        .find(|step| step.name == "tls")
        .and_then(|step| step.detail.clone());
    if outcome.is_ok() {
        let text = "select count(*) from pg_stat_ssl where pid = pg_backend_pid() and ssl";
        let encrypted = detail
            .as_deref()
            .is_some_and(|detail| detail.starts_with("encrypted"));
        assert_eq!(number(&source, text).await == 1, encrypted);
    }
    (detail, outcome)
}

#[tokio::test]
async fn modes_do_what_they_say() {
    let database = Database::create().await;
    let ca = &weir_tests::postgres::server().ca;
    for (host, tls, detail) in [
        ("127.0.0.1", json!({"mode": "disable"}), "not encrypted"),
        (
            "127.0.0.1",
            json!({}),
            "encrypted; the certificate is not verified",
        ),
        (
            "127.0.0.1",
            json!({"mode": "prefer"}),
            "encrypted; the certificate is not verified",
        ),
        (
            "127.0.0.1",
            json!({"mode": "require"}),
            "encrypted; the certificate is not verified",
        ),
        (
            "127.0.0.1",
            json!({"mode": "verify-ca", "ca": ca}),
            "encrypted; certificate verified, host",
        ),
        (
            "localhost",
            json!({"mode": "verify-full", "ca": ca}),
            "encrypted; certificate and host",
        ),
        (
            "127.0.0.1",
            json!({"mode": "verify-full", "ca": ca, "server_name": "localhost"}),
            "encrypted; certificate and",
        ),
    ] {
        let (found, outcome) = outcome(&database, host, tls.clone()).await;
        outcome.unwrap_or_else(|error| panic!("{host} {tls}: {error}"));
        assert!(found.unwrap().starts_with(detail), "{host} {tls}");
    }
}

#[tokio::test]
async fn wrong_certificates_are_refused_with_the_cause() {
    let database = Database::create().await;
    let ca = &weir_tests::postgres::server().ca;
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
        .unwrap()
        .cert
        .pem();
    for (host, tls, cause) in [
        ("localhost", json!({"mode": "verify-full"}), "not trusted"),
        (
            "localhost",
            json!({"mode": "verify-full", "ca": stranger}),
            "not trusted",
        ),
        (
            "127.0.0.1",
            json!({"mode": "verify-ca", "ca": stranger}),
            "not trusted",
        ),
        (
            "127.0.0.1",
            json!({"mode": "verify-full", "ca": ca}),
            "not for the host name",
        ),
    ] {
        let (_, outcome) = outcome(&database, host, tls.clone()).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.stable_code(), "tls", "{host} {tls}");
        assert!(
            error.message().contains(cause) && error.hint_text().is_some(),
            "{host} {tls}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_cancelled_through_tls() {
    use futures::StreamExt;
    let database = Database::create().await;
    let ca = &weir_tests::postgres::server().ca;
    let tls = json!({"host": "localhost", "tls": {"mode": "verify-full", "ca": ca}});
    let source = source_with(&database, tls).await;
    let admin = database.client().await;
    let mut stream = source
        .scan(
            &context(),
            &query("select pg_sleep(60) as mark_tls", Vec::new()),
        )
        .await
        .unwrap()
        .stream;
    let waited = tokio::time::timeout(std::time::Duration::from_millis(200), stream.next()).await;
    assert!(waited.is_err());
    drop(stream);
    let gone = weir_tests::eventually(std::time::Duration::from_secs(1), async || {
        (database.sessions_running(&admin, "mark_tls").await == 0).then_some(())
    });
    gone.await.expect("the query runs on");
}
