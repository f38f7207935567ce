//! The same operations as OpenAPI 3.0, for tools that cannot read 3.1.
//!
//! The two differ in their schemas: 3.1 speaks JSON Schema, 3.0 a dialect of an
//! older draft. Walked is the structure of the document and not every object,
//! so that an example or a property named `type` stays what it is.

use serde_json::{Map, Value, json};

/// Keywords of schemas that 3.0 does not know. What they forbid is still
/// refused by the service; a client just does not hear of it beforehand.
const UNKNOWN: [&str; 21] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$schema",
    "contains",
    "contentMediaType",
    "contentSchema",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "patternProperties",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// The document as 3.0.3.
pub fn of(document: &Value) -> Value {
    let mut document = document.clone();
    document["openapi"] = json!("3.0.3");
    if let Some(info) = document["info"].as_object_mut() {
        info.remove("summary");
        if let Some(license) = info.get_mut("license").and_then(Value::as_object_mut) {
            license.remove("identifier");
            let text = json!("https://www.apache.org/licenses/LICENSE-2.0");
            license.entry("url").or_insert(text);
        }
    }
    if let Some(whole) = document.as_object_mut() {
        whole.remove("webhooks");
        whole.remove("jsonSchemaDialect");
    }
    each(&mut document["paths"], |item| {
        each_item(&mut item["parameters"], parameter);
        each(item, operation);
    });
    let components = &mut document["components"];
    each(&mut components["schemas"], schema);
    each(&mut components["parameters"], parameter);
    each(&mut components["headers"], parameter);
    each(&mut components["responses"], response);
    each(&mut components["requestBodies"], content);
    without_nulls(&mut document);
    let schemas = document["components"]["schemas"].clone();
    type_nullables(&mut document, &schemas);
    document
}

/// In 3.0 `nullable` counts only beside a `type`: a nullable reference names the
/// type of what it refers to.
fn type_nullables(value: &mut Value, schemas: &Value) {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| type_nullables(item, schemas)),
        Value::Object(map) => {
            map.values_mut()
                .for_each(|part| type_nullables(part, schemas));
            let is_nullable = map.get("nullable") == Some(&Value::Bool(true));
            if is_nullable
                && !map.contains_key("type")
                && let Some(name) = type_of(map.get("allOf"), schemas)
            {
                map.insert("type".to_owned(), name);
            }
        }
        _ => {}
    }
}

/// The type that the parts of an `allOf` agree on, through references.
fn type_of(parts: Option<&Value>, schemas: &Value) -> Option<Value> {
    // References of ours do not nest deeper; a circle of them ends here too.
    const DEPTH: usize = 8;
    let mut part = parts?.get(0)?;
    for _ in 0..DEPTH {
        if let Some(name) = part.get("type") {
            return Some(name.clone());
        }
        part = match part.get("$ref").and_then(Value::as_str) {
            Some(reference) => schemas.get(reference.rsplit('/').next()?)?,
            None => part.get("allOf")?.get(0)?,
        };
    }
    None
}

/// Indexing a missing field for change makes it, as null; those go again.
fn without_nulls(document: &mut Value) {
    let drop_null = |value: &mut Value, name: &str| {
        if let Some(map) = value.as_object_mut()
            && map.get(name).is_some_and(Value::is_null)
        {
            map.shift_remove(name);
        }
    };
    for name in [
        "schemas",
        "parameters",
        "headers",
        "responses",
        "requestBodies",
    ] {
        drop_null(&mut document["components"], name);
    }
    each(&mut document["paths"], |item| {
        drop_null(item, "parameters");
        each(item, |operation| {
            for name in ["parameters", "requestBody"] {
                drop_null(operation, name);
            }
            each(&mut operation["responses"], |response| {
                for name in ["content", "headers"] {
                    drop_null(response, name);
                }
            });
        });
    });
}

fn each(value: &mut Value, change: impl FnMut(&mut Value)) {
    value
        .as_object_mut()
        .into_iter()
        .flat_map(|map| map.values_mut())
        .for_each(change);
}

fn each_item(value: &mut Value, change: impl FnMut(&mut Value)) {
    value.as_array_mut().into_iter().flatten().for_each(change);
}

fn operation(operation: &mut Value) {
    if !operation.is_object() {
        return;
    }
    each_item(&mut operation["parameters"], parameter);
    if operation["requestBody"].is_object() {
        content(&mut operation["requestBody"]);
    }
    each(&mut operation["responses"], response);
}

/// A parameter, or a header.
fn parameter(parameter: &mut Value) {
    if let Some(inner) = parameter.get_mut("schema") {
        schema(inner);
    }
}

fn response(response: &mut Value) {
    content(response);
    each(&mut response["headers"], parameter);
}

fn content(holder: &mut Value) {
    each(&mut holder["content"], |media| {
        if let Some(inner) = media.get_mut("schema") {
            schema(inner);
        }
    });
}

fn schema(schema_value: &mut Value) {
    let Value::Object(map) = schema_value else {
        // `true` is any value; 3.0 spells it as an empty schema.
        *schema_value = match schema_value {
            Value::Bool(false) => json!({ "not": {} }),
            _ => json!({}),
        };
        return;
    };
    for name in UNKNOWN {
        map.shift_remove(name);
    }
    inner_schemas(map);
    constants(map);
    bounds(map);
    encoding(map);
    tuple(map);
    examples(map);
    types(map);
    nullable_union(map);
    beside_reference(map);
}

fn inner_schemas(map: &mut Map<String, Value>) {
    for name in ["allOf", "anyOf", "oneOf", "prefixItems"] {
        if let Some(list) = map.get_mut(name) {
            // The null of a union is seen to by its union.
            each_item(list, |inner| {
                if inner["type"] != "null" {
                    schema(inner);
                }
            });
        }
    }
    for name in ["items", "not"] {
        if let Some(inner) = map.get_mut(name) {
            schema(inner);
        }
    }
    if let Some(inner) = map.get_mut("additionalProperties")
        && inner.is_object()
    {
        schema(inner);
    }
    if let Some(properties) = map.get_mut("properties") {
        each(properties, schema);
    }
}

fn constants(map: &mut Map<String, Value>) {
    if let Some(value) = map.shift_remove("const") {
        map.insert("enum".to_owned(), json!([value]));
    }
}

/// In 3.0 an exclusive bound is a flag beside the bound.
fn bounds(map: &mut Map<String, Value>) {
    for (exclusive, plain) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        if let Some(bound) = map
            .get(exclusive)
            .filter(|bound| bound.is_number())
            .cloned()
        {
            map.insert(plain.to_owned(), bound);
            map.insert(exclusive.to_owned(), json!(true));
        }
    }
}

fn encoding(map: &mut Map<String, Value>) {
    if map.shift_remove("contentEncoding") == Some(json!("base64")) {
        map.insert("format".to_owned(), json!("byte"));
    }
}

/// A tuple becomes a list of any of its parts.
fn tuple(map: &mut Map<String, Value>) {
    if let Some(parts) = map.shift_remove("prefixItems") {
        map.insert("items".to_owned(), json!({ "anyOf": parts }));
    }
}

fn examples(map: &mut Map<String, Value>) {
    if let Some(Value::Array(list)) = map.shift_remove("examples")
        && let Some(first) = list.into_iter().next()
    {
        map.entry("example").or_insert(first);
    }
}

/// A list of types: null is a flag, several others are a union.
fn types(map: &mut Map<String, Value>) {
    match map.get("type").cloned() {
        Some(Value::String(name)) if name == "null" => {
            map.shift_remove("type");
            map.insert("nullable".to_owned(), json!(true));
            map.insert("enum".to_owned(), json!([null]));
        }
        Some(Value::Array(names)) => {
            let others: Vec<&Value> = names.iter().filter(|name| *name != "null").collect();
            let null = others.len() < names.len();
            match others.as_slice() {
                [one] => {
                    map.insert("type".to_owned(), (*one).clone());
                }
                several => {
                    let union: Vec<Value> =
                        several.iter().map(|name| json!({ "type": name })).collect();
                    map.shift_remove("type");
                    map.insert("anyOf".to_owned(), json!(union));
                }
            }
            if null {
                map.insert("nullable".to_owned(), json!(true));
                if let Some(Value::Array(values)) = map.get_mut("enum")
                    && !values.contains(&Value::Null)
                {
                    values.push(Value::Null);
                }
            }
        }
        _ => {}
    }
}

/// A union with null is a nullable union; with one other part, that part.
fn nullable_union(map: &mut Map<String, Value>) {
    for name in ["oneOf", "anyOf"] {
        let Some(Value::Array(parts)) = map.get_mut(name) else {
            continue;
        };
        let before = parts.len();
        parts.retain(|part| part["type"] != "null");
        if parts.len() == before {
            continue;
        }
        if let [one] = parts.as_mut_slice() {
            let one = one.take();
            map.shift_remove(name);
            match one {
                Value::Object(part)
                    if !part.contains_key("$ref") && !part.contains_key("allOf") =>
                {
                    for (key, value) in part {
                        map.entry(key).or_insert(value);
                    }
                }
                part => {
                    map.insert("allOf".to_owned(), json!([part]));
                }
            }
        }
        map.insert("nullable".to_owned(), json!(true));
    }
}

/// What stands beside a reference counts in 3.1 and is passed over in 3.0.
fn beside_reference(map: &mut Map<String, Value>) {
    if map.len() < 2 {
        return;
    }
    if let Some(reference) = map.shift_remove("$ref") {
        map.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn converted(mut given: Value) -> Value {
        super::schema(&mut given);
        given
    }

    #[test]
    fn null_is_a_flag() {
        let nullable = json!({"type": "string", "nullable": true});
        assert_eq!(converted(json!({"type": ["string", "null"]})), nullable);
        assert_eq!(
            converted(json!({"type": ["string", "null"], "enum": ["a"]})),
            json!({"type": "string", "enum": ["a", null], "nullable": true})
        );
        let reference = json!({"$ref": "#/components/schemas/A"});
        let union = json!({"oneOf": [reference, {"type": "null"}], "description": "d"});
        assert_eq!(
            converted(union),
            json!({"description": "d", "allOf": [reference], "nullable": true})
        );
        assert_eq!(
            converted(json!({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})),
            json!({"type": "integer", "minimum": 1, "nullable": true})
        );
    }

    #[test]
    fn several_types_are_a_union() {
        assert_eq!(
            converted(json!({"type": ["string", "integer", "null"]})),
            json!({"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": true})
        );
    }

    #[test]
    fn keywords_of_json_schema_have_their_older_spelling() {
        for (given, wanted) in [
            (json!({"const": "a"}), json!({"enum": ["a"]})),
            (
                json!({"exclusiveMinimum": 0}),
                json!({"exclusiveMinimum": true, "minimum": 0}),
            ),
            (json!({"examples": [1, 2]}), json!({"example": 1})),
            (
                json!({"type": "string", "contentEncoding": "base64"}),
                json!({"type": "string", "format": "byte"}),
            ),
            (
                json!({"type": "object", "propertyNames": {"type": "string"}}),
                json!({"type": "object"}),
            ),
            (json!(true), json!({})),
            (
                json!({"$ref": "#/x", "description": "d"}),
                json!({"description": "d", "allOf": [{"$ref": "#/x"}]}),
            ),
            (json!({"$ref": "#/x"}), json!({"$ref": "#/x"})),
        ] {
            assert_eq!(converted(given), wanted);
        }
    }

    #[test]
    fn only_schemas_are_changed() {
        let schema = json!({"type": "object",
            "properties": {"type": {"type": ["string", "null"]}, "const": {"type": "string"}},
            "example": {"type": ["a", "null"], "const": 1}});
        assert_eq!(
            converted(schema),
            json!({"type": "object",
                "properties": {"type": {"type": "string", "nullable": true}, "const": {"type": "string"}},
                "example": {"type": ["a", "null"], "const": 1}})
        );
    }

    #[test]
    fn nothing_of_ours_is_left_that_3_0_does_not_know() {
        fn walk(value: &Value, at: &str) {
            match value {
                Value::Object(map) => {
                    assert_ne!(value["type"], "null", "{at}");
                    let in_schema = at.contains("/schema") && !at.ends_with("/properties");
                    if in_schema && !at.contains("xample") {
                        assert!(!map.get("type").is_some_and(Value::is_array), "{at}");
                        for name in super::UNKNOWN.iter().chain(&["const", "examples"]) {
                            assert!(!map.contains_key(*name), "{at}/{name}");
                        }
                    }
                    map.iter()
                        .for_each(|(key, inner)| walk(inner, &format!("{at}/{key}")));
                }
                Value::Array(items) => items.iter().for_each(|inner| walk(inner, at)),
                other => assert!(
                    !other.is_null() || at.contains("enum") || at.contains("xample"),
                    "{at}"
                ),
            }
        }
        let document = crate::openapi::document();
        let older = super::of(&document);
        walk(&older, "");
        let operations = |document: &Value| -> Vec<String> {
            document["paths"]
                .as_object()
                .into_iter()
                .flatten()
                .flat_map(|(path, item)| {
                    item.as_object()
                        .into_iter()
                        .flatten()
                        .map(move |(m, _)| format!("{m} {path}"))
                })
                .collect()
        };
        assert_eq!(operations(&older), operations(&document));
    }

    #[test]
    fn a_nullable_reference_names_its_type() {
        let reference = json!({"$ref": "#/components/schemas/Role"});
        let patch = json!({"properties": {"role": {"oneOf": [{"type": "null"}, reference]}}});
        let role = json!({"type": "string", "enum": ["reader"]});
        let document =
            json!({"paths": {}, "components": {"schemas": {"Role": role, "Patch": patch}}});
        let converted = super::of(&document);
        let role = &converted["components"]["schemas"]["Patch"]["properties"]["role"];
        assert_eq!(role["type"], "string");
        assert_eq!(role["nullable"], true);
    }
}
