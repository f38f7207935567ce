//! What becomes of rows that are there.

use serde_json::json;

use super::{Place, numbered};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_and_each_mode_does_its_own() {
    let place = Place::with("").await;
    let made = place.write("stream=t", &numbered(1, 2)).await;
    let made = made.expect_status(200);
    assert_eq!(
        (&made["rows_written"], &made["created"]),
        (&json!(2), &json!(true))
    );
    let more = place
        .write("stream=public.t&mode=append", &numbered(3, 1))
        .await;
    assert_eq!(more.expect_status(200)["created"], false);
    assert_eq!(place.rows().await, numbered(1, 3));
    let replaced = place.write("stream=t&mode=replace", &numbered(7, 2)).await;
    assert_eq!(replaced.expect_status(200)["rows_written"], 2);
    assert_eq!(place.rows().await, numbered(7, 2));
    let none = place.write("stream=t&mode=fail", &numbered(1, 1)).await;
    none.expect_problem(409, "stream_exists");
    assert_eq!(place.rows().await, numbered(7, 2));
    let first = place.write("stream=u&mode=fail", &numbered(1, 1)).await;
    assert_eq!(first.expect_status(200)["created"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_tell_rows_apart() {
    let place = Place::with("").await;
    let write = async |mode: &str, rows| {
        let answer = place
            .write(&format!("stream=t&mode={mode}&keys=id"), &rows)
            .await;
        let answer = answer.expect_status(200);
        (
            answer["rows_written"].clone(),
            answer["rows_received"].clone(),
        )
    };
    let named = |id: i64, name: &str| json!({"id": id, "name": name});
    // Of one key twice in a body the last holds.
    let rows = json!([named(1, "a"), named(2, "b"), named(1, "c")]);
    assert_eq!(write("upsert", rows).await, (json!(2), json!(3)));
    assert_eq!(place.rows().await, json!([named(1, "c"), named(2, "b")]));
    let primary =
        "select string_agg(attname, ',') from pg_index join pg_attribute on attrelid = indrelid
        and attnum = any(indkey) where indrelid = 't'::regclass and indisprimary";
    assert_eq!(place.ask(primary).await.as_deref(), Some("id"));
    // The first holds, and what is there before it.
    let rows = json!([named(2, "x"), named(3, "d"), named(3, "e")]);
    assert_eq!(write("ignore", rows).await, (json!(1), json!(3)));
    let both = json!([named(1, "c"), named(2, "b"), named(3, "d")]);
    assert_eq!(place.rows().await, both);
    assert_eq!(write("upsert", json!([named(3, "f")])).await.0, json!(1));
    // What the rows do not have stays.
    let half = place
        .write("stream=t&mode=upsert&keys=id", &json!([{"id": 1}]))
        .await;
    half.expect_status(200);
    assert_eq!(place.rows().await[0], named(1, "c"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_columns_need_their_own_index() {
    let place = Place::with(
        "create table t (id int, region text, total numeric(10,2) default 7, primary key (region, id));
         create unique index on t (total) where total > 0",
    )
    .await;
    let rows =
        json!([{"id": 1, "region": "eu", "total": 1.5}, {"id": 1, "region": "us", "total": 2}]);
    let done = place
        .write("stream=t&mode=upsert&keys=id,region", &rows)
        .await;
    assert_eq!(done.expect_status(200)["rows_written"], 2);
    for keys in ["id", "total", "id,region,total"] {
        let refused = place
            .write(&format!("stream=t&mode=upsert&keys={keys}"), &rows)
            .await;
        let refused = refused.expect_problem(422, "no_unique_key");
        assert_eq!(refused["errors"][0]["parameter"], "keys", "{refused}");
    }
    let null = json!([{"id": 4, "region": "eu"}, {"id": null, "region": "us"}]);
    let refused = place
        .write("stream=t&mode=ignore&keys=id,region", &null)
        .await;
    let refused = refused.expect_problem(422, "bad_row");
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .starts_with("row 2, column `id`"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_added_when_asked_and_only_then() {
    let place = Place::with("create table t (id bigint, name text)").await;
    let rows = json!([{"id": 1, "nane": "a"}]);
    let refused = place.write("stream=t", &rows).await;
    let refused = refused.expect_problem(422, "unknown_column");
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean `name`"),
        "{refused}"
    );
    let rows = json!([{"id": 1, "at": "2026-01-01", "n": 1.5}]);
    let added = place
        .write("stream=t&schema_change=evolve&types=at:date", &rows)
        .await;
    let added = added.expect_status(200);
    assert_eq!(added["added_columns"], json!(["at", "n"]));
    let expected = json!([{"id": 1, "name": null, "at": "2026-01-01", "n": 1.5}]);
    assert_eq!(place.rows().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_table_keeps_what_belongs_to_it() {
    let place = Place::with(
        "create table t (id bigint primary key, name text not null default 'none', n int generated always as (id * 2) stored);
         comment on table t is 'kept'; create index by_name on t (name);
         create view v as select * from t",
    )
    .await;
    let reader = &place.database.reader;
    place
        .run(&format!(
            "grant select on t to {reader}; insert into t (id) values (5)"
        ))
        .await;
    let done = place.write("stream=t&mode=replace", &numbered(1, 3)).await;
    done.expect_status(200);
    let kept = "select obj_description('t'::regclass) || (select count(*) from v) || to_regclass('by_name')::text
        || (select count(*) from pg_attrdef where adrelid = 't'::regclass)";
    assert_eq!(place.ask(kept).await.as_deref(), Some("kept3by_name2"));
    let may = format!("select has_table_privilege('{reader}', 't', 'select')::text");
    assert_eq!(place.ask(&may).await.as_deref(), Some("true"));
    let generated = place.write("stream=t", &json!([{"id": 9, "n": 1}])).await;
    generated.expect_problem(422, "unsupported_type");
}
