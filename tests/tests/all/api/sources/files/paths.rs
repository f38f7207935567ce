//! Ways out of the root, as a caller would try them.

use std::os::unix::fs::symlink;

use serde_json::json;
use weir_tests::Service;

use super::Place;

const SECRET: &str = "outside-4711";

#[tokio::test(flavor = "multi_thread")]
async fn without_roots_no_file_can_be_read() {
    let service = Service::start().await;
    let client = &service.client;
    let body = json!({"name": "f", "connector": "files", "config": {"root": "/etc"}});
    client.post("/v1/sources", &body).await.expect_status(201);
    let tested = client
        .post("/v1/sources/f/test", &json!({}))
        .await
        .expect_status(200);
    assert_eq!(tested["error"]["code"], "no_file_roots");
    let hint = tested["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("WEIR_FILE_ROOTS"), "{hint}");
    for path in ["load.json", "preview"] {
        let answer = client
            .post(
                &format!("/v1/sources/f/{path}"),
                &json!({"stream": "passwd"}),
            )
            .await;
        assert_eq!(answer.expect_status(403)["code"], "no_file_roots");
    }
    let listed = client.get("/v1/sources/f/streams").await.expect_status(403);
    assert_eq!(listed["code"], "no_file_roots");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_of_the_root_is_given() {
    let place = Place::new().await;
    std::fs::write(place.outside().join("secret.csv"), format!("a\n{SECRET}\n")).unwrap();
    std::fs::write(
        place.outside().join("roots/other.csv"),
        format!("a\n{SECRET}\n"),
    )
    .unwrap();
    place.write("folder/a.csv", "a\n1\n");
    let link = |target: &str, name: &str| symlink(target, place.root().join(name)).unwrap();
    link("../../secret.csv", "out.csv");
    link("/proc/self/environ", "environ.csv");
    link("/dev/zero", "zero.csv");
    link("loop.csv", "loop.csv");
    link("../..", "up");
    nix::unistd::mkfifo(
        &place.root().join("fifo.csv"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    for path in [
        "../other.csv",
        "../../secret.csv",
        "folder/../../other.csv",
        "/etc/passwd",
        "out.csv",
        "environ.csv",
        "zero.csv",
        "loop.csv",
        "up/secret.csv",
        "fifo.csv",
        "./folder/a.csv",
        "../*.csv",
        "/etc/*",
        "up/*.csv",
        "../",
        "up/",
    ] {
        assert_eq!(
            place.refused(&json!({"stream": path}), 403).await,
            "path_not_allowed",
            "{path}"
        );
        let schema = format!("/v1/sources/f/schema?stream={}", path.replace('/', "%2F"));
        let problem = place.client().get(&schema).await.expect_status(403);
        assert_eq!(problem["code"], "path_not_allowed", "{path}");
    }
    for path in [
        "%2e%2e/other.csv",
        "..%2fother.csv",
        "none.csv",
        "folder",
        "none/",
        "*.parquet",
    ] {
        assert_eq!(
            place.refused(&json!({"stream": path}), 424).await,
            "source_not_found",
            "{path}"
        );
    }
    std::fs::hard_link(
        place.outside().join("secret.csv"),
        place.root().join("hard.csv"),
    )
    .unwrap();
    assert_eq!(
        place.refused(&json!({"stream": "hard.csv"}), 403).await,
        "hard_link"
    );
    let heard = String::from_utf8_lossy(&place.client().heard()).into_owned();
    for secret in [
        SECRET,
        "root:x:",
        "WEIR_DATABASE_URL",
        place.outside().to_str().unwrap(),
    ] {
        let registered = heard.matches(secret).count();
        let allowed = usize::from(secret.starts_with('/'));
        assert!(
            registered <= allowed,
            "{secret} was heard {registered} times"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_outside_of_the_allowed_folders_is_refused() {
    let place = Place::without_source(&[]).await;
    symlink("/etc", place.outside().join("roots/etc")).unwrap();
    let outside = place.outside().to_str().unwrap().to_owned();
    for root in [
        "/",
        "/proc/self",
        outside.as_str(),
        &format!("{outside}/roots/etc"),
        &format!("{outside}/rootsx"),
    ] {
        let body = json!({"config": {"root": root}});
        let tested = place
            .client()
            .post("/v1/connectors/files/test", &body)
            .await
            .expect_status(200);
        assert_eq!(
            tested["error"]["code"], "path_not_allowed",
            "{root}: {tested}"
        );
        let last = tested["checks"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["name"], &last["ok"]),
            (&json!("root"), &json!(false))
        );
    }
    for root in ["", "relative", "/a/../b"] {
        let body = json!({"config": {"root": root}});
        let problem = place
            .client()
            .post("/v1/connectors/files/test", &body)
            .await
            .expect_status(422);
        assert_eq!(problem["errors"][0]["pointer"], "#/config/root");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_name_may_be_allowed_by_the_operator() {
    let place = Place::without_source(&[("WEIR_FILE_HARD_LINKS", "true")]).await;
    place.register("f", json!({})).await;
    super::parquet::write(&place, "one.parquet", &super::parquet::numbers(0..3), 10);
    std::fs::hard_link(
        place.root().join("one.parquet"),
        place.root().join("two.parquet"),
    )
    .unwrap();
    assert_eq!(place.rows(&json!({"stream": "two.parquet"})).await.len(), 3);
}
