//! The suite over DuckDB, on files made by its own library.

mod common;

use common::{context, expect};
use connect_sql::PathRules;
use connect_sql::duckdb::{DuckDbSettings, entry_with};
use std::sync::Arc;
use weir_conformance::{ExpectSink, check_all, check_sink, passed, verdict};
use weir_core::{AnyConnector, StreamId};
use weir_tests::conformance::recorded;
use weir_tests::duckdb::DuckFile;
use weir_tests::project;

const SERVER: &str = "DuckDB itself, from the library that it publishes, over files";

/// Values and nulls of many types, names that need quotes, and neighbours
/// for discovery to page through.
const TABLES: &str = r#"
    create schema "Odd.schema";
    create table "Odd.schema"."my ""table""" (
        id bigint primary key,
        "Good Col" text,
        amount decimal(12, 2),
        "at" timestamptz,
        tags text[],
        raw blob,
        doc json,
        wide hugeint,
        part struct(a integer, b uuid[])
    );
    insert into "Odd.schema"."my ""table"""
    select i,
           case when i % 3 > 0 then 'text ' || (i * 7919 % 1000) end,
           case when i % 4 > 0 then i / 100 end,
           case when i % 5 > 0 then now() end,
           case when i % 2 > 0 then ['a', null] end,
           case when i % 7 > 0 then 'bytes'::blob end,
           case when i % 6 > 0 then '{"a": 1}' end,
           i, {'a': i, 'b': [uuid()]}
    from range(1, 20001) r(i);
    create table "Odd.schema".a (only_one integer);
    create view "Odd.schema".b as select 1 as one;
    create table main.c (id int);
"#;

fn connector(file: &DuckFile) -> Arc<dyn AnyConnector> {
    entry_with(DuckDbSettings {
        library: Some(project::duckdb_library()),
        paths: PathRules {
            roots: vec![file.folder()],
            ..PathRules::default()
        },
        scratch: Some(file.folder().join("scratch")),
        ..DuckDbSettings::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_conforms() {
    let file = DuckFile::with(TABLES);
    for order_by in ["Good Col", "amount", "id"] {
        let expect = expect(&["Odd.schema", "my \"table\""], 20_000, order_by);
        let connector = connector(&file);
        let cases = check_all(&*connector, file.config(), &context(), expect).await;
        assert_eq!(verdict(&cases), Ok(()), "ordered by {order_by}");
        recorded("duckdb", "source", SERVER, &passed(&cases));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_conforms_as_a_sink() {
    let file = DuckFile::with("create table main.c (id int)");
    let expect = ExpectSink {
        stream: |name| StreamId::from_parts(["main", name]),
        append: true,
        keys: true,
        left_out: &[],
        // A duration comes back as an interval.
        lossy: &["duration"],
    };
    let connector = connector(&file);
    let cases = check_sink(&*connector, file.config(), &context(), expect).await;
    assert_eq!(verdict(&cases), Ok(()));
    recorded("duckdb", "sink", SERVER, &passed(&cases));
}
