use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Kind;

use super::{actor, migrated};
use crate::{ListFilter, NewRecipe, ObjectRef, RecipeChange, Scopes, Steps};

fn steps(list: Value) -> Steps {
    Steps {
        steps: list.as_array().unwrap().clone(),
        column_types: None,
    }
}

fn recipe(name: &str, team: &str) -> NewRecipe {
    NewRecipe {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        labels: [("team".to_owned(), team.to_owned())].into(),
        description: None,
        steps: steps(json!([{"op": "select", "columns": ["b", "a"]}])),
    }
}

#[tokio::test]
async fn every_version_stays_as_it_was_given() {
    let store = migrated().await;
    let mut new = recipe("clean", "sales");
    // Neither sorted nor alike in number and text.
    new.steps = Steps {
        steps: vec![json!({"zeta": 1.0, "alpha": {"y": 9007199254740993_i64, "x": "\u{0}é"}})],
        column_types: json!({"b": "int64", "a": "email"}).as_object().cloned(),
    };
    let given = new.steps.clone();
    let row = store.create_recipe(new, &actor()).await.unwrap();
    assert_eq!((row.version, row.revision), (1, 1));
    let change = RecipeChange {
        steps: Some(steps(json!([]))),
        ..RecipeChange::default()
    };
    let row = store
        .update_recipe(row.id, Some(1), change, &actor())
        .await
        .unwrap();
    assert_eq!((row.version, row.revision, row.steps.len()), (2, 2, 0));
    let first = store.recipe_version(row.id, 1).await.unwrap().unwrap();
    let text = |steps: &[Value]| serde_json::to_string(steps).unwrap();
    assert_eq!(
        text(&first.steps),
        text(&given.steps),
        "order of fields too"
    );
    assert_eq!(first.column_types, given.column_types);
    assert!(store.recipe_version(row.id, 3).await.unwrap().is_none());
    let relabel = RecipeChange {
        description: Some(Some("d".to_owned())),
        ..RecipeChange::default()
    };
    let row = store
        .update_recipe(row.id, None, relabel, &actor())
        .await
        .unwrap();
    assert_eq!((row.version, row.revision), (2, 3));
    let listed = store.recipe_versions(row.id, None, 10).await.unwrap();
    let versions: Vec<i32> = listed.iter().map(|row| row.version).collect();
    assert_eq!(versions, [2, 1]);
    store
        .delete_recipe(row.id, Some(3), &actor())
        .await
        .unwrap();
    assert!(store.recipe_version(row.id, 1).await.unwrap().is_none());
}

#[tokio::test]
async fn scopes_and_revisions_hold() {
    let store = migrated().await;
    for (name, team) in [("b", "sales"), ("a", "sales"), ("c", "ops")] {
        let made = store.create_recipe(recipe(name, team), &actor()).await;
        made.unwrap();
    }
    let taken = store.create_recipe(recipe("a", "ops"), &actor()).await;
    assert_eq!(taken.unwrap_err().stable_code(), "name_taken");
    let scopes = Scopes::of(vec![("team".to_owned(), "sales".to_owned())]);
    let filter = ListFilter {
        scopes: scopes.clone(),
        limit: 1,
        ..ListFilter::default()
    };
    let page = store.list_recipes(&filter).await.unwrap();
    assert_eq!(
        (page.items[0].name.as_str(), page.next.as_deref()),
        ("a", Some("a"))
    );
    assert_eq!(store.recipe_names(&scopes).await.unwrap(), ["a", "b"]);
    let named = ObjectRef::Name("c".to_owned());
    assert!(store.find_recipe(&named, &scopes).await.unwrap().is_none());
    let other = store.find_recipe(&named, &Scopes::all()).await.unwrap();
    let id = other.unwrap().id;
    let stale = store.delete_recipe(id, Some(7), &actor()).await;
    assert_eq!(stale.unwrap_err().kind(), Kind::PreconditionFailed);
    let renamed = RecipeChange {
        name: Some("a".to_owned()),
        ..RecipeChange::default()
    };
    let taken = store.update_recipe(id, None, renamed, &actor()).await;
    assert_eq!(taken.unwrap_err().stable_code(), "name_taken");
    let gone = store.delete_recipe(Uuid::now_v7(), None, &actor()).await;
    assert_eq!(gone.unwrap_err().kind(), Kind::NotFound);
}
