//! `GET /v1/credentials`: filters, pages, scopes.

use serde_json::{Value, json};

use super::{Site, login, make, place, source};
use weir_tests::Database;

fn names(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_pages_go_together() {
    let site = Site::start().await;
    let client = site.admin();
    for number in 0..6 {
        let kind = if number % 2 == 0 { "postgres" } else { "s3" };
        let labels = json!({"team": "a", "n": (number % 3).to_string()});
        make(
            client,
            &format!("c{number}"),
            json!({"p": "x"}),
            json!({"kind": kind, "labels": labels}),
        )
        .await;
    }
    let list = async |query: &str| {
        let page = client
            .get(&format!("/v1/credentials?{query}"))
            .await
            .expect_status(200);
        names(&page)
    };
    assert_eq!(list("").await.len(), 6);
    assert_eq!(list("kind=s3").await, ["c1", "c3", "c5"]);
    assert_eq!(list("label=team:a&label=n:0").await, ["c0", "c3"]);
    assert_eq!(list("label=n:0&label=n:1").await, Vec::<String>::new());
    assert_eq!(list("search=C4").await, ["c4"]);
    let database = Database::create().await;
    make(client, "plain", login(&database), json!({})).await;
    client
        .post("/v1/sources", &source("s", place(&database), "plain"))
        .await
        .expect_status(201);
    assert_eq!(
        list("connector=postgres").await,
        ["c0", "c2", "c4", "plain"]
    );
    let first = client
        .get("/v1/credentials?kind=s3&limit=2")
        .await
        .expect_status(200);
    assert_eq!(names(&first), ["c1", "c3"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(
        list(&format!("kind=s3&limit=2&cursor={cursor}")).await,
        ["c5"]
    );
    for query in [
        "label=team",
        "label=:a",
        "limit=0",
        "cursor=%21",
        "lable=a:b",
    ] {
        let answer = client.get(&format!("/v1/credentials?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
    }
    let sources = client.get("/v1/sources?label=a:b&label=c").await;
    assert_eq!(
        sources.expect_problem(422, "invalid")["errors"][0]["parameter"],
        "label"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_scope_does_not_exist() {
    let site = Site::start().await;
    let sales = site.key("editor", &["team:sales"]).await;
    make(
        site.admin(),
        "theirs",
        json!({"p": "x"}),
        json!({"labels": {"team": "ops"}}),
    )
    .await;
    make(
        &sales,
        "ours",
        json!({"p": "x"}),
        json!({"labels": {"team": "sales"}}),
    )
    .await;
    let page = sales.get("/v1/credentials").await.expect_status(200);
    assert_eq!(names(&page), ["ours"]);
    for (path, body) in [
        ("", json!({})),
        ("/versions", json!({})),
        ("/rotate", json!({"fields": {"p": "y"}})),
    ] {
        let path = format!("/v1/credentials/theirs{path}");
        let answer = match path.ends_with("rotate") {
            true => sales.post(&path, &body).await,
            false => sales.get(&path).await,
        };
        answer.expect_problem(404, "not_found");
    }
    sales
        .delete("/v1/credentials/theirs")
        .await
        .expect_problem(404, "not_found");
    let outside = json!({"name": "x", "fields": {}, "labels": {"team": "ops"}});
    sales
        .post("/v1/credentials", &outside)
        .await
        .expect_problem(422, "outside_scope");
    sales
        .patch("/v1/credentials/ours", &json!({"labels": {"team": "ops"}}))
        .await
        .expect_problem(422, "outside_scope");
    let database = Database::create().await;
    let mut body = source("s", place(&database), "theirs");
    body["labels"] = json!({"team": "sales"});
    sales
        .post("/v1/sources", &body)
        .await
        .expect_problem(422, "unknown_credential");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_it_may() {
    let site = Site::start().await;
    let reader = site.key("reader", &[]).await;
    let editor = site.key("editor", &[]).await;
    let body = json!({"name": "main", "fields": {"p": "x"}});
    reader
        .post("/v1/credentials", &body)
        .await
        .expect_problem(403, "forbidden");
    editor
        .post("/v1/credentials", &body)
        .await
        .expect_status(201);
    reader.get("/v1/credentials/main").await.expect_status(200);
    for (path, body) in [
        ("/v1/credentials/main/rotate", json!({"fields": {"p": "y"}})),
        ("/v1/credentials/main/resolve", json!({})),
    ] {
        reader
            .post(path, &body)
            .await
            .expect_problem(403, "forbidden");
    }
    editor
        .post("/v1/credentials/main/resolve", &json!({}))
        .await
        .expect_problem(403, "forbidden");
    reader
        .delete("/v1/credentials/main")
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_out_of_scope_are_not_named() {
    let site = Site::start().await;
    let sales = site.key("editor", &["team:sales"]).await;
    let database = Database::create().await;
    let labels = json!({"labels": {"team": "sales"}});
    make(site.admin(), "shared", login(&database), labels).await;
    for (name, team) in [("seen", "sales"), ("hidden", "ops")] {
        let mut body = source(name, place(&database), "shared");
        body["labels"] = json!({"team": team});
        site.admin()
            .post("/v1/sources", &body)
            .await
            .expect_status(201);
    }
    let answer = sales.delete("/v1/credentials/shared").await;
    let problem = answer.expect_problem(409, "still_referenced");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("`seen`") && !detail.contains("hidden"),
        "{detail}"
    );
    assert_eq!(sales.delete("/v1/sources/seen").await.status, 204);
    let answer = sales.delete("/v1/credentials/shared").await;
    let problem = answer.expect_problem(409, "still_referenced");
    assert!(
        !problem["detail"].as_str().unwrap().contains("hidden"),
        "{problem:#}"
    );
    let clash = json!({"fields": {"database": "x"}});
    let answer = sales.patch("/v1/credentials/shared", &clash).await;
    let problem = answer.expect_problem(422, "set_twice");
    assert!(
        !problem["detail"].as_str().unwrap().contains("hidden"),
        "{problem:#}"
    );
}
