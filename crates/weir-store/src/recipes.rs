//! Recipes: steps with a name. What they do never changes under a version that
//! was given out: another list of steps, or another meaning of columns, is
//! another version, and every version stays until the recipe goes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;
use weir_core::{Error, Kind, Page, Result};

use crate::audit::{Act, Actor, record};
use crate::connection::{Store, bounded};
use crate::failure::failed;
use crate::scopes::Scopes;
use crate::sources::SourceRef;

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

/// Which recipes to list.
#[derive(Debug, Clone, Default)]
pub struct RecipeFilter {
    /// Only what is inside of these.
    pub scopes: Scopes,
    /// All of these labels.
    pub label: Vec<(String, String)>,
    /// Part of the name, without case.
    pub search: Option<String>,
    /// After this name.
    pub after: Option<String>,
    /// Items at most.
    pub limit: usize,
}

const SELECT: &str = "select r.id, r.name, r.labels, r.description, v.version, r.revision, v.steps, v.column_types, \
    r.created_at, r.updated_at from recipes r join recipe_versions v on v.recipe_id = r.id";

/// The one place where a statement is put together: `SELECT` and a constant ending.
fn select(ending: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("{SELECT} {ending}"))
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
        reference: &SourceRef,
        scopes: &Scopes,
    ) -> Result<Option<RecipeRow>> {
        let query = match reference {
            SourceRef::Id(id) => sqlx::query_as(select(
                "and v.version = r.version where r.id = $1 and ($2::jsonb[] is null or r.labels @> any ($2))",
            ))
            .bind(*id),
            SourceRef::Name(name) => sqlx::query_as(select(
                "and v.version = r.version where r.name = $1 and ($2::jsonb[] is null or r.labels @> any ($2))",
            ))
            .bind(name),
        };
        let query = query.bind(scopes.documents());
        bounded(async { query.fetch_optional(&self.pool).await.map_err(failed) }).await
    }

    /// A page of recipes, by name.
    pub async fn list_recipes(&self, filter: &RecipeFilter) -> Result<Page<RecipeRow>> {
        let labels: Vec<Json<BTreeMap<&str, &str>>> = filter
            .label
            .iter()
            .map(|(key, value)| Json([(key.as_str(), value.as_str())].into()))
            .collect();
        let most = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let query = sqlx::query_as(select(
            "and v.version = r.version where r.labels @> all ($1) \
             and ($2::text is null or strpos(lower(r.name), lower($2)) > 0) \
             and ($3::text is null or r.name > $3) \
             and ($5::jsonb[] is null or r.labels @> any ($5)) \
             order by r.name limit $4",
        ))
        .bind(labels)
        .bind(&filter.search)
        .bind(&filter.after)
        .bind(most.saturating_add(1))
        .bind(filter.scopes.documents());
        let mut items: Vec<RecipeRow> =
            bounded(async { query.fetch_all(&self.pool).await.map_err(failed) }).await?;
        let more = items.len() > filter.limit;
        items.truncate(filter.limit);
        let next = more
            .then(|| items.last().map(|row| row.name.clone()))
            .flatten();
        Ok(Page { items, next })
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
        .map_err(|error| name_taken(error, &new.name))?;
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
    .map_err(|error| name_taken(error, &name))?;
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
    let revision = revision.ok_or_else(|| Error::new(Kind::NotFound, "the recipe is gone"))?;
    if expected.is_some_and(|expected| expected != revision) {
        return Err(Error::new(
            Kind::PreconditionFailed,
            "the recipe changed in the meantime",
        )
        .hint("GET it again and repeat the change with its new ETag"));
    }
    Ok(())
}

async fn read(connection: &mut PgConnection, id: Uuid) -> Result<RecipeRow> {
    sqlx::query_as(select("and v.version = r.version where r.id = $1"))
        .bind(id)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

fn name_taken(error: sqlx::Error, name: &str) -> Error {
    match &error {
        sqlx::Error::Database(said) if said.is_unique_violation() => {
            let message = format!("there is already a recipe `{name}`");
            Error::new(Kind::Conflict, message.clone())
                .code("name_taken")
                .hint("choose another name, or change the existing recipe")
                .at("/name", message)
        }
        _ => failed(error),
    }
}
