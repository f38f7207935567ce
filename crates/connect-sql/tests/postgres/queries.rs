//! Queries: bound values, shapes of answers, and what is refused.

use serde_json::json;
use weir_core::read::Params;
use weir_core::{Comparison, Kind, Operand, Order, Predicate, PushDown, Read, Target, Value};

use crate::support::*;

#[tokio::test]
async fn values_are_bound_by_their_type() {
    let database =
        Database::with("create table t (id int, name text, at timestamptz, n numeric, j jsonb)")
            .await;
    let source = source(&database).await;
    let text = "select $1::int + 1, $2::text, $3::bool, $4::numeric, $5::timestamptz, $6::text is null, $7::int[]";
    let params = vec![
        Value::Int(41),
        Value::Text("'; drop table t; --".into()),
        Value::Bool(true),
        Value::Number("1234567890123456789.000000001".into()),
        Value::Text("2024-01-01T00:00:00Z".into()),
        Value::Null,
        Value::Text("{1,2}".into()),
    ];
    let batch = rows(&source, &query(text, params)).await.unwrap();
    let shown: Vec<_> = (0..7)
        .map(|column| texts(&batch, column)[0].clone().unwrap())
        .collect();
    assert_eq!(
        shown,
        [
            "42",
            "'; drop table t; --",
            "true",
            "1234567890123456789.000000001",
            "2024-01-01T00:00:00Z",
            "true",
            "[1, 2]"
        ]
    );
    let untyped = query(
        "select id from t where id = $1 and name = $2 and at > $3",
        vec![
            Value::Int(1),
            Value::Text("x".into()),
            Value::Text("2024-01-01".into()),
        ],
    );
    assert_eq!(rows(&source, &untyped).await.unwrap().num_rows(), 0);
    let error = failure(
        &source,
        &query("select $1::int", vec![Value::Text("x".into())]),
    )
    .await;
    assert_eq!(
        (
            error.stable_code(),
            error.source_message().unwrap().sqlstate.as_deref()
        ),
        ("data", Some("22P02"))
    );
    for params in [vec![], vec![Value::Int(1), Value::Int(2)]] {
        let error = failure(&source, &query("select $1::int", params)).await;
        assert_eq!(error.fields()[0].pointer, "/params");
    }
    let named = Read::all(Target::Query {
        text: "select 1".into(),
        params: Params::Named(vec![("a".into(), Value::Int(1))]),
    });
    assert_eq!(
        failure(&source, &named).await.fields()[0].pointer,
        "/params"
    );
}

#[tokio::test]
async fn answers_of_any_shape_are_read() {
    let database =
        Database::with("create table t (a int); insert into t values (3), (1), (2)").await;
    let source = source(&database).await;
    let names = async |text: &str| -> Vec<String> {
        let batch = rows(&source, &query(text, Vec::new())).await.unwrap();
        batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect()
    };
    assert_eq!(
        names("select 1 as a, 2 as a, 3 as \"A b\", 4").await,
        ["a", "a_2", "A b", "?column?"]
    );
    assert_eq!(names("table t").await, ["a"]);
    assert_eq!(names("values (1, 'x')").await, ["column1", "column2"]);
    assert_eq!(
        names("with x as (select 5 as y) select * from x -- end").await,
        ["y"]
    );
    assert!(names("select from t").await.is_empty());
    let ordered = rows(
        &source,
        &query("select a from t order by a desc;", Vec::new()),
    )
    .await
    .unwrap();
    assert_eq!(
        texts(&ordered, 0),
        [Some("3".into()), Some("2".into()), Some("1".into())]
    );
    let read = Read {
        columns: Some(vec!["b".into()]),
        filter: vec![Predicate::Compare {
            column: "a".into(),
            op: Comparison::Gt,
            right: Operand::Value(Value::Int(1)),
        }],
        order: vec![Order {
            column: "a".into(),
            ascending: true,
            nulls: Default::default(),
        }],
        limit: Some(1),
        ..query("select a, a * $1 as b from t", vec![Value::Int(10)])
    };
    let scan = source.scan(&context(), &read).await.unwrap();
    assert_eq!(scan.pushed.filter, [PushDown::Exact]);
    assert!(scan.pushed.order && scan.pushed.limit && scan.pushed.columns);
    assert_eq!(texts(&collect(scan).await.unwrap(), 0), [Some("20".into())]);
    let sleep = rows(&source, &query("select pg_sleep(0)", Vec::new()))
        .await
        .unwrap();
    assert_eq!(sleep.num_rows(), 1);
}

#[tokio::test]
async fn what_writes_is_refused_in_two_lines() {
    let database = Database::with(
        "create table t (a int); grant all on t to public; create sequence s; grant all on sequence s to public;
         create function writes() returns int language sql as 'insert into t values (1) returning a'",
    )
    .await;
    let source = source(&database).await;
    for text in [
        "delete from t",
        "select 1; delete from t",
        "select nextval('s')",
        "select * into n from t",
    ] {
        assert_eq!(
            failure(&source, &query(text, Vec::new()))
                .await
                .stable_code(),
            "read_only",
            "{text}"
        );
    }
    // What no parser can see is stopped by the transaction.
    let error = failure(&source, &query("select writes()", Vec::new())).await;
    assert_eq!(
        (
            error.kind(),
            error.source_message().unwrap().sqlstate.as_deref()
        ),
        (Kind::ReadOnly, Some("25006"))
    );
    assert_eq!(number(&source, "select count(*) from t").await, 0);
}

#[tokio::test]
async fn errors_keep_the_servers_words_and_name_the_kind() {
    let database = Database::with(
        "create table t (a int); create table secret (a int); revoke all on secret from public",
    )
    .await;
    let source = source(&database).await;
    for (text, code, state) in [
        ("select * from nowhere", "source_not_found", "42P01"),
        ("select b from t", "query", "42703"),
        ("select 1 +", "query_not_understood", ""),
        ("select f(1)", "query", "42883"),
        ("select 1 / a from (values (0)) as q(a)", "data", "22012"),
        ("select pg_catalog.pg_read_server_files()", "query", "42883"),
        ("select 'x'::int", "data", "22P02"),
    ] {
        let error = failure(&source, &query(text, Vec::new())).await;
        assert_eq!(error.stable_code(), code, "{text}: {error}");
        assert!(error.hint_text().is_some(), "{text}");
        if !state.is_empty() {
            assert_eq!(
                error.source_message().unwrap().sqlstate.as_deref(),
                Some(state),
                "{text}"
            );
        }
    }
    let owner = database.owner.clone();
    let other = source_with(&database, json!({"user": owner})).await;
    let error = failure(&other, &stream("secret")).await;
    assert_eq!(
        (
            error.stable_code(),
            error.source_message().unwrap().sqlstate.as_deref()
        ),
        ("permission", Some("42501"))
    );
    // After so many errors the same source still answers.
    assert_eq!(number(&source, "select 42::int8").await, 42);
}

#[tokio::test]
async fn an_estimate_is_the_planners_own() {
    let database = Database::with(
        "create table t (a int); insert into t select generate_series(1, 1000); analyze t",
    )
    .await;
    let source = source(&database).await;
    let read = Read {
        estimate: true,
        ..stream("t")
    };
    let estimate = source
        .scan(&context(), &read)
        .await
        .unwrap()
        .estimate
        .unwrap();
    assert_eq!(estimate.rows, Some(1000));
    assert!(estimate.cost.unwrap() > 1.0 && estimate.bytes.unwrap() >= 4000);
    let read = Read {
        estimate: true,
        ..query("select * from t where a < $1", vec![Value::Int(10)])
    };
    assert!(
        source
            .scan(&context(), &read)
            .await
            .unwrap()
            .estimate
            .unwrap()
            .rows
            .is_some()
    );
}

#[tokio::test]
async fn unknown_columns_point_to_their_field() {
    let database = Database::with("create table t (alpha int, beta int)").await;
    let source = source(&database).await;
    let order = Order {
        column: "alhpa".into(),
        ascending: true,
        nulls: Default::default(),
    };
    for (read, pointer) in [
        (
            Read {
                columns: Some(vec!["beta".into(), "alhpa".into()]),
                ..stream("t")
            },
            "/columns/1",
        ),
        (
            Read {
                order: vec![order],
                ..stream("t")
            },
            "/order_by/0",
        ),
        (
            Read {
                filter: vec![Predicate::IsNull("alhpa".into())],
                ..stream("t")
            },
            "/filter",
        ),
    ] {
        let error = failure(&source, &read).await;
        assert_eq!(
            (error.fields()[0].pointer.as_str(), error.stable_code()),
            (pointer, "unknown_column")
        );
        assert!(error.message().contains("did you mean `alpha`"), "{error}");
    }
}
