//! JSON to typed values in exactly one place, and the facts about a config
//! that its JSON Schema holds: which fields are secret, which say *where*.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde_json::{Map, Value};

use crate::duplicates;
use crate::error::{Error, Kind, Result};

/// Decodes `value`, or says which field is wrong, what was wrong and which
/// known name is nearest.
pub fn decode<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer = pointer_of(error.path());
        field_error(pointer, &error.inner().to_string())
    })
}

/// Decodes bytes as [`decode`] does; text that is not JSON is `Malformed`.
pub fn decode_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    duplicates::refuse(bytes)?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer_of(error.path());
        let inner = error.inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                field_error(pointer, strip_position(&inner.to_string()))
            }
            _ => malformed(inner),
        }
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// A whole number that may be written with a point: for JSON and its schemas
/// `2.0` is as whole as `2`, and some languages write no other.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value = Value::deserialize(deserializer)?;
    match value.as_f64() {
        Some(number)
            if value.as_u64().is_none()
                && number.fract() == 0.0
                && (0.0..=EXACT).contains(&number) =>
        {
            Ok(number as u64)
        }
        _ => u64::deserialize(value).map_err(D::Error::custom),
    }
}

/// The same for a field that may be absent or null.
pub fn whole_option<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let number = whole(value).map_err(D::Error::custom)?;
    T::try_from(number)
        .map(Some)
        .map_err(|_| D::Error::custom(format!("{number} is too large")))
}

/// Decodes a query string (`a=1&b=2`). Fields of errors are written `?name`.
pub fn decode_query<T: DeserializeOwned>(query: &str) -> Result<T> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let pointer = pointer_of(error.path());
        field_error(pointer, &error.inner().to_string()).as_parameter()
    })
}

fn malformed(error: &serde_json::Error) -> Error {
    if error.to_string().starts_with("recursion limit") {
        return Error::new(Kind::Malformed, "the body nests deeper than 128 levels")
            .code("too_deep");
    }
    Error::new(
        Kind::Malformed,
        format!("the body is not valid JSON: {error}"),
    )
    .hint("send a JSON document with Content-Type: application/json")
}

fn strip_position(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(head, _)| head)
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape_pointer(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Escapes one segment of a JSON pointer.
pub fn escape_pointer(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

fn field_error(pointer: String, text: &str) -> Error {
    if let Some((name, known)) = unknown_field(text) {
        let at = format!("/{}", escape_pointer(name));
        let pointer = if pointer.ends_with(&at) {
            pointer
        } else {
            format!("{pointer}{at}")
        };
        let message = match nearest(name, &known) {
            Some(near) => format!("unknown field `{name}`; did you mean `{near}`?"),
            None => format!("unknown field `{name}`"),
        };
        let mut error = Error::invalid(pointer, message).code("unknown_field");
        if !known.is_empty() {
            error = error.hint(format!("known fields: {}", known.join(", ")));
        }
        return error;
    }
    if let Some(name) = text.strip_prefix("duplicate field `") {
        let name = name.trim_end_matches('`');
        return duplicates::twice(format!("{pointer}/{}", escape_pointer(name)), name);
    }
    if let Some(name) = text.strip_prefix("missing field `") {
        let name = name.trim_end_matches('`');
        let pointer = format!("{pointer}/{}", escape_pointer(name));
        return Error::invalid(pointer, format!("`{name}` is missing"));
    }
    match text.rsplit_once(", expected ") {
        Some((_, "a sequence")) => {
            Error::invalid(pointer, text.to_owned()).hint("send a list: [ … ]")
        }
        // Names of types are ours alone.
        Some((found, wanted)) if wanted == "a map" || wanted.starts_with("struct ") => {
            Error::invalid(pointer, format!("{found}, expected an object"))
                .hint("send an object: { … }")
        }
        _ => Error::invalid(pointer, text.to_owned()),
    }
}

/// Reads serde's own text for unknown fields: "unknown field `a`, expected one of `b`, `c`".
fn unknown_field(text: &str) -> Option<(&str, Vec<&str>)> {
    let rest = text.strip_prefix("unknown field `")?;
    let (name, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((name, known))
}

/// The nearest of `known`, when it is near enough to be what was meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| {
            (
                strsim::jaro_winkler(&name.to_lowercase(), &k.to_lowercase()),
                *k,
            )
        })
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// Which fields of a config are secret and which say where secrets go.
/// Each entry is a path of object keys, for example `["tls", "key"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldFacts {
    /// Fields whose schema says `writeOnly`.
    pub secret: Vec<Vec<String>>,
    /// Fields whose schema says `x-endpoint`.
    pub endpoint: Vec<Vec<String>>,
}

impl FieldFacts {
    /// Walks a JSON Schema once.
    pub fn of(schema: &Value) -> Self {
        let mut facts = FieldFacts::default();
        walk(schema, schema, &mut Vec::new(), &mut facts, 0);
        facts
    }
}

fn walk(root: &Value, node: &Value, path: &mut Vec<String>, facts: &mut FieldFacts, depth: usize) {
    // Schemas may refer to themselves; no config of ours nests this deep.
    if depth > 16 {
        return;
    }
    if node.get("writeOnly") == Some(&Value::Bool(true)) && !facts.secret.contains(path) {
        facts.secret.push(path.clone());
    }
    if node.get("x-endpoint") == Some(&Value::Bool(true)) && !facts.endpoint.contains(path) {
        facts.endpoint.push(path.clone());
    }
    if let Some(target) = node.get("$ref").and_then(Value::as_str)
        && let Some(found) = target.strip_prefix('#').and_then(|p| root.pointer(p))
    {
        walk(root, found, path, facts, depth + 1);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for part in node
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            walk(root, part, path, facts, depth + 1);
        }
    }
    for (name, field) in node
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        path.push(name.clone());
        walk(root, field, path, facts, depth + 1);
        path.pop();
    }
}

/// The value at `path`, if every step is an object that has it.
pub fn get<'a>(config: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(config, |node, key| node.get(key))
}

/// Takes the value at `path` out of `config`.
pub fn take(config: &mut Value, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let parent = parents
        .iter()
        .try_fold(config, |node, key| node.get_mut(key))?;
    parent.as_object_mut()?.shift_remove(last)
}

/// Puts `value` at `path`, making objects on the way.
pub fn put(config: &mut Value, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut node = config;
    for key in parents {
        if !node.is_object() {
            *node = Value::Object(Map::new());
        }
        let Some(map) = node.as_object_mut() else {
            return;
        };
        node = map
            .entry(key.clone())
            .or_insert_with(|| Value::Object(Map::new()));
    }
    if !node.is_object() {
        *node = Value::Object(Map::new());
    }
    if let Some(map) = node.as_object_mut() {
        map.insert(last.clone(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    struct Numbers {
        #[serde(deserialize_with = "whole")]
        limit: u64,
        #[serde(default, deserialize_with = "whole_option")]
        rows: Option<u32>,
    }

    #[test]
    fn a_whole_number_may_have_a_point() {
        for (text, limit, rows) in [
            (r#"{"limit": 2}"#, 2, None),
            (r#"{"limit": 2.0, "rows": 7e2}"#, 2, Some(700)),
            (
                r#"{"limit": 18446744073709551615, "rows": null}"#,
                u64::MAX,
                None,
            ),
        ] {
            let read: Numbers = decode_slice(text.as_bytes()).unwrap();
            assert_eq!((read.limit, read.rows), (limit, rows), "{text}");
        }
        for text in [
            r#"{"limit": 2.5}"#,
            r#"{"limit": -1.0}"#,
            r#"{"limit": "2"}"#,
            r#"{"limit": 1e300}"#,
        ] {
            let error = decode_slice::<Numbers>(text.as_bytes()).unwrap_err();
            assert_eq!(error.fields()[0].pointer, "/limit", "{text}");
        }
        assert!(decode_slice::<Numbers>(br#"{"limit": 1, "rows": 4294967296}"#).is_err());
    }

    #[derive(Debug, Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Config {
        #[schemars(extend("x-endpoint" = true))]
        host: String,
        password: Option<Secret>,
        tls: Option<Tls>,
    }

    #[derive(Debug, Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Tls {
        ca: Option<String>,
        key: Option<Secret>,
    }

    #[test]
    fn facts_come_from_the_schema() {
        let schema = schemars::schema_for!(Config).to_value();
        let facts = FieldFacts::of(&schema);
        assert_eq!(
            facts.secret,
            [
                vec!["password".to_owned()],
                vec!["tls".into(), "key".into()]
            ]
        );
        assert_eq!(facts.endpoint, [vec!["host".to_owned()]]);
    }

    #[test]
    fn unknown_fields_point_to_the_field_and_the_nearest_name() {
        let error = decode::<Config>(json!({"host": "h", "tls": {"keyy": "k"}})).unwrap_err();
        assert_eq!(error.fields()[0].pointer, "/tls/keyy");
        assert!(error.message().contains("did you mean `key`?"), "{error}");
        let error = decode_slice::<Config>(br#"{"hots": "h"}"#).unwrap_err();
        assert_eq!(error.fields()[0].pointer, "/hots");
        assert!(error.message().contains("did you mean `host`?"), "{error}");
        let error = decode_slice::<Config>(br#"{"host": 5}"#).unwrap_err();
        assert_eq!(error.fields()[0].pointer, "/host");
        assert!(!error.message().contains("line"), "{error}");
    }

    #[test]
    fn take_and_put_are_inverse() {
        let mut config = json!({"host": "h", "tls": {"key": "k", "ca": "c"}});
        let path = ["tls".to_owned(), "key".to_owned()];
        let value = take(&mut config, &path).unwrap();
        assert_eq!(config, json!({"host": "h", "tls": {"ca": "c"}}));
        put(&mut config, &path, value);
        assert_eq!(get(&config, &path), Some(&json!("k")));
    }
}
