use weir_core::Kind;

use super::{migrated, server, store_at};

#[tokio::test]
async fn two_instances_may_migrate_at_once() {
    let url = server::database().await;
    let stores = futures::future::join_all((0..4).map(|_| store_at(&url, 2))).await;
    let done = futures::future::join_all(stores.iter().map(crate::Store::migrate)).await;
    for outcome in done {
        outcome.unwrap();
    }
    let count: i64 = sqlx::query_scalar("select count(*) from weir_migrations")
        .fetch_one(&stores[0].pool)
        .await
        .unwrap();
    assert_eq!(
        count as usize,
        crate::migrate::MIGRATIONS.len(),
        "each once"
    );
    stores[1].migrate().await.unwrap();
}

#[tokio::test]
async fn a_store_without_a_schema_is_not_ready() {
    let store = store_at(&server::database().await, 2).await;
    let error = store.ready().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.stable_code()),
        (Kind::NotReady, "schema_outdated")
    );
    store.migrate().await.unwrap();
    assert_eq!(store.ready().await.unwrap_err().kind(), Kind::Sealed);
}

#[tokio::test]
async fn a_newer_store_is_used_as_it_is() {
    let store = migrated().await;
    sqlx::raw_sql(
        "insert into weir_migrations (version, name, checksum) values (999, 'future', '\\x00')",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let store = migrated().await;
    sqlx::raw_sql("update weir_migrations set checksum = '\\x00'")
        .execute(&store.pool)
        .await
        .unwrap();
    let error = store.migrate().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.stable_code()),
        (Kind::NotReady, "schema_mismatch")
    );
}

#[tokio::test]
async fn a_missing_database_is_told_at_once() {
    let url = server::database().await;
    let url = weir_core::Secret::new(url.expose().replace("/t_", "/missing_"));
    let options = crate::StoreOptions {
        url,
        max_connections: 1,
        compute: weir_core::task::Compute::current(),
    };
    let start = std::time::Instant::now();
    let error = crate::Store::connect(options).await.err().unwrap();
    assert!(start.elapsed().as_secs() < 5);
    assert!(error.message().contains("does not exist"), "{error}");
    assert_eq!(error.stable_code(), "store_unavailable");
}
