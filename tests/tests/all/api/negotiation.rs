//! Which format and which packing a caller gets.

use reqwest::Method;
use weir_tests::Service;

const PATH: &str = "/v1/sources/sample/load?stream=penguins&limit=2";

#[tokio::test(flavor = "multi_thread")]
async fn accept_chooses_among_all_formats() {
    let service = Service::start().await;
    for (accept, expected) in [
        ("text/csv", "csv"),
        ("text/*", "csv"),
        ("application/parquet", "parquet"),
        ("application/vnd.apache.parquet", "parquet"),
        ("application/jsonl", "ndjson"),
        ("application/x-jsonlines", "ndjson"),
        ("application/json;q=0.2, text/csv;q=0.9", "csv"),
        ("text/csv;q=0, */*", "json"),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "json",
        ),
        ("application/*", "json"),
    ] {
        let call = service
            .client
            .call(Method::GET, PATH)
            .header("accept", accept);
        let answer = call.send().await;
        assert_eq!(
            (answer.status, answer.header("weir-format")),
            (200, expected),
            "{accept}"
        );
    }
    let call = service
        .client
        .call(Method::GET, PATH)
        .header("accept", "text/html");
    let problem = call.send().await.expect_problem(406, "not_acceptable");
    let hint = problem["hint"].as_str().unwrap();
    assert!(
        hint.contains("text/csv") && hint.contains("application/vnd.apache.parquet"),
        "{hint}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_another_format_are_refused_by_name() {
    let service = Service::start().await;
    for (option, format) in [
        ("bom=true", "json"),
        ("excel_safe=true", "ndjson"),
        ("delimiter=;", "parquet"),
        ("delimiter=ab", "csv"),
        ("delimiter=.", "csv"),
        ("js_safe=true", "csv"),
        ("arrow_types=modern", "json"),
        ("end_marker=true", "csv"),
        ("shape=arrays", "csv"),
        ("compression=snappy", "arrow"),
        ("compression=zstd", "csv"),
        ("download=a/b", "csv"),
        ("bomb=true", "csv"),
    ] {
        let answer = service
            .client
            .get(&format!("{PATH}&format={format}&{option}"))
            .await;
        let problem = answer.expect_status(422);
        let name = option.split('=').next().unwrap();
        assert_eq!(
            problem["errors"][0]["parameter"], name,
            "{option}: {problem}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoding_that_cannot_be_given_is_406() {
    let service = Service::start().await;
    for (format, encoding, status) in [
        ("csv", "identity;q=0", 406),
        ("csv", "identity;q=0, gzip", 200),
        ("parquet", "identity;q=0, gzip", 406),
        ("parquet", "gzip", 200),
        ("csv", "*;q=0", 406),
    ] {
        let call = service
            .client
            .call(Method::GET, &format!("{PATH}&format={format}"));
        let answer = call.header("accept-encoding", encoding).send().await;
        assert_eq!(answer.status, status, "{format} {encoding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_suffix_answers_head_without_a_length() {
    let service = Service::start().await;
    for suffix in ["json", "ndjson", "arrow", "csv", "parquet"] {
        let path = format!("/v1/sources/sample/load.{suffix}?stream=penguins");
        let call = service
            .client
            .call(Method::HEAD, &path)
            .header("range", "bytes=0-0");
        let answer = call.send().await;
        assert_eq!(
            (answer.status, answer.header("accept-ranges")),
            (200, "none"),
            "{suffix}"
        );
        assert_eq!(
            (
                answer.header("content-length"),
                answer.header("content-range")
            ),
            ("", "")
        );
        let ranged = service
            .client
            .call(Method::GET, &path)
            .header("range", "bytes=0-0")
            .send()
            .await;
        assert_eq!(
            (ranged.status, ranged.header("content-range")),
            (200, ""),
            "{suffix}"
        );
        assert!(ranged.body.len() > 1_000);
    }
}
