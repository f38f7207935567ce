//! A query is exactly one statement that only reads.

use serde_json::json;
use weir_tests::{Database, Service};

const WRITES: &[&str] = &[
    "delete from t",
    "DELETE FROM t WHERE id = 1",
    "insert into t values (2)",
    "update t set id = 3",
    "truncate t",
    "drop table t",
    "create table u (id int)",
    "alter table t add column c int",
    "/* select */ delete from t",
    "-- select\ndelete from t",
    "with gone as (delete from t returning *) select * from gone",
    "with a as (select 1), b as (insert into t values (9) returning id) select * from a, b",
    "select * into u from t",
    "do $$ begin delete from t; end $$",
    "copy t to '/tmp/x'",
    "copy t from program 'id'",
    "prepare p as delete from t",
    "select 1; delete from t",
    "select 1; commit; delete from t",
    "commit",
    "begin",
    "rollback",
    "set transaction read write",
    "set default_transaction_read_only = off",
    "grant select on t to public",
    "lock table t",
    "call p()",
    "vacuum t",
    "explain analyze delete from t",
    "merge into t using (values (1)) v (id) on t.id = v.id when matched then delete",
    "notify weir",
    "listen weir",
    "refresh materialized view m",
];

const OUTSIDE: &[&str] = &[
    "select pg_read_file('/etc/hostname')",
    "select pg_ls_dir('/')",
    "select lo_export(1, '/tmp/x')",
    "select lo_import('/etc/hostname')",
    "select pg_advisory_lock(1)",
    "select pg_terminate_backend(pg_backend_pid())",
    "select pg_cancel_backend(1)",
    "select set_config('transaction_read_only', 'off', false)",
    "select pg_create_physical_replication_slot('x')",
    "select pg_reload_conf()",
    "select dblink('host=127.0.0.1', 'delete from t')",
    "select pg_catalog.set_config('search_path', 'x', false)",
    "select \"set_config\"('search_path', 'x', false)",
    "select query_to_xml('select set_config(''role'', ''x'', false)', true, true, '')",
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_writes_is_refused_and_nothing_changes() {
    let service = Service::start().await;
    let database = Database::with("create table t (id int); insert into t values (1)").await;
    // A login that may write: the refusal is ours, not the server's.
    let mut config = database.config();
    config["user"] = json!(database.owner);
    database
        .run(&format!("alter table t owner to {}", database.owner))
        .await;
    let name = service.client.register_config("writer", config).await;
    let mut wrong = Vec::new();
    for query in WRITES.iter().chain(OUTSIDE) {
        for path in ["load", "preview"] {
            let answer = service
                .client
                .post(
                    &format!("/v1/sources/{name}/{path}"),
                    &json!({"query": query}),
                )
                .await;
            let code = answer.header("weir-error-code");
            if answer.status != 403 || code != "read_only" {
                wrong.push(format!("{query}: {} {code}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let rows = service.client.rows(&name, &json!({"stream": "t"})).await;
    assert_eq!(rows, [json!({"id": 1})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_writes_is_stopped_by_the_transaction() {
    let service = Service::start().await;
    let database = Database::with(
        "create table t (id int);
         create function innocent() returns int language plpgsql security definer as
         $$ begin insert into t values (1); return 1; end $$",
    )
    .await;
    let name = service.client.register(&database).await;
    let body = json!({"query": "select innocent()"});
    let answer = service
        .client
        .post(&format!("/v1/sources/{name}/load"), &body)
        .await;
    answer.expect_problem(403, "read_only");
    assert_eq!(
        service.client.rows(&name, &json!({"stream": "t"})).await,
        Vec::<serde_json::Value>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_in_its_many_forms_is_allowed() {
    let service = Service::start().await;
    let database = Database::with("create table t (id int); insert into t values (1), (2)").await;
    let name = service.client.register(&database).await;
    for (query, rows) in [
        ("select * from t", 2),
        ("select * from t;", 2),
        (
            "  -- a comment\n select 'delete from t; drop table t' as text",
            1,
        ),
        (
            "with a as (select * from t) select * from a union all select * from a",
            4,
        ),
        ("values (1), (2), (3)", 3),
        ("table t", 2),
        (
            "select count(*) filter (where id > 1), array_agg(id order by id) from t group by ()",
            1,
        ),
        (
            "select * from generate_series(1, 5) g, lateral (select g * 2 as d) x",
            5,
        ),
        ("select id, row_number() over (order by id desc) from t", 2),
        (
            "select json_build_object('a', id) -> 'a' as x, id::text || 'x' as y from t",
            2,
        ),
        (
            "with recursive r (n) as (select 1 union all select n + 1 from r where n < 4) select * from r",
            4,
        ),
        (
            "select date_trunc('day', timestamptz '2026-01-01 00:00+00' at time zone 'UTC')",
            1,
        ),
    ] {
        let found = service.client.rows(&name, &json!({"query": query})).await;
        assert_eq!(found.len(), rows, "{query}");
    }
}
