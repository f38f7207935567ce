//! Health, readiness, whoami, limits, the catalogue, the document and its page.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use weir_core::{AnyConnector, Capability, Category, Error, Kind, TestedAgainst};

use crate::auth::{Reader, Role};
use crate::etag;
use crate::problem::ApiResult;
use crate::state::{App, Limits};

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The process is alive
#[utoipa::path(get, path = "/healthz", operation_id = "get_health", tag = "system", security(()),
    responses((status = 200, description = "Alive", body = String, content_type = "text/plain")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// The service can work
#[utoipa::path(get, path = "/readyz", operation_id = "get_readiness", tag = "system", security(()),
    responses((status = 200, description = "Ready", body = String, content_type = "text/plain")))]
pub async fn readyz(State(app): State<App>) -> ApiResult<&'static str> {
    if app.draining.is_cancelled() {
        return Err(Error::new(Kind::NotReady, "the service is stopping").into());
    }
    app.store.ready().await?;
    Ok("ready\n")
}

/// The caller and the service.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhoAmI {
    /// Id of the key.
    pub key_id: uuid::Uuid,
    /// Name of the key.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Labels `key:value`: the key sees and makes only what carries one of
    /// them; empty for everything.
    pub scopes: Vec<String>,
    /// When the key stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// What is bounded, as at `GET /v1/limits`.
    pub limits: Limits,
    /// Version of the service.
    pub version: String,
}

/// Who am I
#[utoipa::path(get, path = "/v1/whoami", operation_id = "get_whoami", tag = "system",
    responses((status = 200, description = "Your key", body = WhoAmI)))]
pub async fn whoami(State(app): State<App>, Reader(caller): Reader) -> Answer<WhoAmI> {
    Answer(WhoAmI {
        key_id: caller.key_id,
        name: caller.name,
        role: caller.role,
        scopes: caller.scopes.texts(),
        expires_at: caller.expires_at,
        limits: app.limits.clone(),
        version: VERSION.to_owned(),
    })
}

/// The limits callers meet
#[utoipa::path(get, path = "/v1/limits", operation_id = "get_limits", tag = "system",
    responses((status = 200, description = "Limits", body = Limits)))]
pub async fn limits(State(app): State<App>, _: Reader) -> Answer<Limits> {
    Answer(app.limits.clone())
}

/// A connector of this build.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectorView {
    /// Unique kind.
    pub kind: String,
    /// For people.
    pub title: String,
    /// What it is for.
    #[schema(value_type = String)]
    pub category: Category,
    /// What it can do.
    #[schema(value_type = Vec<String>)]
    pub capabilities: Vec<Capability>,
    /// Ways to log in.
    pub auth_modes: Vec<String>,
    /// JSON Schema of `config`; secrets are `writeOnly`.
    #[schema(value_type = Object)]
    pub config_schema: Value,
    /// A config that validates.
    #[schema(value_type = Object)]
    pub example: Value,
    /// Markdown for people.
    pub docs: String,
    /// The kind of server its tests ran against: `live`, `compatible`, `emulator` or `stub`.
    #[schema(value_type = String)]
    pub tested_against: TestedAgainst,
}

impl ConnectorView {
    /// What callers see of a connector.
    pub fn of(connector: &dyn AnyConnector) -> Self {
        let about = connector.descriptor();
        ConnectorView {
            kind: about.kind.to_owned(),
            title: about.title.to_owned(),
            category: about.category,
            capabilities: connector.capabilities().to_vec(),
            auth_modes: about
                .auth_modes
                .iter()
                .map(|mode| (*mode).to_owned())
                .collect(),
            config_schema: connector.config_schema().clone(),
            example: about.example.clone(),
            docs: about.docs.to_owned(),
            tested_against: about.tested_against,
        }
    }
}

/// A page of connectors.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectorPage {
    /// The connectors, by kind.
    pub items: Vec<ConnectorView>,
    /// Always null: the catalogue fits one page.
    pub next_cursor: Option<String>,
}

/// List connectors
#[utoipa::path(get, path = "/v1/connectors", operation_id = "list_connectors", tag = "connectors",
    responses((status = 200, description = "The catalogue", body = ConnectorPage)))]
pub async fn connectors(State(app): State<App>, _: Reader) -> Response {
    let items = app
        .registry
        .iter()
        .map(|c| ConnectorView::of(c.as_ref()))
        .collect();
    made(&ConnectorPage {
        items,
        next_cursor: None,
    })
}

/// Read a connector
#[utoipa::path(get, path = "/v1/connectors/{kind}", operation_id = "get_connector", tag = "connectors",
    params(("kind" = String, Path, description = "Kind of connector")),
    responses((status = 200, description = "The connector", body = ConnectorView)))]
pub async fn connector(
    State(app): State<App>,
    _: Reader,
    Path(kind): Path<String>,
) -> ApiResult<Response> {
    Ok(made(&ConnectorView::of(app.registry.get(&kind)?.as_ref())))
}

/// An answer that is part of the build: kept by callers as long as its tag holds.
fn made(value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).unwrap_or_default();
    document("application/json", text)
}

fn document(media_type: &'static str, text: Vec<u8>) -> Response {
    let tag = etag::of_text(&text);
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, tag);
    response
}

/// The OpenAPI 3.1 document.
pub async fn openapi() -> Response {
    document("application/json", crate::openapi::text().into())
}

/// The same operations as an OpenAPI 3.0 document.
pub async fn openapi_3_0() -> Response {
    document("application/json", crate::openapi::text_3_0().into())
}
