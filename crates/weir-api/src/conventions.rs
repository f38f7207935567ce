//! The conventions that hold for every route, kept in one layer over the table
//! of operations: refused query parameters, 406, OPTIONS, what 415 says, 304,
//! and the `Link` to the next page.

use std::collections::HashMap;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use weir_core::{Error, Kind, Result};

use crate::etag;
use crate::problem::ApiError;
use crate::surface::{Operation, Surface, answering};

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Last words of paths whose answers are negotiated by their handlers.
const NEGOTIATED: [&str; 4] = ["load", "preview", "transform", "content"];

type Route = HashMap<Method, Operation>;

/// Holds a request and its answer to the conventions.
pub async fn hold(request: Request, next: Next) -> Response {
    let route = Surface::ours().route(request.extensions());
    let method = request.method().clone();
    let operation = route.and_then(|route| answering(route, &method));
    if let Some(operation) = operation
        && let Err(refused) = check(&request, operation)
    {
        let mut response = ApiError(refused).into_response();
        let given = operation.gives.as_deref().unwrap_or_default();
        say(response.headers_mut(), ACCEPT, given);
        return response;
    }
    let (uri, known) = (
        request.uri().clone(),
        request.headers().get(IF_NONE_MATCH).cloned(),
    );
    let mut response = next.run(request).await;
    match (response.status(), &method) {
        (StatusCode::METHOD_NOT_ALLOWED, &Method::OPTIONS) => options(route),
        (StatusCode::METHOD_NOT_ALLOWED, _) => {
            with_allowed(response.headers_mut(), route);
            response
        }
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => with_taken(response, route),
        (StatusCode::OK, &Method::GET | &Method::HEAD) => {
            if known.is_some_and(|known| has_current(&known, response.headers())) {
                return not_modified(response);
            }
            match operation {
                Some(operation) if operation.is_list() => with_next(response, uri.query()).await,
                _ => response,
            }
        }
        _ => response,
    }
}

fn check(request: &Request, operation: &Operation) -> Result<()> {
    // Operations with parameters refuse unknown ones as they decode them.
    if operation.queries.is_empty()
        && let Some((name, _)) = request
            .uri()
            .query()
            .and_then(|query| form_urlencoded::parse(query.as_bytes()).next())
    {
        let message = format!("unknown field `{name}`; this operation takes no query parameters");
        return Err(Error::invalid(format!("?{name}"), message).code("unknown_field"));
    }
    let last = request.uri().path().rsplit('/').next().unwrap_or_default();
    let stem = last.split('.').next().unwrap_or_default();
    if operation.gives.as_deref() == Some("application/json")
        && !NEGOTIATED.contains(&stem)
        && !accepts_json(request.headers())
    {
        let message = "this operation answers application/json only";
        return Err(Error::new(Kind::NotAcceptable, message)
            .hint("send Accept: application/json, or no Accept at all"));
    }
    Ok(())
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    if ranges.peek().is_none() {
        return true;
    }
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|parameter| {
            let quality = parameter.strip_prefix("q=").map(str::parse::<f32>);
            matches!(quality, Some(Ok(0.0)))
        });
        !refused && ["*/*", "application/*", "application/json"].contains(&essence.as_str())
    })
}

/// The answer to OPTIONS: what may be done here, and with which bodies.
fn options(route: Option<&Route>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    with_allowed(response.headers_mut(), route);
    with_taken(response, route)
}

/// The methods of a route. Where the document has none, the router says its own.
fn with_allowed(headers: &mut HeaderMap, route: Option<&Route>) {
    let Some(route) = route else {
        return;
    };
    let mut methods: Vec<&str> = route.keys().map(Method::as_str).collect();
    methods.sort_unstable();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    say(headers, ALLOW, &methods.join(", "));
}

fn with_taken(mut response: Response, route: Option<&Route>) -> Response {
    for (name, taken) in taken(route) {
        say(response.headers_mut(), name, &taken);
    }
    response
}

/// What the bodies of a route may be, for the headers that say so.
fn taken(route: Option<&Route>) -> Vec<(HeaderName, String)> {
    let Some(route) = route else {
        return Vec::new();
    };
    [(Method::POST, ACCEPT_POST), (Method::PATCH, ACCEPT_PATCH)]
        .into_iter()
        .filter_map(|(method, name)| {
            let takes = &route.get(&method)?.takes;
            (!takes.is_empty()).then(|| (name, takes.join(", ")))
        })
        .collect()
}

fn say(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if value.is_empty() || headers.contains_key(&name) {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn has_current(known: &HeaderValue, headers: &HeaderMap) -> bool {
    headers
        .get(ETAG)
        .is_some_and(|current| etag::is_among(known, current))
}

fn not_modified(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.body_mut() = Body::empty();
    for name in [CONTENT_TYPE, CONTENT_LENGTH] {
        response.headers_mut().remove(name);
    }
    response
}

/// The one field of a page that counts here.
#[derive(Deserialize)]
struct Page {
    next_cursor: Option<String>,
}

/// Adds the link to the next page. It is taken from the body, so that no list
/// can forget it; the body lies in memory anyway.
async fn with_next(response: Response, query: Option<&str>) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return ApiError(Error::internal("the body of a list broke off")).into_response();
    };
    let page: Option<Page> = serde_json::from_slice(&bytes).ok();
    if let Some(cursor) = page.and_then(|page| page.next_cursor) {
        let mut next = form_urlencoded::Serializer::new(String::new());
        let asked = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        next.extend_pairs(asked.filter(|(name, _)| name != "cursor"));
        next.append_pair("cursor", &cursor);
        let link = format!("<?{}>; rel=\"next\"", next.finish());
        if let Ok(link) = HeaderValue::from_str(&link) {
            parts.headers.append(LINK, link);
        }
    }
    Response::from_parts(parts, Body::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_given_unless_all_that_is_accepted_is_something_else() {
        for (accept, wanted) in [
            ("*/*", true),
            ("", true),
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("application/*", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/csv", false),
            ("application/json;q=0", false),
            ("text/csv, application/json;q=0.1", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(accepts_json(&headers), wanted, "{accept}");
        }
        assert!(accepts_json(&HeaderMap::new()));
    }
}
