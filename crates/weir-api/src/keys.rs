//! `/v1/api-keys`: make, list, change, rotate, revoke.
//!
//! A key is shown in the answer that makes it and never again: the store has
//! its hash only.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use weir_core::{Error, Kind, Result, Secret};
use weir_store::{ApiKeyChange, ApiKeyRow, NewApiKey, Rotation, Scopes};

use crate::auth::{Admin, Role, hash_key};
use crate::extract::{Json, OptionalJson, Query};
use crate::problem::ApiResult;
use crate::sources::check_name;
use crate::state::App;
use crate::{etag, paging};

/// Characters of a key that are kept readable, to recognize it in lists.
const PREFIX: usize = 12;
/// Scopes of a key at most.
const SCOPES: usize = 100;
/// Characters of a scope at most.
const SCOPE_LENGTH: usize = 256;
/// How long a rotated key may go on at most.
const OVERLAP: u64 = 7 * 24 * 3_600;

/// A new key: `weir_` and 32 random bytes as 43 characters.
pub fn new_key() -> Result<Secret> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::internal("the system gives no random bytes"))?;
    Ok(Secret::new(format!(
        "weir_{}",
        URL_SAFE_NO_PAD.encode(bytes)
    )))
}

fn prefix(key: &Secret) -> String {
    key.expose().chars().take(PREFIX).collect()
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyCreate {
    /// Unique; `^[a-z0-9][a-z0-9_-]{0,62}$`.
    #[schema(example = "dashboard", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Labels `key:value`: the key sees and makes only what carries one of
    /// them. None, and it sees everything. An admin key has none.
    #[serde(default)]
    #[schema(example = json!(["team:sales"]))]
    pub scopes: Vec<String>,
    /// When it stops working; without, never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A change of a key: JSON Merge Patch (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyPatch {
    /// A new name.
    pub name: Option<String>,
    /// A new role.
    pub role: Option<Role>,
    /// All new scopes; `null` removes them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    pub scopes: Option<Option<Vec<String>>>,
    /// A new end; `null` removes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

/// Tells `null` from a field that is not given.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// How to rotate a key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKeyRotate {
    /// How long the key before goes on, up to 7 days.
    #[serde(deserialize_with = "weir_core::config::whole")]
    #[schema(default = 0, maximum = 604_800)]
    pub overlap_seconds: u64,
}

/// A key as it is read back, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyView {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it sees and makes; empty for everything.
    pub scopes: Vec<String>,
    /// Its first characters.
    pub prefix: String,
    /// Grows with every change; the ETag follows it.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A key with what is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyShown {
    /// The key itself. It is not stored and cannot be shown again.
    #[schema(example = "weir_…")]
    pub key: String,
    /// What is known of it.
    pub api_key: ApiKeyView,
}

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyPage {
    /// The keys, by name.
    pub items: Vec<ApiKeyView>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

impl ApiKeyView {
    fn of(row: ApiKeyRow) -> Result<Self> {
        let role = Role::parse(&row.role);
        Ok(ApiKeyView {
            id: row.id,
            name: row.name,
            role: role.ok_or_else(|| Error::internal("a key with an unknown role"))?,
            scopes: row.scopes,
            prefix: row.prefix,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        })
    }
}

/// Finds a key by id or name.
async fn find(app: &App, given: &str) -> Result<ApiKeyRow> {
    let id = Uuid::try_parse(given).ok();
    let found = app.store.api_key(id, given).await?;
    found.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no api key `{given}`"))
            .hint("GET /v1/api-keys lists the keys")
    })
}

fn answer(status: StatusCode, row: ApiKeyRow) -> Result<Response> {
    let (id, version) = (row.id, row.version);
    Ok(etag::answer(status, id, version, ApiKeyView::of(row)?))
}

/// The one answer that has the key in it.
fn shown(status: StatusCode, row: ApiKeyRow, key: &Secret) -> Result<Response> {
    let (id, version) = (row.id, row.version);
    let body = ApiKeyShown {
        key: key.expose().to_owned(),
        api_key: ApiKeyView::of(row)?,
    };
    let mut response = etag::answer(status, id, version, body);
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

fn check_scopes(scopes: &[String], role: Role) -> Result<()> {
    if scopes.len() > SCOPES {
        let message = format!("a key has at most {SCOPES} scopes");
        return Err(Error::invalid("/scopes", message));
    }
    for (place, scope) in scopes.iter().enumerate() {
        let is_label = Scopes::parse(std::slice::from_ref(scope)).is_ok();
        if !is_label || scope.chars().count() > SCOPE_LENGTH {
            let message =
                format!("a scope is a label `key:value` of at most {SCOPE_LENGTH} characters");
            return Err(Error::invalid(format!("/scopes/{place}"), message));
        }
    }
    if role == Role::Admin && !scopes.is_empty() {
        let message = "an admin key has no scopes: it could make itself a key without them";
        return Err(Error::invalid("/scopes", message)
            .hint("make a reader or editor key with these scopes, or an admin key without any"));
    }
    Ok(())
}

fn check_end(end: Option<DateTime<Utc>>) -> Result<()> {
    if end.is_some_and(|at| at <= Utc::now()) {
        return Err(Error::invalid("/expires_at", "this time has passed")
            .hint("DELETE the key to revoke it at once"));
    }
    Ok(())
}

/// Make an api key
///
/// The key is in this answer only. With `Idempotency-Key`, a repeated request
/// is answered 409 `already_created` with the id: a lost key is rotated.
#[utoipa::path(post, path = "/v1/api-keys", operation_id = "create_api_key", tag = "keys",
    request_body = ApiKeyCreate,
    responses((status = 201, description = "Made", body = ApiKeyShown,
        headers(("ETag" = String), ("Location" = String)))))]
pub async fn create(
    State(app): State<App>,
    Admin(caller): Admin,
    Json(body): Json<ApiKeyCreate>,
) -> ApiResult<Response> {
    check_name(&body.name)?;
    check_scopes(&body.scopes, body.role)?;
    check_end(body.expires_at)?;
    let key = new_key()?;
    let new = NewApiKey {
        id: Uuid::now_v7(),
        name: body.name,
        role: body.role.name().to_owned(),
        hash: hash_key(&key),
        prefix: prefix(&key),
        scopes: body.scopes,
        expires_at: body.expires_at,
    };
    let row = app.store.create_api_key(new, &caller.actor()).await?;
    // The idempotency layer takes the id for `already_created` from here.
    let path = format!("/v1/api-keys/{}", row.id);
    let response = shown(StatusCode::CREATED, row, &key)?;
    Ok(etag::created(response, &path))
}

/// Which keys to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApiKeyQuery {
    /// Items in the page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// List api keys
#[utoipa::path(get, path = "/v1/api-keys", operation_id = "list_api_keys", tag = "keys",
    params(ApiKeyQuery), responses((status = 200, description = "A page", body = ApiKeyPage)))]
pub async fn list(
    State(app): State<App>,
    _: Admin,
    Query(query): Query<ApiKeyQuery>,
) -> ApiResult<axum::Json<ApiKeyPage>> {
    let after = paging::place(query.cursor.as_deref())?;
    let limit = paging::size(query.limit, app.limits.page_items)?;
    let page = app.store.list_api_keys(after, limit).await?;
    let items: Result<Vec<ApiKeyView>> = page.items.into_iter().map(ApiKeyView::of).collect();
    Ok(axum::Json(ApiKeyPage {
        items: items?,
        next_cursor: page.next.as_deref().map(paging::cursor),
    }))
}

/// Read an api key
#[utoipa::path(get, path = "/v1/api-keys/{key}", operation_id = "get_api_key", tag = "keys",
    params(("key" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The key, without the key itself", body = ApiKeyView,
        headers(("ETag" = String)))))]
pub async fn get(
    State(app): State<App>,
    _: Admin,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let row = find(&app, &key).await?;
    let (id, version) = (row.id, row.version);
    let view = ApiKeyView::of(row)?;
    Ok(etag::read(&headers, id, version, || view))
}

/// Change an api key
#[utoipa::path(patch, path = "/v1/api-keys/{key}", operation_id = "update_api_key", tag = "keys",
    params(("key" = String, Path, description = "Id or name"),
        ("If-Match" = Option<String>, Header, description = "Change only this version")),
    request_body(content = ApiKeyPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = ApiKeyView, headers(("ETag" = String)))))]
pub async fn update(
    State(app): State<App>,
    Admin(caller): Admin,
    Path(key): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<ApiKeyPatch>,
) -> ApiResult<Response> {
    let row = find(&app, &key).await?;
    etag::if_match(&headers, row.id, row.version)?;
    if let Some(name) = &patch.name {
        check_name(name)?;
    }
    let scopes = patch.scopes.map(Option::unwrap_or_default);
    let role = patch.role.or_else(|| Role::parse(&row.role));
    let effective = scopes.as_ref().unwrap_or(&row.scopes);
    check_scopes(effective, role.unwrap_or(Role::Reader))?;
    check_end(patch.expires_at.flatten())?;
    let change = ApiKeyChange {
        name: patch.name,
        role: patch.role.map(|role| role.name().to_owned()),
        scopes,
        expires_at: patch.expires_at,
    };
    // Role and scopes were checked together with this version's.
    let (expected, actor) = (Some(row.version), caller.actor());
    let changed = app
        .store
        .update_api_key(row.id, expected, change, &actor)
        .await?;
    app.keys().forget(row.id);
    Ok(answer(StatusCode::OK, changed)?)
}

/// Rotate an api key
///
/// Answers with a new key; the one before stops at once, or after the overlap.
#[utoipa::path(post, path = "/v1/api-keys/{key}/rotate", operation_id = "rotate_api_key", tag = "keys",
    params(("key" = String, Path, description = "Id or name")),
    request_body = Option<ApiKeyRotate>,
    responses((status = 200, description = "The new key", body = ApiKeyShown,
        headers(("ETag" = String)))))]
pub async fn rotate(
    State(app): State<App>,
    Admin(caller): Admin,
    Path(given): Path<String>,
    OptionalJson(asked): OptionalJson<ApiKeyRotate>,
) -> ApiResult<Response> {
    if asked.overlap_seconds > OVERLAP {
        let message = format!("the overlap is at most {OVERLAP} seconds");
        return Err(Error::invalid("/overlap_seconds", message).into());
    }
    let row = find(&app, &given).await?;
    let key = new_key()?;
    let rotation = Rotation {
        hash: hash_key(&key),
        prefix: prefix(&key),
        overlap: Duration::from_secs(asked.overlap_seconds),
    };
    let actor = caller.actor();
    let row = app.store.rotate_api_key(row.id, rotation, &actor).await?;
    app.keys().forget(row.id);
    Ok(shown(StatusCode::OK, row, &key)?)
}

/// Revoke an api key
///
/// It is refused at once on every instance; answers under way go on.
#[utoipa::path(delete, path = "/v1/api-keys/{key}", operation_id = "delete_api_key", tag = "keys",
    params(("key" = String, Path, description = "Id or name"),
        ("If-Match" = Option<String>, Header, description = "Revoke only this version")),
    responses((status = 204, description = "Revoked")))]
pub async fn delete(
    State(app): State<App>,
    Admin(caller): Admin,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let row = find(&app, &key).await?;
    let expected = etag::if_match(&headers, row.id, row.version)?;
    let actor = caller.actor();
    app.store.delete_api_key(row.id, expected, &actor).await?;
    app.keys().forget(row.id);
    Ok(StatusCode::NO_CONTENT)
}
