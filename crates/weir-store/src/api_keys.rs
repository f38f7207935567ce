//! Api keys: kept as a hash only.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use weir_core::Result;

use crate::connection::{Store, failed};
use crate::migrate::LOCK;

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
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A kept key.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// `reader`, `editor` or `admin`.
    pub role: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
}

const INSERT: &str = "insert into api_keys (id, name, role, key_hash, prefix, expires_at) values ($1, $2, $3, $4, $5, $6)";

impl Store {
    /// Keeps a key.
    pub async fn create_api_key(&self, key: NewApiKey) -> Result<()> {
        insert(key)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// Keeps the first admin key; false when another instance was faster.
    pub async fn create_first_admin_key(&self, key: NewApiKey) -> Result<bool> {
        let store = self.clone();
        self.detached(async move {
            let mut transaction = store.pool.begin().await.map_err(failed)?;
            sqlx::query("select pg_advisory_xact_lock($1)")
                .bind(LOCK)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            let there: bool = sqlx::query_scalar(HAS_ADMIN)
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed)?;
            if !there {
                insert(key)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
            }
            transaction.commit().await.map_err(failed)?;
            Ok(!there)
        })
        .await
    }

    /// Whether an admin key was ever made.
    pub async fn has_admin_key(&self) -> Result<bool> {
        sqlx::query_scalar(HAS_ADMIN)
            .fetch_one(&self.pool)
            .await
            .map_err(failed)
    }

    /// The key with this hash.
    pub async fn find_api_key(&self, hash: [u8; 32]) -> Result<Option<ApiKeyRow>> {
        sqlx::query_as(
            "select id, name, role, created_at, expires_at from api_keys where key_hash = $1",
        )
        .bind(&hash[..])
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)
    }
}

const HAS_ADMIN: &str = "select exists (select from api_keys where role = 'admin')";

fn insert(
    key: NewApiKey,
) -> sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments> {
    sqlx::query(INSERT)
        .bind(key.id)
        .bind(key.name)
        .bind(key.role)
        .bind(key.hash.to_vec())
        .bind(key.prefix)
        .bind(key.expires_at)
}
