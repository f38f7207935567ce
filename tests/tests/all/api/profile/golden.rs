//! The golden cases: every one that can be said in JSON is sent to
//! `POST /v1/profile`. `WEIR_GOLDEN=moments,edges` runs these files only.

use std::collections::BTreeSet;

use futures::StreamExt;
use weir_tests::profiles::{Case, by_statistic, by_type, cases};
use weir_tests::{Service, setting};

/// Cases that are on their way at once.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_answers_as_it_stands_in_the_tables() {
    let service = Service::start().await;
    let chosen = setting("WEIR_GOLDEN").unwrap_or_default();
    let is_chosen = |file: &str| chosen.is_empty() || chosen.split(',').any(|name| name == file);
    let (mut all, mut wrong) = (0, Vec::new());
    for (file, cases) in cases().into_iter().filter(|(file, _)| is_chosen(file)) {
        let cases: Vec<Case> = cases.into_iter().filter(|case| !case.in_process).collect();
        all += cases.len();
        let answers = futures::stream::iter(cases).map(|case| {
            let client = &service.client;
            async move {
                let answer = client.post("/v1/profile", &case.request()).await;
                case.fault(&answer).map(|fault| (case.name, fault))
            }
        });
        let faults: Vec<Option<(String, String)>> = answers.buffered(AT_ONCE).collect().await;
        let faults = faults.into_iter().flatten();
        wrong.extend(faults.map(|(name, fault)| format!("{file}: {name}\n    {fault}")));
    }
    println!(
        "golden cases of the profile: {} of {all}",
        all - wrong.len()
    );
    assert!(all > 0, "no table is named {chosen}");
    assert!(
        wrong.is_empty(),
        "{} of {all} cases differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statistic_of_the_document_and_every_type_has_cases() {
    let service = Service::start().await;
    let document = service.client.get("/openapi.json").await.expect_status(200);
    let schemas = &document["components"]["schemas"];
    let counted = by_statistic();
    let named = |schema: &str| -> BTreeSet<String> {
        let properties = schemas[schema]["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    };
    let documented: BTreeSet<String> = &named("ColumnStatistics") | &named("DatasetStatistics");
    let missing: Vec<&String> = documented
        .iter()
        .filter(|name| !counted.contains_key(*name))
        .collect();
    assert!(missing.is_empty(), "no case has {missing:?}");
    let unknown: Vec<&String> = counted
        .keys()
        .filter(|name| !documented.contains(*name))
        .collect();
    assert!(unknown.is_empty(), "not in the document: {unknown:?}");
    assert_eq!(by_type().len(), 11, "each type: {:?}", by_type());
}
