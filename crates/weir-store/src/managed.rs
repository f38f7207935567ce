//! What a sources file made, and whose turn it is to apply one.

use sqlx::{Connection, PgConnection};
use weir_core::Result;

use crate::connection::{Store, apart, bounded};
use crate::failure::failed;

/// Held while a sources file is applied, so that instances which start at once
/// do it one after the other.
const LOCK: i64 = 0x5745_4952_0002;

/// The right to apply a sources file; given back when it is dropped. It has a
/// connection of its own: what is applied meanwhile needs those of the pool,
/// which may be one.
#[derive(Debug)]
pub struct Turn(PgConnection);

impl Turn {
    /// Gives it back.
    pub async fn end(self) -> Result<()> {
        self.0.close().await.map_err(failed)
    }
}

impl Store {
    /// Waits until no other instance applies a sources file.
    pub async fn take_turn(&self) -> Result<Turn> {
        let mut own = apart(&self.options).await.map_err(failed)?;
        // The transaction only holds the lock, waits while the file is applied,
        // and ends with its connection. Not a lock of the session: behind a
        // pooler of transactions that would stay with a session of the server.
        sqlx::raw_sql(
            "begin; set local lock_timeout = '5min'; set local statement_timeout = '10min'; \
             set local idle_in_transaction_session_timeout = 0",
        )
        .execute(&mut own)
        .await
        .map_err(failed)?;
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut own)
            .await
            .map_err(failed)?;
        Ok(Turn(own))
    }

    /// Names of the sources that `manager` made.
    pub async fn managed_sources(&self, manager: &str) -> Result<Vec<String>> {
        let listed =
            sqlx::query_scalar("select name from sources where managed_by = $1 order by name")
                .bind(manager);
        bounded(async { listed.fetch_all(&self.pool).await.map_err(failed) }).await
    }

    /// Names of the credentials that `manager` made.
    pub async fn managed_credentials(&self, manager: &str) -> Result<Vec<String>> {
        let listed =
            sqlx::query_scalar("select name from credentials where managed_by = $1 order by name")
                .bind(manager);
        bounded(async { listed.fetch_all(&self.pool).await.map_err(failed) }).await
    }
}
