//! Requests that cannot be answered: status, code, pointer and hint, kept as a
//! snapshot so that a change of wording is seen.

use std::fmt::Write;

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::{Answer, Service};

fn bodies() -> Vec<(&'static str, Value)> {
    vec![
        ("no data", json!({})),
        ("data that is no rows", json!({"data": 5})),
        (
            "a field that is not known",
            json!({"data": [], "aproximate": true}),
        ),
        (
            "a field of a transform alone",
            json!({"data": [], "suggestions": true}),
        ),
        (
            "clean that is no boolean",
            json!({"data": [], "clean": "yes"}),
        ),
        (
            "a type that is none",
            json!({"data": [{"a": 1}], "column_types": {"a": "nubmer"}}),
        ),
        (
            "a column that is not there",
            json!({"data": [{"amount": 1}], "column_types": {"amuont": "number"}}),
        ),
        (
            "a column that a step takes away first",
            json!({"data": [{"a": 1, "b": 2}], "steps": [{"op": "select", "columns": ["a"]}, {"op": "sort_rows", "by": [{"column": "b"}]}]}),
        ),
        (
            "a step that is not known",
            json!({"data": [{"a": 1}], "steps": [{"op": "selct"}]}),
        ),
        (
            "a recipe that is not there",
            json!({"data": [{"a": 1}], "recipe": "never-was"}),
        ),
    ]
}

fn told(table: &mut String, title: &str, answer: &Answer) {
    let problem = answer.json();
    let first = &problem["errors"][0];
    let place = first["pointer"].as_str().or(first["parameter"].as_str());
    writeln!(
        table,
        "{title}\n  {} {} at {}\n  detail: {}\n  hint: {}\n",
        answer.status,
        problem["code"].as_str().unwrap_or("-"),
        place.unwrap_or("-"),
        problem["detail"].as_str().unwrap_or("-"),
        problem["hint"].as_str().unwrap_or("-"),
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_say_what_and_where() {
    let service = Service::start().await;
    let mut table = String::new();
    for (title, body) in bodies() {
        told(
            &mut table,
            title,
            &service.client.post("/v1/profile", &body).await,
        );
    }
    for (title, query, media_type, body) in [
        (
            "a parameter that is not known",
            "?aproximate=true",
            "text/csv",
            "a\n1\n",
        ),
        (
            "a parameter of formats, which this answer has not",
            "?format=csv",
            "text/csv",
            "a\n1\n",
        ),
        (
            "a parameter that is no boolean",
            "?clean=maybe",
            "text/csv",
            "a\n1\n",
        ),
        (
            "a parameter beside a body that says it itself",
            "?clean=false",
            "application/json",
            r#"{"data": []}"#,
        ),
        (
            "steps beside a body that says them itself",
            "?steps=[]",
            "application/json",
            r#"{"data": []}"#,
        ),
        ("steps that are no list", "?steps={}", "text/csv", "a\n1\n"),
        (
            "a body that breaks off",
            "",
            "application/x-ndjson",
            "{\"a\":1}\n{\"a\":",
        ),
        ("a row that has too few fields", "", "text/csv", "a,b\n1\n"),
        (
            "a media type that is not taken",
            "",
            "application/xml",
            "<a/>",
        ),
    ] {
        let path = format!("/v1/profile{query}");
        let call = service.client.call(Method::POST, &path);
        let call = call.header("content-type", media_type).body(body);
        told(&mut table, title, &call.send().await);
    }
    for (title, body) in [
        ("neither stream nor query", json!({})),
        ("both", json!({"stream": "penguins", "query": "select 1"})),
        ("a stream that is not there", json!({"stream": "penguin"})),
        (
            "types to read as",
            json!({"stream": "penguins", "column_types": {"species": "int64"}}),
        ),
        (
            "a field of a load alone",
            json!({"stream": "penguins", "dry_run": true}),
        ),
        (
            "too much time",
            json!({"stream": "penguins", "timeout_ms": 3_600_001}),
        ),
        (
            "a filter that breaks off",
            json!({"stream": "penguins", "filter": "a >"}),
        ),
    ] {
        let path = "/v1/sources/sample/profile";
        told(&mut table, title, &service.client.post(path, &body).await);
    }
    insta::assert_snapshot!("malformed_requests", table);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_json_and_nothing_else() {
    let service = Service::start().await;
    let call = service.client.call(Method::POST, "/v1/profile");
    let call = call.header("accept", "text/csv").json(&json!({"data": []}));
    call.send().await.expect_problem(406, "not_acceptable");
    let get = service.client.get("/v1/profile").await;
    get.expect_problem(405, "method_not_allowed");
    assert!(get.header("allow").contains("POST"));
}
