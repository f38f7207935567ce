use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use uuid::Uuid;
use weir_core::Kind;

use super::{actor, migrated, open, server, source, store_at};
use crate::{Message, Messages, NewApiKey, SourceChange, Store};

fn key(name: &str, role: &str, byte: u8) -> NewApiKey {
    NewApiKey {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        role: role.to_owned(),
        hash: [byte; 32],
        prefix: "weir_abc".to_owned(),
        scopes: Vec::new(),
        expires_at: None,
    }
}

#[tokio::test]
async fn keys_are_found_by_their_hash() {
    let store = migrated().await;
    assert!(!store.has_admin_key().await.unwrap());
    let expires_at = chrono::DateTime::from_timestamp(2_000_000_000, 0);
    store
        .create_api_key(
            NewApiKey {
                expires_at,
                ..key("r", "reader", 1)
            },
            &actor(),
        )
        .await
        .unwrap();
    assert!(!store.has_admin_key().await.unwrap());
    let row = store.find_api_key([1; 32]).await.unwrap().unwrap();
    assert_eq!(
        (row.name.as_str(), row.role.as_str(), row.expires_at),
        ("r", "reader", expires_at)
    );
    assert_eq!(row.last_used_at, None);
    store.touch_api_key(row.id).await.unwrap();
    let used = store
        .find_api_key([1; 32])
        .await
        .unwrap()
        .unwrap()
        .last_used_at;
    assert!(used.is_some());
    store.touch_api_key(row.id).await.unwrap();
    assert_eq!(
        store
            .find_api_key([1; 32])
            .await
            .unwrap()
            .unwrap()
            .last_used_at,
        used
    );
    assert!(store.find_api_key([2; 32]).await.unwrap().is_none());
    let error = store
        .create_api_key(key("again", "reader", 1), &actor())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
}

#[tokio::test]
async fn of_two_first_admin_keys_one_is_kept() {
    let url = server::database().await;
    let stores = futures::future::join_all((0..2).map(|_| store_at(&url, 2))).await;
    stores[0].migrate().await.unwrap();
    let actor = actor();
    let (one, two) = tokio::join!(
        stores[0].create_first_admin_key(key("one", "admin", 1), &actor),
        stores[1].create_first_admin_key(key("two", "admin", 2), &actor),
    );
    assert_ne!(one.unwrap(), two.unwrap());
    assert!(stores[0].has_admin_key().await.unwrap());
}

#[tokio::test]
async fn a_setting_is_set_once() {
    let store = migrated().await;
    assert_eq!(store.setting("k").await.unwrap(), None);
    let tries =
        futures::future::join_all((0..8).map(|n| store.set_setting_once("k", json!(n)))).await;
    assert_eq!(
        tries
            .into_iter()
            .filter(|set| *set.as_ref().unwrap())
            .count(),
        1
    );
    assert!(store.setting("k").await.unwrap().unwrap().is_number());
}

#[tokio::test]
async fn instances_see_each_other() {
    let store = migrated().await;
    let one = store.register_instance("1.0", "127.0.0.1:1").await.unwrap();
    let two = store.register_instance("1.1", "127.0.0.1:2").await.unwrap();
    let listed = store.instances().await.unwrap();
    let ids: Vec<Uuid> = listed.iter().map(|row| row.id).collect();
    assert_eq!(ids, [one.id(), two.id()]);
    assert_eq!(
        (listed[1].version.as_str(), listed[1].address.as_str()),
        ("1.1", "127.0.0.1:2")
    );
    store.leave(one).await.unwrap();
    // One that was silent for too long is buried by the next.
    sqlx::raw_sql("update instances set heartbeat_at = now() - interval '2 minutes'")
        .execute(&store.pool)
        .await
        .unwrap();
    let three = store.register_instance("1.1", "127.0.0.1:3").await.unwrap();
    let listed = store.instances().await.unwrap();
    assert_eq!(
        listed.iter().map(|row| row.id).collect::<Vec<_>>(),
        [three.id()]
    );
}

async fn next(messages: &mut Messages) -> Option<Message> {
    tokio::time::timeout(Duration::from_secs(20), messages.next())
        .await
        .unwrap()
}

async fn break_lines(store: &Store) {
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'")
        .execute(&store.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn changes_are_told_to_every_instance() {
    let (store, _) = open().await;
    let mut messages = store.listen();
    let mut others = store.clone().listen();
    assert_eq!(next(&mut messages).await, Some(Message::Resync));
    assert_eq!(next(&mut others).await, Some(Message::Resync));
    let row = store
        .create_source(source("a", &[]), &actor())
        .await
        .unwrap();
    store
        .update_source(row.id, None, SourceChange::default(), &actor())
        .await
        .unwrap();
    store
        .delete_source(row.id, Some(7), &actor())
        .await
        .unwrap_err();
    // Told by a newer instance: passed over.
    sqlx::raw_sql("select pg_notify('weir', '{\"what\": \"news\"}')")
        .execute(&store.pool)
        .await
        .unwrap();
    let key = Message::KeyChanged { id: Uuid::now_v7() };
    store.notify(&key).await.unwrap();
    for messages in [&mut messages, &mut others] {
        assert_eq!(
            next(messages).await,
            Some(Message::SourceChanged { id: row.id })
        );
        assert_eq!(next(messages).await, Some(key.clone()));
    }
}

#[tokio::test]
async fn a_broken_line_is_opened_again() {
    let store = migrated().await;
    let mut messages = store.listen();
    assert_eq!(next(&mut messages).await, Some(Message::Resync));
    for _ in 0..3 {
        break_lines(&store).await;
        assert_eq!(next(&mut messages).await, Some(Message::Resync));
        let told = Message::SourceChanged { id: Uuid::now_v7() };
        store.notify(&told).await.unwrap();
        assert_eq!(next(&mut messages).await, Some(told));
    }
    store.close().await;
    assert_eq!(next(&mut messages).await, None);
}
