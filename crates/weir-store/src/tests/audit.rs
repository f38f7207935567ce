use serde_json::{Value, json};

use super::{actor, migrated, open, source};
use crate::{Act, Actor, ListFilter, ObjectRef, Scopes, SourceChange, Store};

async fn recorded(store: &Store) -> Vec<(String, String, Option<String>, Option<Value>)> {
    sqlx::query_as(
        "select action, actor, target_name, details from audit where class = 'admin' order by at, id",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_change_of_a_source_is_recorded_without_a_value() {
    let (store, _) = open().await;
    let anna = Actor {
        key_id: Some(uuid::Uuid::now_v7()),
        name: "anna".to_owned(),
        request_id: "r-1".to_owned(),
        address: Some("127.0.0.1".to_owned()),
    };
    let secret = source("main", &[("password", "hunter2")]);
    let row = store.create_source(secret, &anna).await.unwrap();
    let change = SourceChange {
        description: Some("hunter2".to_owned()),
        secrets: Some(Vec::new()),
        ..SourceChange::default()
    };
    store
        .update_source(row.id, None, change, &anna)
        .await
        .unwrap();
    store
        .delete_source(row.id, Some(7), &anna)
        .await
        .unwrap_err();
    store.delete_source(row.id, None, &anna).await.unwrap();
    let text = |text: &str| text.to_owned();
    let expected = [
        ("source.create", json!({"connector": "postgres"})),
        (
            "source.update",
            json!({"fields": ["description", "secrets"]}),
        ),
        ("source.delete", json!({"connector": "postgres"})),
    ]
    .map(|(action, details)| {
        (
            text(action),
            text("anna"),
            Some(text("main")),
            Some(details),
        )
    });
    assert_eq!(recorded(&store).await, expected);
}

#[tokio::test]
async fn an_act_without_details_keeps_none() {
    let store = migrated().await;
    let act = Act {
        action: "connector.test",
        target_kind: "connector",
        target_id: None,
        target_name: None,
        details: Value::Null,
    };
    store.record_act(&actor(), act).await.unwrap();
    let one = ("connector.test".to_owned(), "system".to_owned(), None, None);
    assert_eq!(recorded(&store).await, [one]);
}

#[tokio::test]
async fn a_source_outside_of_the_scopes_is_not_there() {
    let store = migrated().await;
    for (name, team) in [("a", "sales"), ("b", "ops"), ("c", "sales")] {
        let mut new = source(name, &[]);
        new.labels = [("team".to_owned(), team.to_owned())].into();
        store.create_source(new, &actor()).await.unwrap();
    }
    let scopes = Scopes::parse(&["team:sales".to_owned(), "team:none".to_owned()]).unwrap();
    let filter = ListFilter {
        limit: 10,
        scopes: scopes.clone(),
        ..ListFilter::default()
    };
    let page = store.list_sources(&filter).await.unwrap();
    let names: Vec<&str> = page.items.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    let find = async |name: &str| {
        let reference = ObjectRef::Name(name.to_owned());
        store.find_source(&reference, &scopes).await.unwrap()
    };
    assert!(find("a").await.is_some());
    assert!(find("b").await.is_none());
    let b = ObjectRef::Name("b".to_owned());
    let b = store
        .find_source(&b, &Scopes::all())
        .await
        .unwrap()
        .unwrap();
    let by_id = store.find_source(&ObjectRef::Id(b.id), &scopes).await;
    assert!(by_id.unwrap().is_none());
}
