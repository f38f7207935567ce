//! What a newcomer meets.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use weir_tests::{Options, Service};

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_answers_with_rows_and_once_deleted_stays_deleted() {
    let options = Options::fresh().await;
    let service = options.start().await;
    let client = &service.client;
    let sources = client.get("/v1/sources").await.expect_status(200);
    assert_eq!(sources["items"].as_array().unwrap().len(), 1);
    assert_eq!(sources["items"][0]["name"], "sample");
    let test = client
        .post("/v1/sources/sample/test", &json!({}))
        .await
        .expect_status(200);
    assert_eq!(test["ok"], true);
    let streams = client
        .get("/v1/sources/sample/streams")
        .await
        .expect_status(200);
    let items = streams["items"].as_array().unwrap();
    assert!(!items.is_empty());
    for item in items {
        let body = json!({"stream": item["stream"]});
        let preview = client
            .post("/v1/sources/sample/preview", &body)
            .await
            .expect_status(200);
        assert!(preview["row_count"].as_u64().unwrap() > 0, "{item}");
        let arrow = client
            .post("/v1/sources/sample/load.arrow", &body)
            .await
            .arrow();
        let rows = client.rows("sample", &body).await;
        assert_eq!(arrow.rows(), rows.len(), "{item}");
    }
    assert_eq!(client.delete("/v1/sources/sample").await.status, 204);
    assert_eq!(service.stop().await, Some(0));
    let service = options.start().await;
    service
        .client
        .get("/v1/sources/sample")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_files_that_only_their_owner_reads() {
    let service = Service::start().await;
    let data = service.options().data();
    for name in ["admin.key", "master.key"] {
        let mode = std::fs::metadata(data.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        let value = std::fs::read_to_string(data.join(name)).unwrap();
        let log = service.log();
        assert!(!log.contains(value.trim()), "{name} is in the log");
        assert!(log.contains(name), "the log says where {name} is:\n{log}");
    }
    let mode = std::fs::metadata(data).unwrap().permissions().mode() & 0o777;
    let expected = if nix::unistd::geteuid().is_root() {
        0o711
    } else {
        0o700
    };
    assert_eq!(mode, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_admin_key_is_the_one_that_counts() {
    let key = "a-key-that-was-chosen-by-hand";
    let options = Options::fresh().await.env("WEIR_ADMIN_KEY", key);
    let service = options.start().await;
    assert_eq!(service.client.key(), key);
    service.client.get("/v1/whoami").await.expect_status(200);
    assert!(!options.data().join("admin.key").exists());
    assert!(!service.log().contains(key));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_and_the_sources_outlive_a_restart() {
    let options = Options::fresh().await;
    let service = options.start().await;
    let body = json!({"name": "kept", "connector": "sample", "config": {}});
    service
        .client
        .post("/v1/sources", &body)
        .await
        .expect_status(201);
    let key = service.client.key().to_owned();
    assert_eq!(service.stop().await, Some(0));
    let service = options.start().await;
    assert_eq!(service.client.key(), key);
    service
        .client
        .get("/v1/sources/kept")
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_that_newcomers_are_shown_answer_with_rows() {
    let service = Service::start().await;
    let shown = ["README.md", "scripts/run"]
        .map(|path| std::fs::read_to_string(weir_tests::project::root().join(path)).unwrap())
        .join("\n");
    let urls: Vec<&str> = shown
        .split("/v1/sources/sample/load")
        .skip(1)
        .map(|rest| rest.split(['\'', '"', ' ']).next().unwrap())
        .collect();
    assert!(urls.len() >= 3, "{urls:?}");
    for rest in urls {
        let answer = service
            .client
            .get(&format!("/v1/sources/sample/load{rest}"))
            .await;
        assert_eq!(answer.status, 200, "{rest}: {}", answer.text());
        assert!(answer.body.len() > 200, "{rest}: {}", answer.text());
    }
    let body = shown
        .split("-d '{\"stream\"")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    let body = serde_json::from_str(&format!("{{\"stream\"{body}")).unwrap();
    let preview = service
        .client
        .post("/v1/sources/sample/preview", &body)
        .await
        .expect_status(200);
    assert!(preview["row_count"].as_u64().unwrap() > 0, "{preview}");
}
