//! Cells that a step cannot read are told to the caller, and to no log.

use std::time::Duration;

use serde_json::json;
use weir_tests::{Options, eventually};

const MARKER: &str = "marker-of-a-cell-4711";

fn body(rows: usize) -> String {
    format!("n\n{}{MARKER}\n", "yes\n".repeat(rows))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_cannot_be_read_is_not_in_the_log() {
    let options = Options::fresh().await.env("WEIR_LOG", "debug");
    let service = options.start().await;
    let steps =
        json!([{"op": "convert_type", "columns": ["n"], "type": "bool", "on_error": "fail"}]);
    let path = format!("/v1/transform.ndjson?steps={steps}");
    let call = |rows: usize| {
        let call = service.client.call(reqwest::Method::POST, &path);
        call.header("content-type", "text/csv").body(body(rows))
    };
    let problem = call(3).send().await;
    let problem = problem.expect_problem(422, "unreadable_value");
    assert!(
        problem["detail"].as_str().unwrap().contains(MARKER),
        "{problem}"
    );
    // So far behind that the answer has begun: it breaks off, and the end is logged.
    let broken = call(300_000).open().await;
    assert_eq!(broken.status(), 200);
    assert!(broken.bytes().await.is_err(), "it breaks off");
    let told = eventually(Duration::from_secs(20), async || {
        service.log().contains("transform failed").then_some(())
    });
    told.await.expect("the end is in the log");
    let log = service.log();
    let end = log.lines().find(|line| line.contains("transform failed"));
    let end = end.unwrap_or_default();
    assert!(end.contains("unreadable_value"), "the code is there: {end}");
    assert!(
        end.contains("a value at ?steps"),
        "the place is there: {end}"
    );
    assert!(!log.contains(MARKER), "the log has the cell");
}
