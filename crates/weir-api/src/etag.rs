//! Entity tags of single resources.

use aws_lc_rs::digest;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use uuid::Uuid;
use weir_core::{Error, Kind, Result};

/// The tag of a version of a resource. It holds the id, for a name that was
/// removed and made again starts to count anew.
pub fn of(id: Uuid, version: i64) -> HeaderValue {
    let id = id.simple().to_string();
    HeaderValue::from_str(&format!("\"{}-v{version}\"", &id[20..]))
        .unwrap_or(HeaderValue::from_static("\"v\""))
}

/// A resource with the tag of its version.
pub fn answer(status: StatusCode, id: Uuid, version: i64, body: impl Serialize) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    response.headers_mut().insert(ETAG, of(id, version));
    response
}

/// Says where a resource that was made is to be found.
pub fn created(mut response: Response, path: &str) -> Response {
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The resource, or 304 to a caller who already has this version.
pub fn read<T: Serialize>(
    headers: &HeaderMap,
    id: Uuid,
    version: i64,
    body: impl FnOnce() -> T,
) -> Response {
    if not_modified(headers, id, version) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, of(id, version))]).into_response();
    }
    answer(StatusCode::OK, id, version, body())
}

/// The tag of a text that is made, not stored.
pub fn of_text(text: &[u8]) -> HeaderValue {
    let hash = digest::digest(&digest::SHA256, text);
    let hex: String = hash.as_ref()[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The version that `If-Match` allows to change: `None` where any is fine.
/// Weak tags never match: they do not promise that nothing changed.
pub fn if_match(headers: &HeaderMap, id: Uuid, current: i64) -> Result<Option<i64>> {
    let mut given = headers.get_all(IF_MATCH).iter().peekable();
    if given.peek().is_none() {
        return Ok(None);
    }
    let tag = of(id, current);
    let mut any = false;
    for part in given.flat_map(tags) {
        if part.as_bytes() == tag.as_bytes() {
            return Ok(Some(current));
        }
        any |= part == "*";
    }
    if any {
        return Ok(None);
    }
    Err(Error::new(
        Kind::PreconditionFailed,
        "the resource changed since you read it",
    )
    .hint("GET it again and repeat the change with its new ETag"))
}

/// Whether the caller already has this version.
fn not_modified(headers: &HeaderMap, id: Uuid, current: i64) -> bool {
    let tag = of(id, current);
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|known| is_among(known, &tag))
}

/// Whether `current` is one of the tags of an `If-None-Match`, which compares weakly.
pub fn is_among(known: &HeaderValue, current: &HeaderValue) -> bool {
    tags(known)
        .any(|part| part == "*" || part.trim_start_matches("W/").as_bytes() == current.as_bytes())
}

fn tags(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&str]) -> Result<Option<i64>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, value.parse().unwrap());
        }
        if_match(&headers, Uuid::nil(), 3)
    }

    #[test]
    fn the_same_version_of_another_resource_has_another_tag() {
        assert_ne!(of(Uuid::now_v7(), 1), of(Uuid::now_v7(), 1));
    }

    #[test]
    fn if_match_takes_lists_and_a_star_but_no_weak_tag() {
        assert_eq!(asked(&[]).unwrap(), None);
        assert_eq!(asked(&["*"]).unwrap(), None);
        assert_eq!(asked(&["\"000000000000-v3\""]).unwrap(), Some(3));
        assert_eq!(
            asked(&["\"000000000000-v1\", \"000000000000-v3\""]).unwrap(),
            Some(3)
        );
        assert_eq!(
            asked(&["\"000000000000-v1\"", "\"000000000000-v3\""]).unwrap(),
            Some(3)
        );
        for wrong in [
            "\"000000000000-v2\"",
            "W/\"000000000000-v3\"",
            "v3",
            "",
            "\"000000000000-v3",
        ] {
            let error = asked(&[wrong]).unwrap_err();
            assert_eq!(error.kind(), Kind::PreconditionFailed, "{wrong}");
        }
    }
}
