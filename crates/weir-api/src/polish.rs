//! What every operation of the document has alike, written once and not by
//! each handler: keys of idempotency, likely failures, absent instead of null.

use serde_json::{Map, Value, json};

use crate::idempotency;

/// Paths that may still change between releases.
const EXPERIMENTAL: [&str; 6] = [
    "/v1/transform",
    "/profile",
    "/v1/recipes",
    "/v1/import",
    "/items",
    "/write",
];

/// Makes the document say what holds everywhere.
pub fn polish(document: &mut Value) {
    absent_instead_of_null(document);
    add_headers(document);
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                stability(path, operation);
                idempotency_key(path, method, operation);
                failures(path, method, operation);
                answered_headers(path, method, operation);
            }
        }
    }
}

/// A field is required and may be null, or it may be absent, never both:
/// generators make three states of it otherwise. Patches keep null, which
/// removes what is there, and statistics, where null says that there is none of
/// those values.
fn absent_instead_of_null(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        if name.ends_with("Patch") || name.ends_with("Statistics") {
            continue;
        }
        if name.ends_with("Page") && schema["properties"]["next_cursor"].is_object() {
            require(schema, "next_cursor");
        }
        let required = schema["required"].clone();
        let is_required = |field: &str| {
            let mut names = required.as_array().into_iter().flatten();
            names.any(|name| name == field)
        };
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (field, property) in properties.into_iter().flatten() {
            if !is_required(field) {
                without_null(property);
            }
        }
    }
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            if let Some(schema) = parameter.get_mut("schema") {
                without_null(schema);
            }
        }
        // A body that may be left out is left out, not null.
        if let Some(body) = operation.pointer_mut("/requestBody/content/application~1json/schema") {
            without_null(body);
        }
    }
}

fn require(schema: &mut Value, field: &str) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    let required = map.entry("required").or_insert_with(|| json!([]));
    if let Some(names) = required.as_array_mut()
        && !names.iter().any(|name| name == field)
    {
        names.push(json!(field));
    }
}

fn without_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            schema["type"] = one.clone();
        }
    }
    for union in ["oneOf", "anyOf"] {
        let Some(parts) = schema.get_mut(union).and_then(Value::as_array_mut) else {
            continue;
        };
        parts.retain(|part| part["type"] != "null");
        if let [one] = parts.as_slice() {
            let one = one.clone();
            let Some(map) = schema.as_object_mut() else {
                continue;
            };
            map.shift_remove(union);
            for (key, value) in one.as_object().into_iter().flatten() {
                map.entry(key.clone()).or_insert(value.clone());
            }
        }
    }
}

fn stability(path: &str, operation: &mut Map<String, Value>) {
    let word = match EXPERIMENTAL.iter().any(|part| path.contains(part)) {
        true => "experimental",
        false => "stable",
    };
    operation.entry("x-stability").or_insert(json!(word));
    // Open to everybody is spelled as no requirement, not as an empty one.
    if operation.get("security") == Some(&json!([{}])) {
        operation.insert("security".to_owned(), json!([]));
    }
}

fn add_headers(document: &mut Value) {
    let text = json!({ "type": "string" });
    document["components"]["parameters"] = json!({
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Sent again with the same body, the request is answered as the first time and happens once; kept 24 hours.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^(\"[!#-\\[\\]-~]+\"|[!#-~]+)$" },
            "example": "0198c2a4-6f0e-7c3a-9d52-5b1a2f7e4c10"
        }
    });
    document["components"]["headers"] = json!({
        "ErrorCode": { "description": "The `code` of the problem, also for HEAD", "schema": text },
        "IdempotencyReplayed": { "description": "`true` when the answer is that of an earlier request", "schema": text },
        "Link": { "description": "`rel=\"next\"`: the next page", "schema": text },
        "RetryAfter": { "description": "Seconds to wait", "schema": { "type": "integer", "minimum": 1 } },
        "WwwAuthenticate": { "description": "How to log in", "schema": text }
    });
}

fn idempotency_key(path: &str, method: &str, operation: &mut Map<String, Value>) {
    if method != "post" || !idempotency::is_change(path) {
        return;
    }
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(list) = parameters.as_array_mut() {
        list.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
    }
}

/// Failures that callers meet, beside the `default` that covers all of them.
fn failures(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let tagged_rows = operation["tags"][0] == "rows";
    let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let mut likely = vec![("default", "Any other failure")];
    if path.starts_with("/v1/") {
        likely.push(("401", "No valid key"));
        if method != "get" {
            likely.push(("403", "The role of the key is too low"));
        }
    }
    if path.contains('{') {
        likely.push(("404", "No such thing, or not yours"));
    }
    if method == "post" && idempotency::is_change(path) {
        likely.push(("409", "The name is taken, or the same request is running"));
    }
    if method == "patch" || method == "delete" {
        likely.push(("412", "It changed since it was read"));
    }
    // Everywhere: parameters that are not known are refused.
    likely.push(("422", "Read, but a value is not valid"));
    if tagged_rows {
        likely.push(("424", "The source refused or failed"));
        likely.push(("429", "At a limit"));
    }
    if path == "/readyz" {
        likely.push(("503", "Not ready"));
    }
    for (status, text) in likely {
        let mut headers =
            json!({ "weir-error-code": { "$ref": "#/components/headers/ErrorCode" } });
        match status {
            "401" => {
                headers["WWW-Authenticate"] =
                    json!({ "$ref": "#/components/headers/WwwAuthenticate" })
            }
            "429" | "503" => {
                headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" })
            }
            _ => {}
        }
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let content = json!({ "application/problem+json": { "schema": schema } });
        responses.shift_remove(status);
        responses.insert(
            status.to_owned(),
            json!({ "description": text, "headers": headers, "content": content }),
        );
    }
}

fn answered_headers(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let is_list = parameters.is_some_and(|list| list.iter().any(|p| p["name"] == "cursor"));
    let replayed = method == "post" && idempotency::is_change(path);
    let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for (_, response) in responses
        .iter_mut()
        .filter(|(status, _)| status.starts_with('2'))
    {
        let mut say = |name: &str, component: &str| {
            let reference = json!({ "$ref": format!("#/components/headers/{component}") });
            response["headers"][name] = reference;
        };
        if is_list {
            say("Link", "Link");
        }
        if replayed {
            say("Idempotency-Replayed", "IdempotencyReplayed");
        }
    }
}
