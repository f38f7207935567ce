//! What groups amount to when they do not fit into memory: rows are sorted by
//! their key and looked at group by group. Medians and distinct counts have
//! their values sorted behind the group.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt64Array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and, filter_record_batch, is_not_null, is_null, nullif};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type};
use futures::{StreamExt, TryStreamExt};
use weir_core::{BatchStream, Error, Result};

use super::accumulate::{Accumulator, Counts, Function, Middle, Sorted};
use super::lanes::encoded;
use super::merge::Merge;
use super::sequence::{GROUP, PLACE, by, in_groups};
use super::table::{Shape, Totals};
use crate::steps::{Env, Spooled};

/// Groups that are looked at together.
const AT_ONCE: usize = 8192;

/// Rows group by group, and what the groups amount to.
pub(crate) struct External {
    /// `[group, place, …]` of every row that has a group, in the order of groups.
    pub(crate) rows: Spooled,
    /// `[group, first place, results…]`, in the order of groups.
    pub(crate) groups: BatchStream,
    /// The schema of `groups`.
    pub(crate) schema: SchemaRef,
}

/// Computes `shape` over `narrow`, whose rows have its narrow schema.
pub(crate) async fn external(env: &Env, narrow: BatchStream, shape: &Shape) -> Result<External> {
    let carried = &shape.narrow.fields()[shape.keys.len()..];
    let (mut sorted, schema) = in_groups(env, narrow, shape.keys.len(), shape.nulls, carried)?;
    let mut rows = env.spool(&schema);
    let mut groups = None;
    let mut walk = Walk::new(shape);
    while let Some(batch) = sorted.next().await.transpose()? {
        if let Some(ended) = walk.add(&batch)? {
            spooled(env, &mut groups, ended).await?;
        }
        rows.push(batch).await?;
    }
    let rest = walk.ended()?;
    let schema = rest.schema();
    spooled(env, &mut groups, rest).await?;
    let rows = rows.done().await?;
    let Some(groups) = groups else {
        return Err(Error::internal("groups without an end"));
    };
    let groups = groups.done().await?;
    let mut late = Vec::new();
    for (place, measure) in shape.measures.iter().enumerate() {
        let values = Values {
            rows: &rows,
            column: 2 + usize::from(shape.masked) + place,
            masked: shape.masked,
            schema: &sorted_schema(shape),
        };
        let merge = match measure.function {
            Function::Median => medians(env, &values, &groups, 2 + place)?,
            Function::CountDistinct => distinct(env, &values)?,
            _ => continue,
        };
        late.push((2 + place, measure.function, merge));
    }
    let (groups, schema) = completed(groups.read(), &schema, late);
    Ok(External {
        rows,
        groups,
        schema,
    })
}

async fn spooled(
    env: &Env,
    spool: &mut Option<crate::steps::Spool>,
    batch: RecordBatch,
) -> Result<()> {
    let spool = spool.get_or_insert_with(|| env.spool(&batch.schema()));
    spool.push(batch).await
}

/// `[group, place, counted?, values…]`
fn sorted_schema(shape: &Shape) -> SchemaRef {
    let head = [GROUP, PLACE].map(|name| Arc::new(Field::new(name, DataType::UInt64, false)));
    let carried = shape.narrow.fields()[shape.keys.len()..].iter().cloned();
    Arc::new(Schema::new(
        head.into_iter().chain(carried).collect::<Vec<FieldRef>>(),
    ))
}

/// Walks over rows group by group and sums up thousands of groups at a time.
struct Walk {
    shape: Shape,
    totals: Totals,
    /// The number of the first group that is open.
    base: u64,
    places: Vec<u64>,
}

impl Walk {
    fn new(shape: &Shape) -> Self {
        Walk {
            shape: shape.clone(),
            totals: Walk::totals(shape),
            base: 0,
            places: Vec::new(),
        }
    }

    /// What keeps all values is only counted here, and computed later.
    fn totals(shape: &Shape) -> Totals {
        let inputs = shape.narrow.fields()[shape.first_value()..].iter();
        let parts = shape.measures.iter().zip(inputs);
        let parts = parts.map(|(measure, input)| match measure.function.keeps_values() {
            true => Box::new(Counts::default()) as Box<dyn Accumulator>,
            false => measure.accumulator(input.data_type()),
        });
        Totals::new(parts.collect(), shape.masked)
    }

    /// Adds rows; the groups that ended with them come back.
    fn add(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let mut ended = None;
        let mut rest = batch.clone();
        if self.places.len() >= AT_ONCE {
            let open = self.base + self.places.len() as u64 - 1;
            let groups = rest.column(0).as_primitive::<UInt64Type>().values();
            let at = groups.partition_point(|group| *group <= open);
            if at < rest.num_rows() {
                self.take(&rest.slice(0, at))?;
                ended = Some(self.ended()?);
                rest = rest.slice(at, rest.num_rows() - at);
            }
        }
        self.take(&rest)?;
        Ok(ended)
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let groups = batch.column(0).as_primitive::<UInt64Type>().values();
        let places = batch.column(1).as_primitive::<UInt64Type>().values();
        let mut ids = Vec::with_capacity(groups.len());
        for (group, place) in groups.iter().zip(places) {
            let id = (group - self.base) as usize;
            if id == self.places.len() {
                self.places.push(*place);
            }
            ids.push(id as u32);
        }
        self.totals.grow(self.places.len());
        let counted = self.shape.masked.then(|| batch.column(2));
        let first = 2 + usize::from(self.shape.masked);
        self.totals.update(&ids, counted, &batch.columns()[first..])
    }

    /// `[group, first place, results…]` of the groups so far.
    fn ended(&mut self) -> Result<RecordBatch> {
        let places = std::mem::take(&mut self.places);
        let groups = self.base..self.base + places.len() as u64;
        self.base = groups.end;
        let results = self.totals.finish()?;
        self.totals = Walk::totals(&self.shape);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(groups)),
            Arc::new(UInt64Array::from(places)),
        ];
        columns.extend(results);
        let fields = columns
            .iter()
            .enumerate()
            .map(|(n, column)| Field::new(format!("weir.{n}"), column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// A column of the rows, group by group.
struct Values<'a> {
    rows: &'a Spooled,
    column: usize,
    masked: bool,
    schema: &'a SchemaRef,
}

const VALUE: &str = "weir.value";

impl Values<'_> {
    /// `[group, value]` of the values that count, sorted. As bytes they sort in
    /// any type.
    fn sorted(&self, env: &Env, as_bytes: bool) -> Result<BatchStream> {
        let (column, masked) = (self.column, self.masked);
        let field = self.schema.field(column);
        let value = match as_bytes {
            true => DataType::Binary,
            false => field.data_type().clone(),
        };
        let schema = Arc::new(Schema::new(vec![
            Field::new(GROUP, DataType::UInt64, false),
            Field::new(VALUE, value, true),
        ]));
        let given = Arc::clone(&schema);
        let pairs = self.rows.read().map(move |batch| {
            let batch = batch?;
            let values = batch.column(column);
            let mut kept = match values.logical_nulls() {
                Some(nulls) => BooleanArray::new(nulls.into_inner(), None),
                None => is_not_null(values)?,
            };
            if masked {
                kept = and(&kept, batch.column(2).as_boolean())?;
            }
            let values = match as_bytes {
                true => Arc::new(encoded(std::slice::from_ref(values))?),
                false => Arc::clone(values),
            };
            let columns = vec![Arc::clone(batch.column(0)), values];
            let pairs = RecordBatch::try_new(Arc::clone(&given), columns)?;
            Ok(filter_record_batch(&pairs, &kept)?)
        });
        env.sort(pairs.boxed(), &schema, &[by(GROUP), by(VALUE)])
    }
}

/// `[group, result]` where there is one.
fn results_schema(data_type: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(GROUP, DataType::UInt64, false),
        Field::new(VALUE, data_type, true),
    ]))
}

/// How many different values each group has.
fn distinct(env: &Env, values: &Values<'_>) -> Result<Merge> {
    let schema = results_schema(DataType::Int64);
    let given = Arc::clone(&schema);
    let sorted = values.sorted(env, true)?;
    let mut last: Option<(u64, Vec<u8>, i64)> = None;
    let ends = futures::stream::once(async { None });
    let counts = sorted.map_ok(Some).chain(ends.map(Ok)).map(move |batch| {
        let (mut groups, mut counts) = (Vec::new(), Vec::new());
        match batch? {
            None => {
                if let Some((group, _, count)) = last.take() {
                    groups.push(group);
                    counts.push(count);
                }
            }
            Some(batch) => {
                let numbers = batch.column(0).as_primitive::<UInt64Type>().values();
                let values = batch.column(1).as_binary::<i32>();
                for (row, group) in numbers.iter().enumerate() {
                    let value = values.value(row);
                    match &mut last {
                        Some((open, known, count)) if open == group => {
                            if known != value {
                                *count += 1;
                                known.clear();
                                known.extend_from_slice(value);
                            }
                        }
                        open => {
                            if let Some((group, _, count)) =
                                open.replace((*group, value.to_vec(), 1))
                            {
                                groups.push(group);
                                counts.push(count);
                            }
                        }
                    }
                }
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(groups)),
            Arc::new(Int64Array::from(counts)),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&given), columns)?)
    });
    Ok(Merge::new(counts.boxed(), schema))
}

/// The median of each group, whose values were counted in column `counts` of
/// `groups`.
fn medians(env: &Env, values: &Values<'_>, groups: &Spooled, counts: usize) -> Result<Merge> {
    let scale = match values.schema.field(values.column).data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    };
    let schema = results_schema(DataType::Float64);
    let counted = results_schema(DataType::Int64);
    let given = Arc::clone(&counted);
    let counts = groups.read().map(move |batch| {
        let batch = batch?;
        let columns = vec![
            Arc::clone(batch.column(0)),
            Arc::clone(batch.column(counts)),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&given), columns)?)
    });
    let state = Seek {
        sorted: values.sorted(env, false)?,
        counts: Merge::new(counts.boxed(), counted),
        schema: Arc::clone(&schema),
        scale,
        group: None,
        at: 0,
        low: None,
    };
    let found = futures::stream::try_unfold(state, |mut state| async move {
        let Some(batch) = state.sorted.next().await.transpose()? else {
            return Ok(None);
        };
        let found = state.seek(&batch).await?;
        Ok::<_, Error>(Some((found, state)))
    });
    Ok(Merge::new(found.boxed(), schema))
}

/// Looks for the middle of each group.
struct Seek {
    sorted: BatchStream,
    counts: Merge,
    schema: SchemaRef,
    scale: i8,
    group: Option<u64>,
    /// The place of the next value in its group.
    at: i64,
    /// The lower of the two values in the middle.
    low: Option<(Sorted, usize)>,
}

impl Seek {
    async fn seek(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let groups = batch.column(0).as_primitive::<UInt64Type>().values();
        let counts = self.counts.lookup(groups).await?;
        let [counts] = counts.as_slice() else {
            return Err(Error::internal("counts of another width"));
        };
        let counts = counts
            .as_primitive::<arrow::datatypes::Int64Type>()
            .values();
        let values = Sorted::of(batch.column(1));
        let (mut found, mut medians) = (Vec::new(), Vec::new());
        for (row, group) in groups.iter().enumerate() {
            if self.group != Some(*group) {
                self.group = Some(*group);
                self.at = 0;
            }
            let count = counts[row];
            if self.at == (count - 1) / 2 {
                self.low = Some((Sorted::of(&batch.column(1).slice(row, 1)), 0));
            }
            if self.at == count / 2
                && let Some((low, place)) = &self.low
            {
                let middle: Middle = low.pair(*place, &values, row);
                found.push(*group);
                medians.push(middle.mean(self.scale));
            }
            self.at += 1;
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(found)),
            Arc::new(Float64Array::from(medians)),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// Puts what was computed late in the place of the counts that stand for it.
fn completed(
    groups: BatchStream,
    schema: &SchemaRef,
    late: Vec<(usize, Function, Merge)>,
) -> (BatchStream, SchemaRef) {
    let mut fields: Vec<FieldRef> = schema.fields().to_vec();
    for (place, function, _) in &late {
        if *function == Function::Median {
            let name = fields[*place].name().clone();
            fields[*place] = Arc::new(Field::new(name, DataType::Float64, true));
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let out = Arc::clone(&schema);
    let state = (groups, late, Arc::clone(&schema));
    let stream = futures::stream::try_unfold(state, |(mut groups, mut late, schema)| async move {
        let Some(batch) = groups.next().await.transpose()? else {
            return Ok(None);
        };
        let mut columns = batch.columns().to_vec();
        let numbers = batch.column(0).as_primitive::<UInt64Type>().values();
        for (place, function, merge) in &mut late {
            let found = merge.lookup(numbers).await?;
            let [found] = found.as_slice() else {
                return Err(Error::internal("late results of another width"));
            };
            columns[*place] = match function {
                Function::Median => Arc::clone(found),
                _ => counted(found, batch.column(*place))?,
            };
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        Ok::<_, Error>(Some((batch, (groups, late, schema))))
    });
    (stream.boxed(), out)
}

/// Counts; 0 where there was nothing to count, null where no row counts.
fn counted(found: &ArrayRef, all: &ArrayRef) -> Result<ArrayRef> {
    let zero = Int64Array::new_scalar(0);
    let filled = zip(&is_not_null(found)?, found, &zero)?;
    Ok(nullif(&filled, &is_null(all)?)?)
}
