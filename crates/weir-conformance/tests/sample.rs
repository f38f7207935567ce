//! The suite over the sample.

mod common;

use common::{context, expect};
use weir_conformance::{check_all, passed, report, verdict};
use weir_tests::conformance::recorded;

#[tokio::test]
async fn the_sample_conforms() {
    let connector = connect_sample::entry();
    let config = serde_json::json!({});
    let cases = check_all(
        &*connector,
        config,
        &context(),
        expect(&["penguins"], 344, "body_mass_g"),
    )
    .await;
    assert_eq!(verdict(&cases), Ok(()));
    assert_eq!(report(&cases), format!("{} passed, 0 failed", cases.len()));
    assert!(cases.len() >= 20, "{}", cases.len());
    recorded(
        "sample",
        "source",
        "itself: its rows come with Weir",
        &passed(&cases),
    );
}

#[tokio::test]
async fn a_wrong_count_is_noticed() {
    let connector = connect_sample::entry();
    let cases = check_all(
        &*connector,
        serde_json::json!({}),
        &context(),
        expect(&["penguins"], 345, "body_mass_g"),
    )
    .await;
    let failed: Vec<&str> = cases
        .iter()
        .filter(|case| case.outcome.is_err())
        .map(|case| case.name)
        .collect();
    assert!(
        failed.contains(&"batches have the declared schema"),
        "{failed:?}"
    );
    assert!(
        failed.contains(&"a dropped stream leaves nothing"),
        "{failed:?}"
    );
}
