//! Extractors that refuse with our own errors: JSON bodies, query parameters,
//! path parameters.

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use weir_core::{Error, Kind, config};

use crate::problem::ApiError;
use crate::state::App;

/// A JSON body, decoded with pointers and nearest names in errors.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let taken = ["application/json", "application/merge-patch+json"];
        if let Some(given) = request.headers().get(CONTENT_TYPE) {
            let text = given.to_str().unwrap_or_default();
            let essence = text.split(';').next().unwrap_or_default().trim();
            if !taken.iter().any(|t| t.eq_ignore_ascii_case(essence)) {
                return Err(
                    Error::new(Kind::MediaType, format!("`{essence}` is not taken here"))
                        .hint("send Content-Type: application/json")
                        .into(),
                );
            }
        }
        let body = whole(request.into_body(), app.limits.json_body_bytes).await?;
        app.limits.check_depth(&body)?;
        Ok(Json(config::decode_slice(&body)?))
    }
}

/// A JSON body that may be left out, which means all defaults.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        if request.body().is_end_stream() {
            return Ok(OptionalJson(T::default()));
        }
        let Json(body) = Json::from_request(request, app).await?;
        Ok(OptionalJson(body))
    }
}

/// A JSON body read to its end, within `limit`.
pub async fn whole(body: Body, limit: usize) -> Result<Bytes, Error> {
    let read = Limited::new(body, limit).collect().await;
    read.map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                Error::new(
                    Kind::TooLarge,
                    format!("the JSON body is larger than {limit} bytes"),
                )
                .code("json_too_large")
                .hint("GET /v1/limits lists every limit")
            } else {
                weir_wire::body_error(&*error)
            }
        })
}

/// Query parameters; unknown ones are refused with the nearest name.
pub struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        config::decode_query(parts.uri.query().unwrap_or_default())
            .map(Query)
            .map_err(ApiError)
    }
}

/// Query parameters of a list; `label` may be repeated.
pub struct ListOf<T> {
    /// The parameters.
    pub query: T,
    /// Every `label`, in order.
    pub labels: Vec<String>,
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for ListOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut labels = Vec::new();
        let mut rest = form_urlencoded::Serializer::new(String::new());
        let text = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if name == "label" {
                labels.push(value.into_owned());
            } else {
                rest.append_pair(&name, &value);
            }
        }
        let query = config::decode_query(&rest.finish())?;
        Ok(ListOf { query, labels })
    }
}
