//! Settings that cannot work are refused before anything is touched.

use weir_tests::Options;

async fn refused(options: Options) -> String {
    let failed = options
        .try_start()
        .await
        .expect_err("the service must not start");
    assert!(failed.code.is_some_and(|code| code != 0), "{failed:?}");
    failed.log
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_setting_is_refused_with_the_nearest_name() {
    let log = refused(Options::fresh().await.env("WEIR_LISTENN", "x")).await;
    assert!(
        log.contains("WEIR_LISTENN") && log.contains("did you mean WEIR_LISTEN?"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_to_the_world_needs_to_be_said() {
    let log = refused(Options::fresh().await.env("WEIR_LISTEN", "0.0.0.0:0")).await;
    assert!(log.contains("0.0.0.0:0"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_too_weak_or_malformed_are_refused() {
    let log = refused(Options::fresh().await.env("WEIR_ADMIN_KEY", "short")).await;
    assert!(
        log.contains("WEIR_ADMIN_KEY") && log.contains("24"),
        "{log}"
    );
    let log = refused(
        Options::fresh()
            .await
            .env("WEIR_MASTER_KEY", "bm90IDMyIGJ5dGVz"),
    )
    .await;
    assert!(
        log.contains("master key") && !log.contains("bm90IDMyIGJ5dGVz"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_reached_says_where_it_looked() {
    let port = weir_tests::postgres::free_port();
    let url = format!("postgresql://someone:hidden-word@127.0.0.1:{port}/weir");
    let log = refused(Options::fresh().await.env("WEIR_DATABASE_URL", &url)).await;
    assert!(
        log.contains("127.0.0.1") && !log.contains("hidden-word"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_lines_of_json_when_asked() {
    let service = Options::fresh()
        .await
        .env("WEIR_LOG_FORMAT", "json")
        .start()
        .await;
    service.client.get("/v1/whoami").await.expect_status(200);
    let log = service.log();
    for line in log.lines() {
        let parsed: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(
            parsed["level"].is_string() && parsed["timestamp"].is_string(),
            "{line}"
        );
    }
    assert!(log.contains("/v1/whoami"));
}

#[tokio::test(flavor = "multi_thread")]
async fn egress_can_be_narrowed() {
    let service = Options::fresh()
        .await
        .env("WEIR_EGRESS", "10.0.0.0/8")
        .start()
        .await;
    let database = weir_tests::Database::create().await;
    let body = serde_json::json!({"config": database.config()});
    let result = service
        .client
        .post("/v1/connectors/postgres/test", &body)
        .await
        .expect_status(200);
    assert_eq!(result["error"]["code"], "egress_denied", "{result:#}");
}
