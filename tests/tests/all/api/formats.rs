//! CSV and Parquet, as their readers see them.

use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::json;
use weir_tests::wire::Wire;
use weir_tests::{Client, Database, Service, project};

const PENGUINS: &str = "/v1/sources/sample/load";

fn compare(client: &Client, path: &str) -> (bool, String) {
    let ask = json!({"base": client.base(), "key": client.key(), "path": path});
    let mut python = Command::new(project::python())
        .arg(project::root().join("tests/reference/formats.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    input.write_all(ask.to_string().as_bytes()).unwrap();
    drop(input);
    let output = python.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), told)
}

#[tokio::test(flavor = "multi_thread")]
async fn other_readers_read_every_format_and_it_comes_back_whole() {
    let service = Service::start().await;
    let database = Database::with(
        "create table kinds as select g as id, (g % 2 = 0) as flag, g * 1000000007::bigint as big, g / 7.0::float8 as ratio,
            (g / 3.0)::numeric(20, 6) as price, case g % 3 when 0 then null when 1 then '' else E'a \"q\",\\r\\n;' || g end as note,
            date '2024-02-28' + g as day, timestamp '2024-01-01 10:00:00.5' + g * interval '1 hour' as at,
            timestamptz '2024-01-01 10:00:00Z' + g * interval '1 minute' as moment
         from generate_series(1, 3000) g",
    )
    .await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/load?stream=kinds&order_by=id");
    let (same, told) = compare(&service.client, &path);
    println!("{told}");
    assert!(same, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_is_what_spreadsheets_and_rfc_4180_expect() {
    let service = Service::start().await;
    let database = Database::create().await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/load.csv");
    let body = json!({"query": "select 1 as a, null::text as b, ''::text as c, E'x,\"y\"\\n'::text as d, '=1+1'::text as e, -5 as f,
        '\\x00ff'::bytea as g, 'NaN'::float8 as h, array[1, null] as i, true as j"});
    let post = async |options: &str| {
        service
            .client
            .post(&format!("{path}{options}"), &body)
            .await
    };
    let plain = post("").await;
    assert_eq!(plain.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(plain.header("weir-format"), "csv");
    let text =
        "a,b,c,d,e,f,g,h,i,j\r\n1,,\"\",\"x,\"\"y\"\"\n\",=1+1,-5,AP8=,,\"[1,null]\",true\r\n";
    assert_eq!(plain.text(), text);
    let safe = post("?excel_safe=true&bom=true&delimiter=;").await;
    let text =
        "\u{feff}a;b;c;d;e;f;g;h;i;j\r\n1;;\"\";\"x,\"\"y\"\"\n\";'=1+1;-5;AP8=;;[1,null];true\r\n";
    assert_eq!(safe.text(), text);
    let named = post("?download=größe").await;
    let header = "attachment; filename=\"gr__e.csv\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.csv";
    assert_eq!(named.header("content-disposition"), header);
    let empty = json!({"query": "select 1 as a, 2 as a where false"});
    let answer = service.client.post(&path, &empty).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "a,a_2\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_is_one_whole_file() {
    let service = Service::start().await;
    let client = &service.client;
    let call = client.call(Method::GET, &format!("{PENGUINS}.parquet?stream=penguins"));
    let answer = call.header("accept-encoding", "gzip, zstd").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        "application/vnd.apache.parquet"
    );
    assert_eq!(
        answer.header("content-encoding"),
        "",
        "parquet is never packed again"
    );
    assert!(answer.body.starts_with(b"PAR1") && answer.body.ends_with(b"PAR1"));
    let none = client
        .get(&format!("{PENGUINS}.parquet?stream=penguins&limit=0"))
        .await;
    let back = client
        .call(Method::POST, "/v1/transform.json")
        .header("content-type", "application/parquet");
    let back = back.body(none.body.clone()).send().await.expect_status(200);
    assert_eq!(back["row_count"], 0);
    assert!(
        back["columns"].as_array().unwrap().len() > 5,
        "a schema without rows: {back}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_come_in_every_format() {
    let service = Service::start().await;
    let body = json!({"stream": "penguins", "limit": 2});
    for (suffix, media_type) in [
        ("csv", "text/csv; charset=utf-8"),
        ("parquet", "application/vnd.apache.parquet"),
        ("ndjson", "application/x-ndjson"),
        ("arrow", "application/vnd.apache.arrow.stream"),
    ] {
        let path = format!("/v1/sources/sample/preview.{suffix}");
        let answer = service.client.post(&path, &body).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, media_type)
        );
        assert_eq!(answer.header("weir-truncated"), "true");
        if suffix == "csv" {
            assert_eq!(answer.text().lines().count(), 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_mid_stream_cuts_csv_and_parquet_visibly() {
    let service = Service::start().await;
    let database = Database::with(
        "create view breaks as select id, md5(id::text) || repeat('x', 200) as filler, 1 / (400000 - id) as late
         from (select generate_series(1, 500000) as id) t",
    )
    .await;
    let name = service.client.register(&database).await;
    for (suffix, coding) in [
        ("csv", "identity"),
        ("csv", "gzip"),
        ("csv", "zstd"),
        ("parquet", "identity"),
    ] {
        let head = format!(
            "GET /v1/sources/{name}/load.{suffix}?stream=breaks HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\nAuthorization: Bearer {}\r\n\r\n",
            service.client.key()
        );
        let mut wire = Wire::send(&service.client, head.as_bytes()).await;
        let bytes = wire.read_all().await.to_vec();
        let head = wire.head().to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(
            head.contains(&format!("content-encoding: {coding}")),
            coding != "identity"
        );
        assert!(
            bytes.len() > 1_000_000,
            "{suffix} {coding}: rows came before the failure"
        );
        assert!(
            !bytes.ends_with(b"\r\n0\r\n\r\n"),
            "{suffix} {coding}: the last chunk must not come"
        );
        if suffix == "parquet" {
            let tail = &bytes[bytes.len() - 16..];
            assert!(!tail.windows(4).any(|four| four == b"PAR1"), "no footer");
        }
    }
}
