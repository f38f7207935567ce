//! How many rows there are in all.

use serde_json::json;
use weir_tests::{Database, Service};

const NUMBERS: &str = "create table numbers as select n as id, n % 10 as digit from generate_series(1, 5000) n; analyze numbers";

#[tokio::test(flavor = "multi_thread")]
async fn a_load_and_a_preview_tell_the_total_without_their_limit() {
    let service = Service::start().await;
    let database = Database::with(NUMBERS).await;
    let client = &service.client;
    let name = client.register(&database).await;
    let (load, preview) = (
        format!("/v1/sources/{name}/load.json"),
        format!("/v1/sources/{name}/preview"),
    );
    let exact = [
        (
            json!({"stream": "numbers", "limit": 3, "count": "exact"}),
            "5000",
        ),
        (
            json!({"stream": "numbers", "filter": "digit == 7", "limit": 3, "count": "exact"}),
            "500",
        ),
        (
            json!({"query": "select id from numbers where id > $1", "params": [4000], "limit": 3, "count": "exact"}),
            "1000",
        ),
    ];
    for (body, total) in exact {
        let answer = client.post(&load, &body).await;
        assert_eq!(
            answer.expect_status(200).as_array().unwrap().len(),
            3,
            "{body}"
        );
        assert_eq!(answer.header("weir-total-rows"), total, "{body}");
        assert_eq!(answer.header("weir-total-rows-estimated"), "");
        let answer = client.post(&preview, &body).await;
        let shown = answer.expect_status(200);
        assert_eq!(
            (
                shown["total_rows"].to_string().as_str(),
                &shown["total_is_estimate"]
            ),
            (total, &json!(false))
        );
        let keys: Vec<&String> = shown.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "columns",
                "rows",
                "row_count",
                "truncated",
                "total_rows",
                "total_is_estimate",
                "elapsed_ms"
            ]
        );
    }
    // The sample counts nothing itself: the engine does.
    let filter = "/v1/sources/sample/load?stream=penguins&filter=species%20%3D%3D%20'Adelie'";
    let whole = client.get(filter).await.json().as_array().unwrap().len();
    let answer = client.get(&format!("{filter}&limit=1&count=exact")).await;
    assert_eq!(answer.header("weir-total-rows"), whole.to_string());
    let path = format!("{load}?stream=numbers&limit=3&count=estimated");
    let answer = client.get(&path).await;
    assert_eq!(
        answer.header("weir-total-rows"),
        "5000",
        "the planner's own, after analyze"
    );
    assert_eq!(answer.header("weir-total-rows-estimated"), "true");
    let plain = client.post(&preview, &json!({"stream": "numbers"})).await;
    assert_eq!(plain.header("weir-total-rows"), "");
    assert_eq!(plain.json().get("total_rows"), None);
    let bad = client
        .get(&format!("{load}?stream=numbers&count=all"))
        .await;
    bad.expect_problem(422, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_have_the_rows_that_were_asked_for_at_most() {
    let service = Service::start().await;
    let database = Database::with(NUMBERS).await;
    let client = &service.client;
    let name = client.register(&database).await;
    for source in [name.as_str(), "sample"] {
        let stream = if source == "sample" {
            "penguins"
        } else {
            "numbers"
        };
        let path = format!("/v1/sources/{source}/load.arrow?stream={stream}&batch_rows=40");
        let table = client.get(&path).await.arrow();
        assert!(table.rows() > 100);
        assert!(table.batches.iter().all(|batch| batch.num_rows() <= 40));
    }
}
