//! `multipart/form-data`: what to do, then the rows.

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::{Answer, Service};

const REQUEST: &str =
    r#"{"steps": [{"op": "select", "columns": ["a"]}], "column_types": {"a": "string"}}"#;

/// Headers below the name, and the data of a part.
struct Part<'a>(&'a str, &'a str, &'a [u8]);

fn body(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for Part(name, headers, data) in parts {
        let head =
            format!("--b7\r\nContent-Disposition: form-data; name=\"{name}\"{headers}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b7--\r\n");
    body
}

async fn send(service: &Service, path: &str, parts: &[Part<'_>]) -> Answer {
    let call = service.client.call(Method::POST, path);
    let call = call.header("content-type", "multipart/form-data; boundary=b7");
    call.body(body(parts)).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_every_format_follow_what_is_to_be_done() {
    let service = Service::start().await;
    let request = Part(
        "request",
        "\r\nContent-Type: application/json",
        REQUEST.as_bytes(),
    );
    let csv = Part("data", "\r\nContent-Type: text/csv", b"a,b\n007,1\n8,2\n");
    let answer = send(&service, "/v1/transform", &[request, csv]).await;
    let rows = json!([{"a": "007"}, {"a": "8"}]);
    let answer = answer.expect_status(200);
    assert_eq!(
        (&answer["rows"], &answer["report"][0]["op"]),
        (&rows, &json!("select"))
    );
    let csv = send(
        &service,
        "/v1/transform.parquet",
        &[
            Part("request", "", b"{}"),
            Part(
                "data",
                "; filename=\"rows.CSV\"\r\nContent-Type: application/octet-stream",
                b"a\n1\n",
            ),
        ],
    )
    .await;
    assert_eq!(csv.status, 200, "{}", csv.text());
    let parquet = [
        Part(
            "request",
            "",
            br#"{"steps": [{"op": "rename", "names": {"a": "z"}}]}"#,
        ),
        Part(
            "data",
            "\r\nContent-Type: application/vnd.apache.parquet",
            &csv.body,
        ),
    ];
    let back = send(&service, "/v1/transform.ndjson", &parquet).await;
    assert_eq!(back.text(), "{\"z\":1}\n");
    let list = Part(
        "data",
        "\r\nContent-Type: application/json",
        br#"[{"a": 1, "b": 2}]"#,
    );
    let json = [
        Part(
            "request",
            "",
            br#"{"steps": [{"op": "select", "columns": ["b"]}]}"#,
        ),
        list,
    ];
    let json = send(&service, "/v1/transform", &json).await;
    assert_eq!(json.expect_status(200)["rows"], json!([{"b": 2}]));
    let lines: String = (0..200_000)
        .map(|n| format!("{{\"a\":{n},\"b\":\"text {n}\"}}\n"))
        .collect();
    let many = [
        Part(
            "request",
            "",
            br#"{"steps": [{"op": "filter_rows", "condition": "a >= 100000"}]}"#,
        ),
        Part(
            "data",
            "\r\nContent-Type: application/x-ndjson",
            lines.as_bytes(),
        ),
    ];
    let many = send(&service, "/v1/transform.arrow", &many).await;
    assert_eq!(many.arrow().rows(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_missing_misplaced_or_unknown_are_named() {
    let service = Service::start().await;
    let request = || Part("request", "", br#"{"steps": [{"op": "limit", "rows": 5}]}"#);
    let data = || Part("data", "\r\nContent-Type: text/csv", b"a\n1\n");
    for (parts, status, pointer, said) in [
        (vec![data(), request()], 422, "#/data", "wrong place"),
        (vec![request()], 422, "#/data", "missing"),
        (vec![], 422, "#/request", "missing"),
        (
            vec![request(), Part("dta", "", b"x")],
            422,
            "#/dta",
            "did you mean `data`",
        ),
        (vec![request(), request()], 422, "#/request", "wrong place"),
        (
            vec![
                Part("request", "", br#"{"steps": [{"op": "limit", "row": 5}]}"#),
                data(),
            ],
            422,
            "#/request/steps/0/row",
            "did you mean `rows`",
        ),
        (
            vec![Part("request", "", br#"{"stesp": []}"#), data()],
            422,
            "#/request/stesp",
            "did you mean `steps`",
        ),
        (
            vec![
                Part("request", "", br#"{"column_types": {"a": "nubmer"}}"#),
                data(),
            ],
            422,
            "#/request/column_types/a",
            "did you mean `number`",
        ),
        (
            vec![Part("request", "", b"{"), data()],
            400,
            "",
            "not valid JSON",
        ),
        (
            vec![Part("request", "\r\nContent-Type: text/csv", b"a"), data()],
            415,
            "",
            "is JSON",
        ),
        (
            vec![request(), Part("data", "", b"a\n1\n")],
            415,
            "",
            "no Content-Type",
        ),
    ] {
        let answer = send(&service, "/v1/transform", &parts).await;
        assert_eq!(answer.status, status, "{said}: {}", answer.text());
        let problem = answer.json();
        let found = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!(found, pointer, "{problem}");
        assert!(
            problem["detail"].as_str().unwrap().contains(said),
            "{problem}"
        );
    }
    let more = [request(), data(), Part("more", "", b"x")];
    let more = send(&service, "/v1/transform", &more).await;
    assert_eq!(more.expect_status(422)["errors"][0]["pointer"], "#/more");
    let both = send(&service, "/v1/transform?recipe=x", &[request(), data()]).await;
    assert_eq!(both.expect_status(422)["errors"][0]["parameter"], "steps");
    let call = service.client.call(Method::POST, "/v1/transform");
    let call = call.header("content-type", "multipart/form-data; boundary=b7");
    let whole = body(&[request(), data()]);
    let cut = call.body(whole[..whole.len() - 8].to_vec()).send().await;
    cut.expect_problem(400, "malformed");
    let none = service.client.call(Method::POST, "/v1/transform");
    let none = none.header("content-type", "multipart/form-data").body("x");
    none.send().await.expect_problem(400, "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn types_to_read_as_are_refused_where_rows_have_their_own() {
    let service = Service::start().await;
    let body = json!({"data": [{"a": 1}]});
    let arrow = service.client.post("/v1/transform.arrow", &body).await;
    let parts = [
        Part("request", "", br#"{"column_types": {"a": "int32"}}"#),
        Part(
            "data",
            "\r\nContent-Type: application/vnd.apache.arrow.stream",
            &arrow.body,
        ),
    ];
    let problem: Value = send(&service, "/v1/transform", &parts)
        .await
        .expect_status(422);
    assert_eq!(problem["errors"][0]["pointer"], "#/request/column_types/a");
    assert!(
        problem["hint"].as_str().unwrap().contains("convert_type"),
        "{problem}"
    );
}
