//! What steps did: in the envelope, and for other formats at the run.

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::wire::Wire;
use weir_tests::{Client, Service};

const STEPS: &str =
    r#"[{"op":"filter_rows","condition":"a > 1"},{"op":"remove_column","columns":["b","c"]}]"#;

fn steps() -> Value {
    serde_json::from_str(STEPS).unwrap()
}

/// The parts of a report that these tests know.
fn check(report: &Value) {
    assert_eq!(report[0]["op"], "filter_rows", "{report}");
    assert_eq!(report[0]["removed"], 1, "{report}");
    assert_eq!(report[1]["op"], "remove_column", "{report}");
    let warning = report[1]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("`c`"), "{report}");
    assert_eq!(report.as_array().unwrap().len(), 2);
}

async fn reader(admin: &Client, name: &str) -> Client {
    let key = json!({"name": name, "role": "reader"});
    let key = admin.post("/v1/api-keys", &key).await.expect_status(201);
    admin.with_key(key["key"].as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_has_the_report_behind_its_rows() {
    let service = Service::start().await;
    let data = json!([{"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 3}]);
    let body = json!({"data": data, "steps": steps()});
    let answer = service
        .client
        .post("/v1/transform", &body)
        .await
        .expect_status(200);
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "columns",
            "rows",
            "row_count",
            "truncated",
            "report",
            "elapsed_ms"
        ]
    );
    assert_eq!(answer["rows"], json!([{"a": 2}, {"a": 3}]));
    check(&answer["report"]);
    let bare = service
        .client
        .post("/v1/transform", &json!({"data": data}))
        .await;
    assert!(bare.expect_status(200).get("report").is_none());
    let empty = json!({"data": data, "steps": []});
    let empty = service.client.post("/v1/transform", &empty).await;
    assert!(empty.expect_status(200).get("report").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_formats_leave_it_at_the_run_for_their_key_and_admins() {
    let service = Service::start().await;
    let admin = &service.client;
    let (own, other) = (reader(admin, "own").await, reader(admin, "other").await);
    let path = |format: &str| format!("/v1/transform.{format}?steps={STEPS}");
    for format in ["ndjson", "arrow", "csv", "parquet", "json"] {
        let call = own.call(Method::POST, &path(format));
        let call = call
            .header("content-type", "text/csv")
            .body("a,b\n1,1\n2,2\n3,3\n");
        let answer = call.send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let run = format!("/v1/runs/{}", answer.header("weir-run-id"));
        for client in [&own, admin] {
            let run = client.get(&run).await.expect_status(200);
            assert_eq!(
                (&run["kind"], &run["status"]),
                (&json!("transform"), &json!("succeeded"))
            );
            assert_eq!(run["rows"], 2);
            check(&run["report"]);
        }
        other.get(&run).await.expect_problem(404, "not_found");
    }
    let listed = admin.get("/v1/runs").await.expect_status(200);
    assert_eq!(
        listed["items"],
        json!([]),
        "no transform has a row in the store"
    );
    // The id of a run is taken as long as it is known.
    let id = "0190b6e2-8f3f-7b3c-9d51-0a1b2c3d4e5f";
    for code in ["", "run_id_taken"] {
        let call = own
            .call(Method::POST, "/v1/transform.csv")
            .json(&json!({"data": [{"a": 1}]}));
        let answer = call.header("weir-run-id", id).send().await;
        assert_eq!(answer.header("weir-error-code"), code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transform_that_breaks_off_says_why_at_its_run() {
    let service = Service::start().await;
    let lines: String = (0..200_000).map(|n| format!("{n}\n")).collect();
    let call = service.client.call(Method::POST, "/v1/transform.ndjson");
    let call = call.header("content-type", "text/csv");
    let response = call.body(format!("a\n{lines}oops\n")).open().await;
    let run = response.headers()["weir-run-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(response.status() != 200 || response.bytes().await.is_err());
    let run = service
        .client
        .get(&format!("/v1/runs/{run}"))
        .await
        .expect_status(200);
    assert_eq!(run["status"], "failed");
    assert_eq!(run["error"]["code"], "data");
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_and_previews_keep_theirs() {
    let service = Service::start().await;
    let client = &service.client;
    let steps = json!([{"op": "limit", "rows": 7}, {"op": "select", "columns": ["species"]}]);
    let body = json!({"stream": "penguins", "steps": steps});
    let load = client.post("/v1/sources/sample/load.csv", &body).await;
    assert_eq!(load.text().lines().count(), 8, "{}", load.text());
    let run = format!("/v1/runs/{}", load.header("weir-run-id"));
    let stored = weir_tests::eventually(std::time::Duration::from_secs(10), async || {
        let run = client.get(&run).await.expect_status(200);
        (run["status"] == "succeeded").then_some(run)
    });
    let run = stored.await.expect("the load ends");
    let ops: Vec<&Value> = run["report"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["op"])
        .collect();
    assert_eq!(ops, ["limit", "select"]);
    let mut preview = body.clone();
    preview["limit"] = json!(3);
    let shown = client
        .post("/v1/sources/sample/preview.csv", &preview)
        .await;
    assert_eq!(
        (shown.status, shown.header("weir-truncated")),
        (200, "true")
    );
    let run = format!("/v1/runs/{}", shown.header("weir-run-id"));
    let run = client.get(&run).await.expect_status(200);
    assert_eq!(run["report"][1]["op"], "select");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transform_is_stopped_by_its_run() {
    let service = Service::start().await;
    let client = &service.client;
    let id = "0190b6e2-8f3f-7b3c-9d51-0a1b2c3d4e60";
    let steps = "%5B%7B%22op%22:%22sort_rows%22,%22by%22:%5B%7B%22column%22:%22a%22%7D%5D%7D%5D";
    let head = format!(
        "POST /v1/transform.csv?steps={steps} HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\
         Weir-Run-Id: {id}\r\nAuthorization: Bearer {}\r\n\r\n6\r\na\n1\n2\n\r\n",
        client.key()
    );
    // The body never ends, so the sort waits for more of it.
    let mut wire = Wire::send(client, head.as_bytes()).await;
    let path = format!("/v1/runs/{id}/cancel");
    let stopped = weir_tests::eventually(std::time::Duration::from_secs(10), async || {
        let answer = client.call(Method::POST, &path).send().await;
        (answer.status == 202).then_some(())
    });
    stopped.await.expect("the run is known while it runs");
    wire.read_all().await;
    assert!(wire.head().starts_with("HTTP/1.1 499"), "{}", wire.head());
    let run = client
        .get(&format!("/v1/runs/{id}"))
        .await
        .expect_status(200);
    assert_eq!(
        (&run["status"], &run["kind"]),
        (&json!("cancelled"), &json!("transform"))
    );
}
