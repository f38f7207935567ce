//! A database file from its first row to its refusals.

use serde_json::json;

use super::files::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_is_written_read_and_guarded() {
    let place = Place::without_source(&[]).await;
    let client = place.client();
    let path = place.root().join("shop \"1\".db");
    let config = json!({"path": path, "create": true});
    let body = json!({"name": "lite", "connector": "sqlite", "config": config});
    client.post("/v1/sources", &body).await.expect_status(201);
    let write = async |query: &str, rows| {
        let path = format!("/v1/sources/lite/write?{query}");
        client.post(&path, &rows).await
    };
    let rows = json!([{"id": 1, "name": "ä", "at": "2024-01-01T00:00:00"}, {"id": 2, "name": null, "at": null}]);
    let made = write("stream=t&mode=upsert&keys=id&types=at:timestamp", rows).await;
    let made = made.expect_status(200);
    assert_eq!(
        (&made["rows_written"], &made["created"]),
        (&json!(2), &json!(true))
    );
    let tested = client.post("/v1/sources/lite/test", &json!({})).await;
    let tested = tested.expect_status(200);
    assert_eq!(tested["ok"], true, "{tested}");
    let listed = client
        .get("/v1/sources/lite/streams")
        .await
        .expect_status(200);
    assert_eq!(listed["items"][0]["stream"], "t");
    let more = json!([{"id": 2, "name": "new"}, {"id": 3, "name": "b"}]);
    let upserted = write("stream=t&mode=upsert&keys=id", more)
        .await
        .expect_status(200);
    assert_eq!(upserted["rows_written"], 2);
    let table = client
        .get("/v1/sources/lite/load.arrow?stream=t")
        .await
        .arrow();
    assert_eq!((table.rows(), table.names()), (3, vec!["id", "name", "at"]));
    let preview = json!({"query": "SELECT count(*) AS n FROM t WHERE id > ?1", "params": [1]});
    let preview = client.post("/v1/sources/lite/preview", &preview).await;
    assert!(preview.text().contains('2'), "{}", preview.text());
    preview.expect_status(200);
    for text in [
        "DELETE FROM t",
        "PRAGMA journal_mode = WAL",
        "ATTACH '/etc/x' AS x",
        "SELECT load_extension('x')",
    ] {
        let refused = client
            .post("/v1/sources/lite/load.json", &json!({"query": text}))
            .await;
        assert_eq!(refused.status, 403, "{text}: {}", refused.text());
    }
    let bad = json!([{"id": 4, "name": "x", "at": "no date"}]);
    write("stream=t", bad).await.expect_problem(422, "bad_row");
    assert_eq!(client.rows("lite", &json!({"stream": "t"})).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_files_below_the_roots_are_opened() {
    let place = Place::without_source(&[]).await;
    let client = place.client();
    std::fs::write(place.outside().join("secret.db"), "").unwrap();
    let secret = place.outside().join("secret.db");
    let body = json!({"name": "out", "connector": "sqlite", "config": {"path": secret}});
    client.post("/v1/sources", &body).await.expect_status(201);
    let listed = client.get("/v1/sources/out/streams").await;
    listed.expect_problem(403, "path_not_allowed");
    for path in ["data.db", ":memory:", "/srv/../etc/x.db", "file:/x.db"] {
        let body = json!({"name": "bad", "connector": "sqlite", "config": {"path": path}});
        client.post("/v1/sources", &body).await.expect_status(422);
    }
}
