//! `/v1/recipes`: steps with a name, used wherever steps are taken.
//!
//! Steps are understood before they are kept, so that a recipe that was saved
//! fails at most at the columns it meets.

mod model;
mod named;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;
use weir_core::{Error, Result};
use weir_engine::steps::Pipeline;
use weir_store::{NewRecipe, RecipeChange, RecipeRow, Steps};

use crate::auth::{Caller, Editor, Reader};
use crate::credentials::VersionsQuery;
use crate::extract::{Json, ListOf, Query};
use crate::lookup::{Asked, filter, missing, reference};
use crate::problem::ApiResult;
use crate::rows::steps::column_types;
use crate::sources::{changed_labels, check_name};
use crate::state::App;
use crate::{etag, paging};
pub use model::{
    RecipeCreate, RecipePage, RecipePatch, RecipeVersion, RecipeVersionPage, RecipeView,
};
pub use named::{Named, named};

/// Bytes of the steps and types of a recipe at most, as JSON.
const LONGEST: usize = 256 << 10;

/// Finds a recipe by id or name, inside of what the caller may see.
async fn find(app: &App, caller: &Caller, given: &str) -> Result<RecipeRow> {
    let found = app
        .store
        .find_recipe(&reference(given), &caller.scopes)
        .await?;
    found.ok_or_else(|| missing("recipe", given))
}

fn answer(status: StatusCode, row: RecipeRow) -> Response {
    let (id, revision) = (row.id, row.revision);
    etag::answer(status, id, revision, RecipeView::of(row))
}

/// Steps that can be kept.
fn checked(steps: Vec<Value>, types: Option<Map<String, Value>>) -> Result<Steps> {
    let types = types.filter(|types| !types.is_empty());
    let length = |bytes: serde_json::Result<Vec<u8>>| bytes.map_or(0, |bytes| bytes.len());
    let size = length(serde_json::to_vec(&steps)) + length(serde_json::to_vec(&types));
    if size > LONGEST {
        let message = format!("the steps of a recipe have at most {LONGEST} bytes as JSON");
        return Err(Error::invalid("/steps", message));
    }
    Pipeline::parse(&steps, "/steps")?;
    if let Some(types) = &types {
        column_types(types, &|name| format!("/column_types{name}"))?;
    }
    Ok(Steps {
        steps,
        column_types: types,
    })
}

/// Keep a recipe
#[utoipa::path(post, path = "/v1/recipes", operation_id = "create_recipe", tag = "recipes",
    request_body = RecipeCreate,
    responses((status = 201, description = "Kept", body = RecipeView,
        headers(("ETag" = String), ("Location" = String)))))]
pub async fn create(
    State(app): State<App>,
    Editor(caller): Editor,
    Json(body): Json<RecipeCreate>,
) -> ApiResult<Response> {
    check_name(&body.name)?;
    caller.check_inside(&body.labels)?;
    let new = NewRecipe {
        id: uuid::Uuid::now_v7(),
        name: body.name,
        labels: body.labels,
        description: body.description,
        steps: checked(body.steps, body.column_types)?,
    };
    let row = app.store.create_recipe(new, &caller.actor()).await?;
    let path = format!("/v1/recipes/{}", row.id);
    Ok(etag::created(answer(StatusCode::CREATED, row), &path))
}

/// Which recipes to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Items in the page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only with this label, `key:value`; may be repeated.
    #[expect(dead_code, reason = "taken out before, for a form cannot be repeated")]
    #[param(value_type = Option<Vec<String>>)]
    pub label: Option<String>,
    /// Part of the name, without case.
    pub search: Option<String>,
}

/// List recipes
#[utoipa::path(get, path = "/v1/recipes", operation_id = "list_recipes", tag = "recipes",
    params(ListQuery), responses((status = 200, description = "A page", body = RecipePage)))]
pub async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    ListOf { query, labels }: ListOf<ListQuery>,
) -> ApiResult<axum::Json<RecipePage>> {
    let asked = Asked {
        labels,
        search: query.search,
        cursor: query.cursor,
        limit: query.limit,
    };
    let filter = filter(&app, caller, asked)?;
    let page = app.store.list_recipes(&filter).await?;
    Ok(axum::Json(RecipePage {
        next_cursor: page.next.as_deref().map(paging::cursor),
        items: page.items.into_iter().map(RecipeView::of).collect(),
    }))
}

/// Read a recipe
#[utoipa::path(get, path = "/v1/recipes/{recipe}", operation_id = "get_recipe", tag = "recipes",
    params(("recipe" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The recipe", body = RecipeView, headers(("ETag" = String)))))]
pub async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(recipe): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let row = find(&app, &caller, &recipe).await?;
    let (id, version) = (row.id, row.revision);
    Ok(etag::read(&headers, id, version, || RecipeView::of(row)))
}

/// Change a recipe
#[utoipa::path(patch, path = "/v1/recipes/{recipe}", operation_id = "update_recipe", tag = "recipes",
    params(("recipe" = String, Path, description = "Id or name"),
        ("If-Match" = Option<String>, Header, description = "Change only this version")),
    request_body(content = RecipePatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = RecipeView, headers(("ETag" = String)))))]
pub async fn update(
    State(app): State<App>,
    Editor(caller): Editor,
    Path(recipe): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<RecipePatch>,
) -> ApiResult<Response> {
    let row = find(&app, &caller, &recipe).await?;
    etag::if_match(&headers, row.id, row.revision)?;
    if let Some(name) = &patch.name {
        check_name(name)?;
    }
    let labels = patch
        .labels
        .map(|labels| changed_labels(&row.labels, labels))
        .transpose()?;
    if let Some(labels) = &labels {
        caller.check_inside(labels)?;
    }
    let change = RecipeChange {
        name: patch.name,
        labels,
        description: patch.description,
        steps: changed_steps(row.steps, row.column_types, patch.steps, patch.column_types)?,
    };
    // The patch was merged with this revision, so it must still be the one.
    let changed = app
        .store
        .update_recipe(row.id, Some(row.revision), change, &caller.actor())
        .await?;
    Ok(answer(StatusCode::OK, changed))
}

/// The steps and types that a patch gives, where they are others than before.
fn changed_steps(
    steps: Vec<Value>,
    types: Option<Map<String, Value>>,
    new_steps: Option<Vec<Value>>,
    new_types: Option<Option<Map<String, Value>>>,
) -> Result<Option<Steps>> {
    if new_steps.is_none() && new_types.is_none() {
        return Ok(None);
    }
    let before = Steps {
        steps,
        column_types: types,
    };
    let steps = new_steps.unwrap_or_else(|| before.steps.clone());
    let types = match new_types {
        None => before.column_types.clone(),
        Some(None) => None,
        Some(Some(given)) => Some(merged(before.column_types.clone(), given)),
    };
    let after = checked(steps, types)?;
    Ok((after != before).then_some(after))
}

fn merged(types: Option<Map<String, Value>>, given: Map<String, Value>) -> Map<String, Value> {
    let mut types = types.unwrap_or_default();
    for (name, value) in given {
        match value {
            Value::Null => types.shift_remove(&name),
            value => types.insert(name, value),
        };
    }
    types
}

/// Remove a recipe
#[utoipa::path(delete, path = "/v1/recipes/{recipe}", operation_id = "delete_recipe", tag = "recipes",
    params(("recipe" = String, Path, description = "Id or name"),
        ("If-Match" = Option<String>, Header, description = "Remove only this version")),
    responses((status = 204, description = "Removed, with all its versions")))]
pub async fn delete(
    State(app): State<App>,
    Editor(caller): Editor,
    Path(recipe): Path<String>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let row = find(&app, &caller, &recipe).await?;
    let expected = etag::if_match(&headers, row.id, row.revision)?;
    app.store
        .delete_recipe(row.id, expected, &caller.actor())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the versions of a recipe
#[utoipa::path(get, path = "/v1/recipes/{recipe}/versions", operation_id = "list_recipe_versions",
    tag = "recipes", params(("recipe" = String, Path, description = "Id or name"), VersionsQuery),
    responses((status = 200, description = "Every version, newest first", body = RecipeVersionPage)))]
pub async fn versions(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(recipe): Path<String>,
    Query(query): Query<VersionsQuery>,
) -> ApiResult<axum::Json<RecipeVersionPage>> {
    let row = find(&app, &caller, &recipe).await?;
    let limit = paging::size(query.limit, app.limits.page_items)?;
    let before = paging::place(query.cursor.as_deref())?
        .map(|place| {
            place
                .parse()
                .map_err(|_| Error::invalid("?cursor", "the cursor is not one of this list"))
        })
        .transpose()?;
    let mut rows = app.store.recipe_versions(row.id, before, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    Ok(axum::Json(RecipeVersionPage {
        next_cursor: rows
            .last()
            .filter(|_| more)
            .map(|row| paging::cursor(&row.version.to_string())),
        items: rows.into_iter().map(RecipeVersion::of).collect(),
    }))
}
