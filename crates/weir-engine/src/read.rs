//! A read through a source and what is left of it for the engine.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, TryStreamExt};
use weir_core::evaluate::{Test, compile, place_of};
use weir_core::source::unknown_column;
use weir_core::task::Compute;
use weir_core::{
    Account, BatchStream, Context, Error, Estimate, OpenSource, Operand, Predicate, PushDown,
    Pushed, Read, Result, Scan, Value,
};

use crate::pool::RequestPool;
use crate::scratch::Scratch;
use crate::sort::sort;

/// The part of a request's memory that a sort keeps back for its merge.
const MERGE_SHARE: usize = 12;

/// The part of a request's memory that a row of a batch may come to, so that a
/// batch is a small part of it all.
const ROW_SHARE: usize = 32 << 10;

/// Bytes that it keeps back at most.
const MERGE_RESERVE: usize = 10 << 20;

/// What the engine may use, for all requests together.
#[derive(Debug, Clone)]
pub struct EngineLimits {
    /// Where they spill to.
    pub spill_dir: PathBuf,
    /// Bytes of disk at most.
    pub spill_bytes: u64,
}

/// Does what sources leave undone. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    session: Arc<SessionState>,
    /// Where plans spill to.
    scratch: Arc<Scratch>,
}

/// A read, whole.
pub struct Answer {
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// The rows; lazy like the scan's.
    pub stream: BatchStream,
    /// What the source does itself.
    pub pushed: Pushed,
    /// What the engine does after it: `filter`, `order_by`, `limit`, `columns`.
    pub residue: Vec<&'static str>,
    /// The source's own estimate.
    pub estimate: Option<Estimate>,
}

impl Engine {
    /// An engine within `limits`.
    pub fn new(limits: EngineLimits) -> Result<Self> {
        let scratch = Scratch::claim(&limits.spill_dir)?;
        let folder = scratch.path().to_owned();
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![folder]))
            .with_max_temp_directory_size(limits.spill_bytes);
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(Error::internal)?;
        Ok(Engine {
            runtime,
            session: Arc::new(crate::steps::session()),
            scratch: Arc::new(scratch),
        })
    }

    /// Reads `source`: pushes down what it takes and does the rest. When
    /// nothing is left, the source's own stream comes back as it is.
    pub async fn read(&self, source: &OpenSource, ctx: &Context, read: &Read) -> Result<Answer> {
        let settled = settle_words(source, ctx, read).await?;
        let read = settled.as_ref().unwrap_or(read);
        let scan = source.scan(ctx, read).await?;
        self.finish(scan, read, &ctx.memory, &ctx.compute)
    }

    /// How many rows `read` has without its limit: counted by the source where
    /// it can, else by reading no column of them.
    pub async fn count(&self, source: &OpenSource, ctx: &Context, read: &Read) -> Result<u64> {
        let settled = settle_words(source, ctx, read).await?;
        let read = settled.as_ref().unwrap_or(read);
        let whole = Read {
            filter: read.filter.clone(),
            ..Read::all(read.target.clone())
        };
        if let Some(count) = source.count(ctx, &whole).await? {
            return Ok(count);
        }
        let scan = source.scan(ctx, &whole).await?;
        let mut stream = self.finish(scan, &whole, &ctx.memory, &ctx.compute)?.stream;
        let mut count = 0;
        while let Some(batch) = stream.next().await.transpose()? {
            count += batch.num_rows() as u64;
        }
        Ok(count)
    }

    /// The source's own estimate of the rows of `read` without its limit.
    pub async fn estimate(
        &self,
        source: &OpenSource,
        ctx: &Context,
        read: &Read,
    ) -> Result<Option<u64>> {
        let settled = settle_words(source, ctx, read).await?;
        let read = settled.as_ref().unwrap_or(read);
        let whole = Read {
            filter: read.filter.clone(),
            estimate: true,
            ..Read::all(read.target.clone())
        };
        let scan = source.scan(ctx, &whole).await?;
        Ok(scan.estimate.and_then(|estimate| estimate.rows))
    }

    /// What plans are made with.
    pub(crate) fn session(&self) -> &SessionState {
        &self.session
    }

    /// What a plan of one request runs in: its own memory, everybody's disk.
    pub(crate) fn task(&self, memory: &Account) -> Arc<TaskContext> {
        let runtime = RuntimeEnv {
            memory_pool: Arc::new(RequestPool::new(memory, Arc::clone(&self.scratch))),
            ..RuntimeEnv::clone(&self.runtime)
        };
        // What a sort keeps back for its merge must leave it something to sort in.
        let reserve = (memory.request_limit() / MERGE_SHARE).min(MERGE_RESERVE);
        let rows = (memory.request_limit() / ROW_SHARE).clamp(256, 8192);
        let config = SessionConfig::new()
            .with_batch_size(rows)
            .with_sort_spill_reservation_bytes(reserve);
        Arc::new(
            TaskContext::default()
                .with_session_config(config)
                .with_runtime(Arc::new(runtime)),
        )
    }

    /// Applies to `scan` what it did not do of `read`, within `memory`.
    pub fn finish(
        &self,
        scan: Scan,
        read: &Read,
        memory: &Account,
        compute: &Compute,
    ) -> Result<Answer> {
        if scan.pushed.filter.len() != read.filter.len() {
            return Err(Error::internal(
                "a scan that does not speak of every conjunct",
            ));
        }
        let mut residue = Vec::new();
        let mut stream = scan.stream;
        let tests = left_over(&scan.pushed, read, &scan.schema)?;
        if !tests.is_empty() {
            stream = filtered(stream, Test::all(tests));
            residue.push("filter");
        }
        let sorts = !read.order.is_empty() && !scan.pushed.order;
        if sorts {
            // A sort for no rows at all is one that DataFusion asserts against.
            let fetch = read.limit.filter(|limit| *limit > 0);
            let task = self.task(memory);
            stream = sort(stream, &scan.schema, &read.order, fetch, task, compute)?;
            residue.push("order_by");
        }
        if let Some(limit) = read.limit.filter(|_| !scan.pushed.limit) {
            stream = limited(stream, limit);
            residue.push("limit");
        }
        if let Some(most) = read.batch_rows {
            stream = sliced(stream, most.max(1));
        }
        let (schema, stream, projects) = project(scan.schema, stream, &scan.pushed, read)?;
        if projects {
            residue.push("columns");
        }
        Ok(Answer {
            schema,
            stream,
            pushed: scan.pushed,
            residue,
            estimate: scan.estimate,
        })
    }
}

fn left_over(pushed: &Pushed, read: &Read, schema: &Schema) -> Result<Vec<Test>> {
    let open = read
        .filter
        .iter()
        .zip(&pushed.filter)
        .filter(|(_, push)| **push != PushDown::Exact);
    open.map(|(conjunct, _)| compile(conjunct, schema))
        .collect()
}

fn filtered(stream: BatchStream, test: Test) -> BatchStream {
    stream
        .try_filter_map(move |batch| {
            let kept = test
                .eval(&batch)
                .and_then(|mask| Ok(filter_record_batch(&batch, &mask)?));
            futures::future::ready(kept.map(|batch| (batch.num_rows() > 0).then_some(batch)))
        })
        .boxed()
}

/// Ends the stream, and so the query in the source, once `limit` rows came.
pub(crate) fn limited(stream: BatchStream, limit: u64) -> BatchStream {
    futures::stream::unfold((stream, limit), |(mut stream, left)| async move {
        if left == 0 {
            return None;
        }
        let batch = match stream.next().await? {
            Ok(batch) => batch,
            Err(error) => return Some((Err(error), (stream, 0))),
        };
        let rows = batch.num_rows() as u64;
        let taken = if rows > left {
            batch.slice(0, left as usize)
        } else {
            batch
        };
        Some((Ok(taken), (stream, left - rows.min(left))))
    })
    .boxed()
}

/// Batches of at most `most` rows; slices share the memory of their batch.
fn sliced(stream: BatchStream, most: usize) -> BatchStream {
    stream
        .map_ok(move |batch| {
            let rows = batch.num_rows();
            let slices = (0..rows.max(1)).step_by(most);
            futures::stream::iter(slices.map(move |at| Ok(batch.slice(at, most.min(rows - at)))))
        })
        .try_flatten()
        .boxed()
}

/// The wanted columns in the wanted order, without those only the residue needed.
fn project(
    schema: SchemaRef,
    stream: BatchStream,
    pushed: &Pushed,
    read: &Read,
) -> Result<(SchemaRef, BatchStream, bool)> {
    let Some(wanted) = &read.columns else {
        return Ok((schema, stream, false));
    };
    let places: Vec<usize> = if pushed.columns {
        (0..wanted.len()).collect()
    } else {
        let place = |(index, name): (usize, &String)| {
            place_of(&schema, name).ok_or_else(|| {
                let known: Vec<&str> = schema
                    .fields()
                    .iter()
                    .map(|field| field.name().as_str())
                    .collect();
                unknown_column(name, &known, &format!("/columns/{index}"))
            })
        };
        wanted
            .iter()
            .enumerate()
            .map(place)
            .collect::<Result<_>>()?
    };
    let in_place = places.iter().copied().eq(0..schema.fields().len());
    if in_place {
        return Ok((schema, stream, false));
    }
    let projected = named(schema.project(&places)?, wanted, pushed);
    let given = Arc::clone(&projected);
    let stream = stream
        .map(move |batch| rebuilt(&batch?, &places, &given))
        .boxed();
    Ok((projected, stream, !pushed.columns))
}

fn rebuilt(batch: &RecordBatch, places: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = places.iter().map(|place| Arc::clone(batch.column(*place)));
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let rebuilt = RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect(), &rows)?;
    Ok(rebuilt)
}

/// A repeated column asked for by the name it has in the answer keeps that name.
fn named(projected: Schema, wanted: &[String], pushed: &Pushed) -> SchemaRef {
    if pushed.columns {
        return Arc::new(projected);
    }
    let named = |(field, name): (&FieldRef, &String)| match field.name() == name {
        true => Arc::clone(field),
        false => Arc::new(Field::clone(field).with_name(name)),
    };
    let fields: Vec<FieldRef> = projected.fields().iter().zip(wanted).map(named).collect();
    Arc::new(Schema::new_with_metadata(fields, projected.metadata))
}

/// Bare words of a condition become columns or text before a source sees them;
/// that takes the schema, so it is looked up only when there are any.
async fn settle_words(source: &OpenSource, ctx: &Context, read: &Read) -> Result<Option<Read>> {
    if !read.filter.iter().any(has_word) {
        return Ok(None);
    }
    let scan = source.scan(ctx, &Read::all(read.target.clone())).await?;
    let settle = |predicate: &Predicate| settled(predicate, &scan.schema);
    let filter = read.filter.iter().map(settle).collect();
    Ok(Some(Read {
        filter,
        ..read.clone()
    }))
}

fn has_word(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().any(has_word),
        Predicate::Not(part) => has_word(part),
        Predicate::Compare { right, .. } => matches!(right, Operand::Word(_)),
        _ => false,
    }
}

pub(crate) fn settled(predicate: &Predicate, schema: &Schema) -> Predicate {
    let all = |parts: &[Predicate]| parts.iter().map(|part| settled(part, schema)).collect();
    match predicate {
        Predicate::And(parts) => Predicate::And(all(parts)),
        Predicate::Or(parts) => Predicate::Or(all(parts)),
        Predicate::Not(part) => Predicate::Not(Box::new(settled(part, schema))),
        Predicate::Compare {
            column,
            op,
            right: Operand::Word(word),
        } => {
            let right = match place_of(schema, word) {
                Some(_) => Operand::Column(word.clone()),
                None => Operand::Value(Value::Text(word.clone())),
            };
            Predicate::Compare {
                column: column.clone(),
                op: *op,
                right,
            }
        }
        other => other.clone(),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
