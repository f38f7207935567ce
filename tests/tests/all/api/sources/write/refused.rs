//! What is refused, and how it is said.

use serde_json::json;
use weir_tests::{Database, Service};

use super::{Place, numbered};

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_held_to_their_form() {
    let place = Place::with("create table t (id bigint primary key, name text)").await;
    for (query, parameter) in [
        ("mode=append", "stream"),
        ("stream=t&mode=apend", "mode"),
        ("stream=t&mode=upsert", "keys"),
        ("stream=t&keys=id", "keys"),
        ("stream=t&mode=upsert&keys=id,id", "keys"),
        ("stream=t&mode=upsert&keys=idd", "keys"),
        ("stream=t&schema_change=grow", "schema_change"),
        ("stream=t&timeout_ms=0", "timeout_ms"),
        ("stream=t&streams=u", "streams"),
        ("stream=a..b", "stream"),
        ("stream=t&deterministic=true", "deterministic"),
    ] {
        let refused = place.write(query, &numbered(1, 1)).await.expect_status(422);
        let told = refused["errors"][0]["parameter"].as_str().unwrap_or("none");
        if query != "stream=t&deterministic=true" {
            assert_eq!(told, parameter, "{query}: {refused}");
        }
    }
    assert_eq!(place.rows().await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_is_told_by_number_and_column_and_nothing_is_written() {
    let place = Place::with(
        "create table t (id bigint primary key, name varchar(3) not null, n smallint check (n < 100));
         insert into t values (1, 'old', 1)",
    )
    .await;
    let row = |id: i64, name: &str, n: i64| json!({"id": id, "name": name, "n": n});
    let mut many: Vec<_> = (10..5_000).map(|id| row(id, "a", 1)).collect();
    for (bad, place_of_it) in [
        (row(5_000, "xyzw", 1), "row 4991"),
        (row(5_000, "a", 70_000), "row 4991, column `n`"),
        (row(5_000, "a", 100), "row 4991"),
        (row(1, "a", 1), "row 4991"),
        (
            json!({"id": 5_000, "name": null, "n": 1}),
            "row 4991, column `name`",
        ),
    ] {
        many.push(bad);
        let refused = place.write("stream=t", &json!(many)).await;
        let refused = refused.expect_problem(422, "bad_row");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.starts_with(place_of_it), "{refused}");
        assert!(
            !detail.contains("xyzw") && !detail.contains("70000"),
            "{refused}"
        );
        many.pop();
    }
    assert_eq!(place.rows().await, json!([row(1, "old", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_to_says_so() {
    let place = Place::with(
        "create table t (id bigint primary key, name text); create view v as select * from t;
         create table child (parent bigint references t on delete cascade)",
    )
    .await;
    let rows = numbered(1, 1);
    let view = place.write("stream=v", &rows).await;
    view.expect_problem(422, "unsupported");
    let nowhere = place.write("stream=nowhere.t", &rows).await;
    assert_eq!(nowhere.status, 424, "{}", nowhere.text());
    let followed = place.write("stream=t&mode=replace", &rows).await;
    followed.expect_problem(424, "replace_followed");
    let sample = place
        .client()
        .post("/v1/sources/sample/write?stream=penguins", &rows)
        .await;
    let sample = sample.expect_problem(422, "unsupported");
    assert!(
        sample["hint"].as_str().unwrap().contains("capabilities"),
        "{sample}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_only_reads_is_refused_by_the_source() {
    let service = Service::start().await;
    let database = Database::with("create table t (id bigint, name text)").await;
    service
        .client
        .register_config("db", database.config())
        .await;
    let refused = service
        .client
        .post("/v1/sources/db/write?stream=t", &numbered(1, 1))
        .await;
    let refused = refused.expect_problem(424, "permission");
    assert!(
        refused["hint"].as_str().unwrap().contains("INSERT"),
        "{refused}"
    );
}
