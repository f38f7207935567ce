//! Api keys: kept as a hash only.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;
use weir_core::{Error, Kind, Page, Result};

use crate::audit::{Act, Actor, record};
use crate::connection::{Store, bounded};
use crate::failure::failed;
use crate::messages::{Message, tell};
use crate::migrate::lock;
use crate::named::{check_revision, gone, name_taken, one_more, page};

/// A key to keep.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// `reader`, `editor` or `admin`.
    pub role: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Its first characters, to recognize it in lists.
    pub prefix: String,
    /// Labels `key:value` of what it may see; none for everything.
    pub scopes: Vec<String>,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A kept key. Whether it has expired is for the caller to judge.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// `reader`, `editor` or `admin`.
    pub role: String,
    /// Its first characters.
    pub prefix: String,
    /// Labels `key:value` of what it may see; none for everything.
    #[sqlx(json)]
    pub scopes: Vec<String>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyChange {
    /// A new name.
    pub name: Option<String>,
    /// A new role.
    pub role: Option<String>,
    /// All new scopes; none for everything.
    pub scopes: Option<Vec<String>>,
    /// A new end, or none at all.
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

/// The key that takes the place of another.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// SHA-256 of the new key.
    pub hash: [u8; 32],
    /// Its first characters.
    pub prefix: String,
    /// How long the key before goes on.
    pub overlap: Duration,
}

const INSERT: &str = "insert into api_keys (id, name, role, key_hash, prefix, expires_at, scopes) \
    values ($1, $2, $3, $4, $5, $6, $7)";
const COLUMNS: &str = "id, name, role, prefix, coalesce(scopes, '[]') as scopes, version, created_at, \
    updated_at, last_used_at";
/// A key before a rotation ends with its overlap.
const BY_HASH: &str = "case when key_hash = $1 then expires_at else least(expires_at, previous_until) end as expires_at \
    from api_keys where key_hash = $1 or (previous_hash = $1 and previous_until > now())";
const HAS_ADMIN: &str = "select exists (select from api_keys where role = 'admin')";
/// An admin key that goes on for ever must remain, or nobody could make another one.
const HAS_LASTING_ADMIN: &str =
    "select exists (select from api_keys where role = 'admin' and expires_at is null)";
const TOUCH: &str = "update api_keys set last_used_at = now() \
    where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')";

/// The one place where a statement is put together: columns and a constant ending.
fn select(ending: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("select {COLUMNS}, {ending}"))
}

impl Store {
    /// Keeps a key.
    pub async fn create_api_key(&self, key: NewApiKey, actor: &Actor) -> Result<ApiKeyRow> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move {
                let id = key.id;
                insert(connection, key, &actor).await?;
                read(connection, id).await
            })
        })
        .await
    }

    /// Keeps the first admin key; false when there already is one.
    pub async fn create_first_admin_key(&self, key: NewApiKey, actor: &Actor) -> Result<bool> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move {
                lock(connection).await?;
                let there: bool = sqlx::query_scalar(HAS_ADMIN)
                    .fetch_one(&mut *connection)
                    .await
                    .map_err(failed)?;
                if !there {
                    insert(connection, key, &actor).await?;
                }
                Ok(!there)
            })
        })
        .await
    }

    /// Whether there is an admin key.
    pub async fn has_admin_key(&self) -> Result<bool> {
        bounded(async {
            sqlx::query_scalar(HAS_ADMIN)
                .fetch_one(&self.pool)
                .await
                .map_err(failed)
        })
        .await
    }

    /// The key with this hash; one that was rotated while its overlap lasts.
    pub async fn find_api_key(&self, hash: [u8; 32]) -> Result<Option<ApiKeyRow>> {
        let found = sqlx::query_as(select(BY_HASH)).bind(hash);
        bounded(async { found.fetch_optional(&self.pool).await.map_err(failed) }).await
    }

    /// The key with this id or name.
    pub async fn api_key(&self, id: Option<Uuid>, name: &str) -> Result<Option<ApiKeyRow>> {
        let found = sqlx::query_as(select(
            "expires_at from api_keys where id = $1 or ($1 is null and name = $2)",
        ))
        .bind(id)
        .bind(name);
        bounded(async { found.fetch_optional(&self.pool).await.map_err(failed) }).await
    }

    /// A page of keys, by name.
    pub async fn list_api_keys(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<ApiKeyRow>> {
        let listed = sqlx::query_as(select(
            "expires_at from api_keys where $1::text is null or name collate \"C\" > $1 \
             order by name collate \"C\" limit $2",
        ))
        .bind(after)
        .bind(one_more(limit));
        let items = bounded(async { listed.fetch_all(&self.pool).await.map_err(failed) }).await?;
        Ok(page(items, limit, |row: &ApiKeyRow| row.name.clone()))
    }

    /// Changes a key, if it still has the `expected` version, and tells all instances.
    pub async fn update_api_key(
        &self,
        id: Uuid,
        expected: Option<i64>,
        change: ApiKeyChange,
        actor: &Actor,
    ) -> Result<ApiKeyRow> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move {
                let lasting = held(connection, id, expected).await?;
                let details = json!({
                    "role": change.role, "scopes": change.scopes, "expires_at": change.expires_at,
                    "renamed": change.name.is_some()
                });
                update(connection, id, change).await?;
                keep_an_admin(connection, lasting).await?;
                let row = read(connection, id).await?;
                tell_and_record(connection, &actor, "api_key.update", &row, details).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Puts a new key in the place of this one, and tells all instances.
    pub async fn rotate_api_key(
        &self,
        id: Uuid,
        rotation: Rotation,
        actor: &Actor,
    ) -> Result<ApiKeyRow> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move {
                held(connection, id, None).await?;
                let seconds = rotation.overlap.as_secs();
                sqlx::query(
                    "update api_keys set previous_hash = case when $4 > 0 then key_hash end, \
                     previous_until = case when $4 > 0 then now() + make_interval(secs => $4) end, \
                     key_hash = $2, prefix = $3, version = version + 1, updated_at = now() where id = $1",
                )
                .bind(id)
                .bind(rotation.hash)
                .bind(rotation.prefix)
                .bind(seconds as f64)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
                let row = read(connection, id).await?;
                let details = json!({ "overlap_seconds": seconds });
                tell_and_record(connection, &actor, "api_key.rotate", &row, details).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Revokes a key and tells all instances.
    pub async fn delete_api_key(
        &self,
        id: Uuid,
        expected: Option<i64>,
        actor: &Actor,
    ) -> Result<()> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move {
                let lasting = held(connection, id, expected).await?;
                let row = read(connection, id).await?;
                sqlx::query("delete from api_keys where id = $1")
                    .bind(id)
                    .execute(&mut *connection)
                    .await
                    .map_err(failed)?;
                keep_an_admin(connection, lasting).await?;
                let details = json!({ "role": row.role, "scopes": row.scopes });
                tell_and_record(connection, &actor, "api_key.delete", &row, details).await
            })
        })
        .await
    }

    /// Notes that a key was used, at most once a minute.
    pub async fn touch_api_key(&self, id: Uuid) -> Result<()> {
        let noted = sqlx::query(TOUCH).bind(id);
        bounded(async { noted.execute(&self.pool).await.map(drop).map_err(failed) }).await
    }
}

/// Locks the key and all admin keys, always in the same order, so that of two
/// who each remove the other's key one comes second and is refused. Says
/// whether the key is an admin's without an end.
async fn held(connection: &mut PgConnection, id: Uuid, expected: Option<i64>) -> Result<bool> {
    let rows: Vec<(Uuid, i64, bool)> = sqlx::query_as(
        "select id, version, role = 'admin' and expires_at is null from api_keys \
         where id = $1 or role = 'admin' order by id for update",
    )
    .bind(id)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    let found = rows.into_iter().find(|(known, _, _)| *known == id);
    let (_, version, lasting) = found.ok_or_else(|| gone("api key"))?;
    check_revision("api key", version, expected)?;
    Ok(lasting)
}

/// Refuses a change that took the last admin key without an end.
async fn keep_an_admin(connection: &mut PgConnection, was_lasting: bool) -> Result<()> {
    if !was_lasting {
        return Ok(());
    }
    let there: bool = sqlx::query_scalar(HAS_LASTING_ADMIN)
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    if there {
        return Ok(());
    }
    let message = "this is the last admin key that does not expire";
    Err(Error::new(Kind::Conflict, message)
        .code("last_admin_key")
        .hint("make another admin key without expires_at first"))
}

async fn update(connection: &mut PgConnection, id: Uuid, change: ApiKeyChange) -> Result<()> {
    let name = change.name.clone().unwrap_or_default();
    sqlx::query(
        "update api_keys set name = coalesce($2, name), role = coalesce($3, role), \
         scopes = case when $4 then $5 else scopes end, \
         expires_at = case when $6 then $7 else expires_at end, \
         version = version + 1, updated_at = now() where id = $1",
    )
    .bind(id)
    .bind(change.name)
    .bind(change.role)
    .bind(change.scopes.is_some())
    .bind(change.scopes.filter(|scopes| !scopes.is_empty()).map(Json))
    .bind(change.expires_at.is_some())
    .bind(change.expires_at.flatten())
    .execute(connection)
    .await
    .map(drop)
    .map_err(|error| taken(error, &name))
}

async fn read(connection: &mut PgConnection, id: Uuid) -> Result<ApiKeyRow> {
    sqlx::query_as(select("expires_at from api_keys where id = $1"))
        .bind(id)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

async fn tell_and_record(
    connection: &mut PgConnection,
    actor: &Actor,
    action: &'static str,
    row: &ApiKeyRow,
    details: Value,
) -> Result<()> {
    let act = Act {
        action,
        target_kind: "api_key",
        target_id: Some(row.id),
        target_name: Some(row.name.clone()),
        details,
    };
    record(connection, actor, act).await?;
    tell(connection, &Message::KeyChanged { id: row.id }).await
}

async fn insert(connection: &mut PgConnection, key: NewApiKey, actor: &Actor) -> Result<()> {
    sqlx::query(INSERT)
        .bind(key.id)
        .bind(&key.name)
        .bind(&key.role)
        .bind(key.hash)
        .bind(key.prefix)
        .bind(key.expires_at)
        .bind((!key.scopes.is_empty()).then_some(Json(&key.scopes)))
        .execute(&mut *connection)
        .await
        .map_err(|error| taken(error, &key.name))?;
    let act = Act {
        action: "api_key.create",
        target_kind: "api_key",
        target_id: Some(key.id),
        target_name: Some(key.name),
        details: json!({ "role": key.role, "scopes": key.scopes, "expires_at": key.expires_at }),
    };
    record(connection, actor, act).await
}

fn taken(error: sqlx::Error, name: &str) -> Error {
    match &error {
        sqlx::Error::Database(said) if said.is_unique_violation() => {
            if said.constraint() != Some("api_keys_name") {
                return Error::new(Kind::Conflict, "this api key is already kept")
                    .code("already_created");
            }
            name_taken("an api key", name)
        }
        _ => failed(error),
    }
}
