//! What surrounds every request: its id, its trace, its log line, the renderer
//! of errors and the headers that every answer carries.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use tracing::Instrument;
use uuid::Uuid;
use weir_core::{Error, Kind};

use crate::problem::{self, ApiError};
use crate::state::App;

/// The id of the request, as a request extension.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// The W3C trace of the request, as a request extension.
#[derive(Debug, Clone, Copy)]
pub struct TraceId(pub Uuid);

/// The outermost layer.
pub async fn surround(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let trace = Trace::of(request.headers());
    let method = request.method().clone();
    // The query string stays out of the log: it may hold filters and values.
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let origin = request.headers().get(ORIGIN).cloned();
    request.extensions_mut().insert(RequestId(id.clone()));
    if let Ok(trace) = Uuid::try_parse(&trace.id) {
        request.extensions_mut().insert(TraceId(trace));
    }
    let span =
        tracing::info_span!("request", request_id = %id, trace_id = %trace.id, %method, path);
    async move {
        let start = Instant::now();
        let given = match app.cors.preflight(&request) {
            Some(response) => response,
            None => within_limits(request, next).await,
        };
        let mut response = problem::render(given, &id, &method);
        let status = response.status().as_u16();
        let route = route.as_ref().map(MatchedPath::as_str);
        crate::metrics::answered(route, &method, response.status(), start.elapsed());
        let elapsed_ms = start.elapsed().as_secs_f64() * 1e3;
        tracing::info!(status, elapsed_ms, "answered");
        finish(response.headers_mut(), &id, &trace);
        app.cors.mark(origin.as_ref(), response.headers_mut());
        response
    }
    .instrument(span)
    .await
}

/// Bytes of a path with its query at most. The server below refuses more than
/// 64 KiB by itself, without a body.
const URL_BYTES: usize = 32 << 10;

async fn within_limits(request: Request, next: Next) -> Response {
    let length = request
        .uri()
        .path_and_query()
        .map_or(0, |p| p.as_str().len());
    if length <= URL_BYTES {
        return next.run(request).await;
    }
    let message = format!("the URL has {length} bytes, {URL_BYTES} are taken");
    let error = Error::new(Kind::TooLarge, message)
        .code("uri_too_long")
        .hint("the POST form of the operation takes the same in its body");
    ApiError(error).into_response()
}

fn finish(headers: &mut HeaderMap, id: &str, trace: &Trace) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", value);
    }
    if let Ok(value) = HeaderValue::from_str(&trace.parent()) {
        headers.insert("traceparent", value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // What may be kept says so itself; all else may hold data or configs.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

fn request_id(headers: &HeaderMap) -> String {
    headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(|text| {
            (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        })
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// W3C trace context: the caller's trace, or a new one.
struct Trace {
    id: String,
    span: String,
}

impl Trace {
    fn of(headers: &HeaderMap) -> Self {
        let given = headers
            .get("traceparent")
            .and_then(|v| v.to_str().ok())
            .and_then(trace_id);
        let id = given.map_or_else(|| Uuid::new_v4().simple().to_string(), str::to_owned);
        let span = Uuid::new_v4().simple().to_string()[..16].to_owned();
        Trace { id, span }
    }

    fn parent(&self) -> String {
        format!("00-{}-{}-01", self.id, self.span)
    }
}

fn trace_id(parent: &str) -> Option<&str> {
    let mut parts = parent.split('-');
    let (_version, id, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len| {
        text.len() == len
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && text.bytes().any(|b| b != b'0')
    };
    (hex(id, 32) && hex(span, 16)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    #[test]
    fn only_well_formed_traces_are_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(good), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            "",
            "00-xyz",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
