//! What callers send and read of a credential.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use weir_core::reference::KEY;
use weir_core::secret::MASK;
use weir_store::{CredentialRow, CredentialUse, VersionRow};

/// A new credential.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialCreate {
    /// Unique; `^[a-z0-9][a-z0-9_-]{0,62}$`.
    #[schema(example = "main", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub name: String,
    /// Kind of connector it is for; only sources of this kind may attach it.
    #[schema(example = "postgres")]
    pub kind: Option<String>,
    /// Field (dotted where nested, `tls.key`) to its value: a text, or a reference `{"$from": "…"}`.
    #[schema(value_type = BTreeMap<String, Value>, example = json!({"user": "reader", "password": "…"}))]
    pub fields: Map<String, Value>,
    /// For filters and scopes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where it may go: `host`, `*.domain`, each with an optional `:port`.
    pub allowed_hosts: Option<Vec<String>>,
    /// Which sources may attach it: names, and labels `key:value`.
    pub allowed_sources: Option<Vec<String>>,
    /// For people.
    pub description: Option<String>,
}

/// A change of a credential: JSON Merge Patch (RFC 7396). `null` removes,
/// `"***"` leaves a field as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialPatch {
    /// A new name.
    pub name: Option<String>,
    /// Another kind.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub kind: Option<Option<String>>,
    /// Merged into the fields; a change makes a new version.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    pub fields: Option<Map<String, Value>>,
    /// Merged into the labels.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    pub labels: Option<Map<String, Value>>,
    /// The whole new list.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    pub allowed_hosts: Option<Option<Vec<String>>>,
    /// The whole new list.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    pub allowed_sources: Option<Option<Vec<String>>>,
    /// A new description.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
}

/// New values of a credential.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialRotate {
    /// Merged into the fields: those that are not named stay.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub fields: Map<String, Value>,
}

/// Tells `null` from absent.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A credential as it is read back: which fields it has, no value.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialView {
    /// Its id.
    pub id: uuid::Uuid,
    /// Its name.
    pub name: String,
    /// Kind of connector it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Values read `"***"`, references as they were written.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub fields: Map<String, Value>,
    /// For filters and scopes.
    pub labels: BTreeMap<String, String>,
    /// Where it may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_hosts: Option<Vec<String>>,
    /// Which sources may attach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_sources: Option<Vec<String>>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The sources file that makes it, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Grows when the fields change.
    pub version: i32,
    /// Grows with every change; the ETag follows it.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A page of credentials.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialPage {
    /// The credentials, by name.
    pub items: Vec<CredentialView>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

impl CredentialView {
    /// What callers may see of `row`.
    pub fn of(row: CredentialRow) -> Self {
        CredentialView {
            fields: masked(&row),
            id: row.id,
            name: row.name,
            kind: row.kind,
            labels: row.labels,
            allowed_hosts: row.allowed_hosts,
            allowed_sources: row.allowed_sources,
            description: row.description,
            managed_by: row.managed_by,
            version: row.version,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Each field with `"***"` or its reference.
pub fn masked(row: &CredentialRow) -> Map<String, Value> {
    let shown = |field: &str| match row.refs.get(field) {
        Some(text) => json!({ KEY: text }),
        None => MASK.into(),
    };
    row.fields()
        .into_iter()
        .map(|field| (field.to_owned(), shown(field)))
        .collect()
}

/// A field in a version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionField {
    /// Dotted path.
    pub field: String,
    /// `literal` or `reference`.
    pub kind: String,
    /// Whether this version set it anew.
    pub changed: bool,
}

/// Who made a version.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionMaker {
    /// The api key; absent for the service itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<uuid::Uuid>,
    /// Its name, then.
    pub name: String,
}

/// A version of a credential, without values.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialVersion {
    /// Which.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub by: VersionMaker,
    /// The fields it has.
    pub fields: Vec<VersionField>,
}

impl CredentialVersion {
    /// What callers may see of `row`.
    pub fn of(row: VersionRow) -> Self {
        CredentialVersion {
            version: row.version,
            created_at: row.created_at,
            by: VersionMaker {
                key_id: row.key_id,
                name: row.actor,
            },
            fields: serde_json::from_value(row.fields).unwrap_or_default(),
        }
    }
}

/// Versions of a credential.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialVersionPage {
    /// The versions, newest first; the last hundred are kept.
    pub items: Vec<CredentialVersion>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

/// A field of a resolved credential.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResolvedField {
    /// Dotted path.
    pub field: String,
    /// `literal` or `reference`.
    pub kind: &'static str,
    /// `"***"`, or the reference as it was written.
    pub value: Value,
    /// Whether a value could be had.
    pub resolved: bool,
}

/// A source that uses a credential.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsedBy {
    /// Its id.
    pub id: uuid::Uuid,
    /// Its name.
    pub name: String,
    /// Its connector.
    pub connector: String,
    /// It attaches the whole credential; else its config refers to a field.
    pub attached: bool,
}

impl UsedBy {
    /// What callers may see of `user`.
    pub fn of(user: CredentialUse) -> Self {
        UsedBy {
            id: user.id,
            name: user.name,
            connector: user.connector,
            attached: user.attached,
        }
    }
}

/// What a credential holds and who uses it; no values.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialResolved {
    /// Its id.
    pub id: uuid::Uuid,
    /// Its name.
    pub name: String,
    /// Version of its fields.
    pub version: i32,
    /// The fields, by name.
    pub fields: Vec<ResolvedField>,
    /// The sources that use it, by name, a hundred at most.
    pub used_by: Vec<UsedBy>,
    /// There are more.
    pub used_by_truncated: bool,
}
