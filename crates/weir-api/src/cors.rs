//! Cross-origin requests: off unless origins are configured.
//!
//! Answered in the outermost layer, so that a preflight works for every path
//! and a browser may read every problem, also that of a path that is not there.
//! Keys travel in a header that the page sets itself, so credentials (cookies)
//! are never allowed.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use weir_core::{Error, Kind, Result};

/// Which pages of other origins may call this service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cors {
    /// None.
    #[default]
    Off,
    /// Every one.
    Any,
    /// These, written as browsers write them.
    Origins(Vec<HeaderValue>),
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

/// What a page may send.
const TAKEN: HeaderValue = HeaderValue::from_static(
    "accept, accept-encoding, authorization, content-encoding, content-type, idempotency-key, \
     if-match, if-none-match, if-range, range, traceparent, tracestate, weir-run-id, x-request-id",
);

/// What a page may read beside the headers that are always open to it; every
/// `weir-*` header of the answer comes on top.
const EXPOSED: &str = "accept-ranges, allow, content-disposition, content-encoding, content-range, etag, \
    idempotency-replayed, link, location, retry-after, server-timing, traceparent, www-authenticate, x-request-id";

/// Browsers keep a preflight no longer than two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

const TIMING: HeaderName = HeaderName::from_static("timing-allow-origin");

impl Cors {
    /// Reads a comma list of origins, or `*`.
    pub fn parse(text: &str) -> Result<Self> {
        let origins: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        match origins.as_slice() {
            [] => Ok(Cors::Off),
            ["*"] => Ok(Cors::Any),
            list => Ok(Cors::Origins(
                list.iter().map(|one| origin(one)).collect::<Result<_>>()?,
            )),
        }
    }

    /// The answer to a preflight; none when the request is not one, or when
    /// cross-origin requests are off.
    pub fn preflight(&self, request: &Request) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(ORIGIN)
            && request
                .headers()
                .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || *self == Cors::Off {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if self.allowed(request.headers().get(ORIGIN)).is_some() {
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, TAKEN);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        Some(response)
    }

    /// Lets the page of `from` read an answer, when it may.
    pub fn mark(&self, from: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if *self == Cors::Off {
            return;
        }
        // Also without an origin, or a cache would give a page the answer of another.
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(allowed) = self.allowed(from) else {
            return;
        };
        let exposed = headers
            .keys()
            .filter(|name| name.as_str().starts_with("weir-"))
            .fold(EXPOSED.to_owned(), |list, name| format!("{list}, {name}"));
        headers.insert(TIMING, allowed.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if let Ok(exposed) = HeaderValue::from_str(&exposed) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    fn allowed(&self, from: Option<&HeaderValue>) -> Option<HeaderValue> {
        let from = from?;
        match self {
            Cors::Off => None,
            Cors::Any => Some(HeaderValue::from_static("*")),
            Cors::Origins(list) => list.contains(from).then(|| from.clone()),
        }
    }
}

/// An origin exactly as browsers send it, or why it is none.
fn origin(text: &str) -> Result<HeaderValue> {
    let wrong = |why: &str| {
        Error::new(Kind::Invalid, format!("`{text}` is not an origin: {why}"))
            .hint("write scheme://host or scheme://host:port, several with commas, or a single *")
    };
    if text == "*" {
        return Err(wrong("* stands alone"));
    }
    let uri: Uri = text.parse().map_err(|_| wrong("it is not a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong("scheme or host is missing"));
    };
    if text != format!("{scheme}://{authority}") || authority.as_str().contains('@') {
        return Err(wrong("it has more than scheme, host and port"));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(wrong("browsers write it in lower case"));
    }
    let default = [("http", ":80"), ("https", ":443")];
    if default
        .iter()
        .any(|(s, port)| scheme == *s && authority.as_str().ends_with(port))
    {
        return Err(wrong("browsers leave the usual port out"));
    }
    HeaderValue::from_str(text).map_err(|_| wrong("it is not plain text"))
}

#[cfg(test)]
mod tests {
    use super::Cors;

    #[test]
    fn origins_are_taken_only_as_browsers_send_them() {
        assert!(matches!(Cors::parse(" "), Ok(Cors::Off)));
        assert!(matches!(Cors::parse("*"), Ok(Cors::Any)));
        let two = Cors::parse("https://a.example, http://localhost:3000");
        assert!(matches!(two, Ok(Cors::Origins(list)) if list.len() == 2));
        for bad in [
            "https://a.example/",
            "https://a.example/x",
            "a.example",
            "null",
            "https://A.example",
            "https://u@a.example",
            "https://a.example:443",
            "*, https://a.example",
            "https://a.example?x",
        ] {
            assert!(Cors::parse(bad).is_err(), "{bad}");
        }
    }
}
