//! `GET /v1/sources`.

use serde_json::{Value, json};
use weir_tests::{Client, Service};

async fn some_sources(client: &Client) {
    for number in 0..25 {
        let team = if number % 2 == 0 { "even" } else { "odd" };
        let body = json!({"name": format!("s{number:02}"), "connector": "sample", "config": {},
            "labels": {"team": team, "all": "yes"}});
        client.post("/v1/sources", &body).await.expect_status(201);
    }
}

fn names(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_without_gaps() {
    let service = Service::start().await;
    some_sources(&service.client).await;
    let mut seen = Vec::new();
    let mut path = "/v1/sources?limit=10".to_owned();
    let mut pages = 0;
    loop {
        let page = service.client.get(&path).await.expect_status(200);
        seen.extend(names(&page));
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        assert_eq!(page["items"].as_array().unwrap().len(), 10);
        path = format!("/v1/sources?limit=10&cursor={cursor}");
    }
    assert_eq!((seen.len(), pages), (26, 3), "25 and the sample");
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted, seen, "by name, each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_the_list() {
    let service = Service::start().await;
    let client = &service.client;
    some_sources(client).await;
    let list = async |query: &str| {
        names(
            &client
                .get(&format!("/v1/sources?{query}"))
                .await
                .expect_status(200),
        )
    };
    assert_eq!(list("label=team:even").await.len(), 13);
    assert_eq!(
        list("label=team:even&search=S1").await,
        ["s10", "s12", "s14", "s16", "s18"]
    );
    assert_eq!(list("label=team:even&label=all:yes").await.len(), 13);
    assert_eq!(
        list("label=team:even&label=team:odd").await,
        Vec::<String>::new(),
        "every label must fit"
    );
    assert_eq!(list("connector=postgres").await, Vec::<String>::new());
    assert_eq!(
        list("search=%25").await,
        Vec::<String>::new(),
        "no wildcard"
    );
    assert_eq!(list("search=_").await, Vec::<String>::new(), "no wildcard");
    let problem = client
        .get("/v1/sources?label=team")
        .await
        .expect_problem(422, "invalid");
    assert_eq!(problem["errors"][0]["parameter"], "label");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_limits_and_cursors_are_refused() {
    let service = Service::start().await;
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=-1",
        "cursor=%21%21",
    ] {
        let answer = service.client.get(&format!("/v1/sources?{query}")).await;
        let name = query.split('=').next().unwrap();
        assert_eq!(answer.status, 422, "{query}: {}", answer.text());
        assert_eq!(
            answer.json()["errors"][0]["parameter"],
            name,
            "{}",
            answer.text()
        );
    }
}
