//! Rows of sources: chosen as by a load, then profiled.

use serde_json::{Value, json};
use weir_tests::{Database, Service};

use super::statistic;

async fn orders() -> (Service, Database, String) {
    let service = Service::start().await;
    let database = Database::with(
        "create table orders (id int primary key, name text, total numeric(12,2), created timestamptz);
         insert into orders select n, 'name ' || n % 10, n * 1.25, timestamptz '2024-01-01' + n * interval '1 hour'
             from generate_series(1, 1000) n",
    )
    .await;
    let name = service.client.register(&database).await;
    (service, database, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_profiled_as_it_is_and_as_steps_leave_it() {
    let (service, _database, source) = orders().await;
    let client = &service.client;
    let path = format!("/v1/sources/{source}/profile");
    let answer = client.post(&path, &json!({"stream": "orders"})).await;
    let whole = answer.expect_status(200);
    let types: Vec<&Value> = whole["columns"]
        .as_object()
        .unwrap()
        .values()
        .map(|c| &c["type"])
        .collect();
    assert_eq!(
        types,
        ["number", "category", "number_with_decimals", "datetime"]
    );
    assert_eq!(whole["dataset"]["row_count"], 1000);
    assert_eq!(whole["dataset"]["timeseries_index"], json!(["created"]));
    assert_eq!(statistic(&whole, "total", "sum").to_string(), "625625.00");
    assert_eq!(statistic(&whole, "created", "min"), "2024-01-01T01:00:00Z");
    let timing = answer.header("server-timing");
    assert!(timing.contains("profile;dur="), "{timing}");
    let body = json!({"stream": "orders", "columns": ["id", "name"], "filter": "id <= 100",
        "order_by": [{"column": "id", "ascending": false}], "limit": 50,
        "steps": [{"op": "filter_rows", "condition": "id > 90"}, {"op": "rename", "names": {"name": "label"}}],
        "column_types": {"name": "text"}});
    let some = client.post(&path, &body).await.expect_status(200);
    assert_eq!(some["dataset"]["row_count"], 10);
    assert_eq!(statistic(&some, "id", "min"), 91);
    assert_eq!(some["columns"]["label"]["rule"], "given");
    let selected = json!({"stream": "orders", "steps": [{"op": "select", "columns": ["id"]}], "column_types": {"name": "text"}});
    let selected = client.post(&path, &selected).await.expect_status(200);
    assert_eq!(selected["dataset"]["column_count"], 1, "{selected}");
    let query = json!({"query": "select id from orders where id > $1", "params": [990]});
    let query = client.post(&path, &query).await.expect_status(200);
    assert_eq!(statistic(&query, "id", "count"), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_is_a_part_of_the_read() {
    let (service, database, source) = orders().await;
    let watcher = database.client().await;
    watcher
        .batch_execute("create function slow(id int) returns int language sql volatile as 'select id from pg_sleep(20)';
            create view late as select id, case when id > 3 then slow(id) end as late from orders")
        .await
        .unwrap();
    // Rows that the filter leaves out would take 20 s each.
    let body = json!({"stream": "late", "filter": "id <= 3", "timeout_ms": 15_000});
    let path = format!("/v1/sources/{source}/profile");
    let answer = service.client.post(&path, &body).await.expect_status(200);
    assert_eq!(answer["dataset"]["row_count"], 3);
    let body = json!({"stream": "late", "steps": [{"op": "filter_rows", "condition": "id <= 3"}], "timeout_ms": 15_000});
    let answer = service.client.post(&path, &body).await.expect_status(200);
    assert_eq!(answer["dataset"]["row_count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_profile_what_is_in_their_scopes_and_it_is_recorded() {
    let (service, _database, source) = orders().await;
    let client = &service.client;
    let body = json!({"stream": "orders", "limit": 5});
    let path = format!("/v1/sources/{source}/profile");
    let key = |scopes: Value| json!({"name": "r", "role": "reader", "scopes": scopes});
    let reader = client
        .post("/v1/api-keys", &key(json!([])))
        .await
        .expect_status(201);
    let reader = client.with_key(reader["key"].as_str());
    let answer = reader.post(&path, &body).await;
    answer.expect_status(200);
    let scoped = json!({"name": "s", "role": "reader", "scopes": ["team:own"]});
    let scoped = client
        .post("/v1/api-keys", &scoped)
        .await
        .expect_status(201);
    let scoped = client.with_key(scoped["key"].as_str());
    scoped
        .post(&path, &body)
        .await
        .expect_problem(404, "not_found");
    client
        .with_key(None)
        .post(&path, &body)
        .await
        .expect_problem(401, "unauthorized");
    let run = reader
        .get(&format!("/v1/runs/{}", answer.header("weir-run-id")))
        .await;
    let run = run.expect_status(200);
    assert_eq!((&run["kind"], &run["rows"]), (&json!("profile"), &json!(5)));
    assert_eq!(run["source_name"], source.as_str());
    let listed = client.get("/v1/runs").await.expect_status(200);
    assert_eq!(
        listed["items"],
        json!([]),
        "profiles have no row in the store"
    );
    let audit = client.get("/v1/audit?limit=50").await.text();
    assert!(
        audit.contains("\"profile\""),
        "the read of the source is recorded: {audit}"
    );
}
