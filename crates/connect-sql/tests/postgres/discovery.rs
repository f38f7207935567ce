//! What the database has, and what it says about each.

use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use weir_core::{Discover, Kind, SourceFault, StreamId};

use crate::support::*;

const SHOP: &str = r#"
create schema "Odd.Schema";
create table customers (id bigint primary key, name text not null, note text);
comment on table customers is 'who buys';
comment on column customers.name is 'as on the card';
insert into customers select i, 'n' || i from generate_series(1, 500) i;
create table orders (b int, a int, at date, primary key (a, b, at)) partition by range (at);
create table orders_1 partition of orders for values from ('2020-01-01') to ('2021-01-01');
create table orders_2 partition of orders for values from ('2021-01-01') to ('2022-01-01');
insert into orders select i, i, '2020-06-01' from generate_series(1, 100) i;
insert into orders select i, i, '2021-06-01' from generate_series(1, 50) i;
create view v as select * from customers;
create materialized view mv as select * from customers;
create extension postgres_fdw;
create server other foreign data wrapper postgres_fdw;
create foreign table far (a int) server other;
create table "Odd.Schema"."it's ""quoted"".x/y z" ("A b" int, "c""d" text, "e.f" int);
insert into "Odd.Schema"."it's ""quoted"".x/y z" values (1, 'x', 2);
create table "Odd.Schema".name_of_sixty_three_bytes_0123456789012345678901234567890123456 (a int);
create table never_analysed (a int);
analyze customers; analyze orders; analyze mv;
"#;

fn ask(limit: usize) -> Discover {
    Discover {
        limit,
        ..Discover::default()
    }
}

#[tokio::test]
async fn every_kind_is_found_with_its_facts() {
    let database = Database::with(SHOP).await;
    let source = source(&database).await;
    let page = source.discover(&context(), &ask(100)).await.unwrap();
    assert_eq!(page.next, None);
    let found: Vec<(&str, &str, Option<u64>)> = page
        .items
        .iter()
        .map(|item| (item.stream.as_str(), item.kind, item.estimated_rows))
        .collect();
    assert_eq!(
        found,
        [
            (r#""Odd.Schema"."it's ""quoted"".x/y z""#, "table", None),
            (
                r#""Odd.Schema".name_of_sixty_three_bytes_0123456789012345678901234567890123456"#,
                "table",
                None
            ),
            ("public.customers", "table", Some(500)),
            ("public.far", "foreign_table", None),
            ("public.mv", "materialized_view", Some(500)),
            ("public.never_analysed", "table", None),
            ("public.orders", "partitioned_table", Some(150)),
            ("public.orders_1", "table", Some(100)),
            ("public.orders_2", "table", Some(50)),
            ("public.v", "view", None),
        ]
    );
    let customers = &page.items[2];
    assert_eq!(customers.comment.as_deref(), Some("who buys"));
    assert!(customers.size_bytes.is_some_and(|bytes| bytes % 8192 == 0));
    assert!(
        page.items[6].size_bytes.is_some(),
        "a partitioned table has the size of its leaves"
    );
    for item in page
        .items
        .iter()
        .filter(|item| item.kind != "foreign_table")
    {
        assert!(
            rows(&source, &stream(&item.stream)).await.is_ok(),
            "{}",
            item.stream
        );
        let schema = source
            .schema(&context(), &StreamId::parse(&item.stream, "").unwrap())
            .await
            .unwrap();
        assert_eq!(
            (schema.stream.as_str(), schema.kind),
            (item.stream.as_str(), item.kind)
        );
    }
}

#[tokio::test]
async fn pages_searches_and_namespaces_narrow() {
    let database = Database::with(SHOP).await;
    let source = source(&database).await;
    let all = source.discover(&context(), &ask(100)).await.unwrap().items;
    for size in [1, 3] {
        let mut paged = Vec::new();
        let mut after = None;
        loop {
            let page = source
                .discover(&context(), &Discover { after, ..ask(size) })
                .await
                .unwrap();
            assert!(page.items.len() <= size);
            paged.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, all);
    }
    let names = |page: weir_core::Page<weir_core::StreamInfo>| -> Vec<String> {
        page.items.into_iter().map(|item| item.name).collect()
    };
    let search = Discover {
        search: Some("ORDERS_".into()),
        ..ask(10)
    };
    assert_eq!(
        names(source.discover(&context(), &search).await.unwrap()),
        ["orders_1", "orders_2"]
    );
    let wild = Discover {
        search: Some("%".into()),
        ..ask(10)
    };
    assert!(names(source.discover(&context(), &wild).await.unwrap()).is_empty());
    let odd = Discover {
        namespace: Some("Odd.Schema".into()),
        ..ask(10)
    };
    assert_eq!(
        names(source.discover(&context(), &odd).await.unwrap()).len(),
        2
    );
    let bad = Discover {
        after: Some("x".into()),
        ..ask(10)
    };
    assert_eq!(
        source
            .discover(&context(), &bad)
            .await
            .unwrap_err()
            .fields()[0]
            .pointer,
        "/cursor"
    );
}

#[tokio::test]
async fn schemas_say_keys_comments_and_types() {
    let database = Database::with(SHOP).await;
    let source = source(&database).await;
    let schema = async |id: &str| {
        source
            .schema(&context(), &StreamId::parse(id, "/stream").unwrap())
            .await
    };
    let customers = schema("customers").await.unwrap();
    assert_eq!(customers.stream, "public.customers");
    assert_eq!(customers.primary_key, ["id"]);
    assert_eq!(
        (customers.estimated_rows, customers.kind),
        (Some(500), "table")
    );
    let name = &customers.columns[1];
    assert_eq!(
        (name.native_type.as_str(), &name.data_type),
        ("text", &DataType::Utf8)
    );
    assert_eq!((name.nullable, name.primary_key), (false, false));
    assert_eq!(name.comment.as_deref(), Some("as on the card"));
    assert!(customers.columns[2].nullable && customers.columns[0].primary_key);
    assert_eq!(
        schema("orders").await.unwrap().primary_key,
        ["a", "b", "at"]
    );
    let odd = schema(r#""Odd.Schema"."it's ""quoted"".x/y z""#)
        .await
        .unwrap();
    let names: Vec<&str> = odd
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["A b", "c\"d", "e.f"]);
    let full = format!("{}.public.customers", database.name);
    assert_eq!(schema(&full).await.unwrap().stream, "public.customers");
}

#[tokio::test]
async fn unknown_streams_name_the_nearest() {
    let database = Database::with(SHOP).await;
    let source = source(&database).await;
    for (id, near) in [
        ("custmers", "public.customers"),
        ("Customers", "public.customers"),
        ("pg_catalog.customers", "public.customers"),
        ("\"Odd.Schema\".v", "public.v"),
    ] {
        for error in [
            source
                .schema(&context(), &StreamId::parse(id, "").unwrap())
                .await
                .unwrap_err(),
            failure(&source, &stream(id)).await,
        ] {
            assert_eq!(error.kind(), Kind::Source(SourceFault::NotFound), "{id}");
            assert_eq!(error.stable_code(), "source_not_found");
            assert!(
                error.hint_text().unwrap().contains(near),
                "{id}: {:?}",
                error.hint_text()
            );
        }
    }
    let error = failure(&source, &stream("a.b.c")).await;
    assert_eq!(error.stable_code(), "source_not_found");
}

#[tokio::test]
async fn twenty_thousand_tables_are_no_stall() {
    let database = Database::create().await;
    for part in 0..40 {
        database
            .run(&format!(
                "do $$ begin for i in 1..500 loop
                   execute format('create table t_%s_%s (a int, b text, c date)', {part}, i);
                 end loop; end $$"
            ))
            .await;
    }
    database.run("analyze pg_class").await;
    let source = source(&database).await;
    let start = Instant::now();
    let page = source.discover(&context(), &ask(100)).await.unwrap();
    assert_eq!(page.items.len(), 100);
    let after = Discover {
        after: page.next,
        ..ask(1000)
    };
    assert_eq!(
        source
            .discover(&context(), &after)
            .await
            .unwrap()
            .items
            .len(),
        1000
    );
    let error = failure(&source, &stream("t_1_x")).await;
    assert!(error.hint_text().unwrap().contains("t_1_"));
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}
