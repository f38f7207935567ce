//! Entity tags of single resources.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use weir_core::{Error, Kind, Result};

/// The tag of a version.
pub fn of(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"v{version}\"")).unwrap_or(HeaderValue::from_static("\"v\""))
}

/// The version that `If-Match` allows to change: `None` where any is fine.
pub fn if_match(headers: &HeaderMap, current: i64) -> Result<Option<i64>> {
    let Some(given) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    let text = given.to_str().unwrap_or_default();
    if text.trim() == "*" {
        return Ok(None);
    }
    let tag = of(current);
    if text
        .split(',')
        .any(|part| part.trim().as_bytes() == tag.as_bytes())
    {
        return Ok(Some(current));
    }
    Err(Error::new(
        Kind::PreconditionFailed,
        "the resource changed since you read it",
    )
    .hint("GET it again and repeat the change with its new ETag"))
}

/// Whether the caller already has this version.
pub fn not_modified(headers: &HeaderMap, current: i64) -> bool {
    let tag = of(current);
    headers
        .get(IF_NONE_MATCH)
        .and_then(|given| given.to_str().ok())
        .is_some_and(|text| {
            text.split(',').map(str::trim).any(|part| {
                part == "*" || part.trim_start_matches("W/").as_bytes() == tag.as_bytes()
            })
        })
}
