//! The suite over PostgreSQL, on a real server.

mod common;

use std::sync::Arc;

use common::{context, expect};
use weir_conformance::{ExpectSink, check_all, check_sink, passed, verdict};
use weir_core::{Context, StreamId};
use weir_net::{Dialer, Egress};
use weir_tests::conformance::recorded;
use weir_tests::database::Database;

const SERVER: &str = "a PostgreSQL server, over TCP with TLS and SCRAM";

/// Values and nulls of many types, names that need quotes, and neighbours
/// for discovery to page through.
const TABLES: &str = r#"
    create schema "Odd.schema";
    create table "Odd.schema"."my ""table""" (
        id bigint primary key,
        "Good Col" text,
        amount numeric(12, 2),
        at timestamptz,
        tags text[],
        raw bytea,
        doc jsonb
    );
    insert into "Odd.schema"."my ""table"""
    select i,
           case when i % 3 > 0 then 'text ' || (i * 7919 % 1000) end,
           case when i % 4 > 0 then i / 100.0 end,
           case when i % 5 > 0 then now() end,
           case when i % 2 > 0 then array['a', null] end,
           case when i % 7 > 0 then 'bytes'::bytea end,
           case when i % 6 > 0 then '{"a": 1}'::jsonb end
    from generate_series(1, 20000) i;
    create table "Odd.schema".a ();
    create view "Odd.schema".b as select 1 as one;
    create table public.c (id int);
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms() {
    weir_net::install_crypto();
    let database = Database::with(TABLES).await;
    let ctx = Context {
        dialer: Arc::new(Dialer::new(Egress::default())),
        ..context()
    };
    for order_by in ["Good Col", "amount", "id"] {
        let expect = expect(&["Odd.schema", "my \"table\""], 20_000, order_by);
        let connector = connect_sql::postgres::entry();
        let cases = check_all(&*connector, database.config(), &ctx, expect).await;
        assert_eq!(verdict(&cases), Ok(()), "ordered by {order_by}");
        recorded("postgres", "source", SERVER, &passed(&cases));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms_as_a_sink() {
    weir_net::install_crypto();
    let database = Database::create().await;
    let ctx = Context {
        dialer: Arc::new(Dialer::new(Egress::default())),
        ..context()
    };
    let expect = ExpectSink {
        stream: |name| StreamId::from_parts(["public", name]),
        append: true,
        keys: true,
        left_out: &[],
        // A duration comes back as an interval, a record as JSON.
        lossy: &["duration", "record"],
    };
    let connector = connect_sql::postgres::entry();
    let cases = check_sink(&*connector, database.owner_config(), &ctx, expect).await;
    assert_eq!(verdict(&cases), Ok(()));
    recorded("postgres", "sink", SERVER, &passed(&cases));
}
