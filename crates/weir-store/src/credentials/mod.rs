//! Credentials with a name, which several sources may attach. The credential
//! that one source owns has no name and lives in `sealed` alone.
//!
//! Values of the current and the version before it are kept, sealed; of older
//! versions only who changed which fields.

mod sealed;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;
use weir_core::{Error, Kind, Page, Result, Secret};
use weir_vault::KeyRing;

use crate::audit::{Act, Actor, record};
use crate::connection::{Store, bounded};
use crate::failure::failed;
use crate::messages::{Message, tell};
use crate::named::{
    ListFilter, Named, ObjectRef, check_revision, gone, is_taken, name_taken, select,
};
use crate::scopes::Scopes;

pub(crate) use sealed::{create_owned, replace};
pub use uses::CredentialUse;

/// Versions whose history is kept.
const HISTORY: i32 = 100;

/// The values of a credential: what is sealed and what is looked up.
#[derive(Debug, Default)]
pub struct Fields {
    /// Dotted path and value of each literal.
    pub secrets: Vec<(String, Secret)>,
    /// Dotted path and expression of each reference.
    pub refs: BTreeMap<String, String>,
    /// The fields that this change sets anew.
    pub changed: BTreeSet<String>,
}

impl Fields {
    /// Whether every value was given in this very change.
    fn all_given(&self) -> bool {
        self.secrets
            .iter()
            .all(|(field, _)| self.changed.contains(field))
    }

    fn history(&self) -> Value {
        let entry = |field: &str, kind: &str| json!({"field": field, "kind": kind, "changed": self.changed.contains(field)});
        let literals = self
            .secrets
            .iter()
            .map(|(field, _)| entry(field, "literal"));
        let refs = self.refs.keys().map(|field| entry(field, "reference"));
        literals.chain(refs).collect()
    }
}

/// A credential to keep.
#[derive(Debug)]
pub struct NewCredential {
    /// Its id.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// Kind of connector it is for.
    pub kind: Option<String>,
    /// Its values.
    pub fields: Fields,
    /// For filters and scopes.
    pub labels: BTreeMap<String, String>,
    /// For people.
    pub description: Option<String>,
    /// Where it may go.
    pub allowed_hosts: Option<Vec<String>>,
    /// Which sources may attach it.
    pub allowed_sources: Option<Vec<String>>,
    /// The sources file that makes it.
    pub managed_by: Option<String>,
}

/// What to change; `None` leaves a part as it is, `Some(None)` removes it.
#[derive(Debug, Default)]
pub struct CredentialChange {
    /// A new name.
    pub name: Option<String>,
    /// Another kind.
    pub kind: Option<Option<String>>,
    /// The whole new set of values: a new version.
    pub fields: Option<Fields>,
    /// All new labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// A new description.
    pub description: Option<Option<String>>,
    /// A new list of hosts.
    pub allowed_hosts: Option<Option<Vec<String>>>,
    /// A new list of sources.
    pub allowed_sources: Option<Option<Vec<String>>>,
}

impl CredentialChange {
    /// Names of the parts that are given, for the audit; no values.
    fn parts(&self) -> Vec<&'static str> {
        [
            ("name", self.name.is_some()),
            ("kind", self.kind.is_some()),
            ("fields", self.fields.is_some()),
            ("labels", self.labels.is_some()),
            ("description", self.description.is_some()),
            ("allowed_hosts", self.allowed_hosts.is_some()),
            ("allowed_sources", self.allowed_sources.is_some()),
        ]
        .into_iter()
        .filter_map(|(part, given)| given.then_some(part))
        .collect()
    }
}

/// A kept credential, without its values.
#[derive(Debug, Clone, Serialize, Deserialize, sqlx::FromRow)]
pub struct CredentialRow {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Kind of connector it is for.
    pub kind: Option<String>,
    /// For filters and scopes.
    #[sqlx(json)]
    pub labels: BTreeMap<String, String>,
    /// For people.
    pub description: Option<String>,
    /// Where it may go.
    #[sqlx(json(nullable))]
    pub allowed_hosts: Option<Vec<String>>,
    /// Which sources may attach it.
    #[sqlx(json(nullable))]
    pub allowed_sources: Option<Vec<String>>,
    /// Dotted path and expression of each reference.
    #[sqlx(json)]
    pub refs: BTreeMap<String, String>,
    /// Dotted paths of the sealed fields.
    pub sealed: Vec<String>,
    /// Version of the values.
    pub version: i32,
    /// Grows with every change.
    pub revision: i64,
    /// The api key that gave every value of the current version itself.
    pub known_to: Option<Uuid>,
    /// The sources file that made it.
    pub managed_by: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl CredentialRow {
    /// Every field that has a value or a reference, in order.
    pub fn fields(&self) -> BTreeSet<&str> {
        let sealed = self.sealed.iter().map(String::as_str);
        sealed.chain(self.refs.keys().map(String::as_str)).collect()
    }
}

/// A version in the history of a credential.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct VersionRow {
    /// Which.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The api key that made it.
    pub key_id: Option<Uuid>,
    /// The name of that key, then.
    pub actor: String,
    /// `[{field, kind, changed}]`
    pub fields: Value,
}

/// The columns of a [`CredentialRow`], of `credentials c`.
pub(crate) const SELECT: &str = "select c.id, c.name, c.kind, c.labels, c.description, c.allowed_hosts, c.allowed_sources, \
    c.refs, c.version, c.revision, c.known_to, c.managed_by, c.created_at, c.updated_at, \
    array(select f.field from credential_fields f where f.credential_id = c.id and f.version = c.version \
          order by f.field) as sealed from credentials c";

impl Named for CredentialRow {
    const TABLE: &'static str = "c";
    const ONLY: &'static str = "($6::text is null or c.kind = $6) \
        and ($7::text is null or c.kind = $7 or exists (select 1 from sources s \
             where s.attached_credential_id = c.id and s.connector = $7))";

    fn select() -> String {
        SELECT.to_owned()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Store {
    /// Keeps a credential.
    pub async fn create_credential(
        &self,
        new: NewCredential,
        actor: &Actor,
    ) -> Result<CredentialRow> {
        let ring = self.ring()?;
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move { insert(connection, new, &ring, &actor).await })
        })
        .await
    }

    /// The credential with this id or name, if it is inside of `scopes`.
    pub async fn find_credential(
        &self,
        reference: &ObjectRef,
        scopes: &Scopes,
    ) -> Result<Option<CredentialRow>> {
        self.find_named(reference, scopes).await
    }

    /// A page of credentials, by name.
    pub async fn list_credentials(&self, filter: &ListFilter) -> Result<Page<CredentialRow>> {
        self.list_named(filter).await
    }

    /// Changes a credential, if it still has the `expected` revision, and tells all instances.
    pub async fn update_credential(
        &self,
        id: Uuid,
        expected: Option<i64>,
        action: &'static str,
        change: CredentialChange,
        scopes: &Scopes,
        actor: &Actor,
    ) -> Result<CredentialRow> {
        let ring = match &change.fields {
            Some(_) => Some(self.ring()?),
            None => None,
        };
        let (actor, scopes) = (actor.clone(), scopes.clone());
        self.transact(move |connection| {
            Box::pin(async move {
                held(connection, id, expected).await?;
                if let Some(name) = &change.name {
                    let before = read(connection, id).await?;
                    if *name != before.name {
                        uses::refuse_named(connection, &before, &scopes).await?;
                    }
                }
                let details = json!({ "parts": change.parts() });
                let row = update(connection, id, change, ring.as_deref(), &actor).await?;
                let act = act(action, &row, details);
                record(connection, &actor, act).await?;
                tell(connection, &Message::CredentialChanged { id }).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Removes a credential that no source uses; names those inside of `scopes` that do.
    pub async fn delete_credential(
        &self,
        id: Uuid,
        expected: Option<i64>,
        scopes: &Scopes,
        actor: &Actor,
    ) -> Result<()> {
        let (actor, scopes) = (actor.clone(), scopes.clone());
        self.transact(move |connection| {
            Box::pin(async move {
                held(connection, id, expected).await?;
                let row = read(connection, id).await?;
                uses::refuse_used(connection, &row, &scopes).await?;
                sqlx::query("delete from credentials where id = $1")
                    .bind(id)
                    .execute(&mut *connection)
                    .await
                    .map_err(used_meanwhile)?;
                let act = act("credential.delete", &row, Value::Null);
                record(connection, &actor, act).await?;
                tell(connection, &Message::CredentialChanged { id }).await
            })
        })
        .await
    }

    /// The sealed values of a credential, opened. [`Kind::Sealed`] when the key ring
    /// does not fit; [`Kind::Conflict`] when `row` was read two changes ago.
    pub async fn credential_secrets(&self, row: &CredentialRow) -> Result<Vec<(String, Secret)>> {
        if row.sealed.is_empty() {
            return Ok(Vec::new());
        }
        self.open_fields(row.id, row.version, row.sealed.len())
            .await
    }

    /// The versions of a credential, newest first, below `before`.
    pub async fn credential_versions(
        &self,
        id: Uuid,
        before: Option<i32>,
        limit: usize,
    ) -> Result<Vec<VersionRow>> {
        let listed = sqlx::query_as(
            "select version, created_at, key_id, actor, fields from credential_versions \
             where credential_id = $1 and ($2::int is null or version < $2) order by version desc limit $3",
        )
        .bind(id)
        .bind(before)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        bounded(async { listed.fetch_all(&self.pool).await.map_err(failed) }).await
    }
}

/// An act on a credential, for the audit.
fn act(action: &'static str, row: &CredentialRow, details: Value) -> Act {
    Act {
        action,
        target_kind: "credential",
        target_id: Some(row.id),
        target_name: Some(row.name.clone()),
        details,
    }
}

async fn insert(
    connection: &mut PgConnection,
    new: NewCredential,
    ring: &KeyRing,
    actor: &Actor,
) -> Result<CredentialRow> {
    let known_to = actor.key_id.filter(|_| new.fields.refs.is_empty());
    sqlx::query(
        "insert into credentials (id, name, kind, labels, description, allowed_hosts, allowed_sources, refs, \
         known_to, managed_by) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(new.id)
    .bind(&new.name)
    .bind(&new.kind)
    .bind(Json(&new.labels))
    .bind(&new.description)
    .bind(new.allowed_hosts.as_ref().map(Json))
    .bind(new.allowed_sources.as_ref().map(Json))
    .bind(Json(&new.fields.refs))
    .bind(known_to)
    .bind(&new.managed_by)
    .execute(&mut *connection)
    .await
    .map_err(|error| refused(error, &new.name))?;
    sealed::seal_fields(connection, new.id, 1, &new.fields.secrets, ring).await?;
    remember(connection, new.id, 1, &new.fields, actor).await?;
    let row = read(connection, new.id).await?;
    record(
        connection,
        actor,
        act("credential.create", &row, json!({ "kind": row.kind })),
    )
    .await?;
    Ok(row)
}

async fn update(
    connection: &mut PgConnection,
    id: Uuid,
    change: CredentialChange,
    ring: Option<&KeyRing>,
    actor: &Actor,
) -> Result<CredentialRow> {
    let before = read(connection, id).await?;
    if let (Some(fields), Some(ring)) = (&change.fields, ring) {
        let version = sealed::replace(connection, id, &fields.secrets, Some(ring)).await?;
        remember(connection, id, version, fields, actor).await?;
        let knows = fields.refs.is_empty()
            && actor.key_id.is_some()
            && (fields.all_given() || before.known_to == actor.key_id);
        sqlx::query("update credentials set refs = $2, known_to = $3 where id = $1")
            .bind(id)
            .bind(Json(&fields.refs))
            .bind(actor.key_id.filter(|_| knows))
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    let shown = change.name.is_some() || change.fields.is_some();
    let name = change.name.clone().unwrap_or_default();
    sqlx::query(
        "update credentials set name = coalesce($2, name), kind = case when $3 then $4 else kind end, \
         labels = coalesce($5, labels), description = case when $6 then $7 else description end, \
         allowed_hosts = case when $8 then $9 else allowed_hosts end, \
         allowed_sources = case when $10 then $11 else allowed_sources end, \
         revision = revision + 1, updated_at = now() where id = $1",
    )
    .bind(id)
    .bind(change.name)
    .bind(change.kind.is_some())
    .bind(change.kind.flatten())
    .bind(change.labels.map(Json))
    .bind(change.description.is_some())
    .bind(change.description.flatten())
    .bind(change.allowed_hosts.is_some())
    .bind(change.allowed_hosts.flatten().map(Json))
    .bind(change.allowed_sources.is_some())
    .bind(change.allowed_sources.flatten().map(Json))
    .execute(&mut *connection)
    .await
    .map_err(|error| refused(error, &name))?;
    // What a source shows has changed with it: its hash, the name it refers to.
    sqlx::query(
        "update sources set version = version + 1, updated_at = now() where attached_credential_id = $1 and $2",
    )
    .bind(id)
    .bind(shown)
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    read(connection, id).await
}

/// Writes a version into the history and lets the oldest go.
async fn remember(
    connection: &mut PgConnection,
    id: Uuid,
    version: i32,
    fields: &Fields,
    actor: &Actor,
) -> Result<()> {
    sqlx::query(
        "insert into credential_versions (credential_id, version, key_id, actor, fields) values ($1, $2, $3, $4, $5)",
    )
    .bind(id)
    .bind(version)
    .bind(actor.key_id)
    .bind(&actor.name)
    .bind(fields.history())
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    sqlx::query("delete from credential_versions where credential_id = $1 and version <= $2 - $3")
        .bind(id)
        .bind(version)
        .bind(HISTORY)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}

/// Locks the credential's row and compares its revision.
///
/// Not `for update`: a source that is just being attached holds its own row
/// and wants a share of this one, and a change here wants the rows of sources.
async fn held(connection: &mut PgConnection, id: Uuid, expected: Option<i64>) -> Result<()> {
    let revision: Option<i64> = sqlx::query_scalar(
        "select revision from credentials where id = $1 and name is not null for no key update",
    )
    .bind(id)
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    let revision = revision.ok_or_else(|| gone("credential"))?;
    check_revision("credential", revision, expected)
}

async fn read(connection: &mut PgConnection, id: Uuid) -> Result<CredentialRow> {
    sqlx::query_as(select::<CredentialRow>("c.id = $1"))
        .bind(id)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

fn used_meanwhile(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(said) if said.is_foreign_key_violation() => {
            Error::new(Kind::Conflict, "a source has just attached the credential")
                .code("still_referenced")
                .hint("POST /v1/credentials/{c}/resolve lists the sources that use it")
        }
        _ => failed(error),
    }
}

fn refused(error: sqlx::Error, name: &str) -> Error {
    match &error {
        error if is_taken(error) => name_taken("a credential", name),
        _ => failed(error),
    }
}
