//! The OpenAPI 3.1 document, generated from the handlers.
//!
//! The data paths exist once per format; their operations are derived here
//! from one table instead of being written by hand for each.

use std::sync::OnceLock;

use serde_json::{Value, json};
use utoipa::OpenApi;

use crate::problem::Problem;
use crate::rows::{
    DryRun, LoadRequest, PreviewAnswer, PreviewRequest, ProfileAnswer, ProfilePart, ProfileRequest,
    ProfileSourceRequest, TransformPart, TransformRequest,
};
use crate::{
    audit, credentials, examples, keys, openapi30, pages, polish, recipes, rows, runs, sources,
    system, transforms,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir",
        description = "Register a data source once; test, discover, preview and load it over REST as JSON, CSV, Arrow or Parquet, streamed.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "This service")),
    tags(
        (name = "sources", description = "Registered data sources"),
        (name = "credentials", description = "Values that sources are opened with; they go in and never come out"),
        (name = "rows", description = "Streams, schemas, previews, loads and writes"),
        (name = "recipes", description = "The steps there are, and lists of them that are kept"),
        (name = "runs", description = "What was loaded, how it ended, and how to stop it"),
        (name = "connectors", description = "The systems this build can speak to"),
        (name = "keys", description = "Api keys, and who did what"),
        (name = "system", description = "Health, limits, the caller")
    ),
    paths(
        credentials::create, credentials::list, credentials::get, credentials::update, credentials::delete,
        credentials::rotate, credentials::versions, credentials::resolve,
        recipes::create, recipes::list, recipes::get, recipes::update, recipes::delete, recipes::versions,
        transforms::list,
        sources::create, sources::list, sources::get, sources::update, sources::delete,
        sources::test::test_source, sources::doctor::test_sources, sources::test::test_connector,
        sources::streams::streams, sources::streams::schema, rows::write,
        keys::create, keys::list, keys::get, keys::update, keys::rotate, keys::delete, audit::list,
        runs::list, runs::get, runs::cancel,
        system::connectors, system::connector, system::whoami, system::limits,
        crate::metrics::metrics, system::healthz, system::readyz, pages::problem
    ),
    components(schemas(Problem, PreviewRequest, LoadRequest, PreviewAnswer, DryRun, TransformRequest, TransformPart,
        ProfileRequest, ProfilePart, ProfileSourceRequest, ProfileAnswer))
)]
struct Document;

/// The document as JSON.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    crate::rows::document::add_operations(&mut document);
    add_security(&mut document);
    polish::polish(&mut document);
    examples::add(&mut document);
    document
}

/// The document as text, made once.
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| pretty(&document()))
}

/// The same operations as OpenAPI 3.0, as text, made once.
pub fn text_3_0() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| pretty(&openapi30::of(&document())))
}

fn pretty(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// A reference to a schema of the document.
pub(crate) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn add_security(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({ "api_key": { "type": "http", "scheme": "bearer", "description": "An api key of Weir" } });
    document["security"] = json!([{ "api_key": [] }]);
}
