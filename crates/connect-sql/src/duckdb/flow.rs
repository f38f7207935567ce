//! The batches of one read. Each is made in one blocking call, so that a slow
//! reader keeps no thread; DuckDB makes rows while they are taken. Dropping the
//! stream stops the statement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use libduckdb::{Bind, Chunks};
use weir_core::{BatchStream, Context, Result, memory_of};
use weir_kit::ahead::{Ahead, ahead};

use super::session::Session;

/// Rows of a batch at most; its bytes follow the reader.
const BATCH_ROWS: usize = 65_536;

/// The first batch leaves early, so that the reader sees rows at once.
const FIRST_ROWS: usize = 2_048;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Later, rows of a slow statement wait this long for company.
const LATER_WAIT: Duration = Duration::from_secs(1);

/// A read that is ready to start.
pub struct Job {
    /// The session, in its transaction.
    pub session: Session,
    /// The statement.
    pub sql: String,
    /// What is bound to it.
    pub values: Vec<Bind>,
    /// The schema of its batches.
    pub schema: SchemaRef,
    /// Rows in a batch at most, if the caller said so.
    pub batch_rows: Option<usize>,
}

/// The batches of `job`, which starts at the first poll.
pub fn stream(job: Job, ctx: &Context) -> BatchStream {
    let (compute, memory) = (ctx.compute.clone(), ctx.memory.clone());
    ahead(compute, memory, |ahead| produce(job, ahead))
}

async fn produce(job: Job, ahead: Ahead) -> Result<()> {
    let Job {
        mut session,
        sql,
        values,
        schema,
        batch_rows,
    } = job;
    let most = batch_rows.unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS);
    let start = move |connection: &mut libduckdb::Connection| {
        let mut prepared = connection.prepare(&sql)?;
        prepared.bind(&values)?;
        prepared.execute(true)
    };
    let mut chunks = session.run(start).await?;
    let mut bounds = Bounds {
        rows: most.min(FIRST_ROWS),
        bytes: ahead.batch_bytes(),
        wait: FIRST_WAIT,
    };
    loop {
        let taken = session.run(move |_| take(chunks, &bounds)).await?;
        let is_last = taken.is_last;
        chunks = taken.chunks;
        if let Some(batch) = joined(&schema, &taken.batches)? {
            for from in (0..batch.num_rows()).step_by(most) {
                let piece = batch.slice(from, most.min(batch.num_rows() - from));
                if !ahead.send(piece).await? {
                    return Ok(());
                }
            }
        }
        if is_last {
            return Ok(());
        }
        bounds = Bounds {
            rows: most,
            bytes: ahead.batch_bytes(),
            wait: LATER_WAIT,
        };
    }
}

/// When a batch is full.
struct Bounds {
    rows: usize,
    bytes: usize,
    wait: Duration,
}

struct Taken {
    chunks: Chunks,
    batches: Vec<RecordBatch>,
    is_last: bool,
}

/// Takes chunks until a batch is full, or has waited long enough.
fn take(mut chunks: Chunks, bounds: &Bounds) -> libduckdb::Result<Taken> {
    let begun = Instant::now();
    let (mut rows, mut bytes) = (0, 0);
    let mut batches = Vec::new();
    while rows < bounds.rows && bytes < bounds.bytes && (rows == 0 || begun.elapsed() < bounds.wait)
    {
        let Some(batch) = chunks.next_batch()? else {
            return Ok(Taken {
                chunks,
                batches,
                is_last: true,
            });
        };
        rows += batch.num_rows();
        bytes += memory_of(&batch);
        batches.push(batch);
    }
    Ok(Taken {
        chunks,
        batches,
        is_last: false,
    })
}

/// The chunks as one batch of the declared schema.
fn joined(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    let Some(first) = batches.first() else {
        return Ok(None);
    };
    let whole = concat_batches(&first.schema(), batches)?;
    let fields = schema.fields().iter().zip(whole.columns());
    let columns = fields
        .map(|(field, column)| as_type(column, field.data_type()))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(whole.num_rows()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
    Ok(Some(batch))
}

/// The column as the type that was promised: names of parts and of time zones
/// differ. There is one NaN: the engine orders NaN by its sign bit, DuckDB does not.
fn as_type(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let column = match wanted == column.data_type() {
        true => Arc::clone(column),
        false => cast(column, wanted)?,
    };
    Ok(match wanted {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            Arc::new(values.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v }))
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            Arc::new(values.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v }))
        }
        _ => column,
    })
}
