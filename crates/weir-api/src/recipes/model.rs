//! What callers send and read of a recipe.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use weir_store::{RecipeRow, RecipeVersionRow};

use crate::credentials::{VersionMaker, given};

/// A new recipe.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeCreate {
    /// Unique; `^[a-z0-9][a-z0-9_-]{0,62}$`.
    #[schema(example = "clean", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// For filters and scopes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Steps in their order; `GET /v1/transforms` lists what there is.
    #[schema(value_type = Vec<Object>)]
    pub steps: Vec<Value>,
    /// What columns mean (`number`, `datetime`, …) or are read as (`int64`, …), by name.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub column_types: Option<Map<String, Value>>,
}

/// A change of a recipe: JSON Merge Patch (RFC 7396). A change of `steps` or
/// `column_types` makes a new version.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipePatch {
    /// A new name.
    pub name: Option<String>,
    /// A new description.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Merged into the labels.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    pub labels: Option<Map<String, Value>>,
    /// The whole new list.
    #[schema(value_type = Option<Vec<Object>>)]
    pub steps: Option<Vec<Value>>,
    /// Merged into the types.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    pub column_types: Option<Option<Map<String, Value>>>,
}

/// A recipe, with the steps it has now.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecipeView {
    /// Its id.
    pub id: uuid::Uuid,
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For filters and scopes.
    pub labels: BTreeMap<String, String>,
    /// Steps in their order.
    #[schema(value_type = Vec<Object>)]
    pub steps: Vec<Value>,
    /// What columns mean or are read as, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub column_types: Option<Map<String, Value>>,
    /// Grows when the steps or the types change; `name@version` names one for good.
    pub version: i32,
    /// Grows with every change; the ETag follows it.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl RecipeView {
    /// What callers see of `row`.
    pub fn of(row: RecipeRow) -> Self {
        RecipeView {
            id: row.id,
            name: row.name,
            description: row.description,
            labels: row.labels,
            steps: row.steps,
            column_types: row.column_types,
            version: row.version,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A page of recipes.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecipePage {
    /// The recipes, by name.
    pub items: Vec<RecipeView>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

/// A version of a recipe.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecipeVersion {
    /// Which.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub by: VersionMaker,
    /// Steps in their order.
    #[schema(value_type = Vec<Object>)]
    pub steps: Vec<Value>,
    /// What columns mean or are read as, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub column_types: Option<Map<String, Value>>,
}

impl RecipeVersion {
    /// What callers see of `row`.
    pub fn of(row: RecipeVersionRow) -> Self {
        RecipeVersion {
            version: row.version,
            created_at: row.created_at,
            by: VersionMaker {
                key_id: row.key_id,
                name: row.actor,
            },
            steps: row.steps,
            column_types: row.column_types,
        }
    }
}

/// Versions of a recipe.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecipeVersionPage {
    /// The versions, newest first; all of them are kept.
    pub items: Vec<RecipeVersion>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}
