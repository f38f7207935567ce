//! The writing role: everything in one transaction.
//!
//! Rows wait in a temporary table of the connection, so that a slow caller keeps
//! nobody from anything, and every value is looked at before the table sees one.
//! Then one transaction makes or widens the table and brings them over. `replace`
//! deletes and inserts in it: readers see the old rows or the new ones, and what
//! belongs to the table stays.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use libduckdb::Appender;
use weir_core::sink::bad_row;
use weir_core::{
    BatchStream, Context, Error, Kind, Result, Rows, Sink, SourceFault, Write, WriteMode, Written,
    unknown_outcome,
};
use weir_kit::ahead::ahead;
use weir_kit::write as kit;

use super::encode::transported;
use super::failure;
use super::session::Session;
use super::source::DuckDbSource;
use super::target::{self, Plan, STAGE};

/// Bytes of a batch that are taken over at once.
const PIECE: usize = 4 << 20;

#[async_trait]
impl Sink for DuckDbSource {
    async fn write(&self, ctx: &Context, write: &Write, rows: Rows) -> Result<Written> {
        let keys = kit::check(write, &rows.schema)?;
        kit::refuse_deterministic(write, "tables")?;
        let (schema, name) = self.locate(&write.stream)?;
        let mut session = self.home.write(ctx).await?;
        let instance = session.instance()?;
        // Writes of one file are looked at and come over one after the other, each
        // knowing what the one before has left.
        let turn = instance.writer.lock().await;
        let plan = target::plan(&mut session, schema, name, write, &rows.schema).await?;
        run(&mut session, vec![target::stage(&plan)]).await?;
        rehearse(&mut session, &plan, write).await?;
        drop(turn);
        let fields = rows.schema.fields().iter().cloned().collect();
        let staging = Staging::of(&plan, fields, keys);
        staging.fill(&mut session, polled(rows, ctx)).await?;

        let _turn = instance.writer.lock().await;
        run(&mut session, vec!["BEGIN TRANSACTION".to_owned()]).await?;
        let plan = target::plan(&mut session, schema, name, write, &staging.rows).await?;
        let count = bring_over(&mut session, &plan, write).await?;
        write.commit.begin(ctx)?;
        commit(&mut session).await?;
        Ok(Written {
            rows: count,
            created: plan.create.is_some(),
            added_columns: plan.added_names(),
        })
    }
}

/// The batches, polled on the compute runtime and one ahead.
fn polled(rows: Rows, ctx: &Context) -> BatchStream {
    let mut batches = rows.batches;
    ahead(
        ctx.compute.clone(),
        ctx.memory.clone(),
        |ahead| async move {
            while let Some(batch) = batches.next().await.transpose()? {
                for piece in kit::pieces(batch, PIECE) {
                    if !ahead.send(piece).await? {
                        return Ok(());
                    }
                }
            }
            Ok(())
        },
    )
}

async fn run(session: &mut Session, statements: Vec<String>) -> Result<u64> {
    let work = move |connection: &mut libduckdb::Connection| {
        let mut changed = 0;
        for sql in &statements {
            changed = connection.run(sql)?;
        }
        Ok(changed)
    };
    session.run_as(work, failure::of_write).await
}

/// Whether the statements would be taken, before the first row is: in a transaction
/// that is rolled back.
async fn rehearse(session: &mut Session, plan: &Plan, write: &Write) -> Result<()> {
    let (statements, insert) = (target::prepare(plan), target::insert(plan, write));
    let work = move |connection: &mut libduckdb::Connection| {
        connection.run("BEGIN TRANSACTION")?;
        let outcome = statements
            .iter()
            .try_for_each(|sql| connection.run(sql).map(drop))
            .and_then(|()| connection.prepare(&insert).map(drop));
        connection.run("ROLLBACK")?;
        outcome
    };
    session.run_as(work, failure::of_write).await
}

/// How rows come into the temporary table.
struct Staging {
    /// The schema of the rows as they come.
    rows: SchemaRef,
    wires: Vec<super::encode::Wire>,
    keys: Vec<usize>,
    /// The schema of the temporary table.
    staged: SchemaRef,
}

impl Staging {
    fn of(plan: &Plan, fields: Vec<FieldRef>, keys: Vec<usize>) -> Self {
        let mut staged = vec![Field::new("n", DataType::Int64, false)];
        let wires: Vec<_> = plan
            .columns
            .iter()
            .map(|column| column.wire.clone())
            .collect();
        for (index, wire) in wires.iter().enumerate() {
            staged.push(Field::new(format!("c{index}"), wire.arrow.clone(), true));
        }
        Staging {
            rows: Arc::new(Schema::new(fields)),
            wires,
            keys,
            staged: Arc::new(Schema::new(staged)),
        }
    }

    async fn fill(&self, session: &mut Session, mut batches: BatchStream) -> Result<()> {
        let schema = Arc::clone(&self.staged);
        let open =
            move |connection: &mut libduckdb::Connection| connection.appender(STAGE, &schema);
        let mut appender: Appender = session.run_as(open, failure::of_write).await?;
        let mut count = 0;
        while let Some(batch) = batches.next().await.transpose()? {
            kit::refuse_nulls(&batch, &self.keys, count, kit::NULL_KEY)?;
            let staged = self.staged(&batch, count)?;
            count += batch.num_rows() as u64;
            drop(batch);
            let append = move |_: &mut libduckdb::Connection| {
                appender.append(&staged)?;
                Ok(appender)
            };
            appender = session.run_as(append, failure::of_write).await?;
        }
        session
            .run_as(move |_| appender.finish(), failure::of_write)
            .await
    }

    /// A batch with the numbers of its rows, in the types of the temporary table.
    fn staged(&self, batch: &RecordBatch, first: u64) -> Result<RecordBatch> {
        let from = i64::try_from(first).map_err(Error::internal)?;
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(
            from..from + batch.num_rows() as i64,
        ));
        let mut columns = vec![numbers];
        let fields = self.rows.fields().iter();
        for ((field, wire), array) in fields.zip(&self.wires).zip(batch.columns()) {
            let column = transported(wire, field, array);
            columns.push(
                column
                    .map_err(|(row, why)| bad_row(first + row as u64, Some(field.name()), why))?,
            );
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.staged), columns)?)
    }
}

/// Brings the rows into the table. Gives how many of it are new or changed.
async fn bring_over(session: &mut Session, plan: &Plan, write: &Write) -> Result<u64> {
    if let Some((sql, told)) = target::checks(plan) {
        let check = move |connection: &mut libduckdb::Connection| connection.rows(&sql, &[]);
        let found = session.run_as(check, failure::of_write).await?;
        refuse(&found, &told)?;
    }
    let mut statements = target::prepare(plan);
    if write.mode == WriteMode::Replace && plan.create.is_none() {
        statements.push(format!("DELETE FROM {}", plan.path));
    }
    statements.push(target::insert(plan, write));
    run(session, statements).await
}

/// The first row that does not fit, if there is one.
fn refuse(found: &[RecordBatch], told: &[(String, &'static str)]) -> Result<()> {
    let Some(batch) = found.first() else {
        return Ok(());
    };
    let first = batch
        .columns()
        .iter()
        .zip(told)
        .filter_map(|(column, told)| {
            let numbers = column.as_primitive_opt::<Int64Type>()?;
            let row = numbers.iter().next().flatten()?;
            Some((u64::try_from(row).ok()?, told))
        });
    match first.min_by_key(|(row, _)| *row) {
        Some((row, (name, why))) => Err(bad_row(row, Some(name), why)),
        None => Ok(()),
    }
}

/// Ends the transaction; it is on the disk when this returns.
async fn commit(session: &mut Session) -> Result<()> {
    let Err(error) = run(session, vec!["COMMIT".to_owned()]).await else {
        return Ok(());
    };
    let is_lost = matches!(
        error.kind(),
        Kind::Source(SourceFault::Unavailable) | Kind::Internal
    );
    let class = error.source_message().and_then(|said| said.code.as_deref());
    // A conflict is a refusal; a failing disk may have taken all or nothing.
    if is_lost && class != Some("TransactionContext") {
        return Err(unknown_outcome());
    }
    Err(error)
}
