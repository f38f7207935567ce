//! Migrations: applied in order under an advisory lock, all of them or none.

use aws_lc_rs::digest;
use sqlx::PgConnection;
use weir_core::{Error, Kind, Result};

use crate::connection::{Store, bounded};
use crate::failure::failed;

/// Held while migrating and while the first keys are made, so that two
/// instances may start at once.
const LOCK: i64 = 0x5745_4952_0001;

pub(crate) struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
}

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "spine",
        sql: include_str!("../../../migrations/0001_spine.sql"),
    },
    Migration {
        version: 2,
        name: "keys_and_audit",
        sql: include_str!("../../../migrations/0002_keys_and_audit.sql"),
    },
    Migration {
        version: 3,
        name: "credentials",
        sql: include_str!("../../../migrations/0003_credentials.sql"),
    },
    Migration {
        version: 4,
        name: "runs",
        sql: include_str!("../../../migrations/0004_runs.sql"),
    },
    Migration {
        version: 5,
        name: "idempotency",
        sql: include_str!("../../../migrations/0005_idempotency.sql"),
    },
    Migration {
        version: 6,
        name: "recipes",
        sql: include_str!("../../../migrations/0006_recipes.sql"),
    },
];

/// Our own record of what was applied.
const RECORD: &str = "create table if not exists weir_migrations (version integer primary key, \
    name text not null, checksum bytea not null, applied_at timestamptz not null default now())";

impl Store {
    /// Applies what is missing. A store that is newer is left as it is.
    pub async fn migrate(&self) -> Result<()> {
        // Not through `transact`: a migration may take longer than a request.
        let pool = self.pool.clone();
        let whole = async move {
            let mut transaction = pool.begin().await.map_err(failed)?;
            lock(&mut transaction).await?;
            let applied = apply(&mut transaction, MIGRATIONS).await?;
            transaction.commit().await.map_err(failed)?;
            Ok::<_, Error>(applied)
        };
        // Awaited, not detached: cut off, the server rolls back as a whole.
        for version in self.compute.spawn(whole).await?? {
            tracing::info!(version, "store migrated");
        }
        Ok(())
    }

    /// The schema is as new as this binary, or newer.
    pub(crate) async fn check_schema(&self) -> Result<()> {
        let asked =
            sqlx::query_scalar("select max(version) from weir_migrations").fetch_one(&self.pool);
        let newest: Option<i32> = match bounded(async { Ok(asked.await) }).await? {
            Ok(newest) => newest,
            Err(error) if is_missing_table(&error) => None,
            Err(error) => return Err(failed(error)),
        };
        let wanted = MIGRATIONS.last().map_or(0, |migration| migration.version);
        if newest.unwrap_or(0) >= wanted {
            return Ok(());
        }
        let message = format!(
            "the store's schema is at version {}, this service needs {wanted}",
            newest.unwrap_or(0)
        );
        Err(Error::new(Kind::NotReady, message)
            .code("schema_outdated")
            .hint("run `weir migrate`"))
    }
}

/// Waits for the lock, which ends with the transaction.
pub(crate) async fn lock(connection: &mut PgConnection) -> Result<()> {
    // The wait may be as long as another instance's migration.
    sqlx::raw_sql("set local lock_timeout = '5min'; set local statement_timeout = '10min'")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}

/// Applies those of `migrations` that are missing; their versions.
async fn apply(
    connection: &mut PgConnection,
    migrations: &'static [Migration],
) -> Result<Vec<i32>> {
    sqlx::raw_sql(RECORD)
        .execute(&mut *connection)
        .await
        .map_err(not_allowed)?;
    let applied: Vec<(i32, Vec<u8>)> =
        sqlx::query_as("select version, checksum from weir_migrations")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    let mut fresh = Vec::new();
    for migration in migrations {
        let checksum = digest::digest(&digest::SHA256, migration.sql.as_bytes());
        match applied
            .iter()
            .find(|(version, _)| *version == migration.version)
        {
            Some((_, known)) if known == checksum.as_ref() => continue,
            Some(_) => return Err(changed(migration)),
            None => {}
        }
        sqlx::raw_sql(migration.sql)
            .execute(&mut *connection)
            .await
            .map_err(not_allowed)?;
        sqlx::query("insert into weir_migrations (version, name, checksum) values ($1, $2, $3)")
            .bind(migration.version)
            .bind(migration.name)
            .bind(checksum.as_ref())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        fresh.push(migration.version);
    }
    Ok(fresh)
}

fn changed(migration: &Migration) -> Error {
    let message = format!(
        "migration {} ({}) of the store is not the one of this service",
        migration.version, migration.name
    );
    Error::new(Kind::NotReady, message)
        .code("schema_mismatch")
        .hint("the store was made by a build with another migration of that number; use the release it was made with")
}

fn not_allowed(error: sqlx::Error) -> Error {
    let denied =
        matches!(&error, sqlx::Error::Database(said) if said.code().as_deref() == Some("42501"));
    if !denied {
        return failed(error);
    }
    Error::new(Kind::NotReady, "the store's user may not create tables")
        .code("store_unavailable")
        .hint("make the user of WEIR_DATABASE_URL the owner of its database, or grant it create on its schema")
        .detail(error)
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(said) if said.code().as_deref() == Some("42P01"))
}
