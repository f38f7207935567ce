//! Columns moved up or down against the rows of their table.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Schema, SchemaRef};
use futures::StreamExt;
use futures::stream::BoxStream;
use weir_core::memory::Hold;
use weir_core::{BatchStream, Error, Result, memory_of};

use crate::steps::Env;

/// Rows and, beside them, columns as they were moved.
pub(crate) type Moved = BoxStream<'static, Result<(RecordBatch, Vec<ArrayRef>)>>;

/// Further moves are made over rows that are put aside: so many rows in a
/// queue would have no place in memory.
const NEAR: u64 = 16_384;

/// The columns `columns` of `input`, moved down by `periods` rows, or up where
/// that is negative. `pad` is the row that comes in at the open end.
pub(crate) async fn moved(
    env: &Env,
    mut input: BatchStream,
    schema: &SchemaRef,
    columns: Vec<usize>,
    periods: i64,
    pad: RecordBatch,
) -> Result<Moved> {
    let line = Line::new(periods, pad);
    if periods.unsigned_abs() > NEAR {
        let mut spool = env.spool(schema);
        while let Some(batch) = input.next().await.transpose()? {
            spool.push(batch).await?;
        }
        let spooled = spool.done().await?;
        let (rows, values) = (spooled.read(), spooled.read());
        return Ok(far(line, rows, values, columns));
    }
    let state = Near {
        input,
        columns,
        line,
        pending: VecDeque::new(),
        hold: env.hold(),
        is_ended: false,
    };
    let rows = futures::stream::try_unfold(state, |mut state| async move {
        Ok::<_, Error>(state.next().await?.map(|moved| (moved, state)))
    });
    Ok(rows.boxed())
}

/// Two readers of the same rows, one of which goes ahead.
fn far(line: Line, rows: BatchStream, values: BatchStream, columns: Vec<usize>) -> Moved {
    let state = (line, rows, values, columns);
    let rows = futures::stream::try_unfold(state, |state| async move {
        let (mut line, mut rows, mut values, columns) = state;
        let Some(batch) = rows.next().await.transpose()? else {
            return Ok(None);
        };
        while line.ready() < batch.num_rows() as u64 {
            match values.next().await.transpose()? {
                Some(ahead) => line.push(ahead.project(&columns)?),
                None => break,
            }
        }
        let moved = line.take(batch.num_rows())?;
        Ok::<_, Error>(Some(((batch, moved), (line, rows, values, columns))))
    });
    rows.boxed()
}

/// Rows that wait for values of later ones.
struct Near {
    input: BatchStream,
    columns: Vec<usize>,
    line: Line,
    pending: VecDeque<RecordBatch>,
    hold: Hold,
    is_ended: bool,
}

impl Near {
    async fn next(&mut self) -> Result<Option<(RecordBatch, Vec<ArrayRef>)>> {
        loop {
            let front = self.pending.front().map(RecordBatch::num_rows);
            if let Some(rows) = front
                && (self.is_ended || self.line.ready() >= rows as u64)
                && let Some(batch) = self.pending.pop_front()
            {
                let moved = self.line.take(rows)?;
                return Ok(Some((batch, moved)));
            }
            if self.is_ended {
                return Ok(None);
            }
            match self.input.next().await.transpose()? {
                None => self.is_ended = true,
                Some(batch) => {
                    self.line.push(batch.project(&self.columns)?);
                    self.pending.push_back(batch);
                    let waiting: usize = self.pending.iter().skip(1).map(memory_of).sum();
                    self.hold.set(waiting + self.line.bytes()).await?;
                }
            }
        }
    }
}

/// Values on their way to the rows that they are moved to.
struct Line {
    /// One row.
    pad: RecordBatch,
    /// Rows of padding that come first.
    padding: u64,
    /// Values that fall out at the front.
    skipped: u64,
    queue: VecDeque<RecordBatch>,
    queued: u64,
}

impl Line {
    fn new(periods: i64, pad: RecordBatch) -> Self {
        let far = periods.unsigned_abs();
        Line {
            pad,
            padding: if periods > 0 { far } else { 0 },
            skipped: if periods < 0 { far } else { 0 },
            queue: VecDeque::new(),
            queued: 0,
        }
    }

    fn bytes(&self) -> usize {
        self.queue.iter().map(memory_of).sum()
    }

    /// Rows that can be taken without padding at the end.
    fn ready(&self) -> u64 {
        self.padding.saturating_add(self.queued)
    }

    fn push(&mut self, values: RecordBatch) {
        let rows = values.num_rows() as u64;
        let out = self.skipped.min(rows);
        self.skipped -= out;
        if out < rows {
            self.queued += rows - out;
            self.queue
                .push_back(values.slice(out as usize, (rows - out) as usize));
        }
    }

    /// The next `rows` values, padded where there are none.
    fn take(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let mut parts = Vec::new();
        let mut left = rows;
        let padding = self.padding.min(left as u64) as usize;
        self.padding -= padding as u64;
        left -= padding;
        if padding > 0 {
            parts.push(self.padded(padding)?);
        }
        while left > 0 {
            let Some(front) = self.queue.pop_front() else {
                parts.push(self.padded(left)?);
                break;
            };
            let taken = front.num_rows().min(left);
            parts.push(front.slice(0, taken));
            if taken < front.num_rows() {
                let rest = front.slice(taken, front.num_rows() - taken);
                self.queue.push_front(rest);
            }
            self.queued -= taken as u64;
            left -= taken;
        }
        let schema = nullable(&self.pad);
        if let [part] = parts.as_slice() {
            return Ok(part.columns().to_vec());
        }
        let parts = parts.into_iter().map(|part| {
            Ok(RecordBatch::try_new(
                Arc::clone(&schema),
                part.columns().to_vec(),
            )?)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok(concat_batches(&schema, &parts)?.columns().to_vec())
    }

    fn padded(&self, rows: usize) -> Result<RecordBatch> {
        let places = UInt32Array::from(vec![0; rows]);
        let columns = self.pad.columns().iter();
        let columns = columns.map(|column| Ok(take(column, &places, None)?));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(nullable(&self.pad), columns)?)
    }
}

fn nullable(pad: &RecordBatch) -> SchemaRef {
    let schema = pad.schema();
    let fields = schema
        .fields()
        .iter()
        .map(|field| arrow::datatypes::Field::clone(field).with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
