//! The OpenAPI 3.1 document, generated from the handlers.
//!
//! The data paths exist once per format; their operations are derived here
//! from one table instead of being written by hand for each.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use weir_wire::Format;

use crate::problem::Problem;
use crate::rows::{DryRun, FORMATS, LoadQuery, LoadRequest, PreviewAnswer, PreviewRequest};
use crate::{credentials, examples, openapi30, pages, polish, runs, sources, system};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir",
        description = "Register a data source once; test, discover, preview and load it over REST as JSON or Arrow, streamed.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "This service")),
    tags(
        (name = "sources", description = "Registered data sources"),
        (name = "credentials", description = "Values that sources are opened with; they go in and never come out"),
        (name = "rows", description = "Streams, schemas, previews and loads"),
        (name = "runs", description = "What was loaded, how it ended, and how to stop it"),
        (name = "connectors", description = "The systems this build can speak to"),
        (name = "system", description = "Health, limits, the caller")
    ),
    paths(
        credentials::create, credentials::list, credentials::get, credentials::update, credentials::delete,
        credentials::rotate, credentials::versions, credentials::resolve,
        sources::create, sources::list, sources::get, sources::update, sources::delete,
        sources::test::test_source, sources::doctor::test_sources, sources::test::test_connector,
        sources::streams::streams, sources::streams::schema,
        runs::list, runs::get, runs::cancel,
        system::connectors, system::connector, system::whoami, system::limits,
        system::healthz, system::readyz, pages::problem
    ),
    components(schemas(Problem, PreviewRequest, LoadRequest, PreviewAnswer, DryRun))
)]
struct Document;

/// The document as JSON.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    add_row_operations(&mut document);
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

fn add_row_operations(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    let formats = std::iter::once(None).chain(FORMATS.iter().copied().map(Some));
    for format in formats {
        let suffix = format
            .map(|f| format!(".{}", f.suffix()))
            .unwrap_or_default();
        let ending = format
            .map(|f| format!("_{}", f.suffix()))
            .unwrap_or_default();
        let preview = row_operation(
            "preview",
            &format!("preview_rows{ending}"),
            format,
            Some("PreviewRequest"),
        );
        let load = row_operation(
            "load",
            &format!("load_rows{ending}"),
            format,
            Some("LoadRequest"),
        );
        let query = row_operation("load", &format!("query_rows{ending}"), format, None);
        paths.insert(
            format!("/v1/sources/{{source}}/preview{suffix}"),
            json!({ "post": preview }),
        );
        paths.insert(
            format!("/v1/sources/{{source}}/load{suffix}"),
            json!({ "get": query, "post": load }),
        );
    }
}

fn row_operation(what: &str, id: &str, format: Option<Format>, body: Option<&str>) -> Value {
    let shown = format.unwrap_or(Format::Json);
    let name = match format {
        Some(format) => format!(" as {}", title(format)),
        None => String::new(),
    };
    let (verb, doing) = match what {
        "preview" => ("Preview", "A few rows, bounded in number, bytes and time."),
        _ => (
            "Load",
            "All rows, streamed. A failure after the first byte breaks the answer off visibly.",
        ),
    };
    let mut operation = Map::new();
    operation.insert("tags".into(), json!(["rows"]));
    operation.insert("summary".into(), json!(format!("{verb} rows{name}")));
    let negotiated = if format.is_none() {
        " The format follows `?format=`, then `Accept`; documented here is JSON."
    } else {
        ""
    };
    operation.insert("description".into(), json!(format!("{doing}{negotiated}")));
    operation.insert("operationId".into(), json!(id));
    operation.insert(
        "parameters".into(),
        parameters(shown, format.is_none(), body.is_none()),
    );
    if let Some(schema) = body {
        let content = json!({ "application/json": { "schema": reference(schema) } });
        operation.insert(
            "requestBody".into(),
            json!({ "required": true, "content": content }),
        );
    }
    let schema = match (what, shown) {
        ("preview", Format::Json) => reference("PreviewAnswer"),
        (_, Format::Json) => json!({ "type": "array", "items": { "type": "object" } }),
        (_, Format::Ndjson) => json!({ "type": "string" }),
        (_, Format::Csv) => json!({ "type": "string" }),
        (_, Format::Arrow | Format::Parquet) => json!({ "type": "string", "format": "binary" }),
    };
    let headers = json!({
        "weir-run-id": { "schema": { "type": "string", "format": "uuid" }, "description": "Id of this run" },
        "weir-format": { "schema": { "type": "string" }, "description": "Format of the rows" }
    });
    if what == "load" && shown == Format::Json {
        // A union would take the type from every load.
        operation.insert("x-dry-run-answer".into(), reference("DryRun"));
    }
    let content = json!({ shown.media_type(): { "schema": schema } });
    operation.insert(
        "responses".into(),
        json!({ "200": { "description": "The rows", "headers": headers, "content": content } }),
    );
    Value::Object(operation)
}

fn title(format: Format) -> &'static str {
    match format {
        Format::Json => "JSON",
        Format::Ndjson => "NDJSON",
        Format::Arrow => "an Arrow stream",
        Format::Csv => "CSV",
        Format::Parquet => "a Parquet file",
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn parameters(shown: Format, negotiated: bool, by_query: bool) -> Value {
    let mut all = vec![json!({
        "name": "source", "in": "path", "required": true,
        "description": "Id, name or `@kind.name`", "schema": { "type": "string" }
    })];
    if by_query {
        let asked = <LoadQuery as utoipa::IntoParams>::into_params(|| None);
        all.extend(asked.iter().filter_map(|p| serde_json::to_value(p).ok()));
    }
    let option = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema });
    if negotiated {
        let names: Vec<&str> = FORMATS.iter().map(|f| f.suffix()).collect();
        all.push(option(
            "format",
            "Wins over `Accept`",
            json!({ "type": "string", "enum": names }),
        ));
    }
    let flag = json!({ "type": "boolean", "default": false });
    match shown {
        Format::Arrow => {
            all.push(option(
                "compression",
                "Compression of Arrow's buffers",
                json!({ "type": "string", "enum": ["none", "lz4", "zstd"] }),
            ));
            all.push(option(
                "arrow_types",
                "`modern` allows view types and dictionaries",
                json!({ "type": "string", "enum": ["plain", "modern"], "default": "plain" }),
            ));
        }
        Format::Json => {
            all.push(option(
                "shape",
                "Rows as objects or as lists",
                json!({ "type": "string", "enum": ["objects", "arrays"], "default": "objects" }),
            ));
            all.push(option(
                "js_safe",
                "Integers beyond 2^53-1 and decimals as text",
                flag,
            ));
        }
        Format::Ndjson => {
            all.push(option(
                "js_safe",
                "Integers beyond 2^53-1 and decimals as text",
                flag.clone(),
            ));
            all.push(option(
                "end_marker",
                "A last line that says how it ended",
                flag,
            ));
        }
        Format::Csv | Format::Parquet => {}
    }
    all.push(json!({
        "name": "weir-run-id", "in": "header", "required": false,
        "description": "Your own id for this run", "schema": { "type": "string", "format": "uuid" }
    }));
    Value::Array(all)
}

fn add_security(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({ "api_key": { "type": "http", "scheme": "bearer", "description": "An api key of Weir" } });
    document["security"] = json!([{ "api_key": [] }]);
}
