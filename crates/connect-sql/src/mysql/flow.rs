//! The batches of one read. A task on the compute runtime decodes what the
//! connection brings, one batch ahead of its reader. Dropping the stream aborts the
//! task, which drops the lease, which kills the query.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use tokio::time::{Instant, timeout_at};
use weir_core::memory::Hold;
use weir_core::{BatchStream, Context, Error, Result, SourceFault};
use weir_kit::ahead::{Ahead, ahead};

use super::bound::{Bound, Fields};
use super::client::{Statement, row};
use super::lease::Lease;
use super::types::{ColumnDef, Mapping, Width};
use crate::shared::decode::RowBuilder;

/// Rows of a batch at most; its bytes follow the reader.
const BATCH_ROWS: usize = 65_536;

/// The first batch leaves early, so that the reader sees rows at once.
const FIRST_ROWS: usize = 1_024;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Later, rows of a slow query wait this long for company.
const LATER_WAIT: Duration = Duration::from_secs(1);

/// A read that is ready to start.
pub struct Job {
    /// The session, in its transaction.
    pub lease: Lease,
    /// The statement.
    pub statement: Statement,
    /// The columns that it was said to give.
    pub columns: Vec<ColumnDef>,
    /// What is bound to it.
    pub params: Vec<Bound>,
    /// What it gives, as the schema says it.
    pub schema: SchemaRef,
    /// How each column is read.
    pub mappings: Vec<Mapping>,
    /// Values that cannot be represented become null.
    pub lenient: bool,
    /// Rows in a batch at most, if the caller said so.
    pub batch_rows: Option<usize>,
}

/// The batches of `job`, which starts at the first poll.
pub fn stream(job: Job, ctx: &Context) -> BatchStream {
    let (compute, memory) = (ctx.compute.clone(), ctx.memory.clone());
    ahead(compute, memory, |ahead| produce(job, ahead))
}

async fn produce(mut job: Job, ahead: Ahead) -> Result<()> {
    let columns = job.lease.stream(&job.statement, &job.params).await?;
    let widths: Vec<Width> = columns.iter().map(ColumnDef::width).collect();
    let said: Vec<Width> = job.columns.iter().map(ColumnDef::width).collect();
    if widths != said {
        return Err(changed());
    }
    let decoders = job.mappings.iter().map(Mapping::decoder).collect();
    let mut rows = RowBuilder::new(Arc::clone(&job.schema), decoders, job.lenient);
    let most = job.batch_rows.unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS);
    let mut held = ahead.hold();
    let mut bounds = Bounds {
        rows: most.min(FIRST_ROWS),
        bytes: ahead.batch_bytes(),
        wait: FIRST_WAIT,
    };
    loop {
        let more = collect(&mut job.lease, &widths, &mut rows, &bounds, &mut held).await?;
        if rows.rows() > 0 && !ahead.send(rows.finish()?).await? {
            return Ok(());
        }
        if !more {
            break;
        }
        bounds = Bounds {
            rows: most,
            bytes: ahead.batch_bytes(),
            wait: LATER_WAIT,
        };
    }
    job.lease.ended();
    if rows.nulled() > 0 {
        tracing::warn!(
            values = rows.nulled(),
            "values that their type cannot represent became null"
        );
    }
    Ok(())
}

/// When a batch is full.
struct Bounds {
    rows: usize,
    bytes: usize,
    wait: Duration,
}

/// Collects rows until a batch is full, or has waited long enough; false at the
/// end of the rows.
async fn collect(
    lease: &mut Lease,
    widths: &[Width],
    rows: &mut RowBuilder,
    bounds: &Bounds,
    held: &mut Hold,
) -> Result<bool> {
    let wire = lease.wire()?;
    let mut until = None;
    loop {
        while wire.ready()? {
            let packet = wire.packet();
            match row(packet)? {
                Some(fields) => push(fields, widths, rows)?,
                None => return Ok(false),
            }
            if rows.rows() >= bounds.rows || rows.bytes() >= bounds.bytes {
                return Ok(true);
            }
        }
        held.set(wire.memory()).await?;
        if rows.rows() == 0 {
            wire.fill().await?;
            continue;
        }
        let until = *until.get_or_insert_with(|| Instant::now() + bounds.wait);
        match timeout_at(until, wire.fill()).await {
            Ok(filled) => filled?,
            Err(_) => return Ok(true),
        }
    }
}

#[inline]
fn push(fields: &[u8], widths: &[Width], rows: &mut RowBuilder) -> Result<()> {
    let mut reader = Fields::of(fields, widths.len())?;
    for (place, width) in widths.iter().enumerate() {
        rows.push_field(place, reader.next(place, *width)?)?;
    }
    reader.end()?;
    rows.end_row(fields.len());
    Ok(())
}

/// Between preparing and running, somebody changed the table.
fn changed() -> Error {
    Error::source(
        SourceFault::Unavailable,
        "the columns changed while the read began",
    )
    .hint("try again; where a parameter is a column of its own, give it a type: CAST(? AS SIGNED)")
}
