//! Bodies of every form that a transform takes.

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::{Answer, Service};

use super::statistic;

async fn send(
    service: &Service,
    path: &str,
    media_type: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let call = service.client.call(Method::POST, path);
    let call = call.header("content-type", media_type);
    call.body(body).send().await
}

/// `request`, then `data`.
fn parts(request: &str, media_type: &str, data: &[u8]) -> Vec<u8> {
    let head = "--b7\r\nContent-Disposition: form-data; name=";
    let mut body =
        format!("{head}\"request\"\r\nContent-Type: application/json\r\n\r\n{request}\r\n")
            .into_bytes();
    let of_data = format!("{head}\"data\"\r\nContent-Type: {media_type}\r\n\r\n");
    body.extend_from_slice(of_data.as_bytes());
    body.extend_from_slice(data);
    body.extend_from_slice(b"\r\n--b7--\r\n");
    body
}

const MULTIPART: &str = "multipart/form-data; boundary=b7";

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_every_format_have_the_same_profile() {
    let service = Service::start().await;
    let rows = json!([{"id": 1, "name": "a b"}, {"id": 9007199254740993_i64, "name": null}, {"id": 3, "name": "a"}]);
    let body = json!({ "data": rows });
    let first = service.client.post("/v1/profile", &body).await;
    let whole = first.expect_status(200);
    let keys: Vec<&String> = whole.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["dataset", "columns", "suggestions"]);
    assert_eq!(whole["dataset"]["row_count"], 3);
    assert_eq!(
        statistic(&whole, "id", "max"),
        &json!(9_007_199_254_740_993_i64)
    );
    assert_eq!(statistic(&whole, "name", "null_value_count"), 1);
    assert!(uuid::Uuid::parse_str(first.header("weir-run-id")).is_ok());
    assert_eq!(first.header("cache-control"), "no-store");
    assert_eq!(first.header("content-type"), "application/json");
    let timing = first.header("server-timing");
    assert!(
        timing.starts_with("prepare;dur=") && timing.contains("profile;dur="),
        "{timing}"
    );
    for (format, media_type) in [
        ("ndjson", "application/x-ndjson"),
        ("csv", "text/csv"),
        ("arrow", "application/vnd.apache.arrow.stream"),
        ("parquet", "application/vnd.apache.parquet"),
    ] {
        let path = format!("/v1/transform.{format}");
        let rows = service.client.post(&path, &body).await.body;
        let alone = send(&service, "/v1/profile", media_type, rows.clone()).await;
        assert_eq!(alone.expect_status(200), whole, "{format}");
        let parts = parts("{}", media_type, &rows);
        let of_parts = send(&service, "/v1/profile", MULTIPART, parts).await;
        assert_eq!(of_parts.expect_status(200), whole, "{format} as a part");
    }
    let list = send(
        &service,
        "/v1/profile",
        "application/json",
        rows.to_string(),
    )
    .await;
    assert_eq!(list.expect_status(200), whole, "a list alone");
    let parts = parts("{}", "application/json", rows.to_string().as_bytes());
    let of_parts = send(&service, "/v1/profile", MULTIPART, parts).await;
    assert_eq!(of_parts.expect_status(200), whole, "a list as a part");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_stands_in_the_body_in_the_query_or_in_its_part() {
    let service = Service::start().await;
    let csv = "zip,price\n 12345 ,\"1,000\"\n12345,$3\n12345,\n";
    let asked = json!({"steps": [{"op": "rename", "names": {"zip": "code"}}],
        "column_types": {"zip": "zip_code"}, "clean": false, "approximate": true});
    let query = |name: &str| format!("{name}={}", asked[name]);
    let query: Vec<String> = ["steps", "column_types", "clean", "approximate"]
        .map(query)
        .into();
    let path = format!("/v1/profile?{}", query.join("&"));
    let by_query = send(&service, &path, "text/csv", csv)
        .await
        .expect_status(200);
    assert_eq!(
        by_query["columns"]["code"]["type"], "zip_code",
        "{by_query}"
    );
    assert_eq!(by_query["columns"]["code"]["rule"], "given");
    let by_part = send(
        &service,
        "/v1/profile",
        MULTIPART,
        parts(&asked.to_string(), "text/csv", csv.as_bytes()),
    );
    assert_eq!(by_part.await.expect_status(200), by_query);
    let typed = send(&service, "/v1/profile?types=zip:string", "text/csv", csv).await;
    assert_eq!(
        typed.expect_status(200)["columns"]["zip"]["type"],
        "zip_code",
        "the name says it"
    );
    let clean = send(&service, "/v1/profile", "text/csv", csv)
        .await
        .expect_status(200);
    assert_eq!(statistic(&clean, "price", "sum"), 1003, "{clean}");
    let recipe = json!({"name": "top", "steps": [{"op": "limit", "rows": 1}]});
    service
        .client
        .post("/v1/recipes", &recipe)
        .await
        .expect_status(201);
    let one = send(&service, "/v1/profile?recipe=top@1", "text/csv", csv).await;
    assert_eq!(one.expect_status(200)["dataset"]["row_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_come_first_and_tell_what_they_did() {
    let service = Service::start().await;
    let body = json!({"data": [{"a": 1}, {"a": null}, {"a": 3}], "steps": [{"op": "drop_nulls"}]});
    let answer = service.client.post("/v1/profile", &body).await;
    assert_eq!(answer.expect_status(200)["dataset"]["row_count"], 2);
    let path = format!("/v1/runs/{}", answer.header("weir-run-id"));
    let run = service.client.get(&path).await.expect_status(200);
    assert_eq!(
        (&run["kind"], &run["status"], &run["rows"]),
        (&json!("profile"), &json!("succeeded"), &json!(2))
    );
    assert_eq!(run["report"][0]["op"], "drop_nulls");
    let reader = json!({"name": "other", "role": "reader"});
    let key = service
        .client
        .post("/v1/api-keys", &reader)
        .await
        .expect_status(201);
    let other = service.client.with_key(key["key"].as_str());
    other.get(&path).await.expect_problem(404, "not_found");
    let again = service
        .client
        .call(Method::POST, "/v1/profile")
        .header("weir-run-id", answer.header("weir-run-id"))
        .json(&body);
    again.send().await.expect_problem(409, "run_id_taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_columns_are_profiled() {
    let service = Service::start().await;
    let names: Vec<String> = (0..2_000).map(|n| format!("c{n}")).collect();
    let row = |start: usize| -> String {
        let cells: Vec<String> = (0..2_000).map(|n| (start + n % 7).to_string()).collect();
        cells.join(",")
    };
    let csv = format!("{}\n{}\n{}\n{}\n", names.join(","), row(1), row(5), row(30));
    let answer = send(&service, "/v1/profile", "text/csv", csv)
        .await
        .expect_status(200);
    assert_eq!(answer["dataset"]["column_count"], 2_000);
    let shown: Vec<&String> = answer["columns"].as_object().unwrap().keys().collect();
    assert_eq!(shown, names.iter().collect::<Vec<_>>(), "in their order");
    assert_eq!(statistic(&answer, "c8", "sum"), 39);
}

#[tokio::test(flavor = "multi_thread")]
async fn estimates_are_said_to_be_ones_and_are_near() {
    let service = Service::start().await;
    let lines: String = (0..200_000_u64)
        .map(|n| format!("{},{}\n", n * 7_919 % 200_003, n % 10))
        .collect();
    let csv = format!("id,few\n{lines}");
    let path = "/v1/profile?approximate=true";
    let told = send(&service, path, "text/csv", csv.clone())
        .await
        .expect_status(200);
    let exact = send(&service, "/v1/profile", "text/csv", csv)
        .await
        .expect_status(200);
    assert!(told["approximate"].is_object(), "{}", told["approximate"]);
    assert_eq!(exact.get("approximate"), None);
    assert_eq!(statistic(&exact, "id", "count_distinct"), 200_000);
    for name in ["count_distinct", "median"] {
        let [about, is] =
            [&told, &exact].map(|answer| statistic(answer, "id", name).as_f64().unwrap());
        assert!((about - is).abs() < 0.05 * is, "{name}: {about}, not {is}");
    }
    for name in ["count", "sum", "min", "max", "average"] {
        assert_eq!(
            statistic(&told, "id", name),
            statistic(&exact, "id", name),
            "{name}"
        );
    }
    assert_eq!(
        statistic(&told, "few", "value_counts"),
        statistic(&exact, "few", "value_counts")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_holds_what_is_no_number() {
    let service = Service::start().await;
    let body = json!({"data": {"columns": [{"name": "a", "type": "float64"}], "rows": [[1e308], [-1e308], [1.7e308], [null], [0.0]]}});
    let answer = service.client.post("/v1/profile", &body).await;
    let text = answer.text();
    answer.expect_status(200);
    let _: Value = serde_json::from_str(&text).unwrap();
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}
