//! One store connection a request: with a pool of one every route answers,
//! alone and when twenty ask at once.

use std::time::{Duration, Instant};

use futures::future::join_all;
use weir_tests::{Answer, Options};

use super::golden::{LIST, documented, own_url, paths, send_own};

const CALLERS: usize = 20;

/// Whether the answer is one that a service with too many callers may give.
fn is_fair(answer: &Answer) -> bool {
    match answer.status {
        200..=499 => true,
        503 => {
            !answer.header("retry-after").is_empty() && !answer.header("weir-error-code").is_empty()
        }
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_on_a_pool_of_one() {
    let options = Options::fresh().await.env("WEIR_STORE_CONNECTIONS", "1");
    let service = options.start().await;
    let client = &service.client;
    let documented = documented(client).await;
    let (mut asked, mut busy, mut longest) = (0, 0, Duration::ZERO);
    for route in LIST {
        for path in paths(route, &documented) {
            let label = format!("{} {path}", route.verb);
            let url = own_url(client, route, &path).await;
            let alone = send_own(client, route, &url).await;
            assert_eq!(alone.status, route.own, "{label}, alone: {}", alone.text());
            let url = own_url(client, route, &path).await;
            let start = Instant::now();
            let all = join_all((0..CALLERS).map(|_| send_own(client, route, &url))).await;
            longest = longest.max(start.elapsed());
            for answer in all {
                assert!(
                    is_fair(&answer),
                    "{label}, of {CALLERS}: {} {}",
                    answer.status,
                    answer.text()
                );
                busy += usize::from(answer.status == 503);
                asked += 1;
            }
        }
    }
    println!(
        "a pool of one: {asked} requests, {CALLERS} at once: {busy} answered 503, longest round {} ms",
        longest.as_millis()
    );
    // A connection that was waited for in a circle would hold up a round until its waiters gave up.
    assert!(longest < Duration::from_secs(30), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sources_file_is_applied_on_a_pool_of_one() {
    let options = Options::fresh().await.env("WEIR_STORE_CONNECTIONS", "1");
    let file = options.data().with_file_name("sources.json");
    std::fs::write(
        &file,
        r#"{"sources": [{"name": "from-file", "connector": "sample"}]}"#,
    )
    .unwrap();
    let service = options
        .env("WEIR_SOURCES_FILE", &file.display().to_string())
        .start()
        .await;
    let found = service.client.get("/v1/sources/from-file").await;
    found.expect_status(200);
}
