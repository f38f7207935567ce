//! `GET /v1/sources/{s}/streams` and `…/schema`.

use serde_json::{Value, json};
use weir_tests::{Database, Service};

const CATALOGUE: &str = "
    create schema sales;
    create table sales.orders (id bigint generated always as identity, region text not null,
        total numeric(12,2), placed timestamptz default now(), primary key (region, id));
    comment on table sales.orders is 'what was sold';
    comment on column sales.orders.total is 'with tax';
    insert into sales.orders (region, total)
        select 'r' || g % 7, g from generate_series(1, 5000) g;
    create view public.big_orders as select * from sales.orders where total > 10;
    create materialized view public.by_region as select region, sum(total) s from sales.orders group by 1;
    create table public.events (at date not null, what jsonb) partition by range (at);
    create table public.events_2026 partition of public.events
        for values from ('2026-01-01') to ('2027-01-01');
    create extension postgres_fdw;
    create server other foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1');
    create foreign table public.far (id int) server other;
    analyze;";

async fn items(service: &Service, path: &str) -> Vec<Value> {
    let page = service.client.get(path).await.expect_status(200);
    page["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_relation_is_found_with_what_is_known_of_it() {
    let service = Service::start().await;
    let database = Database::with(CATALOGUE).await;
    let name = service.client.register(&database).await;
    let all = items(&service, &format!("/v1/sources/{name}/streams")).await;
    let kinds: Vec<(&str, &str)> = all
        .iter()
        .map(|item| {
            (
                item["stream"].as_str().unwrap(),
                item["kind"].as_str().unwrap(),
            )
        })
        .collect();
    for expected in [
        ("public.big_orders", "view"),
        ("public.by_region", "materialized_view"),
        ("public.events", "partitioned_table"),
        ("public.events_2026", "table"),
        ("public.far", "foreign_table"),
        ("sales.orders", "table"),
    ] {
        assert!(kinds.contains(&expected), "{expected:?} of {kinds:?}");
    }
    assert!(
        !kinds.iter().any(|(stream, _)| stream.starts_with("pg_")),
        "no system tables"
    );
    let orders = all
        .iter()
        .find(|item| item["stream"] == "sales.orders")
        .unwrap();
    assert_eq!(
        (&orders["name"], &orders["namespace"]),
        (&json!("orders"), &json!("sales"))
    );
    assert_eq!(orders["estimated_rows"], 5000);
    assert!(orders["size_bytes"].as_u64().unwrap() > 100_000);
    assert_eq!(orders["metadata"]["comment"], "what was sold");
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_is_paged_searched_and_narrowed() {
    let service = Service::start().await;
    let tables: String = (0..250)
        .map(|n| format!("create table many_{n:03} (id int); "))
        .collect();
    let database = Database::with(&format!(
        "{tables} create schema other; create table other.alone ()"
    ))
    .await;
    let name = service.client.register(&database).await;
    let base = format!("/v1/sources/{name}/streams");
    let mut seen = Vec::new();
    let mut path = format!("{base}?limit=100");
    loop {
        let page = service.client.get(&path).await.expect_status(200);
        for item in page["items"].as_array().unwrap() {
            seen.push(item["stream"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("{base}?limit=100&cursor={cursor}");
    }
    assert_eq!(seen.len(), 251);
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 251);
    assert_eq!(
        items(&service, &format!("{base}?search=MANY_01"))
            .await
            .len(),
        10
    );
    assert_eq!(
        items(&service, &format!("{base}?search=%25")).await.len(),
        0,
        "no wildcard"
    );
    let other = items(&service, &format!("{base}?namespace=other")).await;
    assert_eq!(other[0]["stream"], "other.alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_discovered_is_kept_until_it_is_asked_for_again() {
    let service = Service::start().await;
    let database = Database::with("create table first (id int)").await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/streams");
    assert_eq!(items(&service, &path).await.len(), 1);
    database.run("create table second (id int)").await;
    assert_eq!(items(&service, &path).await.len(), 1, "from the cache");
    assert_eq!(
        items(&service, &format!("{path}?refresh=true")).await.len(),
        2
    );
    assert_eq!(
        items(&service, &path).await.len(),
        2,
        "the cache is the newer one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_names_types_keys_and_comments() {
    let service = Service::start().await;
    let database = Database::with(CATALOGUE).await;
    let name = service.client.register(&database).await;
    let path = format!("/v1/sources/{name}/schema?stream=sales.orders");
    let schema = service.client.get(&path).await.expect_status(200);
    assert_eq!(
        (&schema["stream"], &schema["kind"]),
        (&json!("sales.orders"), &json!("table"))
    );
    assert_eq!(
        schema["primary_key"],
        json!(["region", "id"]),
        "in the order of the key"
    );
    let column = |name: &str| {
        let columns = schema["columns"].as_array().unwrap();
        columns.iter().find(|c| c["name"] == name).unwrap().clone()
    };
    let total = column("total");
    assert_eq!(total["type"], "decimal(12,2)");
    assert_eq!(total["native_type"], "numeric(12,2)");
    assert_eq!(
        (&total["nullable"], &total["primary_key"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(total["comment"], "with tax");
    let region = column("region");
    assert_eq!(
        (&region["nullable"], &region["primary_key"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(column("id")["type"], "int64");
    assert_eq!(column("placed")["type"], "timestamp(us, UTC)");
    let events = format!("/v1/sources/{name}/schema?stream=events");
    let events = service.client.get(&events).await.expect_status(200);
    assert_eq!(
        events["columns"][1]["type"], "json",
        "a bare name is in the default schema"
    );
    let missing = service
        .client
        .get(&format!("/v1/sources/{name}/schema?stream=orders"))
        .await;
    missing.expect_problem(424, "source_not_found");
    let upper = service
        .client
        .get(&format!("/v1/sources/{name}/schema?stream=Events"))
        .await;
    upper.expect_problem(424, "source_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_the_schema_of_the_rows() {
    let service = Service::start().await;
    let database = Database::with(include_str!("types.sql")).await;
    let name = service.client.register(&database).await;
    for stream in ["everything", "nothing"] {
        let schema = service
            .client
            .get(&format!("/v1/sources/{name}/schema?stream={stream}"))
            .await;
        let schema = schema.expect_status(200);
        let said: Vec<(String, String)> = schema["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| {
                (
                    c["name"].as_str().unwrap().into(),
                    c["type"].as_str().unwrap().into(),
                )
            })
            .collect();
        let body = json!({"stream": stream, "limit": 3});
        let preview = service
            .client
            .post(&format!("/v1/sources/{name}/preview"), &body)
            .await;
        let given: Vec<(String, String)> = preview.expect_status(200)["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| {
                (
                    c["name"].as_str().unwrap().into(),
                    c["type"].as_str().unwrap().into(),
                )
            })
            .collect();
        assert_eq!(said, given, "{stream}");
    }
}
