//! `/v1/sources`: register, list, read, change, remove.

pub mod doctor;
pub mod file;
mod model;
mod save;
pub mod streams;
pub mod test;

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;
use weir_core::{AnyConnector, Error, Result, config};
use weir_store::{ListFilter, NewSource, SourceChange, SourceRow};

use crate::auth::{Caller, Editor, Reader};
use crate::extract::{Json, ListOf, Query};
use crate::lookup::{Asked, filter, missing, reference};
use crate::problem::ApiResult;
use crate::state::App;
use crate::{etag, paging};
use model::merge;
pub use model::{SourceCreate, SourcePage, SourcePatch, SourceView};
pub use model::{check_name, split_path};

/// Finds a source by id, name or `@kind.name`, inside of what the caller may see.
pub async fn find(app: &App, caller: &Caller, given: &str) -> Result<SourceRow> {
    let (kind, name) = match given.strip_prefix('@').and_then(|r| r.split_once('.')) {
        Some((kind, name)) => (Some(kind), name),
        None => (None, given),
    };
    let row = app
        .store
        .find_source(&reference(name), &caller.scopes)
        .await?
        .ok_or_else(|| missing("source", given))?;
    if kind.is_some_and(|kind| kind != row.connector) {
        return Err(missing("source", given));
    }
    Ok(row)
}

fn answer(status: StatusCode, row: SourceRow) -> Response {
    let (id, version) = (row.id, row.version);
    etag::answer(status, id, version, SourceView::of(row))
}

/// The connector of a source that is being saved.
pub fn connector<'a>(app: &'a App, kind: &str) -> Result<&'a dyn AnyConnector> {
    let found = app.registry.get(kind).map_err(|error| {
        let message = error.message().to_owned();
        Error::invalid("/connector", message)
            .code("unknown_connector")
            .hint("GET /v1/connectors lists what this build has")
    })?;
    Ok(found.as_ref())
}

/// How to register a source.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CreateQuery {
    /// Test it first, and keep it only when the test succeeds; else 424 says which step failed.
    pub test: Option<bool>,
}

/// Register a source
#[utoipa::path(post, path = "/v1/sources", operation_id = "create_source", tag = "sources",
    params(CreateQuery), request_body = SourceCreate,
    responses((status = 201, description = "Registered", body = SourceView,
        headers(("ETag" = String), ("Location" = String)))))]
pub async fn create(
    State(app): State<App>,
    Editor(caller): Editor,
    Query(query): Query<CreateQuery>,
    Json(body): Json<SourceCreate>,
) -> ApiResult<Response> {
    check_name(&body.name)?;
    caller.check_inside(&body.labels)?;
    let connector = connector(&app, &body.connector)?;
    let wish = save::Wish {
        name: Some(&body.name),
        labels: &body.labels,
        config: body.config,
        credential: body.credential.as_deref(),
    };
    let ready = save::fresh(&app, &caller, connector, wish).await?;
    let tested = match query.test {
        Some(true) => Some(test::before_saving(&app, connector, &ready.effective).await?),
        _ => None,
    };
    let new = NewSource {
        id: uuid::Uuid::now_v7(),
        name: body.name,
        connector: body.connector,
        config: ready.parts.open,
        config_version: connector.descriptor().config_version as i32,
        labels: body.labels,
        metadata: Value::Object(body.metadata),
        description: body.description,
        secrets: ready.parts.secrets,
        attached: ready.credential.map(|credential| credential.id),
        managed_by: None,
    };
    let mut row = app.store.create_source(new, &caller.actor()).await?;
    if let Some(tested) = tested {
        app.store.record_test(row.id, tested.clone()).await?;
        row.last_test = Some(tested);
    }
    let path = format!("/v1/sources/{}", row.id);
    Ok(etag::created(answer(StatusCode::CREATED, row), &path))
}

/// Which sources to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Items in the page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only this kind of connector.
    pub connector: Option<String>,
    /// Only with this label, `key:value`; may be repeated.
    #[expect(dead_code, reason = "taken out before, for a form cannot be repeated")]
    #[param(value_type = Option<Vec<String>>)]
    pub label: Option<String>,
    /// Part of the name, without case.
    pub search: Option<String>,
}

/// List sources
#[utoipa::path(get, path = "/v1/sources", operation_id = "list_sources", tag = "sources",
    params(ListQuery), responses((status = 200, description = "A page", body = SourcePage)))]
pub async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    ListOf { query, labels }: ListOf<ListQuery>,
) -> ApiResult<axum::Json<SourcePage>> {
    let asked = Asked {
        labels,
        search: query.search,
        cursor: query.cursor,
        limit: query.limit,
    };
    let filter = ListFilter {
        connector: query.connector,
        ..filter(&app, caller, asked)?
    };
    let page = app.store.list_sources(&filter).await?;
    Ok(axum::Json(SourcePage {
        next_cursor: page.next.as_deref().map(paging::cursor),
        items: page.items.into_iter().map(SourceView::of).collect(),
    }))
}

/// Read a source
#[utoipa::path(get, path = "/v1/sources/{source}", operation_id = "get_source", tag = "sources",
    params(("source" = String, Path, description = "Id, name or `@kind.name`")),
    responses((status = 200, description = "The source", body = SourceView, headers(("ETag" = String)))))]
pub async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(source): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let row = find(&app, &caller, &source).await?;
    let (id, version) = (row.id, row.version);
    Ok(etag::read(&headers, id, version, || SourceView::of(row)))
}

/// Change a source
#[utoipa::path(patch, path = "/v1/sources/{source}", operation_id = "update_source", tag = "sources",
    params(("source" = String, Path, description = "Id, name or `@kind.name`"),
        ("If-Match" = Option<String>, Header, description = "Change only this version")),
    request_body(content = SourcePatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = SourceView, headers(("ETag" = String)))))]
pub async fn update(
    State(app): State<App>,
    Editor(caller): Editor,
    Path(source): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<SourcePatch>,
) -> ApiResult<Response> {
    let row = find(&app, &caller, &source).await?;
    etag::if_match(&headers, row.id, row.version)?;
    if let Some(name) = &patch.name {
        check_name(name)?;
    }
    let labels = match &patch.labels {
        Some(labels) => Some(changed_labels(&row.labels, labels.clone())?),
        None => None,
    };
    if let Some(labels) = &labels {
        caller.check_inside(labels)?;
    }
    let ready = save::changed(&app, &caller, &row, &patch).await?;
    let attached = ready
        .as_ref()
        .map(|ready| ready.credential.as_ref().map(|credential| credential.id));
    // Only a given config makes a new version of the secrets.
    let parts = ready
        .map(|ready| ready.parts)
        .filter(|_| patch.config.is_some());
    let (open, secrets) = parts.map(|parts| (parts.open, parts.secrets)).unzip();
    let change = SourceChange {
        name: patch.name,
        config: open,
        config_version: None,
        labels,
        metadata: patch.metadata.map(|m| {
            let mut merged = row.metadata.clone();
            merge(&mut merged, &Value::Object(m));
            merged
        }),
        description: patch.description,
        secrets,
        attached,
    };
    // The patch was merged with this version, so it must still be the one.
    let changed = app
        .store
        .update_source(row.id, Some(row.version), change, &caller.actor())
        .await?;
    app.forget(row.id);
    Ok(answer(StatusCode::OK, changed))
}

/// `patch` merged into labels.
pub fn changed_labels(
    labels: &BTreeMap<String, String>,
    patch: serde_json::Map<String, Value>,
) -> Result<BTreeMap<String, String>> {
    let mut labels = labels.clone();
    for (key, value) in patch {
        match value {
            Value::Null => {
                labels.remove(&key);
            }
            Value::String(text) => {
                labels.insert(key, text);
            }
            _ => {
                let pointer = format!("/labels/{}", config::escape_pointer(&key));
                return Err(Error::invalid(
                    pointer,
                    "a label is text, or null to remove it",
                ));
            }
        }
    }
    Ok(labels)
}

/// Remove a source
#[utoipa::path(delete, path = "/v1/sources/{source}", operation_id = "delete_source", tag = "sources",
    params(("source" = String, Path, description = "Id, name or `@kind.name`"),
        ("If-Match" = Option<String>, Header, description = "Remove only this version")),
    responses((status = 204, description = "Removed")))]
pub async fn delete(
    State(app): State<App>,
    Editor(caller): Editor,
    Path(source): Path<String>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let row = find(&app, &caller, &source).await?;
    let expected = etag::if_match(&headers, row.id, row.version)?;
    let actor = caller.actor();
    app.store.delete_source(row.id, expected, &actor).await?;
    app.forget(row.id);
    Ok(StatusCode::NO_CONTENT)
}
