//! The golden tables: every case is sent to `POST /v1/transform`, and what comes
//! back compared value by value. `WEIR_GOLDEN=impute,join` runs these files only.

use futures::StreamExt;
use weir_tests::tables::{Case, by_step, cases};
use weir_tests::{Service, setting};

/// Cases of each step at least.
const ENOUGH: usize = 5;

/// Cases that are on their way at once.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_answers_as_it_stands_in_the_tables() {
    let service = Service::start().await;
    let chosen = setting("WEIR_GOLDEN").unwrap_or_default();
    let is_chosen = |file: &String| chosen.is_empty() || chosen.split(',').any(|name| name == file);
    let tables: Vec<(String, Vec<Case>)> = cases()
        .into_iter()
        .filter(|(file, _)| is_chosen(file))
        .collect();
    assert!(!tables.is_empty(), "no table is named {chosen}");
    let (mut all, mut wrong) = (0, Vec::new());
    for (file, cases) in tables {
        let answers = futures::stream::iter(cases).map(|case| {
            let client = &service.client;
            async move {
                let answer = client.post("/v1/transform", &case.request()).await;
                case.fault(&answer).map(|fault| (case.name, fault))
            }
        });
        let faults: Vec<Option<(String, String)>> = answers.buffered(AT_ONCE).collect().await;
        let count = faults.len();
        let faults: Vec<(String, String)> = faults.into_iter().flatten().collect();
        println!("{file}: {} of {count} cases", count - faults.len());
        all += count;
        wrong.extend(
            faults
                .into_iter()
                .map(|(name, fault)| format!("{file}: {name}\n    {fault}")),
        );
    }
    println!("golden tables: {} of {all} cases", all - wrong.len());
    assert!(
        wrong.is_empty(),
        "{} of {all} cases differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_has_enough_cases() {
    let service = Service::start().await;
    let page = service
        .client
        .get("/v1/transforms")
        .await
        .expect_status(200);
    let counts = by_step();
    let ops = page["items"].as_array().unwrap().iter();
    let few: Vec<(&str, usize)> = ops
        .map(|item| item["op"].as_str().unwrap())
        .map(|op| (op, counts.get(op).copied().unwrap_or(0)))
        .filter(|(_, count)| *count < ENOUGH)
        .collect();
    assert!(few.is_empty(), "fewer than {ENOUGH} cases: {few:?}");
}
