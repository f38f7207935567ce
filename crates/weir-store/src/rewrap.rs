//! Moving the store's secrets under a new master key, while it is in use.
//!
//! Only data keys are wrapped anew, the sealed values stay as they are. What
//! was moved already is passed over, so a rotation that was cut off goes on
//! where it stopped.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;
use weir_core::Result;
use weir_vault::{KeyId, KeyRing, Owner};

use crate::connection::{Store, bounded};
use crate::failure::failed;

/// Fields of one transaction.
const PAGE: i64 = 500;

const NEXT: &str = "select credential_id, version, field, sealed from credential_fields \
    where substring(sealed from 2 for 8) <> $1 limit $2 for update skip locked";
const LEFT: &str =
    "select count(*) from credential_fields where substring(sealed from 2 for 8) <> $1";
/// Instances that live and have not said that they hold the key.
const LAGGING: &str = "select address from instances where heartbeat_at >= now() - interval '60 seconds' \
    and not coalesce($1 = any (master_keys), false) order by address";

#[derive(sqlx::FromRow)]
struct Field {
    credential_id: Uuid,
    version: i32,
    field: String,
    sealed: Vec<u8>,
}

impl Store {
    /// Wraps every data key under the newest master key; says how many there
    /// were to wrap. The store must be open.
    pub async fn rewrap_secrets(&self) -> Result<u64> {
        let ring = self.ring()?;
        let newest = ring.primary();
        let mut done = 0;
        loop {
            let ring = ring.clone();
            let page = self
                .transact(move |connection| Box::pin(async move { page(connection, &ring).await }))
                .await?;
            done += page;
            if page > 0 {
                tracing::info!(done, "data keys wrapped under the master key {newest}");
            } else if self.left(newest).await? == 0 {
                return Ok(done);
            } else {
                // What is left is being changed by somebody right now.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Addresses of running instances that could not open what is sealed under
    /// the newest master key.
    pub async fn instances_without_newest_key(&self) -> Result<Vec<String>> {
        let newest = self.ring()?.primary();
        let asked = sqlx::query_scalar(LAGGING)
            .bind(newest.0)
            .fetch_all(&self.pool);
        bounded(async { asked.await.map_err(failed) }).await
    }

    /// The id of the newest master key.
    pub fn newest_key(&self) -> Result<KeyId> {
        Ok(self.ring()?.primary())
    }

    async fn left(&self, newest: KeyId) -> Result<i64> {
        let asked = sqlx::query_scalar(LEFT)
            .bind(newest.0)
            .fetch_one(&self.pool);
        bounded(async { asked.await.map_err(failed) }).await
    }
}

async fn page(connection: &mut PgConnection, ring: &KeyRing) -> Result<u64> {
    let fields: Vec<Field> = sqlx::query_as(NEXT)
        .bind(ring.primary().0)
        .bind(PAGE)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    for field in &fields {
        let owner = Owner {
            kind: "credential",
            id: field.credential_id,
            version: field.version,
            field: &field.field,
        };
        let sealed = ring.rewrap(&owner, &field.sealed)?;
        sqlx::query(
            "update credential_fields set sealed = $4 where credential_id = $1 and version = $2 and field = $3",
        )
        .bind(field.credential_id)
        .bind(field.version)
        .bind(&field.field)
        .bind(sealed)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    }
    Ok(fields.len() as u64)
}
