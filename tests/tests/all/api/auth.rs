//! Everything but the open routes needs a key.

use reqwest::Method;
use weir_tests::Service;

/// Paths that answer without a key; everything else in the document must not.
const OPEN: &[&str] = &[
    "/healthz",
    "/readyz",
    "/problems/{code}",
    "/docs",
    "/openapi.json",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_document_refuses_callers_without_a_valid_key() {
    let service = Service::start().await;
    let document = service.client.get("/openapi.json").await.expect_status(200);
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        let url = path
            .replace("{kind}", "postgres")
            .replace("{credential}", "main")
            .replace("{recipe}", "clean")
            .replace("{key}", "admin")
            .replace("{source}", "sample")
            .replace("{run}", "0190a0a0-0000-7000-8000-000000000000");
        assert!(
            !url.contains('{'),
            "a path parameter that this test does not know: {path}"
        );
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            for key in [None, Some("weir_this-is-not-a-key-of-anybody")] {
                let client = service.client.with_key(key);
                let answer = client.call(method.clone(), &url).send().await;
                answer.expect_problem(401, "unauthorized");
                assert!(
                    answer.header("www-authenticate").starts_with("Bearer"),
                    "{method} {path}"
                );
                asked += 1;
            }
        }
    }
    assert!(asked >= 40, "only {asked} requests were made");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_schemes_and_half_headers_are_no_key() {
    let service = Service::start().await;
    let key = service.client.key().to_owned();
    let stranger = service.client.with_key(None);
    for value in [
        format!("Basic {key}"),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        key.clone(),
    ] {
        let call = stranger
            .call(Method::GET, "/v1/whoami")
            .header("authorization", &value);
        call.send().await.expect_problem(401, "unauthorized");
    }
    let call = stranger.call(Method::GET, "/v1/whoami");
    let lower = call
        .header("authorization", &format!("bearer {key}"))
        .send()
        .await;
    assert_eq!(lower.status, 200, "the scheme has no case");
}
