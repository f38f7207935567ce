//! How objects with a name are asked for: one by its id or name, or a page of
//! those with some labels.

use weir_core::{Error, Kind, Result};
use weir_store::{ListFilter, ObjectRef};

use crate::auth::Caller;
use crate::paging;
use crate::state::App;

/// An id or a name.
pub fn reference(given: &str) -> ObjectRef {
    match uuid::Uuid::try_parse(given) {
        Ok(id) => ObjectRef::Id(id),
        Err(_) => ObjectRef::Name(given.to_owned()),
    }
}

/// There is no `kind` that is called `given`, or none that the caller may see.
pub fn missing(kind: &str, given: &str) -> Error {
    Error::new(Kind::NotFound, format!("no {kind} `{given}`")).hint(format!(
        "GET /v1/{kind}s lists the {kind}s your key may see"
    ))
}

/// What a caller asks of a list.
#[derive(Debug, Default)]
pub struct Asked {
    /// Labels as texts `key:value`.
    pub labels: Vec<String>,
    /// Part of the name.
    pub search: Option<String>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items in the page.
    pub limit: Option<usize>,
}

/// What the store is to list of it, inside of what the caller may see.
pub fn filter(app: &App, caller: Caller, asked: Asked) -> Result<ListFilter> {
    Ok(ListFilter {
        scopes: caller.scopes,
        label: parse_labels(&asked.labels)?,
        search: asked.search,
        after: paging::place(asked.cursor.as_deref())?,
        limit: paging::size(asked.limit, app.limits.page_items)?,
        ..ListFilter::default()
    })
}

/// Reads labels of the form `key:value`.
pub fn parse_labels(texts: &[String]) -> Result<Vec<(String, String)>> {
    let read = |text: &String| match text.split_once(':') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(
            "?label",
            format!("`{text}` is not `key:value`"),
        )),
    };
    texts.iter().map(read).collect()
}
