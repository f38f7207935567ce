//! SIGTERM.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::json;
use weir_tests::{Database, Options};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_load_finishes_before_the_service_does() {
    let service = Options::fresh().await.start().await;
    let database = Database::create().await;
    let name = service.client.register(&database).await;
    let client = service.client.clone();
    let body = json!({"query": "select 1 as one, pg_sleep(2)::text as slept"});
    let path = format!("/v1/sources/{name}/load");
    let load = client.post(&path, &body);
    let stop = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        service.stop().await
    };
    let (answer, code) = tokio::join!(load, stop);
    assert_eq!(answer.expect_status(200)[0]["one"], 1);
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_and_the_load_visibly() {
    let service = Options::fresh().await.start().await;
    let database = Database::with(crate::api::sources::hang_up::ENDLESS).await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/load.ndjson?stream=endless");
    let mut wire = weir_tests::wire::Wire::get(&service.client, &path).await;
    wire.read_at_least(100_000).await;
    let pid = service.pid();
    let read = async {
        let bytes = wire.read_all().await;
        !bytes.ends_with(b"0\r\n\r\n")
    };
    let stop = async {
        kill(pid, Signal::SIGTERM).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let started = std::time::Instant::now();
        let code = service.stop().await;
        (code, started.elapsed())
    };
    let (aborted, (code, took)) = tokio::join!(read, stop);
    assert!(aborted, "no caller takes a part for the whole");
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_drains_it_is_not_ready_but_serves() {
    let options = Options::fresh().await.env("WEIR_DRAIN_DELAY", "3");
    let service = options.start().await;
    let client = service.client.clone();
    assert_eq!(client.get("/readyz").await.status, 200);
    kill(service.pid(), Signal::SIGTERM).unwrap();
    let unready = weir_tests::eventually(Duration::from_secs(2), async || {
        let answer = client.get("/readyz").await;
        (answer.status == 503).then_some(answer)
    });
    let unready = unready.await.expect("still ready");
    assert!(unready.text().contains("stopping"), "{}", unready.text());
    client.get("/v1/whoami").await.expect_status(200);
    let started = std::time::Instant::now();
    // The second signal ends the wait, too.
    assert_eq!(service.stop().await, Some(0));
    assert!(started.elapsed() < Duration::from_millis(2500));
}
