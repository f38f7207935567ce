//! What discovery gives of a folder.

use serde_json::{Value, json};

use super::Place;

async fn page(place: &Place, query: &str) -> Value {
    let path = format!("/v1/sources/f/streams?{query}");
    place.client().get(&path).await.expect_status(200)
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["stream"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_are_listed_with_what_is_known() {
    let place = Place::new().await;
    for path in [
        "b.csv",
        "a/1.csv",
        "a/2.csv",
        "a/deep/x.parquet",
        "a-b.json",
        "mixed/1.csv",
        "mixed/2.json",
        "notes.txt",
        ".hidden.csv",
        ".git/a.csv",
        "a.jsonl.gz",
        "Übung (1).csv",
        "odd\nname.csv",
    ] {
        place.write(path, "x");
    }
    std::os::unix::fs::symlink("a/1.csv", place.root().join("link.csv")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.root().join("out.csv")).unwrap();
    std::os::unix::fs::symlink("a", place.root().join("folder-link")).unwrap();
    let all = page(&place, "").await;
    assert_eq!(
        ids(&all),
        [
            "a-b.json",
            "a.jsonl.gz",
            "a/",
            "a/1.csv",
            "a/2.csv",
            "a/deep/x.parquet",
            "b.csv",
            "link.csv",
            "mixed/1.csv",
            "mixed/2.json",
            "odd\nname.csv",
            "Übung (1).csv",
        ]
    );
    let item = |id: &str| {
        let items = all["items"].as_array().unwrap();
        items
            .iter()
            .find(|item| item["stream"] == id)
            .unwrap()
            .clone()
    };
    let file = item("a/1.csv");
    assert_eq!(file["kind"], "file");
    assert_eq!(file["name"], "1.csv");
    assert_eq!(file["namespace"], "a");
    assert_eq!(file["path"], "a/1.csv");
    assert_eq!(file["size_bytes"], 1);
    assert!(file["modified_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        file["metadata"],
        json!({"format": "csv", "content_type": "text/csv"})
    );
    assert_eq!(item("a/")["kind"], "folder");
    assert_eq!(item("a/")["metadata"]["format"], "csv");
    assert_eq!(
        item("a.jsonl.gz")["metadata"]["content_type"],
        "application/gzip"
    );
    assert_eq!(
        ids(&page(&place, "search=DEEP").await),
        ["a/deep/x.parquet"]
    );
    assert_eq!(
        ids(&page(&place, "search=%C3%BCBUNG").await),
        ["Übung (1).csv"]
    );
    assert_eq!(
        ids(&page(&place, "namespace=a").await),
        ["a/1.csv", "a/2.csv"]
    );
    assert_eq!(
        ids(&page(&place, "namespace=none").await),
        Vec::<String>::new()
    );
    place
        .register(
            "hidden",
            json!({"hidden": true, "path": "{.hidden*,.git/*}"}),
        )
        .await;
    let hidden = place
        .client()
        .get("/v1/sources/hidden/streams")
        .await
        .expect_status(200);
    assert_eq!(ids(&hidden), [".git/a.csv", ".hidden.csv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_are_paged_without_a_stall() {
    let place = Place::new().await;
    let mut expected = Vec::new();
    for folder in 0..40 {
        std::fs::create_dir(place.root().join(format!("d{folder:02}"))).unwrap();
        // The others are in one large folder.
        let files = if folder == 20 { 10_000 } else { 20 };
        if files > 1 {
            expected.push(format!("d{folder:02}/"));
        }
        for file in 0..files {
            let path = format!("d{folder:02}/{file:05}.csv");
            std::fs::write(place.root().join(&path), "").unwrap();
            expected.push(path);
        }
    }
    for limit in [999, 1_000] {
        let (mut found, mut cursor, mut slowest) = (Vec::new(), String::new(), 0);
        loop {
            let start = std::time::Instant::now();
            let next = page(&place, &format!("limit={limit}{cursor}&refresh=true")).await;
            slowest = slowest.max(start.elapsed().as_millis());
            found.extend(ids(&next));
            match next["next_cursor"].as_str() {
                Some(text) => cursor = format!("&cursor={text}"),
                None => break,
            }
        }
        assert_eq!(found, expected);
        assert!(slowest < 5_000, "a page took {slowest} ms");
    }
}
