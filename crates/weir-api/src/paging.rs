//! Pages of lists: the parameters, the envelope, the opaque cursor.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weir_core::{Error, Result};

/// Items of a page when the caller names no limit.
pub const DEFAULT_ITEMS: usize = 100;

/// Hides a place in a list.
pub fn cursor(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// The place behind a cursor.
pub fn place(cursor: Option<&str>) -> Result<Option<String>> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Some)
        .ok_or_else(|| {
            Error::invalid("?cursor", "the cursor is not one that a list of ours gave")
                .hint("pass next_cursor of the page before, unchanged")
        })
}

/// A page size within the limit.
pub fn size(limit: Option<usize>, most: usize) -> Result<usize> {
    match limit {
        None => Ok(DEFAULT_ITEMS.min(most)),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => Err(Error::invalid(
            "?limit",
            format!("limit is {limit}, it must be between 1 and {most}"),
        )),
    }
}
