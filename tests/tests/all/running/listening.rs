//! What a peer may take of the service: time, sockets, and no more.

use std::time::{Duration, Instant};

use weir_tests::wire::Wire;
use weir_tests::{Client, Database, Options, Service, eventually};

/// Limits short enough to wait for.
async fn impatient() -> Service {
    let options = Options::fresh().await;
    let short = [
        ("WEIR_HEAD_MS", "600"),
        ("WEIR_BODY_STALL_MS", "600"),
        ("WEIR_WRITE_STALL_MS", "1500"),
        ("WEIR_IDLE_MS", "2500"),
    ];
    let options = short
        .iter()
        .fold(options, |options, (name, value)| options.env(name, value));
    options.start().await
}

/// How long until the service closed, and what it had said.
async fn closed(mut wire: Wire) -> (Duration, String) {
    let start = Instant::now();
    let all = tokio::time::timeout(Duration::from_secs(20), wire.read_all()).await;
    let text = String::from_utf8_lossy(all.expect("the service keeps the connection"));
    (start.elapsed(), text.into_owned())
}

/// The sum of a metric over its labels.
async fn metric(client: &Client, name: &str) -> f64 {
    let text = client.get("/metrics").await.text();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_costs_its_connection() {
    let service = impatient().await;
    for start in [
        &b""[..],
        b"GET /v1/whoami HT",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
    ] {
        let (took, text) = closed(Wire::send(&service.client, start).await).await;
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(!text.starts_with("HTTP/1.1 2"), "{text}");
    }
    let closings = metric(&service.client, "weir_connections_closed_total").await;
    assert!(closings >= 3.0, "{closings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stands_still_is_told_so() {
    let service = impatient().await;
    let key = service.client.key();
    let head = |path: &str, kind: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: {kind}\r\nContent-Length: 5000\r\n\r\n{{\"a\":1"
        )
    };
    let routes = [
        ("/v1/sources", "application/json"),
        ("/v1/transform.csv", "application/json"),
        ("/v1/transform.csv", "application/x-ndjson"),
        ("/v1/transform.csv", "application/vnd.apache.parquet"),
    ];
    for (path, kind) in routes {
        let wire = Wire::send(&service.client, head(path, kind).as_bytes()).await;
        let (took, text) = closed(wire).await;
        assert!(text.starts_with("HTTP/1.1 400"), "{path} {kind}: {text}");
        assert!(text.contains("body_stalled"), "{path} {kind}: {text}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_loses_its_query() {
    let service = impatient().await;
    let database = Database::with(crate::api::sources::hang_up::ENDLESS).await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/load.ndjson?stream=endless");
    let mut wire = Wire::get(&service.client, &path).await;
    wire.read_at_least(1_000).await;
    let loads = async || metric(&service.client, "weir_loads_running").await;
    assert_eq!(loads().await, 1.0);
    let ended = eventually(Duration::from_secs(20), async || {
        (loads().await == 0.0).then_some(())
    });
    ended.await.expect("the load goes on for nobody");
    assert!(!wire.read_all().await.ends_with(b"0\r\n\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_connection_is_closed_and_a_slow_answer_is_not() {
    let service = impatient().await;
    let database = Database::create().await;
    let name = service.client.register(&database).await;
    let query = "select%201%20as%20one%2C%20pg_sleep(4)%3A%3Atext%20as%20slept";
    let path = format!("/v1/sources/{name}/load.json?query={query}");
    // Longer than a connection may lie idle, and than a peer may take nothing.
    let answer = service.client.get(&path).await.expect_status(200);
    assert_eq!(answer[0]["one"], 1);
    let head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let (took, text) = closed(Wire::send(&service.client, head).await).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(took > Duration::from_secs(2), "{took:?}");
}

/// A certificate for 127.0.0.1, and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_served_and_its_certificate_changes_without_a_drop() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (
        folder.path().join("chain.pem"),
        folder.path().join("key.pem"),
    );
    let write = |pair: &(String, String)| {
        std::fs::write(&chain, &pair.0).unwrap();
        std::fs::write(&key, &pair.1).unwrap();
    };
    let (first, second) = (certificate(), certificate());
    write(&first);
    let options = Options::fresh().await;
    let options = options.env("WEIR_TLS_CERT", chain.to_str().unwrap());
    let service = options
        .env("WEIR_TLS_KEY", key.to_str().unwrap())
        .start()
        .await;
    assert!(service.client.base().starts_with("https://"));
    let old = service.client.trusting(&first.0);
    old.get("/v1/whoami").await.expect_status(200);
    std::fs::write(&chain, "no certificate").unwrap();
    let told = eventually(Duration::from_secs(20), async || {
        service.log().contains("the old one stays").then_some(())
    });
    told.await.expect("a bad certificate is told");
    let fresh = || service.client.trusting(&first.0);
    fresh().get("/v1/whoami").await.expect_status(200);
    write(&second);
    let new = service.client.trusting(&second.0);
    let changed = eventually(Duration::from_secs(20), async || {
        service.log().contains("the new certificate").then_some(())
    });
    changed.await.expect("the new certificate is served");
    new.get("/v1/whoami").await.expect_status(200);
    // The connection from before goes on.
    old.get("/v1/whoami").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_certificate_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let chain = folder.path().join("chain.pem");
    std::fs::write(&chain, certificate().0).unwrap();
    let options = Options::fresh().await;
    let options = options.env("WEIR_TLS_CERT", chain.to_str().unwrap());
    let failed = options.try_start().await.expect_err("it starts");
    assert!(failed.log.contains("WEIR_TLS_KEY is not"), "{}", failed.log);
    let options = options.env("WEIR_TLS_KEY", chain.to_str().unwrap());
    let failed = options.try_start().await.expect_err("it starts");
    assert!(failed.log.contains("no PEM key"), "{}", failed.log);
}
