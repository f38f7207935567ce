//! An example for every body of the document: written by hand where a reader
//! learns from it, else made from the schema, so that none is missing. The lints
//! hold each of them against its schema.

use serde_json::{Map, Value, json};

/// References are followed this far; schemas may refer to themselves.
const DEPTH: usize = 12;

/// Examples of schemas by name.
const WRITTEN: [(&str, &str); 14] = [
    (
        "SourceCreate",
        r#"{"name": "shop", "connector": "postgres", "config": {"host": "127.0.0.1", "database": "shop", "user": "reader", "password": "a password"},
            "labels": {"team": "sales"}, "description": "The shop's database"}"#,
    ),
    (
        "SourcePatch",
        r#"{"description": "The shop's database, read only", "labels": {"team": null, "tier": "gold"}}"#,
    ),
    (
        "TestRequest",
        r#"{"config": {"host": "127.0.0.1", "database": "shop", "user": "reader", "password": "a password"}}"#,
    ),
    (
        "PreviewRequest",
        r#"{"stream": "public.orders", "columns": ["id", "total"], "filter": "total > 10", "limit": 5}"#,
    ),
    (
        "LoadRequest",
        r#"{"query": "select id, total from orders where created > $1", "params": ["2026-01-01"]}"#,
    ),
    (
        "RecipeCreate",
        r#"{"name": "clean", "description": "What every list of orders goes through", "labels": {"team": "sales"},
            "steps": [{"op": "filter_rows", "condition": "total > 0"}, {"op": "select", "columns": ["id", "total"]}],
            "column_types": {"total": "number_with_decimals"}}"#,
    ),
    (
        "RecipePatch",
        r#"{"steps": [{"op": "select", "columns": ["id"]}], "labels": {"team": null}}"#,
    ),
    (
        "TransformRequest",
        r#"{"data": [{"id": 1, "total": 12.50}, {"id": 2, "total": null}], "steps": [{"op": "limit", "rows": 1}],
            "column_types": {"id": "int32"}}"#,
    ),
    (
        "ProfileRequest",
        r#"{"data": [{"id": 1, "total": "$12.50"}, {"id": 2, "total": "n/a"}], "column_types": {"total": "number_with_decimals"}}"#,
    ),
    (
        "ProfileSourceRequest",
        r#"{"stream": "public.orders", "columns": ["id", "total"], "filter": "total > 10"}"#,
    ),
    (
        "ProfileAnswer",
        r#"{"dataset": {"row_count": 3, "column_count": 1, "total_null_value_count": 1, "total_null_value_rate": 0.3333333333333333,
            "total_invalid_value_count": 0, "total_invalid_value_rate": 0.0, "duplicate_row_count": 0, "duplicate_row_rate": 0.0,
            "empty_column_count": 0, "empty_column_rate": 0.0, "completeness": 0.6666666666666667, "validity": 0.6666666666666667,
            "is_timeseries": false, "timeseries_index": []},
            "columns": {"total": {"type": "number", "rule": "whole_numbers", "confidence": 1.0, "statistics": {
            "count": 2, "count_distinct": 2, "null_value_count": 1, "null_value_rate": 0.3333333333333333, "unique_value_rate": 0.6666666666666666,
            "value_counts": {"10": 1, "12": 1}, "max_null_seq": 1, "average": 11.0, "sum": 22, "min": 10, "max": 12, "median": 11.0,
            "std": 1.4142135623730951, "skew": null, "outlier_count": 0, "outlier_ratio": 0.0, "outliers": [],
            "box_plot": {"min": 10, "first_quartile": 10, "median": 11.0, "third_quartile": 12, "max": 12, "outliers": []},
            "mode": 10, "mode_ratio": 0.3333333333333333, "completeness": 0.6666666666666667, "validity": 0.6666666666666667, "quality": "Bad"}}},
            "suggestions": []}"#,
    ),
    (
        "PreviewAnswer",
        r#"{"columns": [{"name": "id", "type": "int64"}, {"name": "total", "type": "decimal(10,2)"}],
            "rows": [{"id": 1, "total": 12.50}], "row_count": 1, "truncated": true, "elapsed_ms": 4.2}"#,
    ),
    (
        "Problem",
        r##"{"type": "/problems/unknown_field", "title": "Unknown field", "status": 422, "detail": "unknown field `conector`; did you mean `connector`?",
            "code": "unknown_field", "hint": "known fields: name, connector, config, labels, metadata, description", "retryable": false,
            "request_id": "0198c2a4-6f0e-7c3a-9d52-5b1a2f7e4c10", "errors": [{"pointer": "#/conector", "detail": "unknown field `conector`; did you mean `connector`?"}]}"##,
    ),
    (
        "SourceView",
        r#"{"id": "0198c2a4-6f0e-7c3a-9d52-5b1a2f7e4c10", "name": "shop", "connector": "postgres", "ref": "@postgres.shop",
            "config": {"host": "127.0.0.1", "database": "shop", "user": "reader", "password": "***"}, "secret_fields_set": ["password"],
            "config_hash": "9f86d081884c7d659a2feaa0c55ad015", "labels": {"team": "sales"}, "metadata": {}, "description": "The shop's database",
            "version": 3, "created_at": "2026-01-05T08:30:00Z", "updated_at": "2026-02-01T12:00:00Z",
            "last_test": {"ok": true, "at": "2026-02-01T12:00:05Z"}}"#,
    ),
];

/// Values by the name of their field, where the schema names none.
const BY_NAME: [(&str, &str); 20] = [
    ("capability", "discover"),
    ("category", "database"),
    ("code", "dns"),
    ("comment", "One row an order"),
    ("connector", "postgres"),
    ("cursor", "q1tYQ2tlc2hvcA"),
    ("description", "The shop's database"),
    ("detail", "shop.example resolves to 192.0.2.10"),
    ("hint", "check the spelling of the host"),
    ("kind", "postgres"),
    ("message", "the host name could not be resolved"),
    ("name", "shop"),
    ("namespace", "public"),
    ("native_type", "int8"),
    ("path", "2026/orders.csv"),
    ("request_id", "0198c2a4-6f0e-7c3a-9d52-5b1a2f7e4c10"),
    ("server_version", "PostgreSQL 17.5"),
    ("stream", "public.orders"),
    ("tested_against", "live"),
    ("title", "PostgreSQL"),
];

/// Gives every JSON body and every parameter of the document an example.
pub fn add(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        if let Some(content) = operation.pointer_mut("/requestBody/content") {
            add_to(content, &schemas);
        }
        let responses = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut);
        for (_, response) in responses.into_iter().flatten() {
            if let Some(content) = response.get_mut("content") {
                add_to(content, &schemas);
            }
        }
    }
}

fn add_to(content: &mut Value, schemas: &Value) {
    for (media_type, media) in content.as_object_mut().into_iter().flatten() {
        let has_one = media.get("example").is_some() || media.get("examples").is_some();
        let json = media_type.ends_with("json") && media_type != "application/x-ndjson";
        if !has_one && json && media["schema"].is_object() {
            media["example"] = sample(&media["schema"], "", schemas, 0);
        }
    }
}

/// A value that fits `schema`, which belongs to the field `name`.
fn sample(schema: &Value, name: &str, schemas: &Value, depth: usize) -> Value {
    if let Some(given) = given(schema) {
        return given;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = reference.rsplit('/').next().unwrap_or_default();
        return named(target, name, schemas, depth);
    }
    for union in ["oneOf", "anyOf", "allOf"] {
        let parts = schema[union].as_array().into_iter().flatten();
        if let Some(part) = parts.into_iter().find(|part| part["type"] != "null") {
            return sample(part, name, schemas, depth);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null"),
        kind => Some(kind),
    };
    match kind.and_then(Value::as_str) {
        Some("object") => object(schema, schemas, depth),
        Some("array") if depth >= DEPTH => json!([]),
        Some("array") => {
            // The name of a list is that of its items, with an s.
            let one = name.strip_suffix('s').unwrap_or(name);
            json!([sample(&schema["items"], one, schemas, depth + 1)])
        }
        Some("string") => text(schema, name),
        Some("integer") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("number") => json!(1.5),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        _ => json!({}),
    }
}

fn given(schema: &Value) -> Option<Value> {
    let first = |list: &Value| list.as_array()?.first().cloned();
    schema
        .get("example")
        .cloned()
        .or_else(|| first(schema.get("examples")?))
        .or_else(|| schema.get("const").cloned())
        .or_else(|| {
            schema
                .get("default")
                .filter(|value| !value.is_null())
                .cloned()
        })
        .or_else(|| first(schema.get("enum")?))
}

fn named(target: &str, name: &str, schemas: &Value, depth: usize) -> Value {
    let written = WRITTEN.iter().find(|(schema, _)| *schema == target);
    match written.and_then(|(_, text)| serde_json::from_str(text).ok()) {
        Some(example) => example,
        None if depth >= DEPTH => json!({}),
        None => sample(&schemas[target], name, schemas, depth + 1),
    }
}

fn object(schema: &Value, schemas: &Value, depth: usize) -> Value {
    let required = |field: &str| {
        let mut names = schema["required"].as_array().into_iter().flatten();
        names.any(|name| name == field)
    };
    let mut fields = Map::new();
    for (field, inner) in schema["properties"].as_object().into_iter().flatten() {
        // Deep down only what must be there, so that examples stay readable.
        if required(field) || depth < 3 {
            let value = match field.as_str() {
                "next_cursor" => Value::Null,
                _ => sample(inner, field, schemas, depth + 1),
            };
            fields.insert(field.clone(), value);
        }
    }
    Value::Object(fields)
}

fn text(schema: &Value, name: &str) -> Value {
    let by_format = match schema["format"].as_str() {
        Some("uuid") => Some("0198c2a4-6f0e-7c3a-9d52-5b1a2f7e4c10"),
        Some("date-time") => Some("2026-02-01T12:00:00Z"),
        Some("date") => Some("2026-02-01"),
        Some("uri") => Some("https://weir.example/v1/sources"),
        _ => None,
    };
    let by_name = || {
        BY_NAME
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, text)| *text)
    };
    json!(by_format.or_else(by_name).unwrap_or("text"))
}

#[cfg(test)]
mod tests {
    use super::{BY_NAME, WRITTEN, add};
    use serde_json::{Value, json};

    #[test]
    fn what_is_written_by_hand_is_json_and_names_schemas_that_exist() {
        let document = crate::openapi::document();
        for (name, text) in WRITTEN {
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{name}");
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
        assert!(BY_NAME.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn an_example_follows_the_schema() {
        let mut document = json!({
            "components": {"schemas": {"Node": {"type": "object", "required": ["next"], "properties": {
                "next": {"$ref": "#/components/schemas/Node"}, "at": {"type": "string", "format": "date-time"},
                "kinds": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}, "many": {"type": ["integer", "null"], "minimum": 3}}}}},
            "paths": {"/x": {"get": {"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}}}}}
        });
        add(&mut document);
        let example = &document["paths"]["/x"]["get"]["responses"]["200"]["content"]["application/json"]
            ["example"];
        assert_eq!(example["at"], "2026-02-01T12:00:00Z");
        assert_eq!(
            (&example["kinds"], &example["many"]),
            (&json!(["a"]), &json!(3))
        );
        assert!(example["next"]["next"].is_object());
    }
}
