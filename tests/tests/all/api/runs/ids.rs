//! Ids that callers choose.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;
use weir_tests::{Answer, Client, Database, Service};

use super::{ended, two};

async fn load(client: &Client, source: &str, query: &str, id: &str) -> Answer {
    client
        .call(Method::POST, &format!("/v1/sources/{source}/load"))
        .header("weir-run-id", id)
        .json(&json!({"query": query}))
        .send()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_the_callers_choice_is_used_once_on_all_instances() {
    let (one, other, _) = two().await;
    let database = Database::create().await;
    let name = one.client.register(&database).await;
    let id = Uuid::new_v4().to_string();
    let answer = load(&one.client, &name, "select 1 as n", &id).await;
    assert_eq!(answer.header("weir-run-id"), id);
    ended(&one.client, &id).await;
    for service in [&one, &other] {
        let again = load(&service.client, &name, "select 1 as n", &id).await;
        again.expect_problem(409, "run_id_taken");
        let preview = service
            .client
            .call(Method::POST, &format!("/v1/sources/{name}/preview"))
            .header("weir-run-id", &id)
            .json(&json!({"query": "select 1 as n"}))
            .send()
            .await;
        preview.expect_problem(409, "run_id_taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_with_one_id_one_runs() {
    let (one, other, _) = two().await;
    let database = Database::create().await;
    let name = one.client.register(&database).await;
    let id = Uuid::new_v4().to_string();
    let query = "select pg_sleep(1)::text as n";
    let callers = [&one, &other, &one, &other].map(|service| &service.client);
    let answers = callers.map(|client| load(client, &name, query, &id));
    let answers = futures::future::join_all(answers).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_uuid_is_refused() {
    let service = Service::start().await;
    for bad in ["", "7", "not-a-uuid"] {
        let answer = load(&service.client, "sample", "select 1", bad).await;
        answer.expect_problem(422, "invalid");
    }
}
