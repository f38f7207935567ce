//! Migrations: applied in order, each in a transaction, under an advisory lock.

use aws_lc_rs::digest;
use sqlx::{Connection, PgConnection};
use weir_core::{Error, Kind, Result};

use crate::connection::{Store, failed};

/// Held while migrating and while the first keys are made, so that two
/// instances may start at once.
pub(crate) const LOCK: i64 = 0x5745_4952_0001;

struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "spine",
    sql: include_str!("../../../migrations/0001_spine.sql"),
}];

impl Store {
    /// Applies what is missing. A store that is newer is left as it is.
    pub async fn migrate(&self) -> Result<()> {
        let store = self.clone();
        self.detached(async move {
            let mut connection = store.pool.acquire().await.map_err(failed)?;
            lock(&mut connection).await?;
            let outcome = apply(&mut connection).await;
            unlock(&mut connection).await?;
            outcome
        })
        .await
    }

    /// The schema is as new as this binary, or newer.
    pub(crate) async fn check_schema(&self) -> Result<()> {
        let newest: Option<i32> = sqlx::query_scalar("select max(version) from weir_migrations")
            .fetch_one(&self.pool)
            .await
            .map_err(failed)?;
        let wanted = MIGRATIONS.last().map_or(0, |m| m.version);
        if newest.unwrap_or(0) < wanted {
            return Err(Error::new(
                Kind::NotReady,
                "the store's schema is older than this service",
            )
            .hint("run `weir migrate`"));
        }
        Ok(())
    }
}

pub(crate) async fn lock(connection: &mut PgConnection) -> Result<()> {
    // The wait may be as long as another instance's migration.
    sqlx::query("set lock_timeout = '5min'")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    sqlx::query("set statement_timeout = '10min'")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    sqlx::query("select pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    Ok(())
}

pub(crate) async fn unlock(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    sqlx::query("reset lock_timeout")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    sqlx::query("reset statement_timeout")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    Ok(())
}

async fn apply(connection: &mut PgConnection) -> Result<()> {
    sqlx::query(
        "create table if not exists weir_migrations (version integer primary key, name text not null, \
         checksum bytea not null, applied_at timestamptz not null default now())",
    )
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    let applied: Vec<(i32, Vec<u8>)> =
        sqlx::query_as("select version, checksum from weir_migrations order by version")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    for migration in MIGRATIONS {
        let checksum = digest::digest(&digest::SHA256, migration.sql.as_bytes());
        match applied
            .iter()
            .find(|(version, _)| *version == migration.version)
        {
            Some((_, known)) if known == checksum.as_ref() => continue,
            Some(_) => {
                return Err(Error::new(
                    Kind::NotReady,
                    format!(
                        "migration {} of the store is not the one of this binary",
                        migration.version
                    ),
                )
                .hint(
                    "a released migration was changed; use the release the store was made with",
                ));
            }
            None => {}
        }
        let mut transaction = connection.begin().await.map_err(failed)?;
        sqlx::raw_sql(migration.sql)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query("insert into weir_migrations (version, name, checksum) values ($1, $2, $3)")
            .bind(migration.version)
            .bind(migration.name)
            .bind(checksum.as_ref())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "store migrated"
        );
    }
    Ok(())
}
