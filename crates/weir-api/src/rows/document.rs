//! The operations that give rows, for the OpenAPI document: once per format
//! and once negotiated, derived from tables instead of written by hand.

use serde_json::{Map, Value, json};
use weir_wire::Format;

use super::{FORMATS, LoadQuery};
use crate::openapi::reference;

/// What is done at a path.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Preview,
    Load,
    Query,
    Transform,
}

impl Act {
    fn id(self) -> &'static str {
        match self {
            Act::Preview => "preview_rows",
            Act::Load => "load_rows",
            Act::Query => "query_rows",
            Act::Transform => "transform_rows",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Act::Preview => "Preview",
            Act::Load | Act::Query => "Load",
            Act::Transform => "Transform",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Act::Preview => "A few rows, bounded in number, bytes and time.",
            Act::Load | Act::Query => {
                "All rows, streamed. A failure after the first byte breaks the answer off visibly."
            }
            Act::Transform => {
                "Rows in, through steps, rows out, from any format to any format. A JSON body holds `data` and `steps`; bodies of other formats are streamed, and may be packed with gzip or zstd. A multipart body has the part `request` first, then `data`, which is streamed, too."
            }
        }
    }

    fn body(self) -> Option<Value> {
        let json = |schema: &str| {
            let content = json!({ "application/json": { "schema": reference(schema) } });
            json!({ "required": true, "content": content })
        };
        match self {
            Act::Preview => Some(json("PreviewRequest")),
            Act::Load => Some(json("LoadRequest")),
            Act::Transform => Some(rows_or_json("TransformRequest", "TransformPart")),
            Act::Query => None,
        }
    }

    fn answer(self, format: Format) -> Value {
        match (self, format) {
            (Act::Preview | Act::Transform, Format::Json) => reference("PreviewAnswer"),
            // Objects, or lists where `shape` asks for them.
            (_, Format::Json) => json!({ "type": "array", "items": {} }),
            (_, Format::Ndjson | Format::Csv) => json!({ "type": "string" }),
            (_, Format::Arrow | Format::Parquet) => json!({ "type": "string", "format": "binary" }),
        }
    }

    /// Parameters beside those of the format.
    fn parameters(self) -> Vec<Value> {
        if self == Act::Transform {
            let text = "Steps as a JSON list, where the body is not JSON";
            let types =
                "Types instead of inferred ones: `a:int64,b:decimal(10,2)`, or a JSON object";
            let text_of = |most: usize| json!({ "type": "string", "maxLength": most });
            return vec![
                option("steps", text, text_of(8192)),
                option("types", types, json!({ "type": "string" })),
                option(
                    "column_types",
                    "What columns mean, or are read as, as a JSON object",
                    text_of(8192),
                ),
                option(
                    "suggestions",
                    "`all`, or ids of suggestions joined by commas: what a profile of the rows behind the steps suggests is applied to them",
                    json!({ "type": "string" }),
                ),
                option(
                    "recipe",
                    "A saved recipe: `name`, or `name@3` for one of its versions",
                    json!({ "type": "string" }),
                ),
            ];
        }
        let mut all = vec![source_parameter()];
        if self == Act::Query {
            let asked = <LoadQuery as utoipa::IntoParams>::into_params(|| None);
            all.extend(asked.iter().filter_map(|p| serde_json::to_value(p).ok()));
        }
        all
    }
}

/// A request as JSON, or rows in any other format, or a part with what is asked
/// and one with the rows.
pub(super) fn rows_or_json(request: &str, part: &str) -> Value {
    let mut content = Map::new();
    for format in FORMATS {
        let schema = match format {
            Format::Json => reference(request),
            Format::Ndjson | Format::Csv => json!({ "type": "string" }),
            Format::Arrow | Format::Parquet => json!({ "type": "string", "format": "binary" }),
        };
        content.insert(format.media_type().to_owned(), json!({ "schema": schema }));
    }
    let binary = json!({ "type": "string", "format": "binary" });
    let parts = json!({ "type": "object", "required": ["request", "data"],
        "additionalProperties": false,
        "properties": { "request": reference(part), "data": binary } });
    let request = json!({ "request": { "contentType": "application/json" } });
    let parts = json!({ "schema": parts, "encoding": request });
    content.insert("multipart/form-data".to_owned(), parts);
    json!({ "required": true, "content": content })
}

/// Rows alone, in any format.
fn rows_alone() -> Value {
    let mut content = Map::new();
    for format in FORMATS {
        let media = match format {
            Format::Json => {
                let text = "An array of objects; `{\"columns\": [{\"name\", \"type\"?}], \"rows\": [[…]]}` is taken, too.";
                let rows = json!({ "type": "object", "additionalProperties": true });
                let schema = json!({ "type": "array", "items": rows, "description": text });
                json!({ "schema": schema, "example": [{ "id": 1, "total": 12.50 }] })
            }
            Format::Ndjson | Format::Csv => json!({ "schema": { "type": "string" } }),
            Format::Arrow | Format::Parquet => {
                json!({ "schema": { "type": "string", "format": "binary" } })
            }
        };
        content.insert(format.media_type().to_owned(), media);
    }
    json!({ "required": true, "content": content })
}

/// Adds every operation to `document`.
pub(crate) fn add_operations(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    if let Some(write) = paths.get_mut("/v1/sources/{source}/write") {
        write["post"]["requestBody"] = rows_alone();
    }
    for format in std::iter::once(None).chain(FORMATS.iter().copied().map(Some)) {
        let suffix = format
            .map(|f| format!(".{}", f.suffix()))
            .unwrap_or_default();
        paths.insert(
            format!("/v1/sources/{{source}}/preview{suffix}"),
            json!({ "post": operation(Act::Preview, format) }),
        );
        paths.insert(
            format!("/v1/transform{suffix}"),
            json!({ "post": operation(Act::Transform, format) }),
        );
        paths.insert(
            format!("/v1/sources/{{source}}/load{suffix}"),
            json!({ "get": operation(Act::Query, format), "post": operation(Act::Load, format) }),
        );
    }
    super::profile::document::add_operations(paths);
}

fn operation(act: Act, format: Option<Format>) -> Value {
    let shown = format.unwrap_or(Format::Json);
    let (name, ending, negotiated) = match format {
        Some(format) => (
            format!(" as {}", title(format)),
            format!("_{}", format.suffix()),
            "",
        ),
        None => (
            String::new(),
            String::new(),
            " The format follows `?format=`, then `Accept`; documented here is JSON.",
        ),
    };
    let mut operation = Map::new();
    let mut put = |name: &str, value: Value| operation.insert(name.to_owned(), value);
    put("tags", json!(["rows"]));
    put("summary", json!(format!("{} rows{name}", act.verb())));
    put(
        "description",
        json!(format!("{}{negotiated}", act.description())),
    );
    put("operationId", json!(format!("{}{ending}", act.id())));
    let mut parameters = act.parameters();
    parameters.extend(format_parameters(act, shown, format.is_none()));
    put("parameters", Value::Array(parameters));
    if let Some(body) = act.body() {
        put("requestBody", body);
    }
    if act == Act::Load && shown == Format::Json {
        // A union would take the type from every load.
        put("x-dry-run-answer", reference("DryRun"));
    }
    let headers = json!({
        "weir-run-id": { "schema": { "type": "string", "format": "uuid" }, "description": "Id of this run" },
        "weir-format": { "schema": { "type": "string" }, "description": "Format of the rows" }
    });
    let content = json!({ shown.media_type(): { "schema": act.answer(shown) } });
    let answer = json!({ "description": "The rows", "headers": headers, "content": content });
    put("responses", json!({ "200": answer }));
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

fn option(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}

/// How rows leave: what the format takes, and what every format takes.
fn format_parameters(act: Act, shown: Format, negotiated: bool) -> Vec<Value> {
    let mut all = Vec::new();
    let choice = |names: &[&str]| json!({ "type": "string", "enum": names });
    let chosen = |names: &[&str]| json!({ "type": "string", "enum": names, "default": names[0] });
    let flag = || json!({ "type": "boolean", "default": false });
    let js_safe = || {
        let text = "Integers beyond 2^53-1 and decimals as text";
        option("js_safe", text, flag())
    };
    if negotiated {
        let names: Vec<&str> = FORMATS.iter().map(|f| f.suffix()).collect();
        all.push(option("format", "Wins over `Accept`", choice(&names)));
    }
    match shown {
        Format::Json => {
            let shapes: &[&str] = match act {
                Act::Preview => &["objects", "arrays", "columns"],
                _ => &["objects", "arrays"],
            };
            all.push(option(
                "shape",
                "Rows as objects or as lists",
                chosen(shapes),
            ));
            all.push(js_safe());
        }
        Format::Ndjson => {
            all.push(js_safe());
            let text = "A last line that says how it ended";
            all.push(option("end_marker", text, flag()));
        }
        Format::Arrow => {
            let text = "Compression of Arrow's buffers; wins over `codecs` in `Accept`";
            all.push(option(
                "compression",
                text,
                choice(&["none", "lz4", "zstd"]),
            ));
            let text = "`modern` allows view types and dictionaries";
            all.push(option("arrow_types", text, chosen(&["plain", "modern"])));
        }
        Format::Csv => {
            let text = "Between fields: one character, or `tab`";
            let schema = json!({ "type": "string", "default": "," });
            all.push(option("delimiter", text, schema));
            let text = "Start with a byte order mark, which Excel needs to read UTF-8";
            all.push(option("bom", text, flag()));
            let text = "Put `'` before text that a spreadsheet would take for a formula";
            all.push(option("excel_safe", text, flag()));
        }
        Format::Parquet => {
            let text = "Compression of the pages";
            let schema = chosen(&["snappy", "zstd", "lz4", "none"]);
            all.push(option("compression", text, schema));
        }
    }
    let text = "Sets `Content-Disposition`: the name a browser saves the answer under";
    all.push(option(
        "download",
        text,
        json!({ "type": "string", "maxLength": 200 }),
    ));
    all.push(run_id_parameter());
    all
}

pub(super) fn source_parameter() -> Value {
    json!({
        "name": "source", "in": "path", "required": true,
        "description": "Id, name or `@kind.name`", "schema": { "type": "string" }
    })
}

pub(super) fn run_id_parameter() -> Value {
    json!({
        "name": "weir-run-id", "in": "header", "required": false,
        "description": "Your own id for this run", "schema": { "type": "string", "format": "uuid" }
    })
}
