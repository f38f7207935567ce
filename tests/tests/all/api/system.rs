//! `/healthz`, `/readyz`, `/docs`, `/problems/{code}`, `/v1/whoami`, `/v1/limits`.

use reqwest::Method;
use weir_tests::Service;

#[tokio::test(flavor = "multi_thread")]
async fn health_and_readiness_are_open() {
    let service = Service::start().await;
    let stranger = service.client.with_key(None);
    for path in [
        "/healthz",
        "/readyz",
        "/docs",
        "/openapi.json",
        "/problems/not_found",
    ] {
        let answer = stranger.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let head = stranger.call(Method::HEAD, path).send().await;
        assert_eq!((head.status, head.body.len()), (200, 0), "HEAD {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoami_tells_role_and_version() {
    let service = Service::start().await;
    let me = service.client.get("/v1/whoami").await.expect_status(200);
    assert_eq!(me["role"], "admin");
    assert_eq!(me["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_numbers_that_callers_can_plan_with() {
    let service = Service::start().await;
    let limits = service.client.get("/v1/limits").await.expect_status(200);
    for name in [
        "json_body_bytes",
        "preview_rows",
        "preview_bytes",
        "preview_ms",
        "load_ms",
        "first_batch_ms",
    ] {
        assert!(limits[name].as_u64().unwrap() > 0, "{name}: {limits}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_request_id_and_the_trace() {
    let service = Service::start().await;
    let mine = service.client.call(Method::GET, "/v1/whoami");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = mine
        .header("x-request-id", "mine-1")
        .header("traceparent", &parent)
        .send()
        .await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert!(
        answer
            .header("traceparent")
            .starts_with(&format!("00-{trace}-"))
    );
    let given = service.client.get("/healthz").await;
    assert!(!given.header("x-request-id").is_empty());
    assert!(service.log().contains("mine-1"));
}
