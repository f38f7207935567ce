//! `POST /v1/transform`: rows in, rows out.

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::wire::Wire;
use weir_tests::{Answer, Service};

const ROWS: &str = "[{\"id\":1,\"name\":\"a\"},{\"id\":9007199254740993,\"name\":null}]";

async fn send(
    service: &Service,
    path: &str,
    media_type: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let call = service
        .client
        .call(Method::POST, path)
        .header("content-type", media_type);
    call.body(body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_becomes_every_other() {
    let service = Service::start().await;
    let types = [
        ("ndjson", "application/x-ndjson"),
        ("csv", "text/csv"),
        ("arrow", "application/vnd.apache.arrow.stream"),
        ("parquet", "application/vnd.apache.parquet"),
    ];
    let request = format!("{{\"steps\":[],\"data\":{ROWS}}}");
    let json = "application/json";
    let first = send(&service, "/v1/transform", json, request.clone())
        .await
        .expect_status(200);
    assert_eq!(
        first["columns"],
        json!([{"name": "id", "type": "int64"}, {"name": "name", "type": "string"}])
    );
    let expected: Value = serde_json::from_str(ROWS).unwrap();
    assert_eq!(
        (&first["rows"], &first["row_count"], &first["truncated"]),
        (&expected, &json!(2), &json!(false))
    );
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["columns", "rows", "row_count", "truncated", "elapsed_ms"]
    );
    for (from, from_type) in types {
        let path = format!("/v1/transform.{from}");
        let body = send(&service, &path, json, request.clone()).await;
        assert_eq!(body.status, 200, "{}", body.text());
        assert!(uuid::Uuid::parse_str(body.header("weir-run-id")).is_ok());
        for (to, _) in types {
            let path = format!("/v1/transform.{to}");
            let answer = send(&service, &path, from_type, body.body.clone()).await;
            assert_eq!(
                (answer.status, answer.header("weir-format")),
                (200, to),
                "{}",
                answer.text()
            );
        }
        let back = send(&service, "/v1/transform.json", from_type, body.body.clone()).await;
        assert_eq!(back.expect_status(200)["rows"], expected, "{from}");
    }
    let arrays = send(&service, "/v1/transform?shape=arrays", json, request).await;
    assert_eq!(arrays.expect_status(200)["rows"][0], json!([1, "a"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_asked_for_by_name() {
    let service = Service::start().await;
    let csv = "id;price\n007;1.50\n";
    let path = "/v1/transform.json?types=id:string,price:decimal(10,2)";
    let answer = send(&service, path, "text/csv", csv).await;
    assert!(
        answer.text().contains("{\"id\":\"007\",\"price\":1.50}"),
        "{}",
        answer.text()
    );
    let body = json!({"data": [{"a": "2024-01-01"}], "column_types": {"a": "date"}});
    let answer = service
        .client
        .post("/v1/transform", &body)
        .await
        .expect_status(200);
    assert_eq!(answer["columns"], json!([{"name": "a", "type": "date"}]));
    let body = json!({"data": {"columns": [{"name": "a", "type": "int"}], "rows": []}});
    let problem = service
        .client
        .post("/v1/transform", &body)
        .await
        .expect_problem(422, "unknown_type");
    assert_eq!(problem["errors"][0]["pointer"], "#/data/columns/0/type");
    let latin = send(
        &service,
        "/v1/transform.ndjson",
        "text/csv; charset=windows-1252; header=absent",
        &b"gr\xfc\xdf\n"[..],
    )
    .await;
    assert_eq!(latin.text(), "{\"column_1\":\"grüß\"}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_its_status_and_its_place() {
    let service = Service::start().await;
    let path = "/v1/transform";
    for (media_type, body, status, code, said) in [
        (
            "application/x-ndjson",
            "{\"a\":1}\n{\"a\":",
            400,
            "malformed",
            "row 2 (line 2)",
        ),
        (
            "text/csv",
            "a,b\n1\n",
            422,
            "data",
            "row 2 (line 2), 1 fields where the first row has 2",
        ),
        (
            "application/json",
            "{\"data\": [",
            400,
            "malformed",
            "not valid JSON",
        ),
        (
            "application/json",
            "{\"steps\": []}",
            422,
            "invalid",
            "`data` is missing",
        ),
        (
            "application/json",
            "{\"data\": [], \"stesp\": []}",
            422,
            "unknown_field",
            "did you mean `steps`",
        ),
        (
            "application/vnd.apache.arrow.stream",
            "not arrow",
            413,
            "too_large",
            "announces",
        ),
        (
            "application/vnd.apache.parquet",
            "not parquet",
            422,
            "data",
            "Parquet",
        ),
        (
            "application/xml",
            "<a/>",
            415,
            "unsupported_media_type",
            "application/xml",
        ),
        (
            "application/json",
            "{\"data\": [], \"steps\": [{\"step\": \"filter_rows\"}]}",
            422,
            "invalid",
            "is `step` meant",
        ),
    ] {
        let answer = send(&service, path, media_type, body).await;
        let problem = answer.expect_problem(status, code);
        assert!(
            problem["detail"].as_str().unwrap().contains(said),
            "{body}: {problem}"
        );
        assert_eq!(
            answer.header("accept-post").contains("text/csv"),
            status == 415
        );
    }
    let steps = send(
        &service,
        "/v1/transform?steps=[{\"op\":\"filter_row\"}]",
        "text/csv",
        "a\n1\n",
    )
    .await;
    assert_eq!(
        steps.expect_problem(422, "unknown_step")["errors"][0]["parameter"],
        "steps"
    );
    let nothing = service
        .client
        .with_key(None)
        .call(Method::POST, path)
        .send()
        .await;
    nothing.expect_problem(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_are_refused() {
    let service = Service::start().await;
    // 1.1 GiB announced in four bytes.
    let tiny = send(
        &service,
        "/v1/transform",
        "application/vnd.apache.arrow.stream",
        &[0_u8, 0x1b, 0, 0x48, 0, 0, 0, 0][..],
    )
    .await;
    tiny.expect_problem(413, "too_large");
    let wide = send(&service, "/v1/transform", "text/csv", ",".repeat(1_000_000)).await;
    wide.expect_problem(422, "too_many_columns");
    let deep = format!("{{\"a\":{}{}}}\n", "[".repeat(5_000), "]".repeat(5_000));
    let deep = send(&service, "/v1/transform", "application/x-ndjson", deep).await;
    deep.expect_problem(400, "too_deep");
    let bomb = zeros_in_gzip();
    let call = service
        .client
        .call(Method::POST, "/v1/transform")
        .header("content-type", "text/csv");
    let answer = call
        .header("content-encoding", "gzip")
        .body(bomb)
        .send()
        .await;
    answer.expect_problem(413, "decoded_too_large");
    let call = service
        .client
        .call(Method::POST, "/v1/transform")
        .header("content-type", "text/csv");
    let answer = call
        .header("content-encoding", "br")
        .body("a\n1\n")
        .send()
        .await;
    answer.expect_problem(415, "unsupported_media_type");
}

/// 64 MiB of zeros in 64 KiB.
fn zeros_in_gzip() -> Vec<u8> {
    let script = "import gzip, sys; sys.stdout.buffer.write(gzip.compress(bytes(64 << 20)))";
    let mut python = std::process::Command::new(weir_tests::project::python());
    python.args(["-c", script]).output().unwrap().stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_no_shorter_table() {
    let service = Service::start().await;
    for (media_type, body) in [
        ("text/csv", "a\r\n1\r\n"),
        ("application/x-ndjson", "{\"a\":1}\n"),
    ] {
        let head = format!(
            "POST /v1/transform.csv HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer {}\r\n\r\n{:x}\r\n{body}\r\n",
            service.client.key(),
            body.len()
        );
        let mut wire = Wire::send(&service.client, head.as_bytes()).await;
        wire.close_sending().await;
        wire.read_all().await;
        assert!(!wire.head().starts_with("HTTP/1.1 200"), "{}", wire.head());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_streams_through() {
    let service = Service::start().await;
    let lines: String = (0..200_000).map(|n| format!("{n},text {n}\n")).collect();
    let csv = format!("id,label\n{lines}");
    let answer = send(&service, "/v1/transform.arrow", "text/csv", csv.clone()).await;
    assert_eq!(answer.arrow().rows(), 200_000);
    let late = format!("{csv}oops,x\n");
    let call = service
        .client
        .call(Method::POST, "/v1/transform.ndjson")
        .header("content-type", "text/csv");
    let response = call.body(late).open().await;
    if response.status() == 200 {
        assert!(
            response.bytes().await.is_err(),
            "a late misfit breaks the answer off"
        );
    } else {
        assert_eq!(response.status(), 422);
    }
}
