//! Pages of runs, and who sees which.

use serde_json::{Value, json};
use weir_tests::{Client, Database, Service};

use super::{caller, ended, on_known_store};

async fn load(client: &Client, source: &str) -> String {
    let path = format!("/v1/sources/{source}/load?query=select%201%20as%20n");
    let answer = client.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let id = answer.header("weir-run-id").to_owned();
    ended(client, &id).await;
    id
}

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|run| run["id"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_come_first_page_by_page_and_filters_hold() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let shop = client.register(&database).await;
    client.register_config("other", database.config()).await;
    let mut all = Vec::new();
    for number in 0..5 {
        let source = if number == 2 { "other" } else { &shop };
        all.push(load(client, source).await);
    }
    let failing = format!("/v1/sources/{shop}/load?stream=nowhere");
    client
        .get(&failing)
        .await
        .expect_problem(424, "source_not_found");
    let newest: Vec<String> = all.iter().rev().cloned().collect();

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/runs?status=succeeded&limit=2{cursor}");
        let page = client.get(&path).await.expect_status(200);
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, newest);

    let get = async |query: &str| {
        client
            .get(&format!("/v1/runs?{query}"))
            .await
            .expect_status(200)
    };
    assert_eq!(ids(&get("source=other").await), [all[2].as_str()]);
    assert_eq!(ids(&get("source=@postgres.other").await), [all[2].as_str()]);
    assert_eq!(
        get("status=failed").await["items"][0]["error"]["code"],
        "source_not_found"
    );
    assert_eq!(get("since=2999-01-01T00:00:00Z").await["items"], json!([]));
    let third = client.get(&format!("/v1/runs/{}", all[3])).await.json();
    let since = third["started_at"].as_str().unwrap();
    let later = get(&format!("status=succeeded&since={since}")).await;
    assert_eq!(ids(&later), [all[4].as_str(), all[3].as_str()]);

    for bad in [
        "status=done",
        "since=yesterday",
        "limit=0",
        "cursor=x",
        "cursor=eA",
    ] {
        let answer = client.get(&format!("/v1/runs?{bad}")).await;
        answer.expect_problem(422, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_their_own_admins_all_and_scopes_bound_both() {
    let (service, store) = on_known_store().await;
    let admin = &service.client;
    let database = Database::create().await;
    let register = async |name: &str, team: &str| {
        let body = json!({"name": name, "connector": "postgres", "config": database.config(),
            "labels": {"team": team}});
        admin.post("/v1/sources", &body).await.expect_status(201);
    };
    register("red", "red").await;
    register("blue", "blue").await;
    let reader = caller(&service, &store, "reader", "null").await;
    let editor = caller(&service, &store, "editor", "null").await;
    let red_admin = caller(&service, &store, "admin", "'[\"team:red\"]'").await;
    let by_reader = load(&reader, "red").await;
    let by_editor = load(&editor, "blue").await;
    let by_admin = load(admin, "red").await;
    let sees = [
        (admin, vec![&by_admin, &by_editor, &by_reader]),
        (&reader, vec![&by_reader]),
        (&editor, vec![&by_editor]),
        (&red_admin, vec![&by_admin, &by_reader]),
    ];
    for (client, visible) in sees {
        let page = client.get("/v1/runs").await.expect_status(200);
        assert_eq!(ids(&page), visible);
        for id in [&by_reader, &by_editor, &by_admin] {
            let (run, stop) = (
                client.get(&format!("/v1/runs/{id}")).await,
                client
                    .post(&format!("/v1/runs/{id}/cancel"), &json!({}))
                    .await,
            );
            if visible.contains(&id) {
                assert_eq!(run.status, 200);
                stop.expect_problem(409, "run_finished");
            } else {
                run.expect_problem(404, "not_found");
                stop.expect_problem(404, "not_found");
            }
        }
    }
    let none = uuid::Uuid::now_v7();
    reader
        .get(&format!("/v1/runs/{none}"))
        .await
        .expect_problem(404, "not_found");
}
