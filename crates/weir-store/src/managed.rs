//! What a sources file made, and whose turn it is to apply one.

use sqlx::{Postgres, Transaction};
use weir_core::Result;

use crate::connection::{Store, bounded};
use crate::failure::failed;

/// Held while a sources file is applied, so that instances which start at once
/// do it one after the other.
const LOCK: i64 = 0x5745_4952_0002;

/// The right to apply a sources file; given back when it is dropped.
#[derive(Debug)]
pub struct Turn(Transaction<'static, Postgres>);

impl Turn {
    /// Gives it back.
    pub async fn end(self) -> Result<()> {
        self.0.rollback().await.map_err(failed)
    }
}

impl Store {
    /// Waits until no other instance applies a sources file.
    pub async fn take_turn(&self) -> Result<Turn> {
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        // The transaction only holds the lock, and waits while the file is applied.
        sqlx::raw_sql(
            "set local lock_timeout = '5min'; set local statement_timeout = '10min'; \
             set local idle_in_transaction_session_timeout = 0",
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        Ok(Turn(transaction))
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
