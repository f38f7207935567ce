//! Sorting rows that fit into their share of memory: keys as bytes that compare
//! as the values do, sorted in one run for each processor; the runs are merged
//! while rows are gathered in their order, some pieces at once.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::Array;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::StreamExt;
use weir_core::task::Compute;
use weir_core::{BatchStream, Result, memory_of};

use super::SortKey;

/// Bytes of all rows beyond which offsets of 32 bits might not do.
const MOST_BYTES: usize = i32::MAX as usize;

/// Bytes of a key that are compared first.
const HEAD: usize = 16;

/// Where rows of variable keys are kept: blocks of 32 bytes, each with a mark.
const ROW_BYTES: usize = 40;

/// Rows that wait to be sorted.
pub(super) struct Held {
    keys: Arc<[SortKey]>,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    bytes: usize,
    rows: usize,
    /// Whether the heads of the keys are not all of them.
    is_long: bool,
    reservation: MemoryReservation,
}

impl Held {
    pub(super) fn new(keys: Vec<SortKey>, schema: &SchemaRef, task: &TaskContext) -> Self {
        let widths = keys.iter().map(|key| width(&key.data_type(schema)));
        let width = widths.sum::<Option<usize>>();
        let consumer = MemoryConsumer::new("a sort in memory").with_can_spill(true);
        Held {
            keys: keys.into(),
            schema: Arc::clone(schema),
            batches: Vec::new(),
            bytes: 0,
            rows: 0,
            is_long: width.is_none_or(|width| width > HEAD),
            reservation: consumer.register(task.memory_pool()),
        }
    }

    /// Takes a batch, unless it does not fit: then nothing fits any more.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> bool {
        let rows = batch.num_rows();
        let bytes = memory_of(batch);
        let mut wanted = bytes + rows * size_of::<Key>();
        if self.is_long {
            let keys = self.keys.iter().map(|key| batch.column(key.index));
            let sizes = keys.map(|key| key.to_data().get_slice_memory_size().unwrap_or(bytes));
            wanted += sizes.sum::<usize>() + rows * self.keys.len() * ROW_BYTES;
        }
        let fits = self.bytes + bytes <= MOST_BYTES
            && u32::try_from(self.batches.len().max(rows)).is_ok()
            && self.reservation.try_grow(wanted).is_ok();
        if fits && rows > 0 {
            self.bytes += bytes;
            self.rows += rows;
            self.batches.push(batch.clone());
        }
        fits
    }

    /// The rows as they came.
    pub(super) fn give_up(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// The rows in order, `most` of them at the most, in batches of `batch_rows`.
    pub(super) async fn sorted(
        self,
        most: Option<usize>,
        batch_rows: usize,
        compute: &Compute,
    ) -> Result<BatchStream> {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let batches: Arc<[RecordBatch]> = self.batches.into();
        let parts = parts(&batches, self.rows.div_ceil(processors));
        let tasks = parts.into_iter().map(|part| {
            let (batches, keys) = (Arc::clone(&batches), Arc::clone(&self.keys));
            let (schema, is_long) = (Arc::clone(&self.schema), self.is_long);
            compute.blocking(move || Run::sorted(&batches, part, &keys, &schema, is_long))
        });
        let mut runs = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            runs.push(task.await??);
        }
        let left = most.unwrap_or(self.rows).min(self.rows);
        let merge = Merge::new(runs);
        let compute = compute.clone();
        let reservation = self.reservation;
        let pieces = futures::stream::unfold((merge, left), move |(mut merge, left)| async move {
            let rows = left.min(batch_rows);
            let places = merge.next(rows);
            (!places.is_empty()).then_some((places, (merge, left - rows)))
        });
        let rows = pieces
            .map(move |places| {
                let batches = Arc::clone(&batches);
                compute.spawn(async move {
                    let all: Vec<&RecordBatch> = batches.iter().collect();
                    interleave_record_batch(&all, &places)
                })
            })
            .buffered(processors)
            .map(move |batch| {
                // Held as long as the rows are.
                let _held = reservation.size();
                Ok(batch??)
            });
        Ok(rows.boxed())
    }
}

/// Bytes of a value in a row, where they are the same for all values.
fn width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Null => Some(1),
        DataType::Boolean => Some(2),
        other => other.primitive_width().map(|bytes| bytes + 1),
    }
}

/// Batches side by side, of at least `rows` rows in each part but the last.
fn parts(batches: &[RecordBatch], rows: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut found) = (0, 0);
    for (place, batch) in batches.iter().enumerate() {
        found += batch.num_rows();
        if found >= rows || place + 1 == batches.len() {
            parts.push(start..place + 1);
            (start, found) = (place + 1, 0);
        }
    }
    parts
}

/// The head of a row's key, and where the row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    high: u64,
    low: u64,
    batch: u32,
    row: u32,
}

impl Key {
    fn new(bytes: &[u8], batch: usize, row: usize) -> Self {
        let mut head = [0; HEAD];
        let len = bytes.len().min(HEAD);
        head[..len].copy_from_slice(&bytes[..len]);
        let head = u128::from_be_bytes(head);
        Key {
            high: (head >> 64) as u64,
            low: head as u64,
            batch: batch as u32,
            row: row as u32,
        }
    }

    fn head(self) -> (u64, u64) {
        (self.high, self.low)
    }

    fn place(self) -> (u32, u32) {
        (self.batch, self.row)
    }

    fn place_of(self) -> (usize, usize) {
        (self.batch as usize, self.row as usize)
    }
}

/// Sorted keys of some batches, with the whole keys where heads are not enough.
struct Run {
    keys: Vec<Key>,
    first: usize,
    rows: Vec<Rows>,
}

impl Run {
    fn sorted(
        batches: &[RecordBatch],
        part: Range<usize>,
        by: &[SortKey],
        schema: &Schema,
        is_long: bool,
    ) -> Result<Run> {
        let fields = by
            .iter()
            .map(|key| SortField::new_with_options(key.data_type(schema), key.options));
        let converter = RowConverter::new(fields.collect())?;
        let first = part.start;
        let count = batches[part.clone()].iter().map(RecordBatch::num_rows);
        let mut keys = Vec::with_capacity(count.sum());
        let mut kept = Vec::new();
        for place in part {
            let columns = by.iter().map(|key| key.values(&batches[place]));
            let rows = converter.convert_columns(&columns.collect::<Result<Vec<_>>>()?)?;
            let each = rows.iter().enumerate();
            keys.extend(each.map(|(row, bytes)| Key::new(bytes.as_ref(), place, row)));
            if is_long {
                kept.push(rows);
            }
        }
        let mut run = Run {
            keys: Vec::new(),
            first,
            rows: kept,
        };
        if is_long {
            keys.sort_unstable_by(|a, b| run.compare(*a, &run, *b));
        } else {
            keys.sort_unstable();
        }
        run.keys = keys;
        Ok(run)
    }

    fn bytes(&self, key: Key) -> Option<&[u8]> {
        let (batch, row) = key.place_of();
        let rows = self.rows.get(batch - self.first)?;
        Some(rows.row(row).data())
    }

    /// Equal keys are in the order in which their rows came.
    fn compare(&self, key: Key, other: &Run, with: Key) -> Ordering {
        let heads = key.head().cmp(&with.head());
        heads
            .then_with(|| self.bytes(key).cmp(&other.bytes(with)))
            .then_with(|| key.place().cmp(&with.place()))
    }
}

/// The first key of a run that was not taken.
struct Next {
    run: Run,
    at: usize,
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        let (key, with) = (self.run.keys[self.at], other.run.keys[other.at]);
        self.run.compare(key, &other.run, with)
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}

struct Merge(BinaryHeap<Reverse<Next>>);

impl Merge {
    fn new(runs: Vec<Run>) -> Self {
        let runs = runs.into_iter().filter(|run| !run.keys.is_empty());
        let nexts = runs.map(|run| Reverse(Next { run, at: 0 }));
        Merge(nexts.collect())
    }

    /// Where the next rows are.
    fn next(&mut self, rows: usize) -> Vec<(usize, usize)> {
        let mut places = Vec::with_capacity(rows);
        while places.len() < rows {
            let Some(mut next) = self.0.peek_mut() else {
                break;
            };
            let Reverse(Next { run, at }) = &mut *next;
            places.push(run.keys[*at].place_of());
            *at += 1;
            if *at == run.keys.len() {
                PeekMut::pop(next);
            }
        }
        places
    }
}
