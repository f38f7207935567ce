//! Pages of other origins: off, unless origins are configured.

use reqwest::Method;
use serde_json::json;
use weir_tests::{Answer, Client, Options, Service};

const MINE: &str = "https://app.example";

async fn preflight(client: &Client, path: &str, origin: &str, method: &str) -> Answer {
    let call = client.with_key(None);
    let call = call
        .call(Method::OPTIONS, path)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    call.send().await
}

fn allowed(answer: &Answer) -> Option<&str> {
    let value = answer.headers.get("access-control-allow-origin")?;
    value.to_str().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_origins_nothing_is_allowed() {
    let service = Service::start().await;
    let answer = preflight(&service.client, "/v1/sources", MINE, "POST").await;
    answer.expect_problem(401, "unauthorized");
    assert_eq!(allowed(&answer), None);
    let call = service.client.call(Method::GET, "/v1/whoami");
    let answer = call.header("origin", MINE).send().await;
    assert_eq!((answer.status, allowed(&answer)), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_origins_may_call_and_read_what_matters() {
    let list = format!("{MINE}, http://localhost:3000");
    let options = Options::fresh().await.env("WEIR_CORS_ORIGINS", &list);
    let service = options.start().await;
    let client = &service.client;
    for (path, method) in [
        ("/v1/sources", "POST"),
        ("/v1/sources/x", "PATCH"),
        ("/v1/sources/x", "DELETE"),
        ("/v1/sources/sample/load.arrow", "GET"),
        ("/nowhere", "GET"),
        ("/healthz", "GET"),
    ] {
        let answer = preflight(client, path, MINE, method).await;
        assert_eq!(
            (answer.status, allowed(&answer)),
            (204, Some(MINE)),
            "{path}"
        );
        assert!(
            answer
                .header("access-control-allow-methods")
                .contains(method)
        );
        let headers = answer.header("access-control-allow-headers").to_owned();
        for name in [
            "authorization",
            "if-match",
            "idempotency-key",
            "weir-run-id",
        ] {
            assert!(headers.contains(name), "{headers}");
        }
        assert!(!answer.header("access-control-max-age").is_empty());
        assert!(
            answer
                .headers
                .get("access-control-allow-credentials")
                .is_none()
        );
    }
    let stranger = preflight(client, "/v1/sources", "https://evil.example", "POST").await;
    assert_eq!((stranger.status, allowed(&stranger)), (204, None));
    assert_eq!(stranger.header("vary"), "Origin");

    let call = client.call(Method::POST, "/v1/sources/sample/load.json");
    let call = call.json(&json!({"stream": "penguins", "limit": 1}));
    let rows = call.header("origin", "http://localhost:3000").send().await;
    assert_eq!(
        (rows.status, allowed(&rows)),
        (200, Some("http://localhost:3000"))
    );
    let exposed = rows.header("access-control-expose-headers").to_owned();
    for name in [
        "weir-run-id",
        "weir-format",
        "etag",
        "retry-after",
        "content-range",
        "accept-ranges",
        "link",
        "location",
        "server-timing",
        "x-request-id",
    ] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
    let vary: Vec<_> = rows.headers.get_all("vary").iter().collect();
    assert!(vary.iter().any(|v| *v == "Origin"), "{vary:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_read_every_problem() {
    let options = Options::fresh().await.env("WEIR_CORS_ORIGINS", "*");
    let service = options.start().await;
    let stranger = service.client.with_key(None);
    for (client, method, path, status) in [
        (&service.client, Method::GET, "/nowhere", 404),
        (&service.client, Method::DELETE, "/v1/whoami", 405),
        (&service.client, Method::GET, "/v1/sources/none", 404),
        (&stranger, Method::GET, "/v1/whoami", 401),
    ] {
        let answer = client
            .call(method, path)
            .header("origin", MINE)
            .send()
            .await;
        assert_eq!(
            (answer.status, allowed(&answer)),
            (status, Some("*")),
            "{path}"
        );
        let exposed = answer.header("access-control-expose-headers");
        assert!(exposed.contains("weir-error-code"), "{exposed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_none_is_refused_at_the_start() {
    let options = Options::fresh().await;
    let options = options.env("WEIR_CORS_ORIGINS", "https://app.example/path");
    let failed = options.try_start().await.unwrap_err();
    assert!(failed.log.contains("is not an origin"), "{}", failed.log);
}
