//! Values of a body in columns that are there already.

use serde_json::json;

use super::Place;

#[tokio::test(flavor = "multi_thread")]
async fn text_of_a_json_body_becomes_what_the_column_is() {
    let place = Place::with(
        "create type mood as enum ('fine', 'sad'); create domain percent as numeric(5,1) check (value <= 100);
         create table t (id int, b bool, n numeric(10,2), big numeric, u uuid, d date, tm time, ts timestamp,
             tz timestamptz, i interval, ip inet, j jsonb, doc json, tags text[], grid int[][], m mood, p percent,
             c char(4), v varchar(10), r real, raw bytea, span int4range, s smallint)",
    )
    .await;
    let row = json!({
        "id": 1, "b": true, "n": 12.345, "big": "123456789012345678901234567890.000000001",
        "u": "0198c2a4-6f0e-7c3a-9d52-5b1a2f7e4c10", "d": "2026-02-28", "tm": "12:34:56.789",
        "ts": "2026-02-28T12:00:00", "tz": "2026-02-28T12:00:00+02:00", "i": "1 year 2 days",
        "ip": "10.0.0.0/8", "j": {"a": [1, null]}, "doc": [1, 2], "tags": ["a", null, "b\"c"],
        "grid": [[1, 2], [3, 4]], "m": "sad", "p": 99.5, "c": "ab", "v": "text", "r": 0.1,
        "raw": "bytes", "span": "[1,5)", "s": 7
    });
    place
        .write("stream=t", &json!([row]))
        .await
        .expect_status(200);
    let expected = json!([{
        "id": 1, "b": true, "n": 12.35, "big": 123_456_789_u64, "u": "0198c2a4-6f0e-7c3a-9d52-5b1a2f7e4c10",
        "d": "2026-02-28", "tm": "12:34:56.789", "ts": "2026-02-28T12:00:00", "tz": "2026-02-28T10:00:00+00:00",
        "i": "1 year 2 days", "ip": "10.0.0.0/8", "j": {"a": [1, null]}, "doc": [1, 2],
        "tags": ["a", null, "b\"c"], "grid": [[1, 2], [3, 4]], "m": "sad", "p": 99.5, "c": "ab  ", "v": "text",
        "r": 0.1, "raw": "\\x6279746573", "span": "[1,5)", "s": 7
    }]);
    let mut seen = place.rows().await;
    let big = place.ask("select big::text from t").await;
    assert_eq!(
        big.as_deref(),
        Some("123456789012345678901234567890.000000001")
    );
    seen[0]["big"] = json!(123_456_789_u64);
    // The server shows it in the zone of the session that asks.
    let zoned = "select to_char(tz at time zone 'UTC', 'HH24:MI') from t";
    assert_eq!(place.ask(zoned).await.as_deref(), Some("10:00"));
    seen[0]["tz"] = expected[0]["tz"].clone();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_would_change_are_refused_with_their_row() {
    let place = Place::with("create table t (id int, d date, n int[], b bool)").await;
    for (row, column) in [
        (json!({"id": 1.5}), "id"),
        (json!({"id": 3_000_000_000_i64}), "id"),
        (json!({"id": "x"}), "id"),
        (json!({"d": "2026-02-30"}), "d"),
        (json!({"n": [1, 2_000_000_000_000_i64]}), "n"),
        (json!({"b": "perhaps"}), "b"),
    ] {
        let refused = place.write("stream=t", &json!([row])).await;
        let refused = refused.expect_problem(422, "bad_row");
        assert_eq!(
            refused["errors"][0]["pointer"],
            format!("#/0/{column}"),
            "{refused}"
        );
    }
    for row in [
        json!({"b": 1}),
        json!({"id": true}),
        json!({"n": 5}),
        json!({"d": [1]}),
    ] {
        let refused = place.write("stream=t", &json!([row])).await;
        refused.expect_problem(422, "unsupported_type");
    }
    assert_eq!(
        place.ask("select count(*)::text from t").await.as_deref(),
        Some("0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_texts_stay_what_they_are() {
    let place = Place::with("create schema \"Odd.one\"").await;
    let stream = "%22Odd.one%22.%22a%20%22%22b%22%22;%20drop%22";
    let rows = json!([{"id": 1, "Select": "'; drop table x; --", "a\"b": "\u{1f600}\\n", "weir_row": "kept"}]);
    for mode in ["append", "upsert&keys=id"] {
        let query = format!("stream={stream}&mode={mode}");
        place.write(&query, &rows).await;
    }
    let seen = place
        .ask("select to_jsonb(x)::text from \"Odd.one\".\"a \"\"b\"\"; drop\" x")
        .await;
    let seen: serde_json::Value = serde_json::from_str(&seen.unwrap()).unwrap();
    assert_eq!(seen, rows[0]);
    let nul = place
        .write("stream=nul", &json!([{"id": 1, "s": "a\u{0}b"}]))
        .await;
    nul.expect_problem(422, "bad_row");
}
