//! One table in every format, and the dialects of text.

use std::io::Write;

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::Place;
use super::parquet::{numbers, write};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_gives_the_same_rows() {
    let place = Place::new().await;
    write(&place, "t.parquet", &numbers(0..3_000), 700);
    let mut files = Vec::new();
    for format in ["csv", "json", "ndjson", "arrow"] {
        let path = format!("/v1/sources/f/load.{format}?stream=t.parquet");
        let whole = place.client().get(&path).await;
        assert_eq!(whole.status, 200);
        let mut put = |name: String, bytes: &[u8]| {
            place.write(&name, bytes);
            files.push(name);
        };
        put(format!("t.{format}"), &whole.body);
        put(format!("no ending {format}"), &whole.body);
        if format != "arrow" {
            put(format!("t.{format}.gz"), &gzip(&whole.body));
            put(
                format!("t.{format}.zst"),
                &zstd::encode_all(&whole.body[..], 1).unwrap(),
            );
            put(format!("packed {format}"), &gzip(&whole.body));
        }
    }
    let reads = [
        json!({}),
        json!({"columns": ["half", "id"]}),
        json!({"filter": "text == 't3' or half > 1400"}),
        json!({"filter": "text == null", "columns": ["id"], "limit": 7}),
        json!({"filter": "kind != 'east' and id >= 10", "order_by": [{"column": "half", "ascending": false}], "limit": 9}),
        json!({"limit": 0}),
        json!({"batch_rows": 100, "limit": 250}),
    ];
    for read in reads {
        let of = async |path: &str| {
            let mut body = read.clone();
            body["stream"] = json!(path);
            place.rows(&body).await
        };
        let expected = of("t.parquet").await;
        for file in &files {
            let given = of(file).await;
            assert_eq!(given.len(), expected.len(), "{file}: {read}");
            assert!(given == expected, "{file}: {read}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dialects_are_found_out_or_told() {
    let place = Place::new().await;
    place.write("semi.csv", "id;price;zip\n1;2.5;01234\n2;;99999\n");
    place.write("tabs.tsv", "id\tname\n1\ta,b\n2\t\"c\td\"\n");
    let found = place
        .rows(&json!({"stream": "semi.csv", "columns": ["id", "price"]}))
        .await;
    assert_eq!(
        found,
        [
            json!({"id": 1, "price": 2.5}),
            json!({"id": 2, "price": null})
        ]
    );
    let tabs = place.rows(&json!({"stream": "tabs.tsv"})).await;
    assert_eq!(
        tabs,
        [
            json!({"id": 1, "name": "a,b"}),
            json!({"id": 2, "name": "c\td"})
        ]
    );
    let told = json!({
        "format": "csv",
        "csv": {"delimiter": "|", "header": false, "encoding": "windows-1252", "null_values": ["NA"], "comment": "#", "skip_rows": 1},
        "types": {"column_2": "string", "not there": "int64"},
    });
    place.register("told", told).await;
    place.write("odd.dat", b"title\n# note\n1|007|caf\xe9\n2|NA|x\n");
    let rows = place
        .client()
        .rows("told", &json!({"stream": "odd.dat"}))
        .await;
    let values: Vec<Vec<&Value>> = rows
        .iter()
        .map(|row| row.as_object().unwrap().values().collect())
        .collect();
    assert_eq!(
        values,
        [
            [&json!(1), &json!("007"), &json!("café")],
            [&json!(2), &Value::Null, &json!("x")]
        ]
    );
    let listed = place
        .client()
        .get("/v1/sources/told/streams")
        .await
        .expect_status(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3, "{listed}");
    for (field, value) in [
        ("csv", json!({"delimiter": "é"})),
        ("types", json!({"a": "nonsense"})),
        ("path", json!("[")),
        ("csv", json!({"delimiters": ";"})),
    ] {
        let mut config = json!({"root": place.root()});
        config[field] = value;
        let body = json!({"config": config});
        let problem = place
            .client()
            .post("/v1/connectors/files/test", &body)
            .await
            .expect_status(422);
        let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
        assert!(
            pointer.starts_with(&format!("#/config/{field}")),
            "{pointer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_read_as_one_agree_on_their_types() {
    let place = Place::new().await;
    place.write("d/1.csv", "id,x\n1,2\n");
    place.write("d/2.csv", "x,id,more\n2.5,2,yes\n");
    place.write("d/3.ndjson", "{\"id\": 3, \"more\": \"no\"}\n");
    assert_eq!(
        place.rows(&json!({"stream": "d/*"})).await,
        [
            json!({"id": 1, "x": 2.0, "more": null}),
            json!({"id": 2, "x": 2.5, "more": "yes"}),
            json!({"id": 3, "x": null, "more": "no"}),
        ]
    );
    place.write("d/4.csv", "id\nfour\n");
    let problem = place
        .load(&json!({"stream": "d/*.csv"}))
        .await
        .expect_status(424);
    assert_eq!(problem["code"], "files_disagree");
    place
        .register("typed", json!({"types": {"id": "string"}}))
        .await;
    let rows = place
        .client()
        .rows("typed", &json!({"stream": "d/*.csv", "columns": ["id"]}))
        .await;
    assert_eq!(rows, ["1", "2", "four"].map(|id| json!({"id": id})));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_text_and_unknown_bytes_are_told() {
    let place = Place::new().await;
    place.write("cut.json", "[{\"a\": 1}, {\"a\"");
    place.write("wrong.ndjson", "{\"a\": 1}\nnot json\n");
    place.write("cut.csv.gz", &gzip(b"a,b\n1,2\n")[..15]);
    place.write("not.csv.gz", "plain text");
    place.write("not.csv.zst", "plain text");
    place.write("not.arrow", b"ARROW1\0\0\xff\xff\xff\xff");
    place.write("program", b"\x7fELF\0\0\0\0");
    for path in [
        "cut.json",
        "wrong.ndjson",
        "cut.csv.gz",
        "not.csv.gz",
        "not.csv.zst",
        "not.arrow",
        "program",
    ] {
        assert_eq!(
            place.refused(&json!({"stream": path}), 424).await,
            "data",
            "{path}"
        );
    }
}

/// A short answer that looks whole would be the one error that nobody sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_cut_while_it_is_read_breaks_the_answer() {
    let place = Place::new().await;
    let line = format!("{},{}\n", "1".repeat(9), "x".repeat(190));
    let whole = format!("a,b\n{}", line.repeat(120_000));
    place.write("long.csv", &whole);
    for format in ["ndjson", "arrow", "csv"] {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(place.root().join("long.csv"))
            .unwrap();
        let size = file.metadata().unwrap().len();
        let path = format!("/v1/sources/f/load.{format}?stream=long.csv");
        let response = place.client().call(Method::GET, &path).open().await;
        assert_eq!(response.status(), 200);
        let mut body = response.bytes_stream();
        body.next().await.unwrap().unwrap();
        file.set_len(size - 1_000_000).unwrap();
        let mut broke = false;
        while let Some(piece) = body.next().await {
            broke |= piece.is_err();
        }
        assert!(broke, "{format} ended as if it were whole");
        place.write("long.csv", &whole);
    }
}
