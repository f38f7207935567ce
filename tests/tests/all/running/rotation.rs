//! A new master key, while the service runs.

use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use weir_tests::{Database, Options, StoreKind, project};

fn key(text: &str) -> String {
    STANDARD.encode(text)
}

fn rotate(store: &Database, keys: &str) -> Output {
    Command::new(project::weir())
        .args(["keys", "rotate"])
        .env_clear()
        .env("WEIR_DATABASE_URL", store.owner_url())
        .env("WEIR_MASTER_KEY", keys)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_move_under_the_new_key_while_requests_go_on() {
    let store = Database::create().await;
    let old = key("the-old-key-of-thirty-two-bytes!");
    let new = key("the-new-key-of-thirty-two-bytes!");
    let both = format!("{new},{old}");
    let options = |keys: &str| {
        Options::on(StoreKind::Database(store.clone()))
            .env("WEIR_MASTER_KEY", keys)
            .env("WEIR_ADMIN_KEY", "the-same-admin-key-for-all-of-them")
    };
    let service = options(&old).start().await;
    let database = Database::create().await;
    let name = service.client.register(&database).await;
    let select = json!({"query": "select 1 as one"});
    service.client.rows(&name, &select).await;

    let early = rotate(&store, &both);
    assert!(!early.status.success(), "{}", said(&early));
    assert!(
        said(&early).contains("do not hold the new master key"),
        "{}",
        said(&early)
    );
    let wrong = rotate(&store, &new);
    assert!(
        said(&wrong).contains("do not open this store"),
        "{}",
        said(&wrong)
    );
    assert_eq!(service.stop().await, Some(0));

    let service = options(&both).start().await;
    let done = rotate(&store, &both);
    assert!(done.status.success(), "{}", said(&done));
    assert!(
        said(&done).contains("1 secrets are now sealed"),
        "{}",
        said(&done)
    );
    assert!(
        said(&rotate(&store, &both)).contains("0 secrets"),
        "nothing is left to do"
    );
    service.client.rows(&name, &select).await;
    assert_eq!(service.stop().await, Some(0));

    let service = options(&new).start().await;
    let rows = service.client.rows(&name, &select).await;
    assert_eq!(rows, [json!({"one": 1})], "the new key alone opens it");
    let sealed = options(&old).start().await;
    sealed
        .client
        .get("/readyz")
        .await
        .expect_problem(503, "sealed");
}
