//! One budget of memory for all requests, and one for each.

use std::time::Duration;

use serde_json::json;
use weir_tests::wire::Wire;
use weir_tests::{Database, Options, Service, eventually};

const MIB: usize = 1 << 20;

async fn with(settings: &[(&str, usize)]) -> Service {
    let options = Options::fresh().await;
    let options = settings.iter().fold(options, |options, (name, bytes)| {
        options.env(name, &bytes.to_string())
    });
    options.start().await
}

async fn used(service: &Service) -> f64 {
    let text = service.client.get("/metrics").await.text();
    let line = text
        .lines()
        .find(|line| line.starts_with("weir_memory_used_bytes"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .expect("the metric")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_needs_more_than_its_share_is_refused() {
    let service = with(&[("WEIR_MEMORY_REQUEST_BYTES", 16 * MIB)]).await;
    let database = Database::create().await;
    let name = service.client.register(&database).await;
    let cell = |bytes: usize| json!({"query": format!("select repeat('x', {bytes}) as x")});
    for format in ["json", "ndjson", "csv", "arrow", "parquet"] {
        let path = format!("/v1/sources/{name}/load.{format}");
        let answer = service.client.post(&path, &cell(50_000_000)).await;
        answer.expect_problem(413, "too_large_to_compute");
        let answer = service.client.post(&path, &cell(2_000_000)).await;
        assert_eq!(answer.status, 200, "{format}: {}", answer.text());
    }
    let limits = service.client.get("/v1/limits").await.expect_status(200);
    assert_eq!(limits["memory_request_bytes"], 16 * MIB);
    let preview = format!("/v1/sources/{name}/preview");
    let answer = service.client.post(&preview, &cell(50_000_000)).await;
    answer.expect_problem(413, "too_large_to_compute");
    let back = eventually(Duration::from_secs(5), async || {
        (used(&service).await == 0.0).then_some(())
    });
    back.await.expect("all memory is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_memory_is_used_requests_wait_and_are_refused() {
    // Four floors of 4 MiB, of which loads leave one to previews.
    let service = with(&[
        ("WEIR_MEMORY_BYTES", 16 * MIB),
        ("WEIR_LOADS_PER_KEY", 100),
        ("WEIR_SOURCE_CONNECTIONS", 20),
    ])
    .await;
    let database = Database::with(crate::api::sources::hang_up::ENDLESS).await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/load.ndjson?stream=endless");
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::get(&service.client, &path).await;
        wire.read_at_least(1_000).await;
        assert!(wire.head().starts_with("HTTP/1.1 200"), "{}", wire.head());
        slow.push(wire);
    }
    assert!(used(&service).await <= 16.0 * MIB as f64);
    let load = format!("/v1/sources/{name}/load");
    let one = json!({"query": "select 1 as one"});
    let refused = service.client.post(&load, &one).await;
    refused.expect_problem(429, "memory_busy");
    assert_eq!(refused.header("retry-after"), "2");
    // Whoever just looks still can.
    let preview = format!("/v1/sources/{name}/preview");
    service.client.post(&preview, &one).await.expect_status(200);
    // Those who run go on meanwhile.
    for wire in &mut slow {
        let before = wire.read.len();
        wire.read_at_least(before + 2 * MIB).await;
        assert!(wire.read.len() >= before + 2 * MIB);
    }
    // Who waits goes on as soon as one of them ends.
    let waiting = service.client.post(&load, &one);
    let ending = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        slow.pop();
    };
    let (answer, ()) = tokio::join!(waiting, ending);
    answer.expect_status(200);
    slow.clear();
    let back = eventually(Duration::from_secs(5), async || {
        (used(&service).await == 0.0).then_some(())
    });
    back.await.expect("all memory is given back");
}
