//! `/v1/credentials`: values go in and never come out.

pub mod attach;
pub mod change;
pub mod hosts;
mod model;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use weir_core::{Error, Result};
use weir_store::{Act, CredentialChange, CredentialRow, ListFilter, NewCredential};

use crate::auth::{Admin, Caller, Editor, Reader};
use crate::extract::{Json, ListOf, Query};
use crate::lookup::{Asked, filter, missing, reference};
use crate::problem::ApiResult;
use crate::sources::{changed_labels, check_name};
use crate::state::App;
use crate::{etag, paging};
pub use model::{
    CredentialCreate, CredentialPage, CredentialPatch, CredentialResolved, CredentialRotate,
    CredentialVersion, CredentialVersionPage, CredentialView, VersionMaker, given,
};
use model::{ResolvedField, UsedBy, masked};

/// Sources that `resolve` names at most.
const USERS: usize = 100;

/// Finds a credential by id or name, inside of what the caller may see.
pub async fn find(app: &App, caller: &Caller, given: &str) -> Result<CredentialRow> {
    let found = app
        .store
        .find_credential(&reference(given), &caller.scopes)
        .await?;
    found.ok_or_else(|| missing("credential", given))
}

fn answer(status: StatusCode, row: CredentialRow) -> Response {
    let (id, version) = (row.id, row.revision);
    etag::answer(status, id, version, CredentialView::of(row))
}

fn check_kind(kind: Option<&str>) -> Result<()> {
    match kind {
        Some(kind) => check_name(kind).map_err(|_| {
            Error::invalid(
                "/kind",
                "a kind is the kind of a connector, such as postgres",
            )
        }),
        None => Ok(()),
    }
}

/// Keep a credential
#[utoipa::path(post, path = "/v1/credentials", operation_id = "create_credential", tag = "credentials",
    request_body = CredentialCreate,
    responses((status = 201, description = "Kept", body = CredentialView,
        headers(("ETag" = String), ("Location" = String)))))]
pub async fn create(
    State(app): State<App>,
    Editor(caller): Editor,
    Json(body): Json<CredentialCreate>,
) -> ApiResult<Response> {
    check_name(&body.name)?;
    check_kind(body.kind.as_deref())?;
    caller.check_inside(&body.labels)?;
    change::check_lists(body.allowed_hosts.as_ref(), body.allowed_sources.as_ref())?;
    let new = NewCredential {
        id: uuid::Uuid::now_v7(),
        name: body.name,
        kind: body.kind,
        fields: change::first(Some(&caller), &body.fields)?,
        labels: body.labels,
        description: body.description,
        allowed_hosts: body.allowed_hosts,
        allowed_sources: body.allowed_sources,
        managed_by: None,
    };
    let row = app.store.create_credential(new, &caller.actor()).await?;
    let path = format!("/v1/credentials/{}", row.id);
    Ok(etag::created(answer(StatusCode::CREATED, row), &path))
}

/// Which credentials to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Items in the page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this kind, or attached by a source of this connector.
    pub connector: Option<String>,
    /// Only with this label, `key:value`; may be repeated.
    #[expect(dead_code, reason = "taken out before, for a form cannot be repeated")]
    #[param(value_type = Option<Vec<String>>)]
    pub label: Option<String>,
    /// Part of the name, without case.
    pub search: Option<String>,
}

/// List credentials
#[utoipa::path(get, path = "/v1/credentials", operation_id = "list_credentials", tag = "credentials",
    params(ListQuery), responses((status = 200, description = "A page", body = CredentialPage)))]
pub async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    ListOf { query, labels }: ListOf<ListQuery>,
) -> ApiResult<axum::Json<CredentialPage>> {
    let asked = Asked {
        labels,
        search: query.search,
        cursor: query.cursor,
        limit: query.limit,
    };
    let filter = ListFilter {
        kind: query.kind,
        connector: query.connector,
        ..filter(&app, caller, asked)?
    };
    let page = app.store.list_credentials(&filter).await?;
    Ok(axum::Json(CredentialPage {
        next_cursor: page.next.as_deref().map(paging::cursor),
        items: page.items.into_iter().map(CredentialView::of).collect(),
    }))
}

/// Read a credential
#[utoipa::path(get, path = "/v1/credentials/{credential}", operation_id = "get_credential", tag = "credentials",
    params(("credential" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The credential, without values", body = CredentialView,
        headers(("ETag" = String)))))]
pub async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(credential): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let row = find(&app, &caller, &credential).await?;
    let (id, version) = (row.id, row.revision);
    Ok(etag::read(&headers, id, version, || {
        CredentialView::of(row)
    }))
}

/// Change a credential
#[utoipa::path(patch, path = "/v1/credentials/{credential}", operation_id = "update_credential", tag = "credentials",
    params(("credential" = String, Path, description = "Id or name"),
        ("If-Match" = Option<String>, Header, description = "Change only this version")),
    request_body(content = CredentialPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = CredentialView, headers(("ETag" = String)))))]
pub async fn update(
    State(app): State<App>,
    Editor(caller): Editor,
    Path(credential): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<CredentialPatch>,
) -> ApiResult<Response> {
    let row = find(&app, &caller, &credential).await?;
    etag::if_match(&headers, row.id, row.revision)?;
    let changed = apply(&app, &caller, &row, "credential.update", patch).await?;
    Ok(answer(StatusCode::OK, changed))
}

/// Give a credential new values
///
/// Every instance opens the sources that use it anew; running loads finish with
/// the connections they have.
#[utoipa::path(post, path = "/v1/credentials/{credential}/rotate", operation_id = "rotate_credential", tag = "credentials",
    params(("credential" = String, Path, description = "Id or name"),
        ("If-Match" = Option<String>, Header, description = "Change only this version")),
    request_body = CredentialRotate,
    responses((status = 200, description = "Rotated", body = CredentialView, headers(("ETag" = String)))))]
pub async fn rotate(
    State(app): State<App>,
    Editor(caller): Editor,
    Path(credential): Path<String>,
    headers: HeaderMap,
    Json(body): Json<CredentialRotate>,
) -> ApiResult<Response> {
    let row = find(&app, &caller, &credential).await?;
    etag::if_match(&headers, row.id, row.revision)?;
    if body.fields.is_empty() {
        let message = "a rotation gives at least one field a new value";
        return Err(Error::invalid("/fields", message).into());
    }
    let patch = CredentialPatch {
        fields: Some(body.fields),
        ..CredentialPatch::default()
    };
    let changed = apply(&app, &caller, &row, "credential.rotate", patch).await?;
    Ok(answer(StatusCode::OK, changed))
}

async fn apply(
    app: &App,
    caller: &Caller,
    row: &CredentialRow,
    action: &'static str,
    patch: CredentialPatch,
) -> Result<CredentialRow> {
    if let Some(name) = &patch.name {
        check_name(name)?;
    }
    check_kind(patch.kind.as_ref().and_then(Option::as_deref))?;
    let hosts = patch.allowed_hosts.as_ref().and_then(Option::as_ref);
    let sources = patch.allowed_sources.as_ref().and_then(Option::as_ref);
    change::check_lists(hosts, sources)?;
    let labels = patch
        .labels
        .map(|labels| changed_labels(&row.labels, labels))
        .transpose()?;
    if let Some(labels) = &labels {
        caller.check_inside(labels)?;
    }
    let fields = match &patch.fields {
        Some(given) => change::merged(app, Some(caller), row, given).await?,
        None => None,
    };
    // What binds may be said again, but changed only with the values.
    let unbound = [
        (
            "kind",
            patch.kind.as_ref().is_some_and(|new| *new != row.kind),
        ),
        (
            "allowed_hosts",
            patch
                .allowed_hosts
                .as_ref()
                .is_some_and(|new| *new != row.allowed_hosts),
        ),
        (
            "allowed_sources",
            patch
                .allowed_sources
                .as_ref()
                .is_some_and(|new| *new != row.allowed_sources),
        ),
    ];
    let unbound = unbound
        .iter()
        .find(|(_, changed)| *changed)
        .map(|(part, _)| *part);
    change::permit(app, caller, row, fields.as_ref(), unbound).await?;
    if let Some(fields) = &fields {
        change::refuse_clash(app, caller, row, fields).await?;
    }
    let change = CredentialChange {
        name: patch.name,
        kind: patch.kind,
        fields,
        labels,
        description: patch.description,
        allowed_hosts: patch.allowed_hosts,
        allowed_sources: patch.allowed_sources,
    };
    // The patch was merged with this revision, so it must still be the one.
    let changed = app
        .store
        .update_credential(
            row.id,
            Some(row.revision),
            action,
            change,
            &caller.scopes,
            &caller.actor(),
        )
        .await?;
    app.forget_credential(row.id);
    Ok(changed)
}

/// Remove a credential
#[utoipa::path(delete, path = "/v1/credentials/{credential}", operation_id = "delete_credential", tag = "credentials",
    params(("credential" = String, Path, description = "Id or name"),
        ("If-Match" = Option<String>, Header, description = "Remove only this version")),
    responses((status = 204, description = "Removed; 409 `still_referenced` while sources use it")))]
pub async fn delete(
    State(app): State<App>,
    Editor(caller): Editor,
    Path(credential): Path<String>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let row = find(&app, &caller, &credential).await?;
    let expected = etag::if_match(&headers, row.id, row.revision)?;
    app.store
        .delete_credential(row.id, expected, &caller.scopes, &caller.actor())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A page of versions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VersionsQuery {
    /// Items in the page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// List the versions of a credential
#[utoipa::path(get, path = "/v1/credentials/{credential}/versions", operation_id = "list_credential_versions",
    tag = "credentials", params(("credential" = String, Path, description = "Id or name"), VersionsQuery),
    responses((status = 200, description = "Who changed which fields, newest first", body = CredentialVersionPage)))]
pub async fn versions(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(credential): Path<String>,
    Query(query): Query<VersionsQuery>,
) -> ApiResult<axum::Json<CredentialVersionPage>> {
    let row = find(&app, &caller, &credential).await?;
    let limit = paging::size(query.limit, app.limits.page_items)?;
    let before = paging::place(query.cursor.as_deref())?
        .map(|place| {
            place
                .parse()
                .map_err(|_| Error::invalid("?cursor", "the cursor is not one of this list"))
        })
        .transpose()?;
    let mut rows = app
        .store
        .credential_versions(row.id, before, limit + 1)
        .await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    Ok(axum::Json(CredentialVersionPage {
        next_cursor: rows
            .last()
            .filter(|_| more)
            .map(|row| paging::cursor(&row.version.to_string())),
        items: rows.into_iter().map(CredentialVersion::of).collect(),
    }))
}

/// What a credential holds, and who uses it
///
/// Opens every sealed field and says whether it could, without the values.
#[utoipa::path(post, path = "/v1/credentials/{credential}/resolve", operation_id = "resolve_credential", tag = "credentials",
    params(("credential" = String, Path, description = "Id or name")),
    responses((status = 200, description = "Its fields, masked, and the sources that use it", body = CredentialResolved)))]
pub async fn resolve(
    State(app): State<App>,
    Admin(caller): Admin,
    Path(credential): Path<String>,
) -> ApiResult<axum::Json<CredentialResolved>> {
    let row = find(&app, &caller, &credential).await?;
    let opened = app.store.credential_secrets(&row).await?;
    let mut users = app.store.credential_uses(&row, None, USERS + 1).await?;
    let used_by_truncated = users.len() > USERS;
    users.truncate(USERS);
    users.retain(|user| caller.scopes.contains(&user.labels));
    let fields = masked(&row)
        .into_iter()
        .map(|(field, value)| {
            let resolved = opened.iter().any(|(known, _)| *known == field);
            let kind = if value.is_object() {
                "reference"
            } else {
                "literal"
            };
            ResolvedField {
                field,
                kind,
                value,
                resolved,
            }
        })
        .collect();
    let act = Act {
        action: "credential.resolve",
        target_kind: "credential",
        target_id: Some(row.id),
        target_name: Some(row.name.clone()),
        details: json!({ "version": row.version }),
    };
    app.store.record_act(&caller.actor(), act).await?;
    Ok(axum::Json(CredentialResolved {
        id: row.id,
        name: row.name,
        version: row.version,
        fields,
        used_by: users.into_iter().map(UsedBy::of).collect(),
        used_by_truncated,
    }))
}
