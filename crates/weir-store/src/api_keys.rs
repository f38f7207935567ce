//! Api keys: kept as a hash only.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;
use weir_core::{Error, Kind, Result};

use crate::audit::{Act, Actor, record};
use crate::connection::{Store, bounded};
use crate::failure::failed;
use crate::migrate::lock;

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
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

const INSERT: &str = "insert into api_keys (id, name, role, key_hash, prefix, expires_at, scopes) \
    values ($1, $2, $3, $4, $5, $6, $7)";
const FIND: &str = "select id, name, role, prefix, coalesce(scopes, '[]') as scopes, created_at, expires_at, last_used_at \
    from api_keys where key_hash = $1";
const HAS_ADMIN: &str = "select exists (select from api_keys where role = 'admin')";
const TOUCH: &str = "update api_keys set last_used_at = now() \
    where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')";

impl Store {
    /// Keeps a key.
    pub async fn create_api_key(&self, key: NewApiKey, actor: &Actor) -> Result<()> {
        let actor = actor.clone();
        self.transact(move |connection| {
            Box::pin(async move { insert(connection, key, &actor).await })
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

    /// The key with this hash.
    pub async fn find_api_key(&self, hash: [u8; 32]) -> Result<Option<ApiKeyRow>> {
        let found = sqlx::query_as(FIND).bind(&hash[..]);
        bounded(async { found.fetch_optional(&self.pool).await.map_err(failed) }).await
    }

    /// Notes that a key was used, at most once a minute.
    pub async fn touch_api_key(&self, id: Uuid) -> Result<()> {
        let noted = sqlx::query(TOUCH).bind(id);
        bounded(async { noted.execute(&self.pool).await.map(drop).map_err(failed) }).await
    }
}

async fn insert(connection: &mut PgConnection, key: NewApiKey, actor: &Actor) -> Result<()> {
    sqlx::query(INSERT)
        .bind(key.id)
        .bind(&key.name)
        .bind(&key.role)
        .bind(&key.hash[..])
        .bind(key.prefix)
        .bind(key.expires_at)
        .bind((!key.scopes.is_empty()).then_some(Json(&key.scopes)))
        .execute(&mut *connection)
        .await
        .map_err(|error| match &error {
            sqlx::Error::Database(said) if said.is_unique_violation() => {
                Error::new(Kind::Conflict, "this api key is already kept").code("already_created")
            }
            _ => failed(error),
        })?;
    let act = Act {
        action: "api_key.create",
        target_kind: "api_key",
        target_id: Some(key.id),
        target_name: Some(key.name),
        details: json!({ "role": key.role, "scopes": key.scopes, "expires_at": key.expires_at }),
    };
    record(connection, actor, act).await
}
