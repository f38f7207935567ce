//! Every media type that rows come in, packed and not.

use std::io::Write;

use serde_json::{Value, json};

use super::{Place, path};

/// The rows that every body holds, in the format of its suffix.
async fn bodies(place: &Place) -> Vec<(&'static str, Vec<u8>)> {
    let data = json!({"data": [{"id": 1, "name": "a,\"b"}, {"id": 2, "name": null}]});
    let mut all = vec![
        ("application/json", data["data"].to_string().into_bytes()),
        (
            "application/json",
            json!({"columns": [{"name": "id", "type": "int64"}, {"name": "name"}], "rows": [[1, "a,\"b"], [2, null]]})
                .to_string()
                .into_bytes(),
        ),
    ];
    for (suffix, media) in [
        ("ndjson", "application/x-ndjson"),
        ("csv", "text/csv"),
        ("arrow", "application/vnd.apache.arrow.stream"),
        ("parquet", "application/vnd.apache.parquet"),
    ] {
        let answer = place
            .client()
            .post(&format!("/v1/transform.{suffix}"), &data)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        all.push((media, answer.body.to_vec()));
    }
    all
}

async fn send(place: &Place, media: &str, coding: Option<&str>, body: Vec<u8>) -> Value {
    let path = path("stream=t&mode=replace");
    let mut call = place.client().call("POST".parse().unwrap(), &path);
    call = call.header("content-type", media).body(body);
    if let Some(coding) = coding {
        call = call.header("content-encoding", coding);
    }
    let answer = call.send().await;
    assert_eq!(answer.status, 200, "{media} {coding:?}: {}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_gives_the_same_rows_packed_or_not() {
    let place = Place::with("create table t (id bigint, name text)").await;
    let expected = json!([{"id": 1, "name": "a,\"b"}, {"id": 2, "name": null}]);
    for (media, body) in bodies(&place).await {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&body).unwrap();
        let gzip = gzip.finish().unwrap();
        for (coding, body) in [(None, body), (Some("gzip"), gzip)] {
            if media.contains("parquet") && coding.is_some() {
                continue;
            }
            let done = send(&place, media, coding, body).await;
            assert_eq!(
                (&done["rows_written"], &done["rows_received"]),
                (&json!(2), &json!(2))
            );
            assert_eq!(place.rows().await, expected, "{media} {coding:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_no_known_type_or_form_is_refused() {
    let place = Place::with("create table t (id bigint)").await;
    let send = async |media: &'static str, body: &'static str| {
        let path = path("stream=t");
        let call = place.client().call("POST".parse().unwrap(), &path);
        call.header("content-type", media).body(body).send().await
    };
    send("text/html", "<p>")
        .await
        .expect_problem(415, "unsupported_media_type");
    send("application/json", "[{\"id\": 1}")
        .await
        .expect_problem(400, "malformed");
    let wide = send("text/csv", "id,other\n1,2\n").await;
    wide.expect_problem(422, "unknown_column");
    let bad = send("application/x-ndjson", "{\"id\": 1}\n{\"id\": \"x\"}\n").await;
    assert_eq!(bad.status, 422, "{}", bad.text());
    assert_eq!(place.rows().await, json!([]));
}
