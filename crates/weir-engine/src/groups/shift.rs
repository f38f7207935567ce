//! A column moved against its table, or its difference from the moved one;
//! within groups, if there are any.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar, UInt64Array, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, filter_record_batch, interleave};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::{BatchStream, Error, Result};

use super::Room;
use super::difference::{difference, input_type, result_type};
use super::keys::NullKeys;
use super::line::moved;
use super::merge::{Merge, numbers};
use super::reading::{Reading, Told};
use super::rings::{Ahead, Last};
use super::sequence::{PLACE, by, in_groups};
use crate::steps::{Env, Operator, Spooled, later};

/// Moves a column, or takes its difference from where it moved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ShiftRows {
    pub(crate) column: usize,
    /// Down; where it is negative, up.
    pub(crate) periods: i64,
    pub(crate) keys: Vec<usize>,
    pub(crate) name: String,
    /// The difference is wanted.
    pub(crate) is_difference: bool,
    pub(crate) read: Reading,
    /// What comes in at the open end.
    pub(crate) fill: Value,
    pub(crate) of: String,
    pub(crate) pointer: String,
}

impl ShiftRows {
    /// The column as it is read.
    fn stored(&self, schema: &Schema) -> Field {
        let stored = schema.field(self.column).clone().with_name(&self.of);
        match self.read {
            Reading::Stored => stored.with_nullable(true),
            read => Field::new(&self.of, read.data_type(stored.data_type()), true),
        }
    }

    fn told(&self) -> Told<'_> {
        Told {
            column: &self.of,
            pointer: &self.pointer,
        }
    }

    /// The type in which the column is moved, and that of the result.
    fn types(&self, schema: &Schema) -> Result<(DataType, Field)> {
        let stored = self.stored(schema);
        if !self.is_difference {
            return Ok((stored.data_type().clone(), stored.with_name(&self.name)));
        }
        let input = input_type(&stored, &self.pointer)?;
        let result = result_type(stored.data_type(), &input);
        Ok((input, Field::new(&self.name, result, true)))
    }

    fn place(&self, schema: &Schema) -> usize {
        let known = schema.fields().iter().position(|f| f.name() == &self.name);
        known.unwrap_or(schema.fields().len())
    }

    async fn work(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let (moves, result) = self.types(&schema)?;
        let pad = match self.is_difference {
            true => new_null_array(&moves, 1),
            false => super::fill::one(&self.fill, &self.stored(&schema), &self.pointer)?,
        };
        let shift = Shift {
            place: self.place(&schema),
            out: self.schema(&schema)?,
            result: result.data_type().clone(),
            operator: Arc::clone(&self),
            moves,
            pad,
        };
        if self.keys.is_empty() {
            return shift.whole(input, &schema, &env).await;
        }
        if self.periods >= 0 {
            return Ok(shift.down(input, schema, env));
        }
        shift.up(input, schema, env).await
    }
}

impl Operator for ShiftRows {
    fn name(&self) -> &'static str {
        "weir_shift"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let (_, field) = self.types(input)?;
        let mut fields: Vec<FieldRef> = input.fields().to_vec();
        match fields.get_mut(self.place(input)) {
            Some(known) => *known = Arc::new(field),
            None => fields.push(Arc::new(field)),
        }
        let metadata = input.metadata().clone();
        Ok(Arc::new(Schema::new_with_metadata(fields, metadata)))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(self.work(input, schema, env))
    }
}

const VALUE: &str = "weir.value";

/// A shift over a table whose columns are known.
#[derive(Clone)]
struct Shift {
    operator: Arc<ShiftRows>,
    /// The type of the column that moves.
    moves: DataType,
    /// The type of the result.
    result: DataType,
    /// One value that comes in at the open end.
    pad: ArrayRef,
    out: SchemaRef,
    place: usize,
}

impl Shift {
    /// The values that move. `before` rows came earlier.
    fn values(&self, batch: &RecordBatch, before: u64) -> Result<ArrayRef> {
        let operator = &self.operator;
        let stored = batch.column(operator.column);
        let values = operator.read.read(stored, &operator.told(), before)?;
        Ok(cast(&values, &self.moves)?)
    }

    /// The result for values and those that moved to their rows.
    fn made(&self, values: &ArrayRef, moved: &ArrayRef) -> Result<ArrayRef> {
        match self.operator.is_difference {
            true => difference(values, moved, &self.result, &self.operator.told()),
            false => Ok(Arc::clone(moved)),
        }
    }

    fn put(&self, batch: &RecordBatch, result: ArrayRef) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        match columns.get_mut(self.place) {
            Some(column) => *column = result,
            None => columns.push(result),
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.out), columns)?)
    }

    /// Over the whole table: values are put beside the rows and moved there.
    async fn whole(self, input: BatchStream, schema: &SchemaRef, env: &Env) -> Result<BatchStream> {
        let width = schema.fields().len();
        let mut fields = schema.fields().to_vec();
        fields.push(Arc::new(Field::new(VALUE, self.moves.clone(), true)));
        let beside: SchemaRef = Arc::new(Schema::new(fields));
        let (mut before, shift, given) = (0_u64, self.clone(), Arc::clone(&beside));
        let rows = input.map(move |batch| {
            let batch = batch?;
            let mut columns = batch.columns().to_vec();
            columns.push(shift.values(&batch, before)?);
            before += batch.num_rows() as u64;
            Ok(RecordBatch::try_new(Arc::clone(&given), columns)?)
        });
        let only = Arc::new(Schema::new(vec![Field::new(
            VALUE,
            self.moves.clone(),
            true,
        )]));
        let pad = RecordBatch::try_new(only, vec![Arc::clone(&self.pad)])?;
        let periods = self.operator.periods;
        let moved = moved(env, rows.boxed(), &beside, vec![width], periods, pad).await?;
        let rows = moved.map(move |moved| {
            let (batch, moved) = moved?;
            let result = self.made(batch.column(width), &moved[0])?;
            let columns: Vec<usize> = (0..width).collect();
            self.put(&batch.project(&columns)?, result)
        });
        Ok(rows.boxed())
    }

    /// Down within groups: each group remembers its last values.
    fn down(self, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        let state = Down {
            last: Last::new(self.operator.periods.unsigned_abs(), &self.pad),
            room: Room::of(&env),
            before: 0,
            shift: self,
            schema,
            env,
        };
        let rows = futures::stream::try_unfold(Some((state, input)), |state| async move {
            let Some((mut state, mut input)) = state else {
                return Ok(None);
            };
            let Some(batch) = input.next().await.transpose()? else {
                return Ok(None);
            };
            if state.room.fits(state.last.bytes_with(batch.num_rows())) {
                let made = state.next(&batch)?;
                let made = futures::stream::iter([Ok(made)]).boxed();
                return Ok::<_, Error>(Some((made, Some((state, input)))));
            }
            let first = futures::stream::iter([Ok(batch)]);
            let rest = state.rest(first.chain(input).boxed()).await?;
            Ok(Some((rest, None)))
        });
        rows.try_flatten().boxed()
    }

    /// Up within groups: values come later than their rows, so rows wait.
    async fn up(self, mut input: BatchStream, schema: SchemaRef, env: Env) -> Result<BatchStream> {
        let mut room = Room::of(&env);
        let periods = self.operator.periods.unsigned_abs();
        let mut ahead = Some(Ahead::new(periods, &self.pad));
        let mut spool = env.spool(&schema);
        let mut before = 0_u64;
        while let Some(batch) = input.next().await.transpose()? {
            if let Some(known) = &mut ahead {
                let values = self.values(&batch, before)?;
                if room.fits(known.bytes_with(&values)) {
                    known.add(&self.key(&batch), values)?;
                } else {
                    ahead = None;
                    room.leave();
                }
            }
            before += batch.num_rows() as u64;
            spool.push(batch).await?;
            tokio::task::yield_now().await;
        }
        let spooled = spool.done().await?;
        let Some(mut ahead) = ahead else {
            return self.apart(spooled, &env).await;
        };
        let rows = spooled.read().map(move |batch| {
            let _held = &room;
            let batch = batch?;
            let (values, moved) = ahead.next()?;
            self.put(&batch, self.made(&values, &moved)?)
        });
        Ok(rows.boxed())
    }

    fn key(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let keys = self.operator.keys.iter();
        keys.map(|key| Arc::clone(batch.column(*key))).collect()
    }

    /// The schema of keys and value, under names of ours.
    fn narrow(&self, schema: &Schema) -> SchemaRef {
        let key = |(n, key): (usize, &usize)| {
            let data_type = schema.field(*key).data_type().clone();
            Field::new(format!("weir.{n}"), data_type, true)
        };
        let keys = self.operator.keys.iter().enumerate().map(key);
        let value = Field::new(VALUE, self.moves.clone(), true);
        Arc::new(Schema::new(keys.chain([value]).collect::<Vec<_>>()))
    }

    /// Either way, by sorting rows by their group.
    async fn apart(self, spooled: Spooled, env: &Env) -> Result<BatchStream> {
        let (mut before, shift, mut narrow) = (0_u64, self.clone(), None);
        let rows = spooled.read().map(move |batch| {
            let batch = batch?;
            let schema = narrow.get_or_insert_with(|| shift.narrow(&batch.schema()));
            let mut columns = shift.key(&batch);
            columns.push(shift.values(&batch, before)?);
            before += batch.num_rows() as u64;
            Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
        });
        let results = self.sorted(rows.boxed(), env).await?;
        let state = (spooled.read(), results, self, 0_u64);
        let rows = futures::stream::try_unfold(state, |state| async move {
            let (mut rows, mut results, shift, before) = state;
            let Some(batch) = rows.next().await.transpose()? else {
                return Ok(None);
            };
            let count = batch.num_rows();
            let found = results.lookup(&numbers(before, count)).await?;
            let made = shift.put(&batch, Arc::clone(&found[0]))?;
            Ok::<_, Error>(Some((made, (rows, results, shift, before + count as u64))))
        });
        Ok(rows.boxed())
    }

    /// The results for rows of keys and value, by the number of the row.
    async fn sorted(&self, narrow: BatchStream, env: &Env) -> Result<Merge> {
        let value = Arc::new(Field::new(VALUE, self.moves.clone(), true));
        let width = self.operator.keys.len();
        let (sorted, schema) = in_groups(env, narrow, width, NullKeys::Nobody, &[value])?;
        let pad = RecordBatch::try_new(
            Arc::new(schema.project(&[0, 2])?),
            vec![
                Arc::new(UInt64Array::from(vec![u64::MAX])),
                Arc::clone(&self.pad),
            ],
        )?;
        let periods = self.operator.periods;
        let shifted = moved(env, sorted, &schema, vec![0, 2], periods, pad).await?;
        let out: SchemaRef = Arc::new(Schema::new(vec![
            Field::new(PLACE, DataType::UInt64, false),
            Field::new(VALUE, self.result.clone(), true),
        ]));
        let (shift, given) = (self.clone(), Arc::clone(&out));
        let results = shifted.map(move |shifted| {
            let (batch, shifted) = shifted?;
            let here = batch.column(0).as_primitive::<UInt64Type>().values();
            let there = shifted[0].as_primitive::<UInt64Type>().values();
            let same = BooleanBuffer::collect_bool(here.len(), |row| here[row] == there[row]);
            let same = BooleanArray::new(same, None);
            let pad = Scalar::new(Arc::clone(&shift.pad));
            let moved = zip(&same, &shifted[1], &pad)?;
            let columns = vec![
                Arc::clone(batch.column(1)),
                shift.made(batch.column(2), &moved)?,
            ];
            Ok(RecordBatch::try_new(Arc::clone(&given), columns)?)
        });
        let placed = env.sort(results.boxed(), &out, &[by(PLACE)])?;
        Ok(Merge::new(placed, out))
    }
}

/// Groups remember their last values while rows flow.
struct Down {
    shift: Shift,
    schema: SchemaRef,
    env: Env,
    last: Last,
    room: Room,
    before: u64,
}

impl Down {
    /// The result for the next rows.
    fn next(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let values = self.shift.values(batch, self.before)?;
        self.before += batch.num_rows() as u64;
        let moved = self.last.turn(&self.shift.key(batch), &values)?;
        self.shift.put(batch, self.shift.made(&values, &moved)?)
    }

    /// The remaining rows, once there is no room for more groups: they are put
    /// aside with the results of the known groups; the others are sorted.
    async fn rest(mut self, mut input: BatchStream) -> Result<BatchStream> {
        self.last.freeze();
        let width = self.schema.fields().len();
        let mut fields = self.schema.fields().to_vec();
        fields.push(Arc::new(Field::new(VALUE, self.shift.moves.clone(), true)));
        fields.push(Arc::new(Field::new(
            "weir.result",
            self.shift.result.clone(),
            true,
        )));
        fields.push(Arc::new(Field::new(
            "weir.unknown",
            DataType::Boolean,
            false,
        )));
        let beside: SchemaRef = Arc::new(Schema::new(fields));
        let mut spool = self.env.spool(&beside);
        while let Some(batch) = input.next().await.transpose()? {
            let values = self.shift.values(&batch, self.before)?;
            self.before += batch.num_rows() as u64;
            let moved = self.last.turn(&self.shift.key(&batch), &values)?;
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::clone(&values));
            columns.push(self.shift.made(&values, &moved)?);
            columns.push(Arc::new(self.last.unknown()));
            spool
                .push(RecordBatch::try_new(Arc::clone(&beside), columns)?)
                .await?;
            tokio::task::yield_now().await;
        }
        drop(self.last);
        self.room.leave();
        let spooled = spool.done().await?;
        let shift = self.shift;
        let narrow = shift.narrow(&self.schema);
        let given = shift.clone();
        let rows = spooled.read().map(move |batch| {
            let batch = batch?;
            let unknown = batch.column(width + 2).as_boolean();
            let mut columns = given.key(&batch);
            columns.push(Arc::clone(batch.column(width)));
            let rows = RecordBatch::try_new(Arc::clone(&narrow), columns)?;
            Ok(filter_record_batch(&rows, unknown)?)
        });
        let results = shift.sorted(rows.boxed(), &self.env).await?;
        let state = (spooled.read(), results, shift, 0_u64);
        let rows = futures::stream::try_unfold(state, move |state| async move {
            let (mut rows, mut results, shift, before) = state;
            let Some(batch) = rows.next().await.transpose()? else {
                return Ok(None);
            };
            let unknown = batch.column(width + 2).as_boolean();
            let count = unknown.true_count();
            let found = results.lookup(&numbers(before, count)).await?;
            let result = mixed(unknown, batch.column(width + 1), &found[0])?;
            let columns: Vec<usize> = (0..width).collect();
            let made = shift.put(&batch.project(&columns)?, result)?;
            Ok::<_, Error>(Some((made, (rows, results, shift, before + count as u64))))
        });
        Ok(rows.boxed())
    }
}

/// `known`, and where `unknown` is true the next one of `found`.
fn mixed(unknown: &BooleanArray, known: &ArrayRef, found: &ArrayRef) -> Result<ArrayRef> {
    let mut next = 0;
    let picks: Vec<(usize, usize)> = (0..known.len())
        .map(|row| {
            if !unknown.value(row) {
                return (0, row);
            }
            next += 1;
            (1, next - 1)
        })
        .collect();
    Ok(interleave(&[known.as_ref(), found.as_ref()], &picks)?)
}
