//! One shape for every failure.

use reqwest::Method;
use serde_json::json;
use weir_tests::{Service, project};

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_wrong_methods_are_problems_too() {
    let service = Service::start().await;
    let client = &service.client;
    client.get("/nowhere").await.expect_problem(404, "no_route");
    client
        .get("/v1/nowhere")
        .await
        .expect_problem(404, "no_route");
    client
        .with_key(None)
        .get("/v1/nowhere")
        .await
        .expect_problem(401, "unauthorized");
    let wrong = client.delete("/v1/whoami").await;
    wrong.expect_problem(405, "method_not_allowed");
    assert!(wrong.header("allow").contains("GET"), "{:?}", wrong.headers);
    let head = client.call(Method::HEAD, "/nowhere").send().await;
    assert_eq!(
        (head.status, head.header("weir-error-code"), head.body.len()),
        (404, "no_route", 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_read_are_told_apart() {
    let service = Service::start().await;
    let post = || service.client.call(Method::POST, "/v1/sources");
    let torn = post()
        .header("content-type", "application/json")
        .body("{\"name\": ")
        .send()
        .await;
    torn.expect_problem(400, "malformed");
    let other = post()
        .header("content-type", "text/csv")
        .body("name\na\n")
        .send()
        .await;
    other.expect_problem(415, "unsupported_media_type");
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(17 << 20));
    let large = post()
        .header("content-type", "application/json")
        .body(large)
        .send()
        .await;
    large.expect_problem(413, "json_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_field_is_refused_with_the_nearest_name() {
    let service = Service::start().await;
    let client = &service.client;
    let body = json!({"name": "a", "conector": "postgres"});
    let problem = client
        .post("/v1/sources", &body)
        .await
        .expect_problem(422, "unknown_field");
    assert_eq!(problem["errors"][0]["pointer"], "#/conector");
    assert!(
        problem["detail"].as_str().unwrap().contains("`connector`"),
        "{problem}"
    );

    let config = json!({"host": "h", "user": "u", "pasword": "x"});
    let body = json!({"name": "a", "connector": "postgres", "config": config});
    let problem = client
        .post("/v1/sources", &body)
        .await
        .expect_problem(422, "unknown_field");
    assert_eq!(problem["errors"][0]["pointer"], "#/config/pasword");
    assert!(
        problem["detail"].as_str().unwrap().contains("`password`"),
        "{problem}"
    );

    let problem = client
        .get("/v1/sources?conector=x")
        .await
        .expect_problem(422, "unknown_field");
    assert_eq!(problem["errors"][0]["parameter"], "conector");
    let body = json!({"stream": "cities", "limt": 1});
    let problem = client.post("/v1/sources/sample/load", &body).await;
    let problem = problem.expect_problem(422, "unknown_field");
    assert_eq!(problem["errors"][0]["pointer"], "#/limt");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_that_an_answer_names_has_its_page() {
    let service = Service::start().await;
    let docs = std::fs::read_to_string(project::root().join("docs/STATUS-CODES.md")).unwrap();
    let codes = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut count = 0;
    for code in codes {
        let page = service
            .client
            .with_key(None)
            .get(&format!("/problems/{code}"))
            .await;
        assert_eq!(page.status, 200, "{code}");
        count += 1;
    }
    assert!(count > 30, "{count}");
    service
        .client
        .get("/problems/no_such_code")
        .await
        .expect_problem(404, "not_found");
}
