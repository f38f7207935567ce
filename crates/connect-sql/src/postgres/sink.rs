//! The writing role: everything in one transaction, through binary `COPY`.
//!
//! Rows to append, and those of a new table, are copied into the table at once:
//! nobody sees them before the commit. All others are copied into a temporary
//! table first, so that no lock is held while a caller sends; then one statement
//! brings them over. `replace` deletes and inserts: unlike `TRUNCATE` and a
//! renamed table this is seen whole by readers of any isolation, and everything
//! that belongs to the table stays.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use async_trait::async_trait;
use weir_core::sink::bad_row;
use weir_core::{
    Context, Error, Kind, Result, Rows, Sink, SourceFault, Write, WriteMode, Written,
    unknown_outcome,
};
use weir_kit::Dialect;
use weir_kit::write as kit;

use super::bound::Bound;
use super::catalog;
use super::encode::Wire;
use super::failure;
use super::lease::{Lease, Pool};
use super::send::{HEAD, PIECE, Shape, TAIL};
use super::source::PostgresSource;
use super::target::{self, Outgoing, Plan};
use crate::shared::send::{self, NoNulls, Pieces};

/// Bytes of one `COPY`: the server says what it thinks of rows at its end only,
/// and a bad row should not be noticed a gigabyte later.
const COPY_BYTES: usize = 32 << 20;

/// How often a table that somebody else is just making is looked for again.
const LOOKS: usize = 5;

#[async_trait]
impl Sink for PostgresSource {
    async fn write(&self, ctx: &Context, write: &Write, rows: Rows) -> Result<Written> {
        let keys = kit::check(write, &rows.schema)?;
        kit::refuse_deterministic(write, "tables")?;
        let (schema, name) = self.reader.locate(&write.stream)?;
        let pool = &self.reader.pool;
        let (mut lease, plan) = begin(pool, ctx, (schema, name), write, &rows.schema).await?;
        let direct = target::is_direct(&plan, write.mode);
        let shape = Shape {
            columns: plan.columns.clone(),
            numbered: !direct,
        };
        let no_nulls = NoNulls::of(keys, &plan.columns);
        let mut pieces = send::encoded(rows, no_nulls, shape, PIECE, ctx);
        let count = if direct {
            let sql = format!(
                "COPY {} ({}) FROM STDIN (FORMAT binary)",
                plan.path,
                plan.names()
            );
            copy(&mut lease, &sql, &mut pieces).await?
        } else {
            let stage = Stage::of(&plan);
            lease.batch(&stage.create).await.map_err(refused)?;
            copy(&mut lease, &stage.copy, &mut pieces).await?;
            stage
                .bring_over(&mut lease, &plan, write)
                .await
                .map_err(refused)?
        };
        commit(lease, pool, ctx, write).await?;
        Ok(Written {
            rows: count,
            created: plan.create.is_some(),
            added_columns: plan.added_names(),
        })
    }
}

/// A session in a transaction that may write, and what is to be done there. No
/// row has been taken yet, so what somebody else did at the same moment is no
/// reason to give up.
async fn begin(
    pool: &Arc<Pool>,
    ctx: &Context,
    (schema, name): (&str, &str),
    write: &Write,
    rows: &Schema,
) -> Result<(Lease, Plan)> {
    let mut looks = 0;
    loop {
        looks += 1;
        let mut lease = Lease::take_to_write(pool, ctx).await?;
        let plan = target::plan(&mut lease, schema, name, write, rows).await?;
        let Some(create) = &plan.create else {
            return Ok((lease, plan));
        };
        match lease.batch(create).await {
            Ok(()) => return Ok((lease, plan)),
            Err(error) if looks < LOOKS && is_there(&error) => {}
            Err(error) => return Err(refused(error)),
        }
    }
}

/// Whether a table could not be made because somebody else has made it.
fn is_there(error: &Error) -> bool {
    let state = error
        .source_message()
        .and_then(|said| said.sqlstate.as_deref());
    // Found at once, or by the unique index of the catalogue.
    matches!(state, Some("42P07" | "42710" | "23505"))
}

/// Copies all rows. Gives how many there were.
async fn copy(lease: &mut Lease, sql: &str, pieces: &mut Pieces) -> Result<u64> {
    let mut total = 0_u64;
    let mut next = pieces.next().await?;
    while let Some(first) = next.take() {
        let mut sink = lease.copy_in(sql).await.map_err(refused)?;
        lease.feed(&mut sink, HEAD.into()).await?;
        let mut sent = first.bytes.len();
        lease.feed(&mut sink, first.bytes.clone()).await?;
        drop(first);
        while sent < COPY_BYTES {
            let Some(piece) = pieces.next().await? else {
                break;
            };
            sent += piece.bytes.len();
            lease.feed(&mut sink, piece.bytes.clone()).await?;
        }
        lease.feed(&mut sink, TAIL.into()).await?;
        let copied = lease.copied(sink).await;
        total += copied.map_err(|error| at_row(error, total))?;
        next = pieces.next().await?;
    }
    Ok(total)
}

/// The temporary table that rows wait in.
struct Stage {
    create: String,
    copy: String,
    /// Name of the column with the number of each row.
    number: String,
}

const STAGE: &str = "pg_temp.weir_rows";

impl Stage {
    fn of(plan: &Plan) -> Self {
        let quote = |name: &str| Dialect::Standard.quote(name);
        let mut number = "weir_row".to_owned();
        while plan.columns.iter().any(|column| column.name == number) {
            number.push('_');
        }
        let number = quote(&number);
        let columns: Vec<String> = plan
            .columns
            .iter()
            .map(|column| {
                let native = match column.wire {
                    Wire::Text => "pg_catalog.text",
                    _ => column.native.as_str(),
                };
                format!("{} {native}", quote(&column.name))
            })
            .collect();
        Stage {
            create: format!(
                "CREATE TEMPORARY TABLE weir_rows ({number} pg_catalog.int8, {}) ON COMMIT DROP",
                columns.join(", ")
            ),
            copy: format!(
                "COPY {STAGE} ({number}, {}) FROM STDIN (FORMAT binary)",
                plan.names()
            ),
            number,
        }
    }

    /// Brings the rows into the table. Gives how many of it are new or changed.
    async fn bring_over(&self, lease: &mut Lease, plan: &Plan, write: &Write) -> Result<u64> {
        if let Some(alter) = target::alter(plan) {
            lease.batch(&alter).await?;
        }
        if write.mode == WriteMode::Replace && plan.create.is_none() {
            // Other writers wait; readers go on reading what was there. A policy
            // must not hide rows from the delete.
            let path = &plan.path;
            lease
                .batch(&format!(
                    "SET LOCAL row_security = off; LOCK TABLE {path} IN SHARE ROW EXCLUSIVE MODE; DELETE FROM {path}"
                ))
                .await?;
        }
        lease.run(&self.insert(plan, write)).await
    }

    fn insert(&self, plan: &Plan, write: &Write) -> String {
        let quote = |name: &String| Dialect::Standard.quote(name);
        let keys: Vec<String> = write.keys.iter().map(quote).collect();
        let keys = keys.join(", ");
        let value = |column: &Outgoing| match column.wire {
            Wire::Text => format!("{}::{}", quote(&column.name), column.native),
            _ => quote(&column.name),
        };
        let values: Vec<String> = plan.columns.iter().map(value).collect();
        // Compared as the table compares them.
        let compared = plan.columns.iter().filter(|c| write.keys.contains(&c.name));
        let compared: Vec<String> = compared.map(value).collect();
        let (number, values, compared) = (&self.number, values.join(", "), compared.join(", "));
        let select = match write.mode {
            // Of rows with the same keys the last holds.
            WriteMode::Upsert => format!(
                "SELECT DISTINCT ON ({compared}) {values} FROM {STAGE} ORDER BY {compared}, {number} DESC"
            ),
            // And here the first, as if they came one after the other.
            WriteMode::Ignore => format!(
                "SELECT DISTINCT ON ({compared}) {values} FROM {STAGE} ORDER BY {compared}, {number}"
            ),
            WriteMode::Append | WriteMode::Replace | WriteMode::Fail => {
                format!("SELECT {values} FROM {STAGE} ORDER BY {number}")
            }
        };
        let others: Vec<String> = plan
            .columns
            .iter()
            .filter(|column| !write.keys.contains(&column.name))
            .map(|column| format!("{0} = EXCLUDED.{0}", quote(&column.name)))
            .collect();
        let conflict = match write.mode {
            WriteMode::Upsert if !others.is_empty() => {
                format!(" ON CONFLICT ({keys}) DO UPDATE SET {}", others.join(", "))
            }
            WriteMode::Upsert | WriteMode::Ignore => format!(" ON CONFLICT ({keys}) DO NOTHING"),
            WriteMode::Append | WriteMode::Replace | WriteMode::Fail => String::new(),
        };
        format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE {select}{conflict}",
            plan.path,
            plan.names()
        )
    }
}

/// Ends the transaction. Where the connection is lost in this very moment, the
/// server is asked over another one what became of it.
async fn commit(mut lease: Lease, pool: &Arc<Pool>, ctx: &Context, write: &Write) -> Result<()> {
    let number = catalog::transaction(&mut lease).await?;
    write.commit.begin(ctx)?;
    let Err(error) = lease.batch("COMMIT").await else {
        return Ok(());
    };
    let is_lost = matches!(
        error.kind(),
        Kind::Source(SourceFault::Unavailable) | Kind::Internal
    );
    if !is_lost || in_words(&error) {
        return Err(refused(error));
    }
    drop(lease);
    tracing::warn!("the connection was lost during a commit; asking what became of it");
    // The call may have ended meanwhile; the answer is owed all the same.
    let ctx = Context {
        deadline: weir_core::Deadline::after(ASK_LIMIT),
        cancel: tokio_util::sync::CancellationToken::new(),
        ..ctx.clone()
    };
    let known = tokio::time::timeout(ASK_LIMIT, became(pool, &ctx, &number)).await;
    match known.ok().flatten() {
        Some(true) => Ok(()),
        Some(false) => Err(error),
        None => Err(unknown_outcome()),
    }
}

/// How long the outcome of a commit is asked for.
const ASK_LIMIT: Duration = Duration::from_secs(20);
const ASK_PAUSE: Duration = Duration::from_millis(250);

/// Whether a transaction was committed; none where the server does not know.
async fn became(pool: &Arc<Pool>, ctx: &Context, number: &str) -> Option<bool> {
    loop {
        if let Ok(mut lease) = Lease::take(pool, ctx).await
            && let Ok(status) = catalog::transaction_status(&mut lease, &Bound::text(number)).await
        {
            match status.as_deref() {
                Some("committed") => return Some(true),
                Some("aborted") => return Some(false),
                Some("in progress") => {}
                _ => return None,
            }
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
}

fn in_words(error: &Error) -> bool {
    error.source_message().is_some()
}

/// What the server says of a statement that writes.
fn refused(error: Error) -> Error {
    match error.kind() {
        Kind::Source(SourceFault::Permission) => error.hint(
            "the user of this source needs INSERT on the table, for replace DELETE, for upsert SELECT and UPDATE; to make it, CREATE on the schema and TEMPORARY on the database",
        ),
        Kind::Source(SourceFault::Data) => error.hint(
            "a row violates a constraint of the table, or does not fit a column; which one, the server does not say",
        ),
        Kind::ReadOnly => error.hint("the server takes no writes: it may be a standby"),
        _ => error,
    }
}

/// The row that the server speaks of, after `before` ones that were fine.
fn at_row(error: Error, before: u64) -> Error {
    let is_of_row = matches!(error.kind(), Kind::Source(SourceFault::Data));
    let Some(place) = failure::place(&error).filter(|_| is_of_row) else {
        return refused(error);
    };
    let said = error.source_message().cloned().unwrap_or_default();
    let why = failure::of_state(said.sqlstate.as_deref().unwrap_or_default());
    let row = before + place.line.saturating_sub(1);
    bad_row(row, place.column.as_deref(), why).said(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::encode::created_type;
    use arrow::datatypes::{DataType, Field};
    use weir_core::StreamId;

    fn plan() -> Plan {
        let text = created_type(&Arc::new(Field::new("x", DataType::Utf8, true)));
        let text = text.unwrap().1;
        let column = |name: &str, native: &str| Outgoing {
            name: name.to_owned(),
            wire: if native == "inet" { Wire::Text } else { text },
            required: false,
            native: native.to_owned(),
            is_new: false,
        };
        Plan {
            dialect: Dialect::Standard,
            path: "\"s\".\"t\"".to_owned(),
            columns: vec![column("id", "text"), column("a\"b", "inet")],
            create: None,
        }
    }

    #[test]
    fn one_statement_brings_rows_over() {
        let plan = plan();
        let stage = Stage::of(&plan);
        let write = |mode: WriteMode| {
            let keys: &[&str] = if mode.needs_keys() { &["id"] } else { &[] };
            Write::new(StreamId::from_parts(["t"]), mode).by(keys)
        };
        let sql = stage.insert(&plan, &write(WriteMode::Upsert));
        assert_eq!(
            sql,
            "INSERT INTO \"s\".\"t\" (\"id\", \"a\"\"b\") OVERRIDING SYSTEM VALUE \
             SELECT DISTINCT ON (\"id\") \"id\", \"a\"\"b\"::inet FROM pg_temp.weir_rows \
             ORDER BY \"id\", \"weir_row\" DESC ON CONFLICT (\"id\") DO UPDATE SET \"a\"\"b\" = EXCLUDED.\"a\"\"b\""
        );
        assert!(
            stage
                .insert(&plan, &write(WriteMode::Ignore))
                .ends_with("DO NOTHING")
        );
        assert!(!target::is_direct(&plan, WriteMode::Append));
    }
}
