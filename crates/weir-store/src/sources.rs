//! Sources and the credentials they own.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;
use weir_core::{Error, Kind, Page, Result, Secret};
use weir_vault::{KeyRing, Owner};

use crate::connection::{Store, failed};

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
}

/// How a source is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceRef {
    /// By id.
    Id(Uuid),
    /// By name.
    Name(String),
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
    credential_id: Option<Uuid>,
}

/// Which sources to list.
#[derive(Debug, Clone, Default)]
pub struct SourceFilter {
    /// Only this kind.
    pub connector: Option<String>,
    /// All of these labels.
    pub label: Vec<(String, String)>,
    /// Part of the name, without case.
    pub search: Option<String>,
    /// After this name.
    pub after: Option<String>,
    /// Items at most.
    pub limit: usize,
}

const SELECT: &str = "select s.id, s.name, s.connector, s.config, s.config_version, s.labels, s.metadata, \
    s.description, s.version, s.created_at, s.updated_at, s.last_test, s.credential_id, \
    coalesce(c.version, 0) as secret_version, \
    array(select f.field from credential_fields f where f.credential_id = c.id and f.version = c.version \
          order by f.field) as secret_fields \
    from sources s left join credentials c on c.id = s.credential_id";

/// The one place where a statement is put together: `SELECT` and a constant ending.
fn select(ending: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("{SELECT} {ending}"))
}

impl Store {
    /// Registers a source and seals its secrets.
    pub async fn create_source(&self, new: NewSource) -> Result<SourceRow> {
        let ring = if new.secrets.is_empty() {
            None
        } else {
            Some(self.ring()?)
        };
        let store = self.clone();
        self.detached(async move {
            let mut transaction = store.pool.begin().await.map_err(failed)?;
            let row = insert(&mut transaction, new, ring).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(row)
        })
        .await
    }

    /// The source with this id or name.
    pub async fn find_source(&self, reference: &SourceRef) -> Result<Option<SourceRow>> {
        let query = match reference {
            SourceRef::Id(id) => sqlx::query_as(select("where s.id = $1")).bind(*id),
            SourceRef::Name(name) => sqlx::query_as(select("where s.name = $1")).bind(name),
        };
        query.fetch_optional(&self.pool).await.map_err(failed)
    }

    /// A page of sources, by name.
    pub async fn list_sources(&self, filter: &SourceFilter) -> Result<Page<SourceRow>> {
        let labels: BTreeMap<&str, &str> = filter
            .label
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let mut items: Vec<SourceRow> = sqlx::query_as(select(
            "where ($1::text is null or s.connector = $1) and s.labels @> $2 \
             and ($3::text is null or strpos(lower(s.name), lower($3)) > 0) \
             and ($4::text is null or s.name > $4 collate \"C\") order by s.name collate \"C\" limit $5",
        ))
        .bind(&filter.connector)
        .bind(Json(labels))
        .bind(&filter.search)
        .bind(&filter.after)
        .bind(filter.limit as i64 + 1)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let more = items.len() > filter.limit;
        items.truncate(filter.limit);
        let next = more
            .then(|| items.last().map(|row| row.name.clone()))
            .flatten();
        Ok(Page { items, next })
    }

    /// Changes a source, if it still has `expected` version.
    pub async fn update_source(
        &self,
        id: Uuid,
        expected: Option<i64>,
        change: SourceChange,
    ) -> Result<SourceRow> {
        let ring = match &change.secrets {
            Some(secrets) if !secrets.is_empty() => Some(self.ring()?),
            _ => None,
        };
        let store = self.clone();
        self.detached(async move {
            let mut transaction = store.pool.begin().await.map_err(failed)?;
            let row = update(&mut transaction, id, expected, change, ring).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(row)
        })
        .await
    }

    /// Removes a source and the secrets it owns.
    pub async fn delete_source(&self, id: Uuid, expected: Option<i64>) -> Result<()> {
        let store = self.clone();
        self.detached(async move {
            let mut transaction = store.pool.begin().await.map_err(failed)?;
            held(&mut transaction, id, expected).await?;
            sqlx::query("delete from sources where id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            sqlx::query("delete from credentials where owner_source_id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            transaction.commit().await.map_err(failed)
        })
        .await
    }

    /// The secrets of a source, opened.
    pub async fn source_secrets(&self, row: &SourceRow) -> Result<Vec<(String, Secret)>> {
        let Some(credential) = row.credential_id else {
            return Ok(Vec::new());
        };
        let sealed: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "select field, sealed from credential_fields where credential_id = $1 and version = $2",
        )
        .bind(credential)
        .bind(row.secret_version)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        if sealed.is_empty() {
            return Ok(Vec::new());
        }
        let ring = self.ring()?;
        let open = |(field, sealed): (String, Vec<u8>)| {
            let secret = ring.open(&owner(credential, row.secret_version, &field), &sealed)?;
            Ok((field, secret))
        };
        sealed.into_iter().map(open).collect()
    }

    /// Keeps how the last test went.
    pub async fn record_test(&self, id: Uuid, test: LastTest) -> Result<()> {
        sqlx::query("update sources set last_test = $2 where id = $1")
            .bind(id)
            .bind(Json(test))
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed)
    }
}

fn owner(credential: Uuid, version: i32, field: &str) -> Owner<'_> {
    Owner {
        kind: "credential",
        id: credential,
        version,
        field,
    }
}

async fn insert(
    connection: &mut PgConnection,
    new: NewSource,
    ring: Option<KeyRing>,
) -> Result<SourceRow> {
    let credential = match &ring {
        Some(ring) => Some(new_credential(connection, new.id, &new.secrets, ring).await?),
        None => None,
    };
    sqlx::query(
        "insert into sources (id, name, connector, config, config_version, credential_id, labels, metadata, description) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
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
    .execute(&mut *connection)
    .await
    .map_err(|error| name_taken(error, &new.name))?;
    read(connection, new.id).await
}

async fn new_credential(
    connection: &mut PgConnection,
    source: Uuid,
    secrets: &[(String, Secret)],
    ring: &KeyRing,
) -> Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query("insert into credentials (id, owner_source_id, version) values ($1, $2, 1)")
        .bind(id)
        .bind(source)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    seal_fields(connection, id, 1, secrets, ring).await?;
    Ok(id)
}

async fn seal_fields(
    connection: &mut PgConnection,
    credential: Uuid,
    version: i32,
    secrets: &[(String, Secret)],
    ring: &KeyRing,
) -> Result<()> {
    for (field, secret) in secrets {
        let sealed = ring.seal(&owner(credential, version, field), secret)?;
        sqlx::query("insert into credential_fields (credential_id, version, field, sealed) values ($1, $2, $3, $4)")
            .bind(credential)
            .bind(version)
            .bind(field)
            .bind(sealed)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

async fn update(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<i64>,
    change: SourceChange,
    ring: Option<KeyRing>,
) -> Result<SourceRow> {
    let mut credential = held(connection, id, expected).await?;
    if let Some(secrets) = &change.secrets {
        credential = new_secrets(connection, id, credential, secrets, ring).await?;
    }
    let name = change.name.clone().unwrap_or_default();
    sqlx::query(
        "update sources set name = coalesce($2, name), config = coalesce($3, config), \
         config_version = coalesce($4, config_version), labels = coalesce($5, labels), \
         metadata = coalesce($6, metadata), description = nullif(coalesce($7, description), ''), \
         credential_id = $8, version = version + 1, updated_at = now() where id = $1",
    )
    .bind(id)
    .bind(change.name)
    .bind(change.config)
    .bind(change.config_version)
    .bind(change.labels.map(Json))
    .bind(change.metadata)
    .bind(change.description)
    .bind(credential)
    .execute(&mut *connection)
    .await
    .map_err(|error| name_taken(error, &name))?;
    read(connection, id).await
}

/// A new version of the secrets replaces the one before.
async fn new_secrets(
    connection: &mut PgConnection,
    source: Uuid,
    credential: Option<Uuid>,
    secrets: &[(String, Secret)],
    ring: Option<KeyRing>,
) -> Result<Option<Uuid>> {
    let Some(ring) = ring else {
        // Without secrets the credential keeps its version count, with no fields.
        if let Some(credential) = credential {
            next_version(connection, credential).await?;
        }
        return Ok(credential);
    };
    let Some(credential) = credential else {
        return new_credential(connection, source, secrets, &ring)
            .await
            .map(Some);
    };
    let version = next_version(connection, credential).await?;
    seal_fields(connection, credential, version, secrets, &ring).await?;
    Ok(Some(credential))
}

async fn next_version(connection: &mut PgConnection, credential: Uuid) -> Result<i32> {
    sqlx::query("delete from credential_fields where credential_id = $1")
        .bind(credential)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    sqlx::query_scalar("update credentials set version = version + 1, updated_at = now() where id = $1 returning version")
        .bind(credential)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)
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
    let (version, credential) =
        row.ok_or_else(|| Error::new(Kind::NotFound, "the source is gone"))?;
    if expected.is_some_and(|expected| expected != version) {
        return Err(Error::new(
            Kind::PreconditionFailed,
            "the source changed in the meantime",
        )
        .hint("GET it again and repeat the change with its new ETag"));
    }
    Ok(credential)
}

async fn read(connection: &mut PgConnection, id: Uuid) -> Result<SourceRow> {
    sqlx::query_as(select("where s.id = $1"))
        .bind(id)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

fn name_taken(error: sqlx::Error, name: &str) -> Error {
    match &error {
        sqlx::Error::Database(said) if said.is_unique_violation() => {
            let message = format!("there is already a source `{name}`");
            Error::new(Kind::Conflict, message.clone())
                .code("name_taken")
                .hint("choose another name, or change the existing source")
                .at("/name", message)
        }
        _ => failed(error),
    }
}
