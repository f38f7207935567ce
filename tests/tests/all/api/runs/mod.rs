//! `/v1/runs`.

mod cancel;
mod ids;
mod list;
mod record;

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;
use weir_tests::{Client, Database, Options, Service, StoreKind, eventually};

/// A service and the database it keeps its state in.
async fn on_known_store() -> (Service, Database) {
    let store = Database::create().await;
    let service = Options::on(StoreKind::Database(store.clone()))
        .start()
        .await;
    (service, store)
}

/// Two services on one store.
async fn two() -> (Service, Service, Database) {
    let store = Database::create().await;
    let options = |data: &str| {
        Options::on(StoreKind::Database(store.clone()))
            .data_dir(data)
            .env("WEIR_ADMIN_KEY", "the-same-admin-key-for-both-of-them")
            .env(
                "WEIR_MASTER_KEY",
                "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            )
    };
    let (one, other) = (options("one").start().await, options("other").start().await);
    (one, other, store)
}

/// A caller with a key of this role, and scopes as a JSON list.
async fn caller(service: &Service, store: &Database, role: &str, scopes: &str) -> Client {
    let key = Uuid::new_v4().to_string();
    let sql = format!(
        "insert into api_keys (id, name, role, key_hash, prefix, scopes) \
         values (gen_random_uuid(), '{key}', '{role}', sha256('{key}'::bytea), '{key}', {scopes})"
    );
    store.run(&sql).await;
    service.client.with_key(Some(&key))
}

/// The run, once it has ended.
async fn ended(client: &Client, id: &str) -> Value {
    let path = format!("/v1/runs/{id}");
    let run = eventually(Duration::from_secs(10), async || {
        let answer = client.get(&path).await;
        let run = (answer.status == 200).then(|| answer.json())?;
        (run["status"] != "running").then_some(run)
    });
    run.await.expect("the run ends and is recorded")
}
