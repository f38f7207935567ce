use weir_core::{Error, Kind, Secret};
use weir_vault::KeyRing;

use super::{actor, migrated, open, plain, server, source, store_at};
use crate::{ObjectRef, Scopes, Seal, Store};

fn none() -> weir_core::Result<KeyRing> {
    Err(Error::internal("must not be asked for a key"))
}

fn both(first: &KeyRing, second: &KeyRing) -> KeyRing {
    let text = format!("{},{}", first.export().expose(), second.export().expose());
    KeyRing::parse(&Secret::new(text)).unwrap()
}

#[tokio::test]
async fn a_key_is_generated_only_once() {
    let store = migrated().await;
    let ring = KeyRing::generate();
    let made = ring.clone();
    let seal = store.unlock(None, || Ok(made)).await.unwrap();
    assert_eq!(seal, Seal::Open { generated: true });
    store.ready().await.unwrap();
    assert_eq!(store.unlock(None, none).await.unwrap(), Seal::Sealed);
    assert_eq!(store.ready().await.unwrap_err().kind(), Kind::Sealed);
    let seal = store.unlock(Some(ring), none).await.unwrap();
    assert_eq!(seal, Seal::Open { generated: false });
    store.ready().await.unwrap();
}

#[tokio::test]
async fn of_two_first_starts_one_makes_the_key() {
    let url = server::database().await;
    let stores = futures::future::join_all((0..2).map(|_| store_at(&url, 2))).await;
    stores[0].migrate().await.unwrap();
    let unlock = |store: Store| async move {
        store
            .unlock(None, || Ok(KeyRing::generate()))
            .await
            .unwrap()
    };
    let (one, two) = tokio::join!(unlock(stores[0].clone()), unlock(stores[1].clone()));
    let mut seals = [one, two];
    seals.sort_by_key(|seal| *seal == Seal::Sealed);
    assert_eq!(seals, [Seal::Open { generated: true }, Seal::Sealed]);
}

#[tokio::test]
async fn a_failed_generation_records_nothing() {
    let store = migrated().await;
    let error = store
        .unlock(None, || Err(Error::internal("disk full")))
        .await
        .unwrap_err();
    assert_eq!(error.log_detail(), Some("disk full"));
    let seal = store
        .unlock(None, || Ok(KeyRing::generate()))
        .await
        .unwrap();
    assert_eq!(seal, Seal::Open { generated: true });
}

#[tokio::test]
async fn another_key_leaves_the_store_sealed() {
    let (store, ring) = open().await;
    let row = store
        .create_source(source("s", &[("password", "p")]), &actor())
        .await
        .unwrap();
    assert_eq!(
        store.unlock(Some(KeyRing::generate()), none).await.unwrap(),
        Seal::Sealed
    );
    assert_eq!(store.ready().await.unwrap_err().kind(), Kind::Sealed);
    assert_eq!(
        store.source_secrets(&row).await.unwrap_err().kind(),
        Kind::Sealed
    );
    let error = store
        .create_source(source("t", &[("password", "p")]), &actor())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Sealed);
    assert!(
        store
            .find_source(&ObjectRef::Name("t".into()), &Scopes::all())
            .await
            .unwrap()
            .is_none()
    );
    store.unlock(Some(ring), none).await.unwrap();
    assert_eq!(
        plain(&store.source_secrets(&row).await.unwrap()),
        [("password", "p")]
    );
}

#[tokio::test]
async fn every_key_in_use_is_needed() {
    let (store, old) = open().await;
    let first = store
        .create_source(source("first", &[("password", "1")]), &actor())
        .await
        .unwrap();
    let new = KeyRing::generate();
    // A rotation begins: the new key comes before the old one.
    let seal = store.unlock(Some(both(&new, &old)), none).await.unwrap();
    assert_eq!(seal, Seal::Open { generated: false });
    let second = store
        .create_source(source("second", &[("password", "2")]), &actor())
        .await
        .unwrap();
    assert_eq!(
        store.unlock(Some(new.clone()), none).await.unwrap(),
        Seal::Sealed
    );
    assert_eq!(
        store.unlock(Some(old.clone()), none).await.unwrap(),
        Seal::Sealed
    );
    store.unlock(Some(both(&new, &old)), none).await.unwrap();
    assert_eq!(
        plain(&store.source_secrets(&first).await.unwrap()),
        [("password", "1")]
    );
    assert_eq!(
        plain(&store.source_secrets(&second).await.unwrap()),
        [("password", "2")]
    );
    // Nothing is left under the old key, so the new one alone will do.
    store.delete_source(first.id, None, &actor()).await.unwrap();
    assert_eq!(
        store.unlock(Some(new), none).await.unwrap(),
        Seal::Open { generated: false }
    );
}

#[tokio::test]
async fn a_wrong_check_value_seals() {
    let (store, ring) = open().await;
    sqlx::raw_sql("update master_keys set check_value = decode(repeat('00', 32), 'hex')")
        .execute(&store.pool)
        .await
        .unwrap();
    assert_eq!(store.unlock(Some(ring), none).await.unwrap(), Seal::Sealed);
}

#[tokio::test]
async fn a_secret_moved_to_another_row_does_not_open() {
    let (store, _) = open().await;
    let one = store
        .create_source(source("one", &[("password", "1")]), &actor())
        .await
        .unwrap();
    let two = store
        .create_source(source("two", &[("password", "2")]), &actor())
        .await
        .unwrap();
    sqlx::query(
        "update credential_fields set sealed = (select f.sealed from credential_fields f join credentials c \
         on c.id = f.credential_id where c.owner_source_id = $1) \
         where credential_id = (select id from credentials where owner_source_id = $2)",
    )
    .bind(one.id)
    .bind(two.id)
    .execute(&store.pool)
    .await
    .unwrap();
    assert_eq!(
        store.source_secrets(&two).await.unwrap_err().kind(),
        Kind::Internal
    );
    store.source_secrets(&one).await.unwrap();
}

/// What `pg_dump` would show: every value of every column, as text.
async fn dump(store: &Store) -> String {
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    let mut all = String::new();
    for table in tables {
        let sql = format!("select coalesce(string_agg(t::text, E'\\n'), '') from {table} t");
        let text: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&store.pool)
            .await
            .unwrap();
        all.push_str(&text);
    }
    all
}

#[tokio::test]
async fn a_canary_is_nowhere_in_the_store() {
    use base64::Engine as _;
    const CANARY: &str = "canary-7f3a9b-password";
    let (store, ring) = open().await;
    let row = store
        .create_source(
            source("s", &[("auth.password", CANARY), ("tls.key", CANARY)]),
            &actor(),
        )
        .await
        .unwrap();
    let change = crate::SourceChange {
        secrets: Some(vec![("auth.password".into(), Secret::new(CANARY))]),
        ..crate::SourceChange::default()
    };
    let row = store
        .update_source(row.id, Some(row.version), change, &actor())
        .await
        .unwrap();
    let dump = dump(&store).await;
    assert!(dump.contains("db.example"), "the dump shows the config");
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let key = ring.export();
    let encoded = base64::engine::general_purpose::STANDARD.encode(CANARY);
    for hidden in [CANARY, &hex, encoded.trim_end_matches('='), key.expose()] {
        assert!(!dump.contains(hidden), "found {hidden}");
    }
    assert!(!format!("{row:?}").contains(CANARY));
    assert_eq!(
        plain(&store.source_secrets(&row).await.unwrap()),
        [("auth.password", CANARY)]
    );
}
