//! `/v1/sources`: register, list, read, change, remove.

mod model;
pub mod streams;
pub mod test;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;
use weir_core::secret::MASK;
use weir_core::{AnyConnector, Error, Kind, Result, config};
use weir_store::{NewSource, SourceChange, SourceFilter, SourceRef, SourceRow};

use crate::auth::{Caller, Editor, Reader, Role};
use crate::extract::{Json, Query};
use crate::problem::ApiResult;
use crate::state::App;
use crate::{etag, paging};
pub use model::{SourceCreate, SourcePage, SourcePatch, SourceView};
use model::{check_name, merge, split, split_path};

/// Finds a source by id, name or `@kind.name`, inside of what the caller may see.
pub async fn find(app: &App, caller: &Caller, given: &str) -> Result<SourceRow> {
    let missing = || {
        Error::new(Kind::NotFound, format!("no source `{given}`"))
            .hint("GET /v1/sources lists the sources your key may see")
    };
    let (kind, name) = match given.strip_prefix('@').and_then(|r| r.split_once('.')) {
        Some((kind, name)) => (Some(kind), name),
        None => (None, given),
    };
    let reference = match uuid::Uuid::try_parse(name) {
        Ok(id) => SourceRef::Id(id),
        Err(_) => SourceRef::Name(name.to_owned()),
    };
    let row = app
        .store
        .find_source(&reference, &caller.scopes)
        .await?
        .ok_or_else(missing)?;
    if kind.is_some_and(|kind| kind != row.connector) {
        return Err(missing());
    }
    Ok(row)
}

fn answer(status: StatusCode, row: SourceRow) -> Response {
    let tag = etag::of(row.version);
    let mut response = (status, axum::Json(SourceView::of(row))).into_response();
    response.headers_mut().insert(ETAG, tag);
    response
}

fn connector<'a>(app: &'a App, kind: &str) -> Result<&'a dyn AnyConnector> {
    let found = app.registry.get(kind).map_err(|error| {
        let message = error.message().to_owned();
        Error::invalid("/connector", message)
            .code("unknown_connector")
            .hint("GET /v1/connectors lists what this build has")
    })?;
    Ok(found.as_ref())
}

/// Register a source
#[utoipa::path(post, path = "/v1/sources", operation_id = "create_source", tag = "sources",
    request_body = SourceCreate,
    responses((status = 201, description = "Registered", body = SourceView,
        headers(("ETag" = String), ("Location" = String)))))]
pub async fn create(
    State(app): State<App>,
    Editor(caller): Editor,
    Json(body): Json<SourceCreate>,
) -> ApiResult<Response> {
    check_name(&body.name)?;
    caller.check_inside(&body.labels)?;
    let connector = connector(&app, &body.connector)?;
    let whole = Value::Object(body.config);
    connector
        .check(&whole)
        .map_err(|error| error.under("/config"))?;
    let parts = split(connector, whole);
    let new = NewSource {
        id: uuid::Uuid::now_v7(),
        name: body.name,
        connector: body.connector,
        config: parts.open,
        config_version: connector.descriptor().config_version as i32,
        labels: body.labels,
        metadata: Value::Object(body.metadata),
        description: body.description,
        secrets: parts.secrets,
    };
    let row = app.store.create_source(new, &caller.actor()).await?;
    let location = HeaderValue::from_str(&format!("/v1/sources/{}", row.id));
    let mut response = answer(StatusCode::CREATED, row);
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Which sources to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Items in the page, 1 to 1000.
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only this kind of connector.
    pub connector: Option<String>,
    /// Only with this label, `key:value`.
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
    Query(query): Query<ListQuery>,
) -> ApiResult<axum::Json<SourcePage>> {
    let label = query.label.as_deref().map(parse_label).transpose()?;
    let page = app
        .store
        .list_sources(&SourceFilter {
            connector: query.connector,
            scopes: caller.scopes,
            label: label.into_iter().collect(),
            search: query.search,
            after: paging::place(query.cursor.as_deref())?,
            limit: paging::size(query.limit, app.limits.page_items)?,
        })
        .await?;
    Ok(axum::Json(SourcePage {
        next_cursor: page.next.as_deref().map(paging::cursor),
        items: page.items.into_iter().map(SourceView::of).collect(),
    }))
}

fn parse_label(text: &str) -> Result<(String, String)> {
    let (key, value) = text
        .split_once(':')
        .ok_or_else(|| Error::invalid("?label", format!("`{text}` is not `key:value`")))?;
    Ok((key.to_owned(), value.to_owned()))
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
    if etag::not_modified(&headers, row.version) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag::of(row.version))]).into_response());
    }
    Ok(answer(StatusCode::OK, row))
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
    etag::if_match(&headers, row.version)?;
    if let Some(name) = &patch.name {
        check_name(name)?;
    }
    let (open, secrets) = match &patch.config {
        Some(changes) => {
            let parts = changed_config(&app, &row, changes, caller.role).await?;
            (Some(parts.open), Some(parts.secrets))
        }
        None => (None, None),
    };
    let labels = patch.labels.map(|l| changed_labels(&row, l)).transpose()?;
    if let Some(labels) = &labels {
        caller.check_inside(labels)?;
    }
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
    };
    // The patch was merged with this version, so it must still be the one.
    let changed = app
        .store
        .update_source(row.id, Some(row.version), change, &caller.actor())
        .await?;
    app.forget(row.id);
    Ok(answer(StatusCode::OK, changed))
}

fn changed_labels(
    row: &SourceRow,
    patch: serde_json::Map<String, Value>,
) -> Result<std::collections::BTreeMap<String, String>> {
    let mut labels = row.labels.clone();
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

/// Merges `changes` into the config. A field that says *where* may not change
/// while sealed secrets stay, or an editor could send them to his own server.
async fn changed_config(
    app: &App,
    row: &SourceRow,
    changes: &serde_json::Map<String, Value>,
    role: Role,
) -> Result<model::Split> {
    let connector = connector(app, &row.connector)?;
    let before = app.whole_config(row).await?;
    let mut after = row.config.clone();
    for field in &row.secret_fields {
        config::put(&mut after, &split_path(field), MASK.into());
    }
    merge(&mut after, &Value::Object(changes.clone()));
    let mut kept = false;
    for path in &connector.facts().secret {
        if config::get(&after, path).and_then(Value::as_str) != Some(MASK) {
            continue;
        }
        let Some(old) = config::get(&before, path) else {
            let pointer = format!("/config/{}", path.join("/"));
            return Err(Error::invalid(
                pointer,
                "`***` means unchanged, but no value is stored here",
            ));
        };
        config::put(&mut after, path, old.clone());
        kept = true;
    }
    connector
        .check(&after)
        .map_err(|error| error.under("/config"))?;
    if kept && role < Role::Admin {
        let moved = connector
            .facts()
            .endpoint
            .iter()
            .find(|path| config::get(&before, path) != config::get(&after, path));
        if let Some(path) = moved {
            let pointer = format!("/config/{}", path.join("/"));
            return Err(Error::invalid(
                pointer,
                "this field says where the secrets go, so they must be given again",
            )
            .code("secrets_required")
            .hint("send every secret field with its value in the same request, or ask an admin"));
        }
    }
    Ok(split(connector, after))
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
    let expected = etag::if_match(&headers, row.version)?;
    let actor = caller.actor();
    app.store.delete_source(row.id, expected, &actor).await?;
    app.forget(row.id);
    Ok(StatusCode::NO_CONTENT)
}
