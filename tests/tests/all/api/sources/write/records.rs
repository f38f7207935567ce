//! The record of a write: its run, its line in the audit, its idempotency.

use serde_json::{Value, json};

use super::{Place, numbered, path};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_a_run_and_a_record_of_the_audit() {
    let place = Place::with("").await;
    let id = uuid::Uuid::now_v7().to_string();
    let path = path("stream=t");
    let call = place.client().call("POST".parse().unwrap(), &path);
    let done = call
        .header("weir-run-id", &id)
        .json(&numbered(1, 3))
        .send()
        .await;
    done.expect_status(200);
    assert_eq!(done.header("weir-run-id"), id);
    let run = place
        .client()
        .get(&format!("/v1/runs/{id}"))
        .await
        .expect_status(200);
    let seen = [
        &run["kind"],
        &run["status"],
        &run["rows"],
        &run["stream"],
        &run["source_name"],
    ];
    assert_eq!(
        seen,
        [
            &json!("write"),
            &json!("succeeded"),
            &json!(3),
            &json!("t"),
            &json!("db")
        ]
    );
    assert!(run["bytes"].as_i64().unwrap() > 50, "{run}");
    let audit = place
        .client()
        .get("/v1/audit?action=write")
        .await
        .expect_status(200);
    assert_eq!(audit["items"][0]["run_id"], *id);
    assert_eq!(audit["items"][0]["stream"], "t");
    let failed = place.write("stream=t", &json!([{"nope": 1}])).await;
    failed.expect_problem(422, "unknown_column");
    let run = failed.header("weir-run-id").to_owned();
    let run = place
        .client()
        .get(&format!("/v1/runs/{run}"))
        .await
        .expect_status(200);
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("unknown_column"))
    );
}

async fn keyed(place: &Place, key: &str, query: &str, rows: &Value) -> weir_tests::Answer {
    let path = path(query);
    let call = place.client().call("POST".parse().unwrap(), &path);
    call.header("idempotency-key", key).json(rows).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_write_happens_once() {
    let place = Place::with("").await;
    let first = keyed(&place, "a", "stream=t", &numbered(1, 1_000)).await;
    let again = keyed(&place, "a", "stream=t", &numbered(1, 1_000)).await;
    assert_eq!(first.expect_status(200), again.expect_status(200));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(place.rows().await.as_array().unwrap().len(), 1_000);
    let other = keyed(&place, "a", "stream=t", &numbered(2, 1_000)).await;
    other.expect_problem(422, "idempotency_mismatch");
    let other = keyed(&place, "a", "stream=u", &numbered(1, 1_000)).await;
    other.expect_problem(422, "idempotency_mismatch");
    let bad = json!([{"id": null, "nope": 1}]);
    let bad = [
        keyed(&place, "b", "stream=t", &bad).await,
        keyed(&place, "b", "stream=t", &bad).await,
    ];
    for answer in &bad {
        answer.expect_problem(422, "unknown_column");
    }
}
