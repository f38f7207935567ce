//! The store against one real server for the whole test binary, with a
//! database of its own for each test.

mod audit;
mod idempotency;
mod migrations;
mod partitions;
mod proxy;
mod recipes;
mod runs;
mod seals;
mod server;
mod sharing;
mod sources;
mod wholeness;

use weir_core::Secret;
use weir_core::task::Compute;
use weir_vault::KeyRing;

use crate::{Actor, NewSource, Store, StoreOptions};

async fn store_at(url: &Secret, max_connections: u32) -> Store {
    let options = StoreOptions {
        url: url.clone(),
        max_connections,
        compute: Compute::current(),
    };
    Store::connect(options).await.unwrap()
}

/// A store on a database of its own, migrated.
async fn migrated() -> Store {
    let store = store_at(&server::database().await, 4).await;
    store.migrate().await.unwrap();
    store
}

/// A migrated store with a new master key, and that key.
async fn open() -> (Store, KeyRing) {
    let store = migrated().await;
    let ring = KeyRing::generate();
    store
        .unlock(Some(ring.clone()), || unreachable!("a ring is given"))
        .await
        .unwrap();
    (store, ring)
}

fn actor() -> Actor {
    Actor::system()
}

fn source(name: &str, secrets: &[(&str, &str)]) -> NewSource {
    NewSource {
        id: uuid::Uuid::now_v7(),
        name: name.to_owned(),
        connector: "postgres".to_owned(),
        config: serde_json::json!({"host": "db.example", "port": 5432, "auth": {"user": "u"}}),
        config_version: 1,
        labels: [("team".to_owned(), "sales".to_owned())].into(),
        metadata: serde_json::json!({"owner": "x"}),
        description: Some("the main one".to_owned()),
        secrets: secrets
            .iter()
            .map(|(field, value)| ((*field).to_owned(), Secret::new(*value)))
            .collect(),
        attached: None,
        managed_by: None,
    }
}

fn plain(secrets: &[(String, Secret)]) -> Vec<(&str, &str)> {
    secrets
        .iter()
        .map(|(field, secret)| (field.as_str(), secret.expose()))
        .collect()
}
