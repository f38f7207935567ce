//! What callers send and read of a source.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use weir_core::secret::MASK;
use weir_core::{AnyConnector, Error, Result, config};
use weir_store::SourceRow;

use crate::credentials::given;

/// A new source.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceCreate {
    /// Unique; `^[a-z0-9][a-z0-9_-]{0,62}$`.
    #[schema(example = "shop", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub name: String,
    /// Kind of connector, see `GET /v1/connectors`.
    #[schema(example = "postgres")]
    pub connector: String,
    /// The connector's own fields; its JSON Schema is at `GET /v1/connectors/{kind}`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// Id or name of a credential whose fields are laid over the config.
    pub credential: Option<String>,
    /// For filters.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Anything of yours; kept, never looked at.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// For people.
    pub description: Option<String>,
}

/// A change of a source: JSON Merge Patch (RFC 7396). `null` removes, `"***"`
/// in a secret field leaves it as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourcePatch {
    /// A new name.
    pub name: Option<String>,
    /// Merged into the config.
    #[schema(value_type = Option<Object>)]
    pub config: Option<Map<String, Value>>,
    /// Another credential, or `null` for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub credential: Option<Option<String>>,
    /// Merged into the labels.
    #[schema(value_type = Option<Object>)]
    pub labels: Option<Map<String, Value>>,
    /// Merged into the metadata.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
    /// A new description; empty text removes it.
    pub description: Option<String>,
}

/// The last test of a source.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastTest {
    /// Whether every step worked.
    pub ok: bool,
    /// When it ran.
    pub at: DateTime<Utc>,
    /// Error code, when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A source as it is read back.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceView {
    /// Its id.
    pub id: uuid::Uuid,
    /// Its name.
    pub name: String,
    /// Kind of connector.
    pub connector: String,
    /// `@kind.name`, usable wherever the id is.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Secret fields read `"***"`.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Which secret fields have a value, as dotted paths.
    pub secret_fields_set: Vec<String>,
    /// Name of the credential that it attaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Changes when the config or a secret changes; compare it instead of secrets.
    pub config_hash: String,
    /// For filters.
    pub labels: BTreeMap<String, String>,
    /// Yours.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The sources file that makes it, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Grows with every change; the ETag follows it.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// The last test, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_test: Option<LastTest>,
}

/// A page of sources.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourcePage {
    /// The sources, by name.
    pub items: Vec<SourceView>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

impl SourceView {
    /// What callers may see of `row`.
    pub fn of(row: SourceRow) -> Self {
        let mut shown = row.config.clone();
        for field in &row.secret_fields {
            config::put(&mut shown, &split_path(field), MASK.into());
        }
        SourceView {
            config_hash: config_hash(&row),
            credential: row.attached.map(|credential| credential.name),
            managed_by: row.managed_by,
            reference: format!("@{}.{}", row.connector, row.name),
            id: row.id,
            name: row.name,
            connector: row.connector,
            config: shown,
            secret_fields_set: row.secret_fields,
            labels: row.labels,
            metadata: row.metadata,
            description: row.description,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            last_test: row.last_test.map(|t| LastTest {
                ok: t.ok,
                at: t.at,
                code: t.code,
            }),
        }
    }
}

/// The path of a dotted field name.
pub fn split_path(field: &str) -> Vec<String> {
    field.split('.').map(str::to_owned).collect()
}

/// Over everything that a source is opened with, without secrets but with
/// their versions.
fn config_hash(row: &SourceRow) -> String {
    let attached = row
        .attached
        .as_ref()
        .map(|c| json!({"id": c.id, "version": c.version}));
    hash_of(&json!({
        "config": row.config,
        "secrets": {"fields": row.secret_fields, "version": row.secret_version},
        "credential": attached,
    }))
}

fn hash_of(value: &Value) -> String {
    let hash = digest::digest(&digest::SHA256, canonical(value).as_bytes());
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// JSON with sorted keys and no blanks, so that equal configs hash alike.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let fields: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{}:{}", Value::from(key.as_str()), canonical(&map[key])))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

/// Names that would be ambiguous where an id or a name is taken.
const RESERVED: &[&str] = &["test"];

/// Refuses names that cannot be used in paths.
pub fn check_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let well_formed = name.len() <= 63
        && bytes.next().is_some_and(plain)
        && bytes.all(|b| plain(b) || b == b'_' || b == b'-');
    if !well_formed {
        return Err(Error::invalid("/name", format!("`{name}` is not a valid name"))
            .hint("1 to 63 characters: lower-case letters, digits, `_` and `-`, starting with a letter or digit"));
    }
    if RESERVED.contains(&name) || uuid::Uuid::try_parse(name).is_ok() {
        return Err(
            Error::invalid("/name", format!("the name `{name}` is reserved"))
                .hint("it would be ambiguous where an id or a name is taken"),
        );
    }
    Ok(())
}

/// A config cut in two: what is stored readable, and what is sealed.
pub struct Split {
    /// Without secrets.
    pub open: Value,
    /// Dotted path and value of each secret.
    pub secrets: Vec<(String, weir_core::Secret)>,
}

/// Cuts the secrets out of a whole config.
pub fn split(connector: &dyn AnyConnector, mut whole: Value) -> Split {
    let mut secrets = Vec::new();
    for path in &connector.facts().secret {
        // A reference is no secret: it is kept and shown as it was written.
        if config::get(&whole, path).is_some_and(Value::is_object) {
            continue;
        }
        if let Some(Value::String(value)) = config::take(&mut whole, path) {
            secrets.push((path.join("."), weir_core::Secret::new(value)));
        }
    }
    Split {
        open: whole,
        secrets,
    }
}

/// JSON Merge Patch, RFC 7396.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else {
        return;
    };
    for (key, change) in changes {
        if change.is_null() {
            fields.shift_remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_patch_as_in_the_rfc() {
        let mut doc = json!({"a": "b", "c": {"d": "e", "f": "g"}});
        merge(&mut doc, &json!({"a": "z", "c": {"f": null}}));
        assert_eq!(doc, json!({"a": "z", "c": {"d": "e"}}));
        let mut doc = json!({});
        merge(&mut doc, &json!({"a": {"bb": {"ccc": null}}}));
        assert_eq!(doc, json!({"a": {"bb": {}}}));
    }

    #[test]
    fn names() {
        for good in ["a", "0", "shop-2_x", &"a".repeat(63)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        let id = "0190b6e2-8f3f-7b3c-9d51-0a1b2c3d4e5f";
        for bad in ["", "-a", "A", "a b", "ä", "test", &long, id] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hash_ignores_key_order() {
        let a = hash_of(&json!({"a": 1, "b": {"c": 2, "d": 3}}));
        let b = hash_of(&json!({"b": {"d": 3, "c": 2}, "a": 1}));
        assert_eq!(a, b);
        assert_eq!(a.len(), 64);
        assert_ne!(a, hash_of(&json!({"b": {"d": 3, "c": 2}, "a": 2})));
    }
}
