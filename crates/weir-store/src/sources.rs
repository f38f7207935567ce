//! Sources and the credentials they own.

use std::collections::BTreeMap;
use std::sync::Arc;

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
use crate::credentials::{self, CredentialRow};
use crate::failure::failed;
use crate::messages::{Message, tell};
use crate::named::{
    ListFilter, Named, ObjectRef, check_revision, gone, is_taken, name_taken, select,
};
use crate::scopes::Scopes;

/// A source to register.
#[derive(Debug)]
pub struct NewSource {
    /// Its id.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// Kind of connector.
    pub connector: String,
    /// Without secrets.
    pub config: Value,
    /// Version of the connector's config.
    pub config_version: i32,
    /// For filters.
    pub labels: BTreeMap<String, String>,
    /// The caller's own.
    pub metadata: Value,
    /// For people.
    pub description: Option<String>,
    /// Dotted path and value of each secret field.
    pub secrets: Vec<(String, Secret)>,
    /// The credential that it attaches.
    pub attached: Option<Uuid>,
    /// The sources file that makes it.
    pub managed_by: Option<String>,
}

/// What to change; `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct SourceChange {
    /// A new name.
    pub name: Option<String>,
    /// The whole new config, without secrets.
    pub config: Option<Value>,
    /// Version of the connector's config.
    pub config_version: Option<i32>,
    /// All new labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// The whole new metadata.
    pub metadata: Option<Value>,
    /// A new description; empty text removes it.
    pub description: Option<String>,
    /// The whole new set of secrets: a new version of the credential.
    pub secrets: Option<Vec<(String, Secret)>>,
    /// Another credential to attach, or none.
    pub attached: Option<Option<Uuid>>,
}

impl SourceChange {
    /// Names of the fields that are given, for the audit; no values.
    fn fields(&self) -> Vec<&'static str> {
        [
            ("name", self.name.is_some()),
            ("config", self.config.is_some()),
            ("labels", self.labels.is_some()),
            ("metadata", self.metadata.is_some()),
            ("description", self.description.is_some()),
            ("secrets", self.secrets.is_some()),
            ("credential", self.attached.is_some()),
        ]
        .into_iter()
        .filter_map(|(field, given)| given.then_some(field))
        .collect()
    }
}

/// The last test of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastTest {
    /// Whether every step worked.
    pub ok: bool,
    /// When it ran.
    pub at: DateTime<Utc>,
    /// Error code, when it failed.
    pub code: Option<String>,
}

/// A registered source.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SourceRow {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Kind of connector.
    pub connector: String,
    /// Without secrets.
    pub config: Value,
    /// Version of the connector's config.
    pub config_version: i32,
    /// For filters.
    #[sqlx(json)]
    pub labels: BTreeMap<String, String>,
    /// The caller's own.
    pub metadata: Value,
    /// For people.
    pub description: Option<String>,
    /// Grows with every change.
    pub version: i64,
    /// Version of the secrets; 0 when there are none.
    pub secret_version: i32,
    /// Dotted paths of the secret fields that have a value.
    pub secret_fields: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// The last test.
    #[sqlx(json(nullable))]
    pub last_test: Option<LastTest>,
    /// The credential that it attaches.
    #[sqlx(json(nullable))]
    pub attached: Option<CredentialRow>,
    /// The sources file that made it.
    pub managed_by: Option<String>,
    credential_id: Option<Uuid>,
}

const SELECT: &str = "select s.id, s.name, s.connector, s.config, s.config_version, s.labels, s.metadata, \
    s.description, s.version, s.created_at, s.updated_at, s.last_test, s.credential_id, \
    s.managed_by, \
    coalesce(c.version, 0) as secret_version, \
    array(select f.field from credential_fields f where f.credential_id = c.id and f.version = c.version \
          order by f.field) as secret_fields";
const FROM: &str = "from sources s left join credentials c on c.id = s.credential_id";

impl Named for SourceRow {
    const TABLE: &'static str = "s";
    const ONLY: &'static str = "$6::text is null and ($7::text is null or s.connector = $7)";

    fn select() -> String {
        let attached = credentials::SELECT;
        format!(
            "{SELECT}, (select to_jsonb(a) from ({attached} where c.id = s.attached_credential_id) a) as attached \
             {FROM}"
        )
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Store {
    /// Registers a source and seals its secrets.
    pub async fn create_source(&self, new: NewSource, actor: &Actor) -> Result<SourceRow> {
        let ring = self.ring_for(&new.secrets)?;
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move {
                let row = insert(connection, new, ring.as_deref()).await?;
                let details = json!({ "connector": row.connector });
                let act = act("source.create", row.id, &row.name, details);
                record(connection, &actor, act).await?;
                Ok(row)
            })
        })
        .await
    }

    /// The source with this id or name, if it is inside of `scopes`.
    pub async fn find_source(
        &self,
        reference: &ObjectRef,
        scopes: &Scopes,
    ) -> Result<Option<SourceRow>> {
        self.find_named(reference, scopes).await
    }

    /// A page of sources, by name.
    pub async fn list_sources(&self, filter: &ListFilter) -> Result<Page<SourceRow>> {
        self.list_named(filter).await
    }

    /// Changes a source, if it still has the `expected` version, and tells all instances.
    pub async fn update_source(
        &self,
        id: Uuid,
        expected: Option<i64>,
        change: SourceChange,
        actor: &Actor,
    ) -> Result<SourceRow> {
        let ring = self.ring_for(change.secrets.as_deref().unwrap_or_default())?;
        let actor = actor.clone();
        let details = json!({ "fields": change.fields() });
        self.transact(move |connection| {
            Box::pin(async move {
                let row = update(connection, id, expected, change, ring.as_deref()).await?;
                let act = act("source.update", id, &row.name, details);
                record(connection, &actor, act).await?;
                tell(connection, &Message::SourceChanged { id }).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Removes a source and the secrets it owns, and tells all instances.
    pub async fn delete_source(
        &self,
        id: Uuid,
        expected: Option<i64>,
        actor: &Actor,
    ) -> Result<()> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move {
                held(connection, id, expected).await?;
                let row = read(connection, id).await?;
                let details = json!({ "connector": row.connector });
                let act = act("source.delete", id, &row.name, details);
                record(connection, &actor, act).await?;
                for statement in [
                    "delete from sources where id = $1",
                    "delete from credentials where owner_source_id = $1",
                ] {
                    sqlx::query(statement)
                        .bind(id)
                        .execute(&mut *connection)
                        .await
                        .map_err(failed)?;
                }
                tell(connection, &Message::SourceChanged { id }).await
            })
        })
        .await
    }

    /// The secrets of a source, opened. [`Kind::Sealed`] when the key ring does
    /// not fit; [`Kind::Conflict`] when `row` was read two changes ago.
    pub async fn source_secrets(&self, row: &SourceRow) -> Result<Vec<(String, Secret)>> {
        match row.credential_id {
            Some(credential) if !row.secret_fields.is_empty() => {
                self.open_fields(credential, row.secret_version, row.secret_fields.len())
                    .await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Keeps how the last test went; the source's version stays.
    pub async fn record_test(&self, id: Uuid, test: LastTest) -> Result<()> {
        let kept = sqlx::query("update sources set last_test = $2 where id = $1")
            .bind(id)
            .bind(Json(test));
        bounded(async { kept.execute(&self.pool).await.map(drop).map_err(failed) }).await
    }

    /// Keeps how the last tests of several sources went.
    pub async fn record_tests(&self, tests: &[(Uuid, LastTest)]) -> Result<()> {
        let ids: Vec<Uuid> = tests.iter().map(|(id, _)| *id).collect();
        let kept: Vec<Json<&LastTest>> = tests.iter().map(|(_, test)| Json(test)).collect();
        let written = sqlx::query(
            "update sources s set last_test = t.test from unnest($1::uuid[], $2::jsonb[]) as t (id, test) \
             where s.id = t.id",
        )
        .bind(ids)
        .bind(kept);
        bounded(async { written.execute(&self.pool).await.map(drop).map_err(failed) }).await
    }

    /// The ring, where there is something to seal.
    fn ring_for(&self, secrets: &[(String, Secret)]) -> Result<Option<Arc<KeyRing>>> {
        if secrets.is_empty() {
            Ok(None)
        } else {
            self.ring().map(Some)
        }
    }
}

/// An act on a source, for the audit.
fn act(action: &'static str, id: Uuid, name: &str, details: Value) -> Act {
    Act {
        action,
        target_kind: "source",
        target_id: Some(id),
        target_name: Some(name.to_owned()),
        details,
    }
}

async fn insert(
    connection: &mut PgConnection,
    new: NewSource,
    ring: Option<&KeyRing>,
) -> Result<SourceRow> {
    let credential = match ring {
        Some(ring) => {
            Some(credentials::create_owned(connection, new.id, &new.secrets, ring).await?)
        }
        None => None,
    };
    sqlx::query(
        "insert into sources (id, name, connector, config, config_version, credential_id, labels, metadata, description, \
         attached_credential_id, managed_by) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(new.id)
    .bind(&new.name)
    .bind(&new.connector)
    .bind(&new.config)
    .bind(new.config_version)
    .bind(credential)
    .bind(Json(&new.labels))
    .bind(&new.metadata)
    .bind(&new.description)
    .bind(new.attached)
    .bind(&new.managed_by)
    .execute(&mut *connection)
    .await
    .map_err(|error| refused(error, &new.name))?;
    read(connection, new.id).await
}

async fn update(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<i64>,
    change: SourceChange,
    ring: Option<&KeyRing>,
) -> Result<SourceRow> {
    let mut credential = held(connection, id, expected).await?;
    if let Some(secrets) = &change.secrets {
        credential = match (credential, ring) {
            (None, None) => None,
            (None, Some(ring)) => {
                Some(credentials::create_owned(connection, id, secrets, ring).await?)
            }
            // Without secrets the credential keeps its count of versions, with no fields.
            (Some(credential), ring) => {
                credentials::replace(connection, credential, secrets, ring).await?;
                Some(credential)
            }
        };
    }
    let name = change.name.clone().unwrap_or_default();
    sqlx::query(
        "update sources set name = coalesce($2, name), config = coalesce($3, config), \
         config_version = coalesce($4, config_version), labels = coalesce($5, labels), \
         metadata = coalesce($6, metadata), description = nullif(coalesce($7, description), ''), \
         credential_id = $8, attached_credential_id = case when $9 then $10 else attached_credential_id end, \
         version = version + 1, updated_at = now() where id = $1",
    )
    .bind(id)
    .bind(change.name)
    .bind(change.config)
    .bind(change.config_version)
    .bind(change.labels.map(Json))
    .bind(change.metadata)
    .bind(change.description)
    .bind(credential)
    .bind(change.attached.is_some())
    .bind(change.attached.flatten())
    .execute(&mut *connection)
    .await
    .map_err(|error| refused(error, &name))?;
    read(connection, id).await
}

/// Locks the source's row and compares its version; gives its credential.
async fn held(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<i64>,
) -> Result<Option<Uuid>> {
    let row: Option<(i64, Option<Uuid>)> =
        sqlx::query_as("select version, credential_id from sources where id = $1 for update")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
    let (version, credential) = row.ok_or_else(|| gone("source"))?;
    check_revision("source", version, expected)?;
    Ok(credential)
}

async fn read(connection: &mut PgConnection, id: Uuid) -> Result<SourceRow> {
    sqlx::query_as(select::<SourceRow>("s.id = $1"))
        .bind(id)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

fn refused(error: sqlx::Error, name: &str) -> Error {
    match &error {
        error if is_taken(error) => name_taken("a source", name),
        sqlx::Error::Database(said) if said.is_foreign_key_violation() => {
            let message = "the credential was removed in the meantime";
            Error::new(Kind::Conflict, message)
                .code("changed")
                .at("/credential", message)
        }
        _ => failed(error),
    }
}
