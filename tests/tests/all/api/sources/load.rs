//! `POST` and `GET /v1/sources/{s}/load`, in every format.

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::wire::Wire;
use weir_tests::{Database, Service};

const NUMBERS: &str = "create table numbers as
    select g as id, g % 10 as digit, case when g % 3 <> 0 then 'n' || g end as label
    from generate_series(1, 2000) g";

async fn started() -> (Service, String) {
    let service = Service::start().await;
    let database = Database::with(NUMBERS).await;
    let name = service.client.register(&database).await;
    (service, format!("/v1/sources/{name}/load"))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_say_the_same() {
    let (service, path) = started().await;
    let client = &service.client;
    let body = json!({"stream": "numbers", "order_by": [{"column": "id"}]});
    let json_rows = client.post(&format!("{path}.json"), &body).await;
    let lines = client.post(&format!("{path}.ndjson"), &body).await;
    let arrow = client.post(&format!("{path}.arrow"), &body).await;
    assert_eq!(json_rows.header("content-type"), "application/json");
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    assert_eq!(
        arrow.header("content-type"),
        "application/vnd.apache.arrow.stream"
    );
    let rows = json_rows.expect_status(200).as_array().unwrap().clone();
    assert_eq!(rows.len(), 2000);
    assert_eq!(rows[2], json!({"id": 3, "digit": 3, "label": null}));
    assert_eq!(rows, lines.ndjson());
    let table = arrow.arrow();
    assert_eq!(
        (table.rows(), table.names()),
        (2000, vec!["id", "digit", "label"])
    );
    for answer in [&json_rows, &lines, &arrow] {
        assert!(uuid::Uuid::parse_str(answer.header("weir-run-id")).is_ok());
        assert!(!answer.header("weir-format").is_empty());
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(
            answer.header("link").contains("rel=\"describedby\""),
            "{:?}",
            answer.headers
        );
        assert!(
            answer.header("vary").to_lowercase().contains("accept"),
            "{:?}",
            answer.headers
        );
        assert!(!answer.header("server-timing").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suffix_wins_over_parameter_wins_over_accept() {
    let (service, path) = started().await;
    let ask = async |path: String, accept: Option<&str>| {
        let mut call = service.client.call(Method::GET, &path);
        if let Some(accept) = accept {
            call = call.header("accept", accept);
        }
        let answer = call.send().await;
        (answer.status, answer.header("content-type").to_owned())
    };
    let [json, ndjson, arrow] = [
        "application/json",
        "application/x-ndjson",
        "application/vnd.apache.arrow.stream",
    ];
    let query = "stream=numbers&limit=1";
    let plain = format!("{path}?{query}");
    for (path, accept, expected) in [
        (plain.clone(), None, json),
        (plain.clone(), Some("*/*"), json),
        (
            plain.clone(),
            Some("text/html,application/xhtml+xml,*/*;q=0.8"),
            json,
        ),
        (plain.clone(), Some(arrow), arrow),
        (plain.clone(), Some("application/jsonl"), ndjson),
        (
            plain.clone(),
            Some("application/json;q=0.1, application/x-ndjson"),
            ndjson,
        ),
        (format!("{plain}&format=arrow"), Some(ndjson), arrow),
        (format!("{path}.ndjson?{query}"), Some(arrow), ndjson),
    ] {
        assert_eq!(
            ask(path.clone(), accept).await,
            (200, expected.to_owned()),
            "{path} {accept:?}"
        );
    }
    assert_eq!(ask(plain.clone(), Some("text/turtle")).await.0, 406);
    assert_eq!(ask(format!("{plain}&format=xml"), None).await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_get_form_says_what_the_post_form_says() {
    let (service, path) = started().await;
    let body = json!({"stream": "numbers", "columns": ["label", "id"], "filter": "digit == 4 and id > 100",
        "order_by": [{"column": "id", "ascending": false}], "limit": 5});
    let posted = service.client.post(&path, &body).await.expect_status(200);
    let query = "stream=numbers&columns=label,id&filter=digit%20%3D%3D%204%20and%20id%20%3E%20100&order_by=-id&limit=5";
    let got = service
        .client
        .get(&format!("{path}?{query}"))
        .await
        .expect_status(200);
    assert_eq!(posted, got);
    assert_eq!(got[0], json!({"label": "n1994", "id": 1994}));
    let keys: Vec<&String> = got[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["label", "id"], "columns come in the order asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bound_and_never_pasted() {
    let (service, path) = started().await;
    let client = &service.client;
    let hostile = "'; drop table numbers; --";
    let body = json!({"query": "select $1::text as a, $2::bigint as b, $3::text as c, $4::bool as d",
        "params": [hostile, 9007199254740993_i64, null, true]});
    let rows = client.post(&path, &body).await.expect_status(200);
    assert_eq!(
        rows,
        json!([{"a": hostile, "b": 9007199254740993_i64, "c": null, "d": true}])
    );
    let body = json!({"query": "select id from numbers where id = $1", "params": [7]});
    assert_eq!(
        client.post(&path, &body).await.expect_status(200),
        json!([{"id": 7}])
    );
    let query =
        "query=select%20id%20from%20numbers%20where%20id%20%3D%20%241%20and%20digit%20%3D%20%242";
    let rows = client
        .get(&format!("{path}?{query}&param.1=14&param.2=4"))
        .await;
    assert_eq!(rows.expect_status(200), json!([{"id": 14}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_found_is_still_an_answer_with_a_schema() {
    let (service, path) = started().await;
    let body = json!({"stream": "numbers", "filter": "id < 0"});
    let client = &service.client;
    assert_eq!(
        client
            .post(&format!("{path}.json"), &body)
            .await
            .expect_status(200),
        json!([])
    );
    let lines = client.post(&format!("{path}.ndjson"), &body).await;
    assert_eq!((lines.status, lines.text().as_str()), (200, ""));
    let table = client.post(&format!("{path}.arrow"), &body).await.arrow();
    assert_eq!((table.rows(), table.names().len()), (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_json() {
    let (service, path) = started().await;
    let client = &service.client;
    let body = json!({"query": "select 9007199254740993::bigint as big, 1 as small, 1.50::numeric(10,2) as d,
        'NaN'::float8 as nan, '-Infinity'::float8 as inf, '\\x00ff'::bytea as bytes"});
    let raw = client.post(&path, &body).await.text();
    assert!(
        raw.contains("9007199254740993") && raw.contains("1.50"),
        "every digit: {raw}"
    );
    let row = client.post(&path, &body).await.expect_status(200)[0].clone();
    assert_eq!(
        (&row["nan"], &row["inf"], &row["bytes"]),
        (&Value::Null, &Value::Null, &json!("AP8="))
    );
    let safe = client
        .post(&format!("{path}?js_safe=true"), &body)
        .await
        .expect_status(200);
    assert_eq!(safe[0]["big"], "9007199254740993");
    assert_eq!(
        (&safe[0]["d"], &safe[0]["small"]),
        (&json!("1.50"), &json!(1))
    );
    let two = json!({"query": "select 1 as a, 2 as b"});
    let arrays = client.post(&format!("{path}?shape=arrays"), &two).await;
    assert_eq!(
        arrays.expect_status(200),
        json!([["a", "b"], [1, 2]]),
        "names as the first row"
    );
    let lines = client
        .post(&format!("{path}.ndjson?end_marker=true"), &two)
        .await
        .ndjson();
    assert_eq!(lines[0], json!({"a": 1, "b": 2}));
    assert_eq!(
        (&lines[1]["$weir"]["rows"], lines.len()),
        (&json!(1), 2),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_column_names_are_told_apart_in_every_format() {
    let (service, path) = started().await;
    let client = &service.client;
    let body = json!({"query": "select 1 as a, 2 as a, 3 as a, 4 as a_2"});
    let arrow = client.post(&format!("{path}.arrow"), &body).await.arrow();
    let names: Vec<String> = arrow
        .names()
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(names.len(), 4);
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 4, "{names:?}");
    let row = client
        .post(&format!("{path}.json"), &body)
        .await
        .expect_status(200)[0]
        .clone();
    let keys: Vec<String> = row.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, names);
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_is_compressed_only_when_asked() {
    let (service, path) = started().await;
    let client = &service.client;
    let query = "stream=numbers";
    let plain = client.get(&format!("{path}.arrow?{query}")).await;
    for compressed in [
        format!("{path}.arrow?{query}&compression=zstd"),
        format!("{path}.arrow?{query}&compression=lz4"),
    ] {
        let answer = client
            .call(Method::GET, &compressed)
            .header("accept-encoding", "gzip")
            .send()
            .await;
        assert_eq!(answer.header("content-encoding"), "", "never both");
        assert_eq!(answer.arrow().rows(), 2000);
        assert!(answer.body.len() < plain.body.len());
    }
    let accept = "application/vnd.apache.arrow.stream; codecs=\"zstd, lz4\"";
    let chosen = client
        .call(Method::GET, &format!("{path}?{query}"))
        .header("accept", accept)
        .send()
        .await;
    assert!(
        chosen.header("content-type").contains("codecs"),
        "{:?}",
        chosen.headers
    );
    assert_eq!(chosen.arrow().rows(), 2000);
    let metadata = plain.arrow().schema.metadata().clone();
    assert_eq!(metadata["weir.run_id"], plain.header("weir-run-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_formats_are_compressed_on_the_way_when_the_caller_can_read_it() {
    let (service, path) = started().await;
    for coding in ["gzip", "zstd"] {
        let head = format!(
            "GET {path}.ndjson?stream=numbers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Accept-Encoding: {coding}\r\nAuthorization: Bearer {}\r\n\r\n",
            service.client.key()
        );
        let mut wire = Wire::send(&service.client, head.as_bytes()).await;
        let bytes = wire.read_all().await.len();
        let answer = wire.head().to_lowercase();
        assert!(
            answer.contains(&format!("content-encoding: {coding}")),
            "{answer}"
        );
        assert!(bytes < 40_000, "{coding}: {bytes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_runs_no_query() {
    let service = Service::start().await;
    let database = Database::with(super::hang_up::ENDLESS).await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/load.arrow?stream=endless");
    let answer = service.client.call(Method::HEAD, &path).send().await;
    assert_eq!(
        (answer.status, answer.header("accept-ranges")),
        (200, "none")
    );
    assert_eq!(answer.header("content-length"), "");
    let watcher = database.client().await;
    assert_eq!(
        database.sessions_running(&watcher, "generate_series").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_may_name_the_run() {
    let (service, path) = started().await;
    let run = uuid::Uuid::new_v4().to_string();
    let call = service
        .client
        .call(Method::GET, &format!("{path}?stream=numbers&limit=1"));
    let answer = call.header("weir-run-id", &run).send().await;
    assert_eq!(answer.header("weir-run-id"), run);
    let call = service
        .client
        .call(Method::GET, &format!("{path}?stream=numbers&limit=1"));
    assert_eq!(call.header("weir-run-id", "mine").send().await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_the_source_would_do() {
    let (service, path) = started().await;
    let body = json!({"stream": "numbers", "filter": "id > 10", "columns": ["id"], "limit": 5, "dry_run": true});
    let plan = service.client.post(&path, &body).await.expect_status(200);
    assert_eq!(plan["columns"], json!([{"name": "id", "type": "int32"}]));
    assert_eq!(plan["pushed"]["filter"], json!(["exact"]), "{plan:#}");
    assert_eq!(
        (&plan["pushed"]["limit"], &plan["residue"]),
        (&json!(true), &json!([]))
    );
    assert!(plan["estimated_rows"].is_u64(), "{plan:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_mid_stream_is_never_a_short_success() {
    let service = Service::start().await;
    let database = Database::with(
        "create view breaks as select id, repeat('x', 200) as filler, 1 / (400000 - id) as late
         from (select generate_series(1, 500000) as id) t",
    )
    .await;
    let name = service.client.register(&database).await;
    for suffix in ["json", "ndjson", "arrow"] {
        let path = format!("/v1/sources/{name}/load.{suffix}?stream=breaks");
        let mut wire = Wire::get(&service.client, &path).await;
        let bytes = wire.read_all().await.to_vec();
        assert!(wire.head().starts_with("HTTP/1.1 200"), "{}", wire.head());
        assert!(
            bytes.len() > 10_000_000,
            "{suffix}: rows came before the failure"
        );
        assert!(
            !bytes.ends_with(b"0\r\n\r\n"),
            "{suffix}: the last chunk must not come"
        );
        if suffix == "arrow" {
            let poison = [0xff, 0xff, 0xff, 0xff];
            let tail = &bytes[bytes.len() - 96..];
            assert!(
                tail.windows(4).any(|four| four == poison),
                "an invalid message header"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_takes_too_long_is_stopped_in_the_source() {
    let service = Service::start().await;
    let database = Database::create().await;
    let name = service.client.register(&database).await;
    let body = json!({"query": "select pg_sleep(60)", "timeout_ms": 300});
    let started = std::time::Instant::now();
    let answer = service
        .client
        .post(&format!("/v1/sources/{name}/load"), &body)
        .await;
    answer.expect_problem(504, "deadline");
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    let watcher = database.client().await;
    let gone = weir_tests::eventually(std::time::Duration::from_secs(1), async || {
        (database.sessions_running(&watcher, "pg_sleep").await == 0).then_some(())
    });
    gone.await.expect("the query is stopped in the source");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_without_an_end_of_their_own_need_http_1_1() {
    let service = Service::start().await;
    let load = "/v1/sources/sample/load";
    for (suffix, is_given) in [
        (".csv?stream=penguins", false),
        (".ndjson?stream=penguins", false),
        (".ndjson?stream=penguins&end_marker=true", true),
        (".json?stream=penguins", true),
        (".arrow?stream=penguins", true),
        (".parquet?stream=penguins", true),
    ] {
        let key = service.client.key();
        let head = format!("GET {load}{suffix} HTTP/1.0\r\nAuthorization: Bearer {key}\r\n\r\n");
        let mut wire = Wire::send(&service.client, head.as_bytes()).await;
        wire.read_all().await;
        let head = wire.head();
        let status = head.split(' ').nth(1);
        assert_eq!(status, Some(if is_given { "200" } else { "422" }), "{head}");
        assert_eq!(head.contains("http_version"), !is_given, "{head}");
    }
}
