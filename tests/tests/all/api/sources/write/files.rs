//! Rows into files.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::{Value, json};
use weir_tests::Answer;

use super::super::files::Place;
use super::numbered;

async fn write(place: &Place, query: &str, rows: &Value) -> Answer {
    place
        .client()
        .post(&format!("/v1/sources/f/write?{query}"), rows)
        .await
}

async fn rows(place: &Place, stream: &str) -> Value {
    place
        .load(&json!({"stream": stream}))
        .await
        .expect_status(200)
}

fn text(place: &Place, path: &str) -> String {
    std::fs::read_to_string(place.root().join(path)).unwrap()
}

/// Names in the folder, hidden ones too.
fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.root()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_written_and_read_back() {
    let place = Place::new().await;
    for name in [
        "a.csv",
        "a.tsv",
        "a.json",
        "a.ndjson",
        "a.arrow",
        "a.parquet",
        "a.csv.gz",
        "b/c/a.ndjson.zst",
    ] {
        let made = write(&place, &format!("stream={name}"), &numbered(1, 3))
            .await
            .expect_status(200);
        assert_eq!(
            (&made["created"], &made["rows_written"]),
            (&json!(true), &json!(3)),
            "{name}"
        );
        assert_eq!(rows(&place, name).await, numbered(1, 3), "{name}");
        let replaced = write(
            &place,
            &format!("stream={name}&mode=replace"),
            &numbered(5, 2),
        )
        .await;
        assert_eq!(replaced.expect_status(200)["created"], false);
        assert_eq!(rows(&place, name).await, numbered(5, 2), "{name}");
        write(&place, &format!("stream={name}&mode=fail"), &numbered(5, 2))
            .await
            .expect_problem(409, "stream_exists");
        let appended = write(
            &place,
            &format!("stream={name}&mode=append"),
            &numbered(7, 2),
        )
        .await;
        if ["a.json", "a.arrow", "a.parquet"].contains(&name) {
            appended.expect_problem(422, "unsupported");
        } else {
            appended.expect_status(200);
            assert_eq!(rows(&place, name).await, numbered(5, 4), "{name}");
        }
        write(
            &place,
            &format!("stream={name}&mode=upsert&keys=id"),
            &numbered(7, 2),
        )
        .await
        .expect_problem(422, "unsupported");
    }
    assert!(
        names(&place).iter().all(|name| !name.starts_with('.')),
        "{:?}",
        names(&place)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_behind_others_go_by_name() {
    let place = Place::new().await;
    place.write("a.csv", "\u{feff}name,id,more\nx,1,\"a\nb\"");
    write(&place, "stream=a.csv", &json!([{"id": 2, "name": "y"}]))
        .await
        .expect_status(200);
    assert_eq!(
        text(&place, "a.csv"),
        "\u{feff}name,id,more\nx,1,\"a\nb\"\ny,2,\r\n"
    );
    let unknown = write(&place, "stream=a.csv", &json!([{"id": 2, "nam": "y"}])).await;
    unknown.expect_problem(422, "unknown_column");
    place.write("other.csv", "id;name\n1;x\n");
    write(&place, "stream=other.csv", &numbered(1, 1))
        .await
        .expect_problem(422, "unsupported");
    place.write("lines.ndjson", "{\"id\": 1}");
    write(&place, "stream=lines.ndjson", &json!([{"other": 2}]))
        .await
        .expect_status(200);
    assert_eq!(text(&place, "lines.ndjson"), "{\"id\": 1}\n{\"other\":2}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_rows_are_equal_bytes_where_asked() {
    let place = Place::new().await;
    let body = json!({"columns": [{"name": "z"}, {"name": "at", "type": "timestamp(us, UTC)"}, {"name": "a", "type": "float64"}, {"name": "day", "type": "date"}],
        "rows": [["x,y", "2026-02-28T12:00:00.123456Z", 0.1, "2026-01-01"], [null, null, null, null]]});
    for name in ["a.csv", "b.csv"] {
        write(&place, &format!("stream={name}&deterministic=true"), &body)
            .await
            .expect_status(200);
    }
    let expected = "a,at,day,z\n0.1,2026-02-28 12:00:00,2026-01-01,\"x,y\"\n,,,\n";
    assert_eq!(text(&place, "a.csv"), expected);
    assert_eq!(text(&place, "b.csv"), expected);
    write(&place, "stream=a.parquet&deterministic=true", &body)
        .await
        .expect_problem(422, "unsupported");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_is_written_and_no_link_is_followed() {
    let place = Place::new().await;
    let secret = place.outside().join("secret.csv");
    std::fs::write(&secret, "id,name\n1,a\n").unwrap();
    symlink(&secret, place.root().join("link.csv")).unwrap();
    symlink(place.outside(), place.root().join("out")).unwrap();
    place.write("real.csv", "id,name\n1,a\n");
    symlink("real.csv", place.root().join("inside.csv")).unwrap();
    nix::unistd::mkfifo(
        &place.root().join("fifo.csv"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    for stream in [
        "../secret.csv",
        "/etc/x.csv",
        "link.csv",
        "out/secret.csv",
        "out/new.csv",
        "inside.csv",
        "fifo.csv",
        ".hidden.csv",
        "a/.b/c.csv",
        "*.csv",
        "a.csv%23x",
        ".weir-1.tmp",
        "a/./b.csv",
        "",
    ] {
        for mode in ["append", "replace", "fail"] {
            let answer = write(
                &place,
                &format!("stream={stream}&mode={mode}"),
                &numbered(1, 1),
            )
            .await;
            assert!(
                [403, 409, 422, 424].contains(&answer.status),
                "{stream} {mode}: {}",
                answer.text()
            );
        }
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "id,name\n1,a\n");
    assert_eq!(text(&place, "real.csv"), "id,name\n1,a\n");
    write(&place, "stream=plain.txt", &numbered(1, 1))
        .await
        .expect_problem(422, "unsupported");
    write(&place, "stream=book.xlsx", &numbered(1, 1))
        .await
        .expect_problem(422, "unsupported");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_is_a_new_one_with_the_same_rights() {
    let place = Place::new().await;
    place.write("a.csv", "id,name\n1,a\n");
    let path = place.root().join("a.csv");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = std::fs::File::open(&path).unwrap();
    let before = open.metadata().unwrap().ino();
    write(&place, "stream=a.csv&mode=replace", &numbered(5, 1))
        .await
        .expect_status(200);
    let after = std::fs::metadata(&path).unwrap();
    assert_ne!(after.ino(), before);
    assert_eq!(after.permissions().mode() & 0o777, 0o640);
    // Who reads the old one reads it to its end.
    assert_eq!(std::io::read_to_string(open).unwrap(), "id,name\n1,a\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_writers_at_once_lose_nothing() {
    let place = Place::new().await;
    let place = &place;
    write(place, "stream=a.csv", &numbered(0, 10))
        .await
        .expect_status(200);
    let appends = (1..8).map(|writer| async move {
        write(place, "stream=a.csv", &numbered(writer * 10, 10))
            .await
            .expect_status(200);
    });
    futures::future::join_all(appends).await;
    let mut ids: Vec<i64> = rows(place, "a.csv")
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..80).collect::<Vec<_>>());
    assert_eq!(names(place), ["a.csv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_goes_wrong_leaves_nothing() {
    let place = Place::new().await;
    place.write("a.csv", "id,name\n1,a\n");
    for stream in ["a.csv&mode=replace", "b.csv", "c/d.parquet"] {
        let path = format!("/v1/sources/f/write?stream={stream}&types=id:int64,name:string");
        let call = place.client().call("POST".parse().unwrap(), &path);
        let mut body = String::new();
        for row in 0..30_000 {
            body.push_str(&format!("{{\"id\": {row}, \"name\": \"x\"}}\n"));
        }
        body.push_str("{\"id\": \"no number\"}\n");
        let call = call
            .header("content-type", "application/x-ndjson")
            .body(body);
        let refused = call.send().await;
        assert_eq!(refused.status, 422, "{stream}: {}", refused.text());
    }
    assert_eq!(names(&place), ["a.csv"]);
    assert_eq!(text(&place, "a.csv"), "id,name\n1,a\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_forbid_it() {
    let place = Place::without_source(&[("WEIR_FILE_READ_ONLY", "true")]).await;
    place.register("f", json!({})).await;
    write(&place, "stream=a.csv", &numbered(1, 1))
        .await
        .expect_problem(403, "path_not_allowed");
    assert!(names(&place).is_empty());
}
