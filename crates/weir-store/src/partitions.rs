//! Tables kept in one partition a day: made ahead, and dropped as a whole when
//! they are too old, so that old rows cost no deletes.
//!
//! Each such table has a partition `<table>_default` for what falls on a day
//! that has none yet; it is emptied into that day's partition when that is made.

use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, PgConnection};
use weir_core::Result;

use crate::connection::Store;
use crate::failure::failed;

/// With the table's name, the lock of those who change its partitions.
const LOCK: i32 = 0x5745_4952;

/// What [`keep`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Partitions made.
    pub made: usize,
    /// Partitions dropped.
    pub dropped: usize,
}

/// A table whose partitions are kept.
#[derive(Debug, Clone)]
struct Parted {
    table: &'static str,
    /// The column its rows are divided by, a `timestamptz`.
    column: String,
    today: NaiveDate,
    /// Names of its partitions.
    partitions: Vec<String>,
}

/// Makes the partitions of today and `days_ahead` further days, and drops those
/// whose last row is older than `retention_days`. Several instances may call it
/// at once, and as often as they like.
pub async fn keep(
    store: &Store,
    table: &'static str,
    days_ahead: u32,
    retention_days: u32,
) -> Result<Kept> {
    let made = store
        .transact(move |connection| {
            Box::pin(async move {
                let parted = Parted::read(connection, table).await?;
                parted.make(connection, days_ahead).await
            })
        })
        .await?;
    // Apart, so that a reader who holds up the dropping does not undo the making.
    let dropped = store
        .transact(move |connection| {
            Box::pin(async move {
                let parted = Parted::read(connection, table).await?;
                parted.drop_old(connection, retention_days).await
            })
        })
        .await?;
    if made + dropped > 0 {
        tracing::info!(table, made, dropped, "partitions kept");
    }
    Ok(Kept { made, dropped })
}

impl Parted {
    /// Takes the lock, then reads what there is.
    async fn read(connection: &mut PgConnection, table: &'static str) -> Result<Self> {
        // Writers wait behind a lock that is waited for, so the wait is short:
        // what did not work now works in the next hour.
        run(connection, "set local lock_timeout = '1s'".to_owned()).await?;
        sqlx::query("select pg_advisory_xact_lock($1, hashtext($2))")
            .bind(LOCK)
            .bind(table)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        let (column, today): (String, NaiveDate) = sqlx::query_as(
            "select a.attname::text, (now() at time zone 'utc')::date from pg_partitioned_table p \
             join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0] \
             where p.partrelid = $1::text::regclass",
        )
        .bind(table)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
        let partitions = sqlx::query_scalar(
            "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid \
             where i.inhparent = $1::text::regclass",
        )
        .bind(table)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
        Ok(Parted {
            table,
            column,
            today,
            partitions,
        })
    }

    fn name(&self, day: NaiveDate) -> String {
        format!("{}_{}", self.table, day.format("%Y%m%d"))
    }

    /// The day of a partition; none for the default one.
    fn day(&self, partition: &str) -> Option<NaiveDate> {
        let digits = partition.strip_prefix(self.table)?.strip_prefix('_')?;
        NaiveDate::parse_from_str(digits, "%Y%m%d").ok()
    }

    async fn make(&self, connection: &mut PgConnection, days_ahead: u32) -> Result<usize> {
        let Parted { table, column, .. } = self;
        let statement =
            format!("select distinct ({column} at time zone 'utc')::date from {table}_default");
        let mut days: Vec<NaiveDate> = sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        days.extend(self.today.iter_days().take(days_ahead as usize + 1));
        days.sort_unstable();
        days.dedup();
        days.retain(|day| !self.partitions.contains(&self.name(*day)));
        if days.is_empty() {
            return Ok(0);
        }
        // Nobody writes there between the moving and the attaching.
        let lock = format!("lock table only {table}_default in access exclusive mode");
        run(connection, lock).await?;
        for day in &days {
            let (name, end) = (self.name(*day), *day + Days::new(1));
            for statement in [
                format!("create table {name} (like {table} including all)"),
                format!(
                    "with moved as (delete from {table}_default where {column} >= '{day} 00:00:00+00' \
                     and {column} < '{end} 00:00:00+00' returning *) insert into {name} select * from moved"
                ),
                format!(
                    "alter table {table} attach partition {name} \
                     for values from ('{day} 00:00:00+00') to ('{end} 00:00:00+00')"
                ),
            ] {
                run(connection, statement).await?;
            }
        }
        Ok(days.len())
    }

    async fn drop_old(&self, connection: &mut PgConnection, retention_days: u32) -> Result<usize> {
        let oldest = self.today - Days::new(retention_days.into());
        let mut dropped = 0;
        for partition in &self.partitions {
            if self.day(partition).is_some_and(|day| day < oldest) {
                run(connection, format!("drop table {partition}")).await?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}

/// Runs a statement made of names that are ours and of dates.
async fn run(connection: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}
