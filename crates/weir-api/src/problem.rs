//! The one renderer of errors: RFC 9457 `application/problem+json`.
//!
//! A handler's error travels as a response extension; the outermost layer
//! turns it into a body, because only there the request id is known. The same
//! layer gives a body to every other failing answer (unknown routes, wrong
//! methods, panics), so no error leaves in another shape.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
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
        let mut response = status_of(self.0.kind()).into_response();
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
            status: status_of(error.kind()).as_u16(),
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

/// The HTTP status of a kind.
pub fn status_of(kind: Kind) -> StatusCode {
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

/// Gives a failing answer its body. Answers that are fine, or already have a
/// problem body, pass untouched.
pub fn render(response: Response, request_id: &str, method: &http::Method) -> Response {
    if !response.status().is_client_error() && !response.status().is_server_error() {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let error = match parts.extensions.remove::<Carried>() {
        Some(Carried(error)) => error,
        None => Arc::new(error_of_status(parts.status)),
    };
    log(&error);
    let problem = Problem::of(&error, request_id);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut headers = HeaderMap::new();
    if let Some(allow) = parts.headers.remove(ALLOW) {
        headers.insert(ALLOW, allow);
    }
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
    if let Some(after) = error.retry_after_hint() {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    let body = if method == http::Method::HEAD {
        Body::empty()
    } else {
        Body::from(body)
    };
    let mut rendered = Response::new(body);
    *rendered.status_mut() = status_of(error.kind());
    *rendered.headers_mut() = headers;
    rendered
}

fn log(error: &Error) {
    let (code, message) = (error.stable_code(), error.message());
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
