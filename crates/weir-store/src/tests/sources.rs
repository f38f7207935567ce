use chrono::Utc;
use serde_json::json;
use uuid::Uuid;
use weir_core::{Kind, Secret};

use super::{actor, migrated, open, plain, source};
use crate::{LastTest, ListFilter, ObjectRef, Scopes, SourceChange, Store};

fn secrets(pairs: &[(&str, &str)]) -> SourceChange {
    let secrets = pairs
        .iter()
        .map(|(field, value)| ((*field).to_owned(), Secret::new(*value)))
        .collect();
    SourceChange {
        secrets: Some(secrets),
        ..SourceChange::default()
    }
}

#[tokio::test]
async fn what_is_registered_reads_back() {
    let (store, _) = open().await;
    let mut new = source("main", &[("tls.key", "k"), ("auth.password", "p")]);
    new.config = json!({"big": 12345678901234567890123456789_u128, "text": "@a.b ${x} {{", "list": [1, null, 2.50]});
    let config = new.config.clone();
    let row = store.create_source(new, &actor()).await.unwrap();
    assert_eq!(
        (row.name.as_str(), row.version, row.secret_version),
        ("main", 1, 1)
    );
    assert_eq!(row.config, config);
    assert_eq!(row.secret_fields, ["auth.password", "tls.key"]);
    assert_eq!(
        plain(&store.source_secrets(&row).await.unwrap()),
        [("auth.password", "p"), ("tls.key", "k")]
    );
    for reference in [ObjectRef::Id(row.id), ObjectRef::Name("main".into())] {
        let found = store
            .find_source(&reference, &Scopes::all())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(format!("{found:?}"), format!("{row:?}"));
    }
    assert!(
        store
            .find_source(&ObjectRef::Name("Main".into()), &Scopes::all())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .find_source(&ObjectRef::Id(Uuid::now_v7()), &Scopes::all())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_source_without_secrets_needs_no_key() {
    let store = migrated().await;
    let row = store
        .create_source(source("plain", &[]), &actor())
        .await
        .unwrap();
    assert_eq!((row.secret_version, row.secret_fields.len()), (0, 0));
    assert!(store.source_secrets(&row).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_taken_name_is_a_conflict() {
    let (store, _) = open().await;
    store
        .create_source(source("one", &[]), &actor())
        .await
        .unwrap();
    let two = store
        .create_source(source("two", &[]), &actor())
        .await
        .unwrap();
    let error = store
        .create_source(source("one", &[("password", "p")]), &actor())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.stable_code()),
        (Kind::Conflict, "name_taken")
    );
    assert_eq!(error.fields()[0].pointer, "/name");
    let change = SourceChange {
        name: Some("one".into()),
        ..SourceChange::default()
    };
    let error = store
        .update_source(two.id, None, change, &actor())
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "name_taken");
    let left: i64 = sqlx::query_scalar("select count(*) from credentials")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(left, 0, "the refused source left no credential");
}

#[tokio::test]
async fn only_the_named_fields_change() {
    let (store, _) = open().await;
    let row = store
        .create_source(source("a", &[("password", "p")]), &actor())
        .await
        .unwrap();
    let change = SourceChange {
        name: Some("b".into()),
        labels: Some([("x".to_owned(), "y".to_owned())].into()),
        description: Some(String::new()),
        ..SourceChange::default()
    };
    let changed = store
        .update_source(row.id, Some(1), change, &actor())
        .await
        .unwrap();
    assert_eq!(
        (
            changed.name.as_str(),
            changed.version,
            changed.secret_version
        ),
        ("b", 2, 1)
    );
    assert_eq!(changed.description, None);
    assert_eq!(changed.config, row.config);
    assert_eq!(changed.metadata, row.metadata);
    assert_eq!(changed.labels["x"], "y");
    assert!(changed.updated_at > row.updated_at);
    assert_eq!(
        plain(&store.source_secrets(&changed).await.unwrap()),
        [("password", "p")]
    );
}

#[tokio::test]
async fn a_version_that_passed_is_refused() {
    let (store, _) = open().await;
    let row = store
        .create_source(source("a", &[]), &actor())
        .await
        .unwrap();
    store
        .update_source(row.id, Some(1), SourceChange::default(), &actor())
        .await
        .unwrap();
    let error = store
        .update_source(row.id, Some(1), SourceChange::default(), &actor())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::PreconditionFailed);
    let error = store
        .delete_source(row.id, Some(1), &actor())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::PreconditionFailed);
    store
        .delete_source(row.id, Some(2), &actor())
        .await
        .unwrap();
    let error = store
        .delete_source(row.id, None, &actor())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let error = store
        .update_source(row.id, None, SourceChange::default(), &actor())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn of_many_changes_at_once_one_wins() {
    let (store, _) = open().await;
    let row = store
        .create_source(source("a", &[("p", "0")]), &actor())
        .await
        .unwrap();
    let tries = (1..=8).map(|n| {
        let store = store.clone();
        async move {
            store
                .update_source(row.id, Some(1), secrets(&[("p", &n.to_string())]), &actor())
                .await
        }
    });
    let outcomes = futures::future::join_all(tries).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let now = store
        .find_source(&ObjectRef::Id(row.id), &Scopes::all())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((now.version, now.secret_version), (2, 2));
}

#[tokio::test]
async fn secrets_come_in_versions() {
    let (store, _) = open().await;
    let first = store
        .create_source(source("a", &[("password", "1")]), &actor())
        .await
        .unwrap();
    let second = store
        .update_source(
            first.id,
            None,
            secrets(&[("password", "2"), ("key", "k")]),
            &actor(),
        )
        .await
        .unwrap();
    assert_eq!((second.secret_version, second.secret_fields.len()), (2, 2));
    // A reader that is just opening the version before still can.
    assert_eq!(
        plain(&store.source_secrets(&first).await.unwrap()),
        [("password", "1")]
    );
    let third = store
        .update_source(first.id, None, secrets(&[]), &actor())
        .await
        .unwrap();
    assert_eq!((third.secret_version, third.secret_fields.len()), (3, 0));
    assert!(store.source_secrets(&third).await.unwrap().is_empty());
    // Never an empty set in place of a password.
    assert_eq!(
        store.source_secrets(&first).await.unwrap_err().kind(),
        Kind::Conflict
    );
    let fourth = store
        .update_source(first.id, None, secrets(&[("password", "4")]), &actor())
        .await
        .unwrap();
    assert_eq!(fourth.secret_version, 4);
    assert_eq!(
        plain(&store.source_secrets(&fourth).await.unwrap()),
        [("password", "4")]
    );
    store.delete_source(first.id, None, &actor()).await.unwrap();
    for table in ["credentials", "credential_fields"] {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let left: i64 = sqlx::query_scalar(sql)
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn secrets_may_come_later() {
    let (store, _) = open().await;
    let row = store
        .create_source(source("a", &[]), &actor())
        .await
        .unwrap();
    let row = store
        .update_source(row.id, None, secrets(&[]), &actor())
        .await
        .unwrap();
    assert_eq!(row.secret_version, 0);
    let row = store
        .update_source(row.id, None, secrets(&[("password", "p")]), &actor())
        .await
        .unwrap();
    assert_eq!(row.secret_version, 1);
    assert_eq!(
        plain(&store.source_secrets(&row).await.unwrap()),
        [("password", "p")]
    );
}

async fn names(store: &Store, filter: ListFilter) -> (Vec<String>, Option<String>) {
    let page = store.list_sources(&filter).await.unwrap();
    (
        page.items.into_iter().map(|row| row.name).collect(),
        page.next,
    )
}

#[tokio::test]
async fn lists_are_paged_by_name() {
    let store = migrated().await;
    for name in ["b", "a-b", "a_b", "ab", "a0"] {
        store
            .create_source(source(name, &[]), &actor())
            .await
            .unwrap();
    }
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let (mut page, next) = names(
            &store,
            ListFilter {
                after,
                limit: 2,
                ..ListFilter::default()
            },
        )
        .await;
        assert!(page.len() <= 2);
        all.append(&mut page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(all, ["a-b", "a0", "a_b", "ab", "b"]);
}

#[tokio::test]
async fn lists_are_filtered() {
    let store = migrated().await;
    for (name, connector, labels) in [
        (
            "sales-eu",
            "postgres",
            vec![("team", "sales"), ("region", "eu")],
        ),
        (
            "sales-us",
            "mysql",
            vec![("team", "sales"), ("region", "us")],
        ),
        ("100-percent", "postgres", vec![]),
    ] {
        let mut new = source(name, &[]);
        new.connector = connector.to_owned();
        new.labels = labels
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        store.create_source(new, &actor()).await.unwrap();
    }
    let filter = ListFilter {
        limit: 10,
        ..ListFilter::default()
    };
    let label = |pairs: &[(&str, &str)]| {
        let label = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        ListFilter {
            label,
            ..filter.clone()
        }
    };
    assert_eq!(names(&store, filter.clone()).await.0.len(), 3);
    assert_eq!(
        names(&store, label(&[("team", "sales")])).await.0,
        ["sales-eu", "sales-us"]
    );
    assert_eq!(
        names(&store, label(&[("team", "sales"), ("region", "us")]))
            .await
            .0,
        ["sales-us"]
    );
    assert!(
        names(&store, label(&[("region", "eu"), ("region", "us")]))
            .await
            .0
            .is_empty()
    );
    let connector = ListFilter {
        connector: Some("postgres".into()),
        ..filter.clone()
    };
    assert_eq!(
        names(&store, connector).await.0,
        ["100-percent", "sales-eu"]
    );
    for (search, expected) in [("ALES", 2), ("%", 0), ("_", 0), ("0-p", 1)] {
        let search = ListFilter {
            search: Some(search.into()),
            ..filter.clone()
        };
        assert_eq!(
            names(&store, search.clone()).await.0.len(),
            expected,
            "{search:?}"
        );
    }
}

#[tokio::test]
async fn a_test_is_kept_beside_the_version() {
    let store = migrated().await;
    let row = store
        .create_source(source("a", &[]), &actor())
        .await
        .unwrap();
    assert_eq!(row.last_test, None);
    let test = LastTest {
        ok: false,
        at: Utc::now(),
        code: Some("authentication".into()),
    };
    store.record_test(row.id, test.clone()).await.unwrap();
    let now = store
        .find_source(&ObjectRef::Id(row.id), &Scopes::all())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (now.last_test, now.version, now.updated_at),
        (Some(test), 1, row.updated_at)
    );
}

#[tokio::test]
async fn what_postgres_cannot_keep_is_told() {
    let store = migrated().await;
    let mut new = source("nul", &[]);
    new.description = Some("a\0b".into());
    assert_eq!(
        store.create_source(new, &actor()).await.unwrap_err().kind(),
        Kind::Invalid
    );
    let mut new = source("nul", &[]);
    new.metadata = json!({"a": "\0"});
    assert_eq!(
        store.create_source(new, &actor()).await.unwrap_err().kind(),
        Kind::Invalid
    );
}
