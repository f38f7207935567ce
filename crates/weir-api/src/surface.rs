//! What the OpenAPI document says of each operation, looked up by route.
//!
//! The conventions that hold for every route are kept by one layer over this
//! table and not by each handler, so a new route has them as soon as it is in
//! the document.

use std::collections::HashMap;
use std::sync::OnceLock;

use axum::extract::MatchedPath;
use http::{Extensions, Method};
use serde_json::Value;

/// One operation of the document.
#[derive(Debug, Default)]
pub struct Operation {
    /// Names of its query parameters.
    pub queries: Vec<String>,
    /// Media types of its body.
    pub takes: Vec<String>,
    /// Media type of its success.
    pub gives: Option<String>,
}

impl Operation {
    /// Whether it answers a page of a list.
    pub fn is_list(&self) -> bool {
        self.queries.iter().any(|name| name == "cursor")
    }
}

/// All operations by path and method.
#[derive(Debug, Default)]
pub struct Surface(HashMap<String, HashMap<Method, Operation>>);

impl Surface {
    /// That of our own document.
    pub fn ours() -> &'static Surface {
        static OURS: OnceLock<Surface> = OnceLock::new();
        OURS.get_or_init(|| Surface::of(&crate::openapi::document()))
    }

    /// Reads a document.
    pub fn of(document: &Value) -> Self {
        let mut all = HashMap::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let operations = item.as_object().into_iter().flatten();
            let methods = operations.filter_map(|(method, operation)| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).ok()?;
                Some((method, operation_of(operation)))
            });
            all.insert(path.clone(), methods.collect());
        }
        Surface(all)
    }

    /// The operations of the route that a request took.
    pub fn route(&self, extensions: &Extensions) -> Option<&HashMap<Method, Operation>> {
        self.0.get(extensions.get::<MatchedPath>()?.as_str())
    }
}

/// The operation that answers `method`; HEAD is that of GET.
pub fn answering<'a>(
    route: &'a HashMap<Method, Operation>,
    method: &Method,
) -> Option<&'a Operation> {
    let method = match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    };
    route.get(method)
}

fn operation_of(operation: &Value) -> Operation {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let success = operation["responses"]
        .as_object()
        .into_iter()
        .flatten()
        .find(|(status, _)| status.starts_with('2'))
        .map(|(_, response)| media(&response["content"]));
    Operation {
        queries: parameters
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
            .collect(),
        takes: media(&operation["requestBody"]["content"]),
        gives: success.into_iter().flatten().next(),
    }
}

fn media(content: &Value) -> Vec<String> {
    content
        .as_object()
        .map(|types| types.keys().cloned().collect())
        .unwrap_or_default()
}
