//! Pipelines that cannot run: status, code, pointer and hint, kept as a
//! snapshot so that a change of wording is seen.

use std::fmt::Write;

use serde_json::{Value, json};
use weir_tests::Service;

fn cases() -> Vec<(&'static str, Value)> {
    vec![
        (
            "a step that is not known",
            json!([{"op": "selct", "columns": ["id"]}]),
        ),
        ("no step at all", json!([{"columns": ["id"]}])),
        ("a step that is no object", json!(["select"])),
        ("steps that are no list", json!({"op": "select"})),
        (
            "an argument that is not known",
            json!([{"op": "limit", "rows": 1, "offset": 2}]),
        ),
        (
            "an argument of another type",
            json!([{"op": "select", "columns": "id"}]),
        ),
        ("an argument that is missing", json!([{"op": "limit"}])),
        ("a list that is missing", json!([{"op": "sort_rows"}])),
        (
            "an item of another type",
            json!([{"op": "sort_rows", "by": [{"column": "id"}, 7]}]),
        ),
        (
            "a field of an item that is missing",
            json!([{"op": "sort_rows", "by": [{"ascending": true}]}]),
        ),
        (
            "a word that is none of those known",
            json!([{"op": "drop_duplicates", "keep": "some"}]),
        ),
        (
            "an argument of a payload that is missing",
            json!([{"action_type": "sort", "action_options": {}}]),
        ),
        (
            "a column that the step before removed",
            json!([{"op": "select", "columns": ["id"]}, {"op": "sort_rows", "by": [{"column": "name"}]}]),
        ),
        (
            "a condition that breaks off",
            json!([{"op": "filter_rows", "condition": "id == 1 and"}]),
        ),
        (
            "a rename onto a column that stays",
            json!([{"op": "rename", "names": {"id": "name"}}]),
        ),
        (
            "python where a condition is expected",
            json!([{"op": "filter_rows", "condition": "__import__('os').system('id')"}]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_pipelines_say_what_and_where() {
    let service = Service::start().await;
    let mut table = String::new();
    for (title, steps) in cases() {
        let body = json!({"data": [{"id": 1, "name": "a"}], "steps": steps});
        let answer = service.client.post("/v1/transform", &body).await;
        let problem = answer.json();
        assert!(problem["code"].is_string(), "{title}: {problem}");
        writeln!(
            table,
            "{title}\n  {} {} at {}\n  detail: {}\n  hint: {}\n",
            answer.status,
            problem["code"].as_str().unwrap(),
            problem["errors"][0]["pointer"].as_str().unwrap_or("-"),
            problem["detail"].as_str().unwrap(),
            problem["hint"].as_str().unwrap_or("-"),
        )
        .unwrap();
    }
    insta::assert_snapshot!("malformed_pipelines", table);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_query_string_the_parameter_is_named_and_the_place_in_it() {
    let service = Service::start().await;
    let steps = r#"[{"op":"limit","rows":1},{"op":"select","columns":["nmae"]}]"#;
    let path = format!("/v1/transform.json?steps={steps}");
    let call = service.client.call(reqwest::Method::POST, &path);
    let call = call
        .header("content-type", "text/csv")
        .body("id,name\n1,a\n");
    let problem = call.send().await.expect_problem(422, "unknown_column");
    assert_eq!(problem["errors"][0]["parameter"], "steps");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("at /1/columns/0: "), "{detail}");
    assert!(detail.contains("did you mean `name`"), "{detail}");
    let long = format!(
        "/v1/transform?steps=[{}]",
        " ".repeat(9_000).replace(' ', "%20")
    );
    let call = service.client.call(reqwest::Method::POST, &long);
    let call = call.header("content-type", "text/csv").body("id\n1\n");
    let problem = call.send().await.expect_problem(422, "invalid");
    assert!(
        problem["hint"].as_str().unwrap().contains("multipart"),
        "{problem}"
    );
}
