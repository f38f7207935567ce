//! What an argument should have been, in words, out of the schema of its step.

use serde_json::Value;
use weir_core::Error;

/// `error`, which is about an argument, with the shape that its schema wants,
/// unless it has a hint that says more.
pub(super) fn with_shape(error: Error, schema: &Value) -> Error {
    const CATALOGUE: &str = "GET /v1/transforms has the schema of every step";
    if error.stable_code() != "invalid" {
        return error;
    }
    let Some(pointer) = error.fields().first().map(|field| field.pointer.clone()) else {
        return error;
    };
    let name = pointer.trim_start_matches('/').split('/').next();
    let name = name.unwrap_or_default().to_owned();
    let at = pointer
        .split('/')
        .skip(1)
        .try_fold(schema, |at, segment| below(at, segment));
    match at.and_then(shape) {
        Some(shape) if pointer == format!("/{name}") => {
            error.hint(format!("`{name}` is {shape}; {CATALOGUE}"))
        }
        Some(shape) => error.hint(format!("give {shape} here; {CATALOGUE}")),
        None if error.hint_text().is_none() => error.hint(CATALOGUE),
        None => error,
    }
}

/// The schema of what stands at `segment` of a value.
fn below<'a>(schema: &'a Value, segment: &str) -> Option<&'a Value> {
    let segment = segment.replace("~1", "/").replace("~0", "~");
    choices(schema).find_map(|schema| {
        let property = schema.get("properties").and_then(|all| all.get(&segment));
        let item = || schema.get("items").filter(|items| items.is_object());
        let other = || {
            schema
                .get("additionalProperties")
                .filter(|any| any.is_object())
        };
        property.or_else(item).or_else(other)
    })
}

/// The schema itself and those it offers instead.
fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    let offered = ["anyOf", "oneOf"].into_iter().filter_map(|key| {
        let choices = schema.get(key)?;
        choices.as_array()
    });
    std::iter::once(schema).chain(offered.flatten())
}

/// What `schema` wants, in words: `a list of texts`.
fn shape(schema: &Value) -> Option<String> {
    let named: Vec<&str> = choices(schema)
        .flat_map(|choice| {
            let listed = choice.get("enum").and_then(Value::as_array);
            let constant = choice.get("const").into_iter();
            listed.into_iter().flatten().chain(constant)
        })
        .filter_map(Value::as_str)
        .collect();
    if !named.is_empty() {
        return Some(format!("one of {}", named.join(", ")));
    }
    choices(schema).find_map(|choice| {
        let plain = match choice.get("type")? {
            Value::Array(types) => types.iter().find(|one| *one != "null")?,
            one => one,
        };
        Some(match plain.as_str()? {
            "array" => match choice.get("items").and_then(shape) {
                Some(items) if items == "text" => "a list of texts".to_owned(),
                Some(items) => format!("a list, each item {items}"),
                None => "a list".to_owned(),
            },
            "string" => "text".to_owned(),
            "integer" => "a whole number".to_owned(),
            "number" => "a number".to_owned(),
            "boolean" => "true or false".to_owned(),
            "object" => object(choice),
            _ => return None,
        })
    })
}

fn object(schema: &Value) -> String {
    let properties = schema.get("properties").and_then(Value::as_object);
    let names: Vec<String> = properties
        .into_iter()
        .flat_map(|all| all.keys().map(|name| format!("`{name}`")))
        .collect();
    if names.is_empty() {
        return "an object".to_owned();
    }
    format!("an object of {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_shape_of_an_argument_is_said_in_words() {
        for (schema, said) in [
            (
                json!({"type": "array", "items": {"type": "string"}}),
                "a list of texts",
            ),
            (json!({"type": ["integer", "null"]}), "a whole number"),
            (
                json!({"anyOf": [{"enum": ["a", "b"], "type": "string"}, {"type": "null"}]}),
                "one of a, b",
            ),
            (
                json!({"oneOf": [{"const": "x", "type": "string"}, {"const": "y", "type": "string"}]}),
                "one of x, y",
            ),
            (
                json!({"type": "object", "properties": {"column": {}, "nulls": {}}}),
                "an object of `column`, `nulls`",
            ),
        ] {
            assert_eq!(shape(&schema).as_deref(), Some(said), "{schema}");
        }
        assert_eq!(shape(&json!(true)), None);
    }
}
