//! The writing role. Rows wait in a temporary table, so that the table itself is
//! not touched while a caller sends; then one transaction brings them over. A table
//! that is not there is made of them in one statement, and so appears whole.
//!
//! Rows go there by `LOAD DATA LOCAL` from our own stream, or by `INSERT` where the
//! server has turned that off. With `LOCAL` the server changes what does not fit and
//! warns of it; here a warning is an error.

use async_trait::async_trait;
use weir_core::sink::bad_row;
use weir_core::{
    Context, Error, Kind as Fault, Result, Rows, Sink, SourceFault, Write, WriteMode, Written,
    unknown_outcome,
};
use weir_kit::write as kit;

use super::bound::Bound;
use super::cells::{self, Form};
use super::failure;
use super::lease::Lease;
use super::source::MySqlSource;
use super::stage::{NAME, Server, Stage, Target, quote};
use crate::shared::send::{self, NoNulls, Pieces};

/// Bytes of one statement that loads: a bad row should not be noticed a gigabyte
/// later.
const LOAD_BYTES: usize = 32 << 20;

#[async_trait]
impl Sink for MySqlSource {
    async fn write(&self, ctx: &Context, write: &Write, rows: Rows) -> Result<Written> {
        let keys = kit::check(write, &rows.schema)?;
        kit::refuse_deterministic(write, "tables")?;
        let (schema, name) = self.reader.locate(&write.stream)?;
        let mut lease = Lease::take_to_write(&self.reader.pool, ctx).await?;
        let target = Target::find(&mut lease, (schema, name), write, &rows.schema).await?;
        let server = Server::ask(&mut lease).await?;
        let stage = Stage::of(&target, schema, &server);
        run(&mut lease, &stage.create).await?;
        let no_nulls = NoNulls::of(keys, &target.plan.columns);
        let encoder = cells::Rows {
            columns: target.plan.columns.clone(),
            form: server.form,
        };
        let mut pieces = send::encoded(rows, no_nulls, encoder, server.piece, ctx);
        match server.form {
            Form::Lines => load(&mut lease, &stage, &mut pieces).await?,
            Form::Values => insert(&mut lease, &stage, &mut pieces).await?,
        }
        let count = match &target.plan.create {
            Some(create) => {
                write.commit.begin(ctx)?;
                // One statement, which the server undoes where it fails.
                let made = lease.run(&stage.make(create, write)).await;
                made.map_err(|error| outcome(made_at_once(error, write)))?
                    .rows
            }
            None => bring_over(&mut lease, &stage, &target, ctx, write).await?,
        };
        Ok(Written {
            rows: count,
            created: target.plan.create.is_some(),
            added_columns: target.plan.added_names(),
        })
    }
}

/// Loads all rows by `LOAD DATA LOCAL`.
async fn load(lease: &mut Lease, stage: &Stage, pieces: &mut Pieces) -> Result<()> {
    let sql = stage.load();
    let mut before = 0;
    let mut next = pieces.next().await?;
    while let Some(first) = next.take() {
        lease.load(&sql, NAME).await.map_err(refused)?;
        let (mut sent, mut rows) = (first.bytes.len(), first.rows);
        lease.feed(&first.bytes).await?;
        drop(first);
        while sent < LOAD_BYTES {
            let Some(piece) = pieces.next().await? else {
                break;
            };
            (sent, rows) = (sent + piece.bytes.len(), rows + piece.rows);
            lease.feed(&piece.bytes).await?;
        }
        let done = lease
            .loaded()
            .await
            .map_err(|error| at_row(error, before))?;
        if done.warnings > 0 {
            check_warnings(lease, before).await?;
        }
        if done.rows != rows {
            return Err(failure::protocol("another number of rows than it was sent"));
        }
        before += rows;
        next = pieces.next().await?;
    }
    Ok(())
}

/// Loads all rows by `INSERT`.
async fn insert(lease: &mut Lease, stage: &Stage, pieces: &mut Pieces) -> Result<()> {
    let head = format!(
        "INSERT INTO {} ({}, {}) VALUES ",
        stage.path,
        stage.number,
        stage.names()
    );
    let mut before = 0;
    while let Some(piece) = pieces.next().await? {
        let mut sql = Vec::with_capacity(head.len() + piece.bytes.len());
        sql.extend_from_slice(head.as_bytes());
        sql.extend_from_slice(&piece.bytes);
        let done = lease
            .run_bytes(&sql)
            .await
            .map_err(|error| at_row(error, before))?;
        if done.warnings > 0 {
            check_warnings(lease, before).await?;
        }
        before += piece.rows;
    }
    Ok(())
}

/// A value that was changed to fit is an error.
async fn check_warnings(lease: &mut Lease, before: u64) -> Result<()> {
    let rows = lease.rows("SHOW WARNINGS", &[]).await?;
    if rows.is_empty() {
        let message = "a value did not fit its column, and the server does not say which";
        return Err(Error::source(SourceFault::Data, message).hint(
            "raise max_error_count of the server, or look for values that are too long or large",
        ));
    }
    for row in rows {
        let [Some(level), Some(code), Some(message), ..] = row.as_slice() else {
            continue;
        };
        let Ok(code) = code.parse::<u16>() else {
            continue;
        };
        if level == "Note" {
            continue;
        }
        let mut packet = code.to_le_bytes().to_vec();
        packet.extend_from_slice(b"#22000");
        packet.extend_from_slice(message.as_bytes());
        let error = failure::of_server(&packet);
        return Err(at_row(error, before));
    }
    Ok(())
}

/// Brings the rows into a table that is there. Gives how many of it are new or
/// changed.
async fn bring_over(
    lease: &mut Lease,
    stage: &Stage,
    target: &Target,
    ctx: &Context,
    write: &Write,
) -> Result<u64> {
    let path = &target.plan.path;
    let added: Vec<String> = target
        .plan
        .added()
        .map(|column| format!("ADD COLUMN {} {}", quote(&column.name), column.native))
        .collect();
    if write.mode != WriteMode::Append {
        // Writers of ours come one after the other; it goes with the connection.
        let params = [Bound::text(path)];
        let got = lease
            .rows("SELECT GET_LOCK(CONCAT('weir:', SHA1(?)), 30)", &params)
            .await?;
        if got
            .first()
            .and_then(|row| row.first())
            .cloned()
            .flatten()
            .as_deref()
            != Some("1")
        {
            return Err(Error::source(
                SourceFault::Unavailable,
                "another write into the table goes on",
            )
            .hint("try again later"));
        }
    }
    if !added.is_empty() {
        // It commits by itself, so nothing may be under way yet.
        run(lease, &format!("ALTER TABLE {path} {}", added.join(", "))).await?;
    }
    run(lease, "START TRANSACTION").await?;
    let rows = match write.mode {
        WriteMode::Upsert | WriteMode::Ignore => {
            let mut changed = 0;
            for statement in stage.merge(target, write) {
                changed += lease.run(&statement).await.map_err(refused)?.rows;
            }
            match write.mode {
                // The server counts a changed row twice, and one that was so already not at all.
                WriteMode::Upsert => distinct(lease, stage, write).await?,
                _ => changed,
            }
        }
        WriteMode::Append | WriteMode::Replace | WriteMode::Fail => {
            if write.mode == WriteMode::Replace {
                run(lease, &format!("DELETE FROM {path}")).await?;
            }
            let sql = format!(
                "INSERT INTO {path} ({}) {}",
                stage.names(),
                stage.select(write)
            );
            // In their order, so that the server's number of a row is ours.
            lease
                .run(&sql)
                .await
                .map_err(|error| at_row(error, 0))?
                .rows
        }
    };
    write.commit.begin(ctx)?;
    lease.run("COMMIT").await.map_err(outcome)?;
    Ok(rows)
}

/// How many rows there are that differ in their keys.
async fn distinct(lease: &mut Lease, stage: &Stage, write: &Write) -> Result<u64> {
    let keys: Vec<String> = write.keys.iter().map(|key| quote(key)).collect();
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM {} GROUP BY {}) AS d",
        stage.path,
        keys.join(", ")
    );
    let rows = lease.rows(&sql, &[]).await?;
    let count = rows
        .first()
        .and_then(|row| row.first()?.as_deref()?.parse().ok());
    Ok(count.unwrap_or(0))
}

async fn run(lease: &mut Lease, sql: &str) -> Result<()> {
    lease.run(sql).await.map(drop).map_err(refused)
}

/// What became of the statement that makes rows visible, where the server did not
/// say it.
fn outcome(error: Error) -> Error {
    let is_lost = matches!(
        error.kind(),
        Fault::Source(SourceFault::Unavailable) | Fault::Internal
    );
    match is_lost && error.source_message().is_none() {
        true => {
            tracing::warn!(%error, "the connection was lost during a commit");
            unknown_outcome()
        }
        false => refused(error),
    }
}

/// Somebody else has made the table while the rows came.
fn made_at_once(error: Error, write: &Write) -> Error {
    match failure::code(&error) {
        Some(1050) => kit::stream_exists(&write.stream),
        _ => error,
    }
}

/// What the server says of a statement that writes.
fn refused(error: Error) -> Error {
    match error.kind() {
        Fault::Source(SourceFault::Permission) => error.hint(
            "the user of this source needs SELECT and INSERT on the table and CREATE TEMPORARY TABLES on its database; for replace DELETE, for upsert UPDATE, to make a table CREATE, to add columns ALTER",
        ),
        Fault::Source(SourceFault::Data) => {
            let said = error.source_message().cloned().unwrap_or_default();
            let why = failure::code(&error).map_or("a value that its column cannot hold", failure::of_code);
            Error::source(SourceFault::Data, format!("a row is refused: {why}"))
                .hint("which row, the server does not say; look for it by what is wrong")
                .said(said)
        }
        Fault::ReadOnly => error.hint("the server takes no writes: it may be a replica"),
        _ => error,
    }
}

/// The row that the server speaks of, after `before` ones that were fine.
fn at_row(error: Error, before: u64) -> Error {
    let is_of_row = matches!(
        error.kind(),
        Fault::Source(SourceFault::Data | SourceFault::Query)
    );
    let (Some(row), Some(code)) = (failure::row(&error), failure::code(&error)) else {
        return refused(error);
    };
    if !is_of_row || row == 0 {
        return refused(error);
    }
    let said = error.source_message().cloned().unwrap_or_default();
    bad_row(
        before + row - 1,
        failure::column(&error),
        failure::of_code(code),
    )
    .said(said)
}
