//! Facts about columns: means, quantiles, modes, samples. Gathered while rows are
//! spooled; what outgrows its share of memory is found in passes over the spool,
//! or by sorting it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, concat, filter, interleave};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use weir_core::memory::Hold;
use weir_core::{BatchStream, Nulls, Order, Result};
use weir_values::columns::{Numbers, as_numbers};
use weir_values::counts::{Counts, SortedRuns, Ties, Top};
use weir_values::detect::{Detected, Detector};
use weir_values::dice::{Dice, Reservoir};
use weir_values::missing::{Missing, Runs, present};
use weir_values::moments::Moments;
use weir_values::order::{KeyKind, Number};
use weir_values::quantile::{Place, Selection, quantiles};
use weir_values::texts::{Texts, is_text};

use super::env::Env;
use super::spool::Spooled;

/// The share of a request's memory that tables of facts fill.
const SHARE: usize = 4;

/// Values that a sample keeps.
const SAMPLE: usize = 10_000;

/// How cells of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// As they are.
    Plain,
    /// As numbers; a text that is none is an error.
    Numbers,
    /// As numbers; a text that is none is missing.
    Leniently,
}

/// A column that facts are wanted of.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) pointer: String,
    pub(super) reads: Reads,
    pub(super) missing: Missing,
}

/// A batch of a column: its values, and which of them are there.
pub(super) type Values = (ArrayRef, Option<NullBuffer>);

impl Column {
    /// The type that its values have when they are read.
    pub(super) fn data_type(&self, schema: &Schema) -> DataType {
        let data_type = schema.field(self.index).data_type();
        match self.reads {
            Reads::Plain => data_type.clone(),
            _ if is_text(data_type) || data_type.is_floating() => DataType::Float64,
            _ if data_type == &DataType::Boolean => DataType::Int64,
            _ => data_type.clone(),
        }
    }

    /// Its values in a batch, of which `before` rows came in earlier ones.
    pub(super) fn read(&self, batch: &RecordBatch, before: u64) -> Result<Values> {
        let array = batch.column(self.index);
        if self.reads == Reads::Plain {
            return Ok((Arc::clone(array), present(array, self.missing)));
        }
        let is_lenient = self.reads == Reads::Leniently;
        let numbers: ArrayRef = match (Texts::of(array), array.data_type()) {
            (Some(texts), _) if is_lenient => Arc::new(weir_values::number::currencies(&texts)),
            (Some(_), _) => {
                let read = as_numbers(array).map(Numbers::array);
                read.map_err(|error| error.error(&self.name, before).under(&self.pointer))?
            }
            (None, DataType::Float16 | DataType::Float32) => cast(array, &DataType::Float64)?,
            (None, DataType::Boolean) => cast(array, &DataType::Int64)?,
            _ => Arc::clone(array),
        };
        let there = present(&numbers, Missing::Nulls);
        Ok((numbers, there))
    }
}

/// What is wanted to know.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) moments: bool,
    pub(super) quantiles: Vec<f64>,
    pub(super) mode: bool,
    pub(super) sample: Option<Dice>,
    pub(super) kind: bool,
}

/// What is known of a column.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) runs: Runs,
    pub(super) moments: Option<Moments>,
    pub(super) quantiles: Vec<Option<Number>>,
    pub(super) top: Option<Top>,
    /// Values that are there: all, or a sample of them.
    pub(super) pool: Option<ArrayRef>,
    pub(super) is_sampled: bool,
    pub(super) detected: Option<Detected>,
}

enum Keys {
    Kept(Vec<u64>),
    /// They are read again.
    Again,
}

enum Table {
    Kept(Box<Counts>),
    Again,
}

struct Collector {
    column: Column,
    wanted: Wanted,
    facts: Facts,
    keys: Option<(KeyKind, Keys)>,
    table: Option<Table>,
    reservoir: Option<Reservoir>,
    detector: Option<Detector>,
    rows: u64,
    /// Which values of the last batch are there.
    last: Option<NullBuffer>,
}

impl Collector {
    fn new(column: Column, wanted: Wanted, schema: &Schema) -> Result<Self> {
        let data_type = column.data_type(schema);
        let keys = KeyKind::of_number(&data_type)
            .filter(|_| !wanted.quantiles.is_empty())
            .map(|kind| (kind, Keys::Kept(Vec::new())));
        let counts = || Counts::new(&data_type).map(|counts| Table::Kept(Box::new(counts)));
        Ok(Collector {
            keys,
            table: wanted.mode.then(counts).transpose()?,
            reservoir: wanted
                .sample
                .clone()
                .map(|dice| Reservoir::new(SAMPLE, dice)),
            detector: wanted.kind.then(|| Detector::new(&column.name, &data_type)),
            facts: Facts {
                moments: wanted.moments.then(Moments::new),
                ..Facts::default()
            },
            column,
            wanted,
            rows: 0,
            last: None,
        })
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let (array, there) = self.column.read(batch, self.rows)?;
        self.rows += array.len() as u64;
        self.facts.runs.push(array.len(), there.as_ref());
        if let Some(moments) = &mut self.facts.moments {
            moments.push(&array)?;
        }
        if let Some((kind, Keys::Kept(keys))) = &mut self.keys {
            kind.keys(&array, keys)?;
        }
        if let Some(Table::Kept(counts)) = &mut self.table {
            counts.push(&array, there.as_ref())?;
        }
        if let Some(detector) = &mut self.detector {
            detector.push(&array)?;
        }
        if let Some(reservoir) = &mut self.reservoir {
            let pool = self.facts.pool.take();
            self.facts.pool = sampled(reservoir, pool, &array, there.as_ref())?;
        }
        self.last = there;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let keys = match &self.keys {
            Some((_, Keys::Kept(keys))) => keys.capacity() * size_of::<u64>(),
            _ => 0,
        };
        let table = match &self.table {
            Some(Table::Kept(counts)) => counts.bytes(),
            _ => 0,
        };
        keys + table
    }

    /// Bytes that it cannot give up.
    fn kept_bytes(&self) -> usize {
        let pool = self.facts.pool.as_ref();
        let detector = self.detector.as_ref().map_or(0, Detector::bytes);
        pool.map_or(0, |pool| pool.get_array_memory_size()) + detector
    }

    /// Gives up what it holds; it is found another way later.
    fn give_up(&mut self) {
        if let Some((_, keys)) = &mut self.keys {
            *keys = Keys::Again;
        }
        if let Some(table) = &mut self.table {
            *table = Table::Again;
        }
    }
}

/// The pool after the next values were offered.
fn sampled(
    reservoir: &mut Reservoir,
    pool: Option<ArrayRef>,
    array: &ArrayRef,
    there: Option<&NullBuffer>,
) -> Result<Option<ArrayRef>> {
    let kept = pool.as_ref().map_or(0, |pool| pool.len());
    let mut places: Vec<(usize, usize)> = (0..kept).map(|at| (0, at)).collect();
    let mut is_changed = false;
    for row in 0..array.len() {
        if there.is_some_and(|there| there.is_null(row)) {
            continue;
        }
        if let Some(place) = reservoir.offer() {
            is_changed = true;
            if place == places.len() {
                places.push((1, row));
            } else {
                places[place] = (1, row);
            }
        }
    }
    if !is_changed {
        return Ok(pool);
    }
    let empty = array.slice(0, 0);
    let before = pool.as_ref().unwrap_or(&empty);
    let chosen = interleave(&[before.as_ref(), array.as_ref()], &places)?;
    // The rows of a view would keep all batches alive.
    Ok(Some(match chosen.data_type() {
        DataType::Utf8View => Arc::new(chosen.as_string_view().gc()),
        DataType::BinaryView => Arc::new(chosen.as_binary_view().gc()),
        _ => chosen,
    }))
}

/// Gathers facts of columns.
pub(super) struct Gather {
    collectors: Vec<Collector>,
    schema: SchemaRef,
    env: Env,
    hold: Hold,
}

impl Gather {
    /// Of columns of `schema`.
    pub(super) fn new(
        columns: Vec<(Column, Wanted)>,
        schema: &SchemaRef,
        env: &Env,
    ) -> Result<Self> {
        let collectors = columns
            .into_iter()
            .map(|(column, wanted)| Collector::new(column, wanted, schema));
        Ok(Gather {
            collectors: collectors.collect::<Result<_>>()?,
            schema: Arc::clone(schema),
            env: env.clone(),
            hold: env.hold(),
        })
    }

    /// The next batch.
    pub(super) async fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        for collector in &mut self.collectors {
            collector.push(batch)?;
        }
        let most = self.env.request_limit() / SHARE;
        loop {
            let bytes: usize = self.collectors.iter().map(Collector::bytes).sum();
            let kept: usize = self.collectors.iter().map(Collector::kept_bytes).sum();
            if bytes <= most && self.hold.try_set(bytes + kept).is_ok() {
                return Ok(());
            }
            let largest = self.collectors.iter_mut().max_by_key(|c| c.bytes());
            match largest.filter(|collector| collector.bytes() > 0) {
                Some(largest) => largest.give_up(),
                None => return self.hold.set(kept).await,
            }
        }
    }

    /// Rows of the last batch, of `rows`, in which the first `columns` columns have
    /// a value.
    pub(super) fn complete(&self, columns: usize, rows: usize) -> u64 {
        let last = self.collectors[..columns].iter();
        let there = last.fold(None, |all, collector| {
            NullBuffer::union(all.as_ref(), collector.last.as_ref())
        });
        (rows - there.map_or(0, |there| there.null_count())) as u64
    }

    /// What is known now that all rows are in `spooled`.
    pub(super) async fn finish(mut self, spooled: &Spooled) -> Result<Vec<Facts>> {
        let mut facts = Vec::with_capacity(self.collectors.len());
        for mut collector in std::mem::take(&mut self.collectors) {
            let quantiles = match collector.keys.take() {
                None => Vec::new(),
                Some((kind, Keys::Kept(mut keys))) => {
                    quantiles(kind, &mut keys, &collector.wanted.quantiles)
                }
                Some((kind, Keys::Again)) => self.select(&collector, kind, spooled).await?,
            };
            let top = match collector.table.take() {
                None => None,
                Some(Table::Kept(counts)) => counts.top(Ties::Smallest)?,
                Some(Table::Again) => self.sorted_mode(&collector, spooled).await?,
            };
            let is_sampled = collector.reservoir.is_some_and(|r| r.is_partial());
            facts.push(Facts {
                detected: collector.detector.map(|detector| detector.finish()),
                quantiles,
                top,
                is_sampled,
                ..collector.facts
            });
        }
        Ok(facts)
    }

    /// Quantiles by passes over the spool.
    async fn select(
        &mut self,
        collector: &Collector,
        kind: KeyKind,
        spooled: &Spooled,
    ) -> Result<Vec<Option<Number>>> {
        let count = collector.facts.runs.count();
        let wanted = collector.wanted.quantiles.iter();
        let places: Vec<Option<Place>> = wanted.map(|q| Place::of(*q, count)).collect();
        let mut selection = Selection::of(&places);
        self.hold.set(selection.bytes()).await?;
        let mut keys = Vec::new();
        loop {
            let (mut rows, mut before) = (spooled.read(), 0);
            while let Some(batch) = rows.next().await.transpose()? {
                let (array, _) = collector.column.read(&batch, before)?;
                before += array.len() as u64;
                keys.clear();
                kind.keys(&array, &mut keys)?;
                selection.push(&keys);
            }
            if !selection.turn() {
                break;
            }
        }
        self.hold.try_set(0)?;
        Ok(selection.quantiles(kind, &places))
    }

    /// The most frequent value by the lengths of the runs of the sorted column.
    async fn sorted_mode(&self, collector: &Collector, spooled: &Spooled) -> Result<Option<Top>> {
        let column = collector.column.clone();
        let data_type = column.data_type(&self.schema);
        let schema = Arc::new(Schema::new(vec![Field::new("value", data_type, true)]));
        let made = Arc::clone(&schema);
        let mut before = 0;
        let values = spooled.read().map(move |batch| {
            let (array, there) = column.read(&batch?, before)?;
            before += array.len() as u64;
            let kept = match there {
                None => array,
                Some(there) => filter(&array, &BooleanArray::new(there.into_inner(), None))?,
            };
            Ok(RecordBatch::try_new(
                Arc::clone(&made),
                vec![one_zero(kept)],
            )?)
        });
        let values: BatchStream = values.boxed();
        let order = [Order {
            column: "value".to_owned(),
            ascending: true,
            nulls: Nulls::Last,
        }];
        let mut sorted = self.env.sort(values, &schema, &order)?;
        let mut runs = SortedRuns::default();
        while let Some(batch) = sorted.next().await.transpose()? {
            runs.push(batch.column(0))?;
        }
        Ok(runs.top())
    }
}

/// Floats with 0.0 for −0.0.
fn one_zero(array: ArrayRef) -> ArrayRef {
    match array.as_primitive_opt::<Float64Type>() {
        Some(floats) => Arc::new(floats.unary::<_, Float64Type>(|value| value + 0.0)),
        None => array,
    }
}

/// Rows into a spool, looked at on their way.
pub(super) async fn spooled(
    mut input: BatchStream,
    schema: &SchemaRef,
    env: &Env,
    gather: &mut Gather,
) -> Result<Spooled> {
    let mut spool = env.spool(schema);
    while let Some(batch) = input.next().await.transpose()? {
        gather.push(&batch).await?;
        spool.push(batch).await?;
    }
    spool.done().await
}

/// An array with one row, as the report shows it.
pub(crate) fn shown(value: &ArrayRef) -> serde_json::Value {
    use serde_json::Value;
    let show = || -> Result<Value> {
        let field = Field::new("value", value.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let batch = RecordBatch::try_new(schema, vec![concat(&[value.as_ref()])?])?;
        let mut text = Vec::new();
        let mut writer = arrow::json::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, arrow::json::writer::LineDelimited>(&mut text);
        writer.write(&batch)?;
        writer.finish()?;
        drop(writer);
        let line: Value = serde_json::from_slice(&text).unwrap_or_default();
        Ok(line.get("value").cloned().unwrap_or_default())
    };
    show().unwrap_or_default()
}
