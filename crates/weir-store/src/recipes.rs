//! Recipes: steps with a name. What they do never changes under a version that
//! was given out: another list of steps, or another meaning of columns, is
//! another version, and every version stays until the recipe goes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;
use weir_core::{Error, Page, Result};

use crate::audit::{Act, Actor, record};
use crate::connection::{Store, bounded};
use crate::failure::failed;
use crate::named::{
    ListFilter, Named, ObjectRef, check_revision, gone, is_taken, name_taken, select,
};
use crate::scopes::Scopes;

/// Names that are looked through for the nearest one.
const NAMES: i64 = 1_000;

/// What a version of a recipe is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    /// The steps, in their order.
    pub steps: Vec<Value>,
    /// What columns mean, or are read as.
    pub column_types: Option<Map<String, Value>>,
}

/// A recipe to keep.
#[derive(Debug)]
pub struct NewRecipe {
    /// Its id.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// For filters and scopes.
    pub labels: BTreeMap<String, String>,
    /// For people.
    pub description: Option<String>,
    /// What it does.
    pub steps: Steps,
}

/// What to change; `None` leaves a part as it is, `Some(None)` removes it.
#[derive(Debug, Default)]
pub struct RecipeChange {
    /// A new name.
    pub name: Option<String>,
    /// All new labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// A new description.
    pub description: Option<Option<String>>,
    /// A new version.
    pub steps: Option<Steps>,
}

impl RecipeChange {
    /// Names of the parts that are given, for the audit.
    fn parts(&self) -> Vec<&'static str> {
        [
            ("name", self.name.is_some()),
            ("labels", self.labels.is_some()),
            ("description", self.description.is_some()),
            ("steps", self.steps.is_some()),
        ]
        .into_iter()
        .filter_map(|(part, given)| given.then_some(part))
        .collect()
    }
}

/// A kept recipe with the steps of one of its versions.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RecipeRow {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// For filters and scopes.
    #[sqlx(json)]
    pub labels: BTreeMap<String, String>,
    /// For people.
    pub description: Option<String>,
    /// The version that these steps are.
    pub version: i32,
    /// Grows with every change of the recipe.
    pub revision: i64,
    /// The steps, in their order.
    #[sqlx(json)]
    pub steps: Vec<Value>,
    /// What columns mean, or are read as.
    #[sqlx(json(nullable))]
    pub column_types: Option<Map<String, Value>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A version in the history of a recipe.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RecipeVersionRow {
    /// Which.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The api key that made it.
    pub key_id: Option<Uuid>,
    /// The name of that key, then.
    pub actor: String,
    /// The steps, in their order.
    #[sqlx(json)]
    pub steps: Vec<Value>,
    /// What columns mean, or are read as.
    #[sqlx(json(nullable))]
    pub column_types: Option<Map<String, Value>>,
}

const SELECT: &str = "select r.id, r.name, r.labels, r.description, v.version, r.revision, v.steps, v.column_types, \
    r.created_at, r.updated_at from recipes r join recipe_versions v on v.recipe_id = r.id and v.version = r.version";

impl Named for RecipeRow {
    const TABLE: &'static str = "r";

    fn select() -> String {
        SELECT.to_owned()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Store {
    /// Keeps a recipe.
    pub async fn create_recipe(&self, new: NewRecipe, actor: &Actor) -> Result<RecipeRow> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move { insert(connection, new, &actor).await })
        })
        .await
    }

    /// The recipe with this id or name, if it is inside of `scopes`, with the
    /// steps it has now.
    pub async fn find_recipe(
        &self,
        reference: &ObjectRef,
        scopes: &Scopes,
    ) -> Result<Option<RecipeRow>> {
        self.find_named(reference, scopes).await
    }

    /// A page of recipes, by name.
    pub async fn list_recipes(&self, filter: &ListFilter) -> Result<Page<RecipeRow>> {
        self.list_named(filter).await
    }

    /// Names inside of `scopes`, to find the nearest of them.
    pub async fn recipe_names(&self, scopes: &Scopes) -> Result<Vec<String>> {
        let listed = sqlx::query_scalar(
            "select name from recipes where $1::jsonb[] is null or labels @> any ($1) order by name limit $2",
        )
        .bind(scopes.documents())
        .bind(NAMES);
        bounded(async { listed.fetch_all(&self.pool).await.map_err(failed) }).await
    }

    /// Changes a recipe, if it still has the `expected` revision.
    pub async fn update_recipe(
        &self,
        id: Uuid,
        expected: Option<i64>,
        change: RecipeChange,
        actor: &Actor,
    ) -> Result<RecipeRow> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move {
                held(connection, id, expected).await?;
                let parts = change.parts();
                let row = update(connection, id, change, &actor).await?;
                let details = json!({ "parts": parts, "version": row.version });
                record(connection, &actor, act("recipe.update", &row, details)).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Removes a recipe with all its versions.
    pub async fn delete_recipe(
        &self,
        id: Uuid,
        expected: Option<i64>,
        actor: &Actor,
    ) -> Result<()> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move {
                held(connection, id, expected).await?;
                let row = read(connection, id).await?;
                sqlx::query("delete from recipes where id = $1")
                    .bind(id)
                    .execute(&mut *connection)
                    .await
                    .map_err(failed)?;
                record(connection, &actor, act("recipe.delete", &row, Value::Null)).await
            })
        })
        .await
    }

    /// One version of a recipe.
    pub async fn recipe_version(&self, id: Uuid, version: i32) -> Result<Option<RecipeVersionRow>> {
        let found = sqlx::query_as(
            "select version, created_at, key_id, actor, steps, column_types from recipe_versions \
             where recipe_id = $1 and version = $2",
        )
        .bind(id)
        .bind(version);
        bounded(async { found.fetch_optional(&self.pool).await.map_err(failed) }).await
    }

    /// The versions of a recipe, newest first, below `before`.
    pub async fn recipe_versions(
        &self,
        id: Uuid,
        before: Option<i32>,
        limit: usize,
    ) -> Result<Vec<RecipeVersionRow>> {
        let listed = sqlx::query_as(
            "select version, created_at, key_id, actor, steps, column_types from recipe_versions \
             where recipe_id = $1 and ($2::int is null or version < $2) order by version desc limit $3",
        )
        .bind(id)
        .bind(before)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        bounded(async { listed.fetch_all(&self.pool).await.map_err(failed) }).await
    }
}

/// An act on a recipe, for the audit.
fn act(action: &'static str, row: &RecipeRow, details: Value) -> Act {
    Act {
        action,
        target_kind: "recipe",
        target_id: Some(row.id),
        target_name: Some(row.name.clone()),
        details,
    }
}

async fn insert(connection: &mut PgConnection, new: NewRecipe, actor: &Actor) -> Result<RecipeRow> {
    sqlx::query("insert into recipes (id, name, labels, description) values ($1, $2, $3, $4)")
        .bind(new.id)
        .bind(&new.name)
        .bind(Json(&new.labels))
        .bind(&new.description)
        .execute(&mut *connection)
        .await
        .map_err(|error| refused(error, &new.name))?;
    add_version(connection, new.id, 1, &new.steps, actor).await?;
    let row = read(connection, new.id).await?;
    record(connection, actor, act("recipe.create", &row, Value::Null)).await?;
    Ok(row)
}

async fn update(
    connection: &mut PgConnection,
    id: Uuid,
    change: RecipeChange,
    actor: &Actor,
) -> Result<RecipeRow> {
    let name = change.name.clone().unwrap_or_default();
    let version: i32 = sqlx::query_scalar(
        "update recipes set name = coalesce($2, name), labels = coalesce($3, labels), \
         description = case when $4 then $5 else description end, \
         version = case when $6 then version + 1 else version end, \
         revision = revision + 1, updated_at = now() where id = $1 returning version",
    )
    .bind(id)
    .bind(change.name)
    .bind(change.labels.map(Json))
    .bind(change.description.is_some())
    .bind(change.description.flatten())
    .bind(change.steps.is_some())
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| refused(error, &name))?;
    if let Some(steps) = &change.steps {
        add_version(connection, id, version, steps, actor).await?;
    }
    read(connection, id).await
}

async fn add_version(
    connection: &mut PgConnection,
    id: Uuid,
    version: i32,
    steps: &Steps,
    actor: &Actor,
) -> Result<()> {
    let text = serde_json::to_string(&steps.steps).map_err(Error::internal)?;
    let types = steps.column_types.as_ref().map(serde_json::to_string);
    // As texts: a parameter of jsonb would lose the order of fields on its way.
    sqlx::query(
        "insert into recipe_versions (recipe_id, version, key_id, actor, steps, column_types) \
         values ($1, $2, $3, $4, cast($5 as json), cast($6 as json))",
    )
    .bind(id)
    .bind(version)
    .bind(actor.key_id)
    .bind(&actor.name)
    .bind(text)
    .bind(types.transpose().map_err(Error::internal)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed)
}

/// Locks the recipe's row and compares its revision.
async fn held(connection: &mut PgConnection, id: Uuid, expected: Option<i64>) -> Result<()> {
    let revision: Option<i64> =
        sqlx::query_scalar("select revision from recipes where id = $1 for update")
            .bind(id)
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
    let revision = revision.ok_or_else(|| gone("recipe"))?;
    check_revision("recipe", revision, expected)
}

async fn read(connection: &mut PgConnection, id: Uuid) -> Result<RecipeRow> {
    sqlx::query_as(select::<RecipeRow>("r.id = $1"))
        .bind(id)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

fn refused(error: sqlx::Error, name: &str) -> Error {
    match &error {
        error if is_taken(error) => name_taken("a recipe", name),
        _ => failed(error),
    }
}
