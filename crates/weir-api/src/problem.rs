//! The one renderer of errors: RFC 9457 `application/problem+json`.
//!
//! A handler's error travels as a response extension; the outermost layer
//! turns it into a body, because only there the request id is known. The same
//! layer gives a body to every other failing answer (unknown routes, wrong
//! methods, panics), so no error leaves in another shape.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use weir_core::{Error, Kind, SourceFault};

use crate::codes;

/// Result of a handler.
pub type ApiResult<T> = std::result::Result<T, ApiError>;

/// An error on its way to the renderer.
#[derive(Debug)]
pub struct ApiError(pub Error);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        ApiError(error)
    }
}

/// The response extension that carries an error to the renderer.
#[derive(Debug, Clone)]
pub struct Carried(pub Arc<Error>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = status(&self.0).into_response();
        response.extensions_mut().insert(Carried(Arc::new(self.0)));
        response
    }
}

/// An error answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Where the error is explained: `/problems/{code}`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The kind of problem, for people.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// Stable and machine-readable; also in the header `weir-error-code`.
    pub code: String,
    /// What to check next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same request may succeed later unchanged.
    pub retryable: bool,
    /// Quote it when you ask for help.
    pub request_id: String,
    /// The invalid fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemField>,
    /// What the source itself said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_error: Option<SourceError>,
    /// Id of what the same request has made already; only with `already_created`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// One invalid field or parameter.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemField {
    /// JSON pointer into the body, as a URI fragment: `#/config/port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of a query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong with it.
    pub detail: String,
}

/// What a source said, with secrets removed.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceError {
    /// The source's own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// SQLSTATE of a SQL database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// The source's text.
    pub message: String,
}

impl Problem {
    /// The answer for `error`.
    pub fn of(error: &Error, request_id: &str) -> Self {
        let code = error.stable_code();
        Problem {
            type_: format!("/problems/{code}"),
            title: codes::title(code, error.kind()).to_owned(),
            status: status(error).as_u16(),
            detail: error.message().to_owned(),
            code: code.to_owned(),
            hint: error.hint_text().map(str::to_owned),
            retryable: error.kind().retryable(),
            request_id: request_id.to_owned(),
            errors: error.fields().iter().map(ProblemField::of).collect(),
            source_error: error.source_message().map(|said| SourceError {
                code: said.code.clone(),
                sqlstate: said.sqlstate.clone(),
                message: said.message.clone(),
            }),
            id: None,
        }
    }
}

impl ProblemField {
    fn of(field: &weir_core::FieldError) -> Self {
        let parameter = field.pointer.strip_prefix('?').map(str::to_owned);
        ProblemField {
            pointer: parameter.is_none().then(|| format!("#{}", field.pointer)),
            parameter,
            detail: field.message.clone(),
        }
    }
}

/// The HTTP status of an error.
pub fn status(error: &Error) -> StatusCode {
    match error.stable_code() {
        // RFC 9110 has a status of its own for this one.
        "uri_too_long" => StatusCode::URI_TOO_LONG,
        _ => status_of(error.kind()),
    }
}

/// The HTTP status of a kind.
fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Malformed => StatusCode::BAD_REQUEST,
        Kind::Invalid | Kind::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden | Kind::ReadOnly | Kind::Egress => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::Source(
            SourceFault::Authentication
            | SourceFault::Permission
            | SourceFault::NotFound
            | SourceFault::Unavailable
            | SourceFault::Query
            | SourceFault::Data,
        ) => StatusCode::FAILED_DEPENDENCY,
        Kind::Busy => StatusCode::TOO_MANY_REQUESTS,
        Kind::NotReady | Kind::Sealed => StatusCode::SERVICE_UNAVAILABLE,
        // 499 is a log entry: by then nobody reads the answer.
        Kind::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Kind::Deadline => StatusCode::GATEWAY_TIMEOUT,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The response extension of an answer that has its problem body already.
#[derive(Debug, Clone, Copy)]
pub struct Rendered;

/// Headers of a failing answer that say more about it, and so stay.
const KEPT: [HeaderName; 6] = [
    ALLOW,
    ACCEPT,
    HeaderName::from_static("accept-post"),
    HeaderName::from_static("accept-patch"),
    LOCATION,
    HeaderName::from_static("weir-run-id"),
];

/// Gives a failing answer its body. Answers that are fine, or have their
/// problem body already, pass untouched.
pub fn render(response: Response, request_id: &str, method: &http::Method) -> Response {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    if !failed || response.extensions().get::<Rendered>().is_some() {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let error = match parts.extensions.remove::<Carried>() {
        Some(Carried(error)) => error,
        None => Arc::new(error_of_status(parts.status)),
    };
    log(&error);
    crate::metrics::failed(&error);
    let mut rendered = answer(&error, &Problem::of(&error, request_id));
    for name in KEPT {
        if let Some(value) = parts.headers.remove(&name) {
            rendered.headers_mut().insert(name, value);
        }
    }
    if method == http::Method::HEAD {
        *rendered.body_mut() = Body::empty();
    }
    rendered
}

/// The answer that says `problem`, which is that of `error` or more.
pub fn answer(error: &Error, problem: &Problem) -> Response {
    let mut rendered = Response::new(Body::from(serde_json::to_vec(problem).unwrap_or_default()));
    *rendered.status_mut() = status(error);
    *rendered.headers_mut() = headers(error);
    rendered.extensions_mut().insert(Rendered);
    rendered
}

fn headers(error: &Error) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "weir-error-code",
        HeaderValue::from_static(error.stable_code()),
    );
    if error.kind() == Kind::Unauthorized {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"weir\""),
        );
    }
    let usual = match error.kind() {
        Kind::Busy | Kind::NotReady => Some(Duration::from_secs(1)),
        _ => None,
    };
    if let Some(after) = error.retry_after_hint().or(usual) {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    headers
}

/// What the log says of an error: its message, or where it points to if the
/// message may quote a cell. The values of cells are never logged.
pub fn loggable(error: &Error) -> String {
    match error.kind() {
        Kind::Invalid | Kind::Malformed | Kind::Source(SourceFault::Data | SourceFault::Query) => {
            let pointers = error.fields().iter().map(|field| field.pointer.as_str());
            match pointers.collect::<Vec<_>>().join(", ") {
                pointers if pointers.is_empty() => "a value".to_owned(),
                pointers => format!("a value at {pointers}"),
            }
        }
        _ => error.message().to_owned(),
    }
}

fn log(error: &Error) {
    let (code, message) = (error.stable_code(), loggable(error));
    match (error.kind(), error.log_detail()) {
        (Kind::Internal, detail) => tracing::error!(code, detail, "request failed: {message}"),
        (_, Some(detail)) => tracing::warn!(code, detail, "request refused: {message}"),
        (_, None) => tracing::debug!(code, "request refused: {message}"),
    }
}

/// Failing answers that no handler of ours made.
fn error_of_status(status: StatusCode) -> Error {
    match status {
        StatusCode::NOT_FOUND => Error::new(Kind::NotFound, "there is nothing at this path")
            .code("no_route")
            .hint("GET /openapi.json lists every path"),
        StatusCode::METHOD_NOT_ALLOWED => Error::new(
            Kind::MethodNotAllowed,
            "this path does not take this method",
        )
        .hint("the Allow header lists the methods it takes"),
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Kind::TooLarge, "the body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Error::new(Kind::MediaType, "this media type is not taken here")
        }
        other if other.is_client_error() => Error::new(
            Kind::Malformed,
            format!("the request was refused with status {other}"),
        ),
        other => Error::internal(format!("an answer with status {other} and no cause")),
    }
}
