//! Looking up rows of a stream by a number that rises in it, while the numbers
//! asked for rise too.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Schema, UInt64Type};
use futures::StreamExt;
use weir_core::{BatchStream, Error, Result};

/// A stream whose first column is a number that rises from row to row.
pub(crate) struct Merge {
    stream: BatchStream,
    /// Rows that may be asked for.
    held: RecordBatch,
}

impl Merge {
    pub(crate) fn new(stream: BatchStream, schema: Arc<Schema>) -> Self {
        Merge {
            stream,
            held: RecordBatch::new_empty(schema),
        }
    }

    /// The columns behind the first one, one row for each of `numbers`; null
    /// where the stream has no such number. `numbers` rise or stay, also from
    /// one call to the next.
    pub(crate) async fn lookup(&mut self, numbers: &[u64]) -> Result<Vec<ArrayRef>> {
        if let Some(last) = numbers.last() {
            self.fill(*last).await?;
        }
        let known = self.held.column(0).as_primitive::<UInt64Type>().values();
        let mut at = 0;
        let places = numbers.iter().map(|number| {
            while known.get(at).is_some_and(|known| known < number) {
                at += 1;
            }
            (known.get(at) == Some(number)).then_some(at as u32)
        });
        let places: UInt32Array = places.collect();
        let columns = &self.held.columns()[1..];
        let found = columns
            .iter()
            .map(|column| Ok(take(column, &places, None)?));
        let found = found.collect::<Result<Vec<_>>>()?;
        let at = at.min(self.held.num_rows());
        self.held = self.held.slice(at, self.held.num_rows() - at);
        Ok(found)
    }

    /// Reads on until `last` is there or passed.
    async fn fill(&mut self, last: u64) -> Result<()> {
        let is_there = |batch: &RecordBatch| {
            let numbers = batch.column(0).as_primitive::<UInt64Type>().values();
            numbers.last().is_some_and(|number| *number >= last)
        };
        if is_there(&self.held) {
            return Ok(());
        }
        let mut parts = vec![self.held.clone()];
        while let Some(batch) = self.stream.next().await.transpose()? {
            if batch.schema().fields().len() != self.held.num_columns() {
                return Err(Error::internal("a merge of another width"));
            }
            let ends = is_there(&batch);
            parts.push(batch);
            if ends {
                break;
            }
        }
        if parts.len() > 1 {
            let schema = self.held.schema();
            self.held = concat_batches(&schema, &parts)?;
        }
        Ok(())
    }
}

/// The numbers of `rows` rows, the first of which is `first`.
pub(crate) fn numbers(first: u64, rows: usize) -> Vec<u64> {
    (first..first + rows as u64).collect()
}
