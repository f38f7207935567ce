//! Groups in memory: a table of keys, and what each group amounts to so far.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{filter_record_batch, nullif, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatchOptions;
use weir_core::Result;

use super::accumulate::{Accumulator, Counts, Measure};
use super::keys::{GroupKeys, KeyRows, NONE, NullKeys, UNKNOWN};

/// What is wanted of groups.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Places of the columns of the key.
    pub(crate) keys: Vec<usize>,
    /// What a null in the key means.
    pub(crate) nulls: NullKeys,
    /// The results.
    pub(crate) measures: Vec<Measure>,
    /// Only some of the rows count.
    pub(crate) masked: bool,
    /// `[keys…, counted?, values…]`: the columns that are looked at.
    pub(crate) narrow: SchemaRef,
}

impl Shape {
    /// Over rows of `schema`.
    pub(crate) fn new(
        schema: &Schema,
        keys: &[usize],
        nulls: NullKeys,
        measures: &[Measure],
        masked: bool,
    ) -> Self {
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut add = |data_type: DataType| {
            let name = format!("weir.{}", fields.len());
            fields.push(Arc::new(Field::new(name, data_type, true)));
        };
        for key in keys {
            add(schema.field(*key).data_type().clone());
        }
        if masked {
            add(DataType::Boolean);
        }
        for measure in measures {
            add(measure.input(schema));
        }
        Shape {
            keys: keys.to_vec(),
            nulls,
            measures: measures.to_vec(),
            masked,
            narrow: Arc::new(Schema::new(fields)),
        }
    }

    /// Rows as a table takes them.
    pub(crate) fn rows(&self, narrow: RecordBatch) -> Result<Narrow> {
        let keys = &narrow.columns()[..self.keys.len()];
        Ok(Narrow {
            keys: KeyRows::of(keys, narrow.num_rows())?,
            batch: narrow,
        })
    }

    /// The columns that are looked at. `before` rows came earlier.
    pub(crate) fn narrowed(
        &self,
        batch: &RecordBatch,
        counted: Option<BooleanArray>,
        before: u64,
    ) -> Result<RecordBatch> {
        let keys = self.keys.iter().map(|key| Arc::clone(batch.column(*key)));
        let mut columns: Vec<ArrayRef> = keys.collect();
        if let Some(counted) = counted {
            columns.push(Arc::new(counted));
        }
        for measure in &self.measures {
            columns.push(measure.values(batch, before)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = Arc::clone(&self.narrow);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }

    /// Where the values begin among the columns that are looked at.
    pub(crate) fn first_value(&self) -> usize {
        self.keys.len() + usize::from(self.masked)
    }

    /// Whether something keeps every value of a group until the end.
    pub(crate) fn keeps_values(&self) -> bool {
        let mut measures = self.measures.iter();
        measures.any(|measure| measure.function.keeps_values())
    }
}

/// Rows as a table takes them.
pub(crate) struct Narrow {
    /// The columns that are looked at.
    pub(crate) batch: RecordBatch,
    keys: KeyRows,
}

/// What groups amount to, by their numbers.
pub(crate) struct Totals {
    parts: Vec<Box<dyn Accumulator>>,
    /// Rows that count, where only some do.
    counted: Option<Counts>,
    groups: usize,
    ids: Vec<u32>,
}

impl Totals {
    pub(crate) fn new(parts: Vec<Box<dyn Accumulator>>, masked: bool) -> Self {
        Totals {
            parts,
            counted: masked.then(Counts::default),
            groups: 0,
            ids: Vec::new(),
        }
    }

    /// Makes room for `groups` groups in all.
    pub(crate) fn grow(&mut self, groups: usize) {
        if groups > self.groups {
            self.groups = groups;
            self.parts.iter_mut().for_each(|part| part.grow(groups));
            self.counted.iter_mut().for_each(|part| part.grow(groups));
        }
    }

    /// Adds rows: `values` are those of the parts, in their order.
    pub(crate) fn update(
        &mut self,
        ids: &[u32],
        counted: Option<&ArrayRef>,
        values: &[ArrayRef],
    ) -> Result<()> {
        let ids = match (counted, &mut self.counted) {
            (Some(counted), Some(rows)) => {
                let counted = counted.as_boolean().values();
                self.ids.clear();
                let masked = ids.iter().zip(counted.iter());
                let masked = masked.map(|(id, counts)| if counts { *id } else { NONE });
                self.ids.extend(masked);
                rows.add_rows(&self.ids);
                self.ids.as_slice()
            }
            _ => ids,
        };
        for (part, values) in self.parts.iter_mut().zip(values) {
            part.update(ids, values)?;
        }
        Ok(())
    }

    /// The results of all groups; null for those of which no row counts.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        let mut results = Vec::with_capacity(self.parts.len());
        let nobody = match &mut self.counted {
            None => None,
            Some(rows) => {
                let rows = rows.finish()?;
                let rows = rows.as_primitive::<Int64Type>();
                Some(BooleanArray::from_unary(rows, |rows| rows == 0))
            }
        };
        for part in &mut self.parts {
            let result = part.finish()?;
            results.push(match &nobody {
                None => result,
                Some(nobody) => emptied(&result, nobody)?,
            });
        }
        self.groups = 0;
        Ok(results)
    }

    pub(crate) fn bytes(&self) -> usize {
        let parts: usize = self.parts.iter().map(|part| part.bytes()).sum();
        parts + self.counted.as_ref().map_or(0, Accumulator::bytes)
    }
}

/// Null where `nobody`, in any type.
fn emptied(result: &ArrayRef, nobody: &BooleanArray) -> Result<ArrayRef> {
    if result.data_type() == &DataType::Null || nobody.true_count() == 0 {
        return Ok(Arc::clone(result));
    }
    Ok(nullif(result, nobody)?)
}

/// Groups and what they amount to.
pub(crate) struct Table {
    keys: GroupKeys,
    width: usize,
    masked: bool,
    first_value: usize,
    totals: Totals,
    ids: Vec<u32>,
    fresh: Vec<u32>,
}

impl Table {
    /// For the results of `shape` but the first `skipped` ones.
    pub(crate) fn new(shape: &Shape, skipped: usize) -> Self {
        let first = shape.first_value() + skipped;
        let inputs = shape.narrow.fields()[first..].iter();
        let parts = shape.measures[skipped..].iter().zip(inputs);
        let parts = parts.map(|(measure, input)| measure.accumulator(input.data_type()));
        Table {
            keys: GroupKeys::new(shape.nulls),
            width: shape.keys.len(),
            masked: shape.masked,
            first_value: first,
            totals: Totals::new(parts.collect(), shape.masked),
            ids: Vec::new(),
            fresh: Vec::new(),
        }
    }

    /// From here on rows of other groups are left alone.
    pub(crate) fn freeze(&mut self) {
        self.keys.freeze();
    }

    /// Bytes that it holds at most once `rows` more rows are added.
    pub(crate) fn bytes_with(&self, rows: usize) -> usize {
        self.keys.bytes_with(rows) + self.totals.bytes()
    }

    /// Adds rows.
    pub(crate) fn add(&mut self, rows: &Narrow) -> Result<()> {
        self.number(&rows.keys)?;
        self.totals.grow(self.keys.len());
        let columns = rows.batch.columns();
        let counted = self.masked.then(|| &columns[self.width]);
        self.totals
            .update(&self.ids, counted, &columns[self.first_value..])
    }

    /// Finds the groups of rows.
    pub(crate) fn number(&mut self, keys: &KeyRows) -> Result<()> {
        self.keys.ids(keys, &mut self.ids, &mut self.fresh)
    }

    /// The groups of the rows that came last.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Those of the last rows that began a group.
    pub(crate) fn fresh(&self) -> UInt32Array {
        UInt32Array::from(self.fresh.clone())
    }

    /// Those of the last rows, which are `batch`, that belong to no known group.
    pub(crate) fn unknown(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        if !self.ids.contains(&UNKNOWN) {
            return Ok(None);
        }
        let unknown = BooleanBuffer::collect_bool(self.ids.len(), |row| self.ids[row] == UNKNOWN);
        let unknown = BooleanArray::new(unknown, None);
        Ok(Some(filter_record_batch(batch, &unknown)?))
    }

    /// The results of all groups.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.totals.finish()
    }
}

/// The results of the groups `ids`; null for no group.
pub(crate) fn taken(results: &[ArrayRef], ids: Vec<u32>) -> Result<Vec<ArrayRef>> {
    let nulls = ids.contains(&NONE).then(|| {
        let valid = BooleanBuffer::collect_bool(ids.len(), |row| ids[row] != NONE);
        NullBuffer::new(valid)
    });
    let ids = UInt32Array::new(ids.into(), nulls);
    let of = |result: &ArrayRef| Ok(take(result, &ids, None)?);
    results.iter().map(of).collect()
}
