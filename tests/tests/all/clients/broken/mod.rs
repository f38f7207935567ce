//! What real clients report when an answer breaks off after its first byte: an
//! error, each of them; and the run says what happened.

mod causes;
mod matrix;
mod programs;
mod table;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::Value;
use weir_tests::{Client, Options, eventually};

use causes::Sources;
use matrix::Case;
use programs::Page;

/// What each client said of its case.
fn asked(cases: &[Case], client: &Client, page: &Page) -> HashMap<String, Option<String>> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let of = |program: &str| -> Value {
        let own = cases.iter().filter(|case| case.program == program);
        own.map(|case| case.to_json(client)).collect()
    };
    let (python, node, browser) = (of("python"), of("node"), of("browser"));
    let found = std::thread::scope(|scope| {
        let running = [
            scope.spawn(move || programs::python(folder, &python)),
            scope.spawn(move || programs::node(folder, &node)),
            scope.spawn(move || page.browser(folder, &browser)),
        ];
        running.map(|thread| thread.join().unwrap())
    });
    let all = found.iter().flat_map(|found| found.as_array().unwrap());
    all.map(|one| {
        let said = one["said"].as_str().map(str::to_owned);
        (one["run"].as_str().unwrap().to_owned(), said)
    })
    .collect()
}

/// The record of a run where it says something wrong.
async fn wrong(client: &Client, case: &Case) -> Option<Value> {
    let path = format!("/v1/runs/{}", case.run);
    let ended = eventually(Duration::from_secs(10), async || {
        let run = client.get(&path).await.json();
        (run["status"] != "running").then_some(run)
    });
    let run = ended.await.unwrap_or_default();
    let is_right = match case.cause.code {
        Some(code) => run["status"] == "failed" && run["error"]["code"] == code,
        None => run["status"] == "succeeded",
    };
    let is_right =
        is_right && run["rows"].as_u64() >= Some(1_000) && run["bytes"].as_u64() >= Some(4);
    (!is_right).then_some(run)
}

/// What each client said, once the records of all runs are as they should be. A
/// machine with too much to do makes the service refuse now and then: then it is
/// asked again.
async fn reported(cases: Vec<Case>, client: &Client, page: &Page) -> Vec<(Case, Option<String>)> {
    let (mut left, mut found) = (cases, Vec::new());
    for _ in 0..3 {
        let mut said = tokio::task::block_in_place(|| asked(&left, client, page));
        let records = futures::stream::iter(&left).map(|case| wrong(client, case));
        let records: Vec<Option<Value>> = records.buffered(8).collect().await;
        let mut again = Vec::new();
        for (mut case, record) in left.into_iter().zip(records) {
            let said = said.remove(&case.run).expect("every case is answered");
            let Some(record) = record else {
                found.push((case, said));
                continue;
            };
            // Without a record the answer is a problem, that there is no such run.
            let code = record["error"]["code"].as_str().or(record["code"].as_str());
            let code = code.unwrap_or_default();
            let is_refused = REFUSED.contains(&code) && record["rows"].as_u64().unwrap_or(0) == 0;
            assert!(is_refused, "{case:?} {said:?}: {record}");
            case.run = uuid::Uuid::new_v4().to_string();
            again.push(case);
        }
        left = again;
        if left.is_empty() {
            return found;
        }
    }
    panic!("the service refused three times: {left:?}");
}

/// What a service says that has too much to do.
const REFUSED: [&str; 4] = [
    "audit_unavailable",
    "store_unavailable",
    "deadline",
    "not_found",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broken_answer_is_an_error_in_every_client() {
    let page = Page::new();
    let options = Options::fresh()
        .await
        .env("WEIR_LOADS_PER_KEY", "64")
        .env("WEIR_SOURCE_WAIT_MS", "30000")
        .env("WEIR_LOAD_ROWS", causes::LOAD_ROWS)
        .env("WEIR_CORS_ORIGINS", &page.origin());
    let service = options.start().await;
    let client = &service.client;
    let _sources = Sources::register(client).await;
    let cases = matrix::cases();
    let start = Instant::now();
    let found = reported(cases, client, &page).await;
    let took = start.elapsed();
    for (case, said) in &found {
        let Case {
            cause,
            client,
            http,
            format,
            coding,
            ..
        } = case;
        let said = said.as_deref().unwrap_or("NOTHING");
        println!(
            "{:16} | {client:36} | {http:3} | {format:13} | {coding:12} | {said}",
            cause.name
        );
    }
    println!("{} requests in {took:?}", found.len());
    let lied = |(case, said): &&(Case, Option<String>)| match case.cause.code {
        None => said.is_some(),
        Some(_) => said.is_none() && !case.is_blind(),
    };
    for (case, said) in &found {
        let line = said
            .as_deref()
            .and_then(|said| said.strip_prefix("last line: "));
        let code = case.cause.code.unwrap_or_default();
        assert!(
            line.is_none_or(|line| line == format!("failed, {code}")),
            "{case:?} {line:?}"
        );
    }
    let lied = found.iter().filter(lied).count();
    assert_eq!(
        lied, 0,
        "a short success, or an error for a whole answer: see above"
    );
    table::check(&table::of(&found));
}
