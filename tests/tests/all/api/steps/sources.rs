//! Steps over rows of sources: previews, loads, and what dry runs tell.

use serde_json::{Value, json};
use weir_tests::{Database, Service};

async fn orders() -> (Service, Database, String) {
    let service = Service::start().await;
    let database = Database::with(
        "create table orders (id int primary key, name text, total float8);
         insert into orders select n, 'name ' || n % 10, n * 1.5 from generate_series(1, 1000) n",
    )
    .await;
    let name = service.client.register(&database).await;
    (service, database, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_show_what_steps_make_of_the_previewed_rows() {
    let (service, _database, source) = orders().await;
    let client = &service.client;
    let path = format!("/v1/sources/{source}/preview");
    let body = json!({"stream": "orders", "order_by": [{"column": "id"}], "limit": 10, "count": "exact",
        "steps": [{"op": "filter_rows", "condition": "id > 8"}, {"op": "select", "columns": ["name"]}]});
    let shown = client.post(&path, &body).await.expect_status(200);
    assert_eq!(
        shown["rows"],
        json!([{"name": "name 9"}, {"name": "name 0"}])
    );
    assert_eq!(
        shown["columns"],
        json!([{"name": "name", "type": "string"}])
    );
    assert_eq!(shown["truncated"], true, "there were more rows to preview");
    assert_eq!(
        (&shown["row_count"], &shown["total_rows"]),
        (&json!(2), &json!(1000))
    );
    let keys: Vec<&String> = shown.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "columns",
            "rows",
            "row_count",
            "truncated",
            "total_rows",
            "total_is_estimate",
            "report",
            "elapsed_ms"
        ]
    );
    assert_eq!(shown["report"][0]["removed"], 8);
    let columns = client.post(&format!("{path}?shape=columns"), &body).await;
    assert_eq!(
        columns.expect_status(200)["rows"],
        json!({"name": ["name 9", "name 0"]})
    );
    let wrong = json!({"stream": "orders", "steps": [{"op": "select", "columns": ["nmae"]}]});
    let problem = client
        .post(&path, &wrong)
        .await
        .expect_problem(422, "unknown_column");
    assert_eq!(problem["errors"][0]["pointer"], "#/steps/0/columns/0");
    let typed = json!({"stream": "orders", "column_types": {"name": "int64"}});
    let problem = client.post(&path, &typed).await.expect_status(422);
    assert_eq!(problem["errors"][0]["pointer"], "#/column_types/name");
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_take_steps_in_both_forms() {
    let (service, _database, source) = orders().await;
    let client = &service.client;
    let recipe = json!({"name": "top", "steps": [{"op": "sort_rows", "by": [{"column": "total", "ascending": false}]},
        {"op": "limit", "rows": 2}, {"op": "select", "columns": ["id"]}]});
    client.post("/v1/recipes", &recipe).await.expect_status(201);
    let steps = json!([{"op": "rename", "names": {"id": "key"}}]);
    let body = json!({"stream": "orders", "filter": "id <= 500", "recipe": "top", "steps": steps});
    let rows = client.rows(&source, &body).await;
    assert_eq!(rows, [json!({"key": 500}), json!({"key": 499})]);
    let path = format!(
        "/v1/sources/{source}/load.json?stream=orders&filter=id+%3C%3D+500&recipe=top@1&steps={steps}"
    );
    let by_get = client.get(&path).await.expect_status(200);
    assert_eq!(by_get, json!(rows));
    let wrong = client
        .get(&path.replace("key", "a").replace("rename", "renam"))
        .await;
    let problem = wrong.expect_problem(422, "unknown_step");
    assert_eq!(problem["errors"][0]["parameter"], "steps");
    let arrow = client
        .post(&format!("/v1/sources/{source}/load.arrow"), &body)
        .await;
    assert_eq!(arrow.arrow().names(), ["key"]);
    assert!(
        arrow.header("link").is_empty(),
        "these are not the columns of the stream"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_which_steps_the_read_does() {
    let (service, _database, source) = orders().await;
    let client = &service.client;
    let path = format!("/v1/sources/{source}/load");
    let steps = json!([{"op": "filter_rows", "condition": "id > 990"}, {"op": "sort_rows", "by": [{"column": "id", "ascending": false}]},
        {"op": "limit", "rows": 3}, {"op": "select", "columns": ["id", "total"]}, {"op": "rename", "names": {"id": "key"}},
        {"op": "limit", "rows": 2}]);
    let mut body =
        json!({"stream": "orders", "filter": "id < 1000", "steps": steps, "dry_run": true});
    let told = client.post(&path, &body).await.expect_status(200);
    assert_eq!(told["pushed"]["steps"], 4, "{told}");
    assert_eq!(told["pushed"]["filter"], json!(["exact", "exact"]));
    assert_eq!(
        told["columns"],
        json!([{"name": "key", "type": "int32"}, {"name": "total", "type": "float64"}])
    );
    body["dry_run"] = json!(false);
    let rows = client.rows(&source, &body).await;
    let expected = [
        json!({"key": 999, "total": 1498.5}),
        json!({"key": 998, "total": 1497.0}),
    ];
    assert_eq!(rows, expected);
    // What is read is limited first, so a filter behind it is no part of the read.
    let body = json!({"stream": "orders", "limit": 5, "order_by": [{"column": "id"}], "dry_run": true,
        "steps": [{"op": "filter_rows", "condition": "id > 3"}]});
    let told = client.post(&path, &body).await.expect_status(200);
    assert_eq!(
        (&told["pushed"]["steps"], &told["pushed"]["limit"]),
        (&json!(0), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_reads_a_second_source_as_far_as_the_key_may() {
    let (service, _database, source) = orders().await;
    let client = &service.client;
    let known = client.get("/v1/transforms").await.text();
    if !known.contains("\"join\"") {
        return;
    }
    let join = |source: &str| {
        json!({"data": [{"id": 1, "x": "a"}, {"id": 5000, "x": "b"}], "steps": [
            {"op": "join", "source": source, "stream": "orders", "left_on": ["id"], "right_on": ["id"], "how": "inner"}]})
    };
    let joined = client
        .post("/v1/transform", &join(&source))
        .await
        .expect_status(200);
    assert_eq!(joined["row_count"], 1, "{joined}");
    assert_eq!(joined["rows"][0]["name"], "name 1");
    let missing = client.post("/v1/transform", &join("never-was")).await;
    let problem: Value = missing.expect_problem(422, "unknown_source");
    assert_eq!(problem["errors"][0]["pointer"], "#/steps/0/source");
    let key = json!({"name": "scoped", "role": "reader", "scopes": ["team:own"]});
    let key = client.post("/v1/api-keys", &key).await.expect_status(201);
    let reader = client.with_key(key["key"].as_str());
    let hidden = reader.post("/v1/transform", &join(&source)).await;
    hidden.expect_problem(422, "unknown_source");
    let audit = client.get("/v1/audit?limit=20").await.text();
    assert!(
        audit.contains("\"join\""),
        "the read of the second source is recorded"
    );
}
