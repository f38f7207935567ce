//! What a group amounts to, given to every row of it: rows are put aside while
//! groups are summed up, then come again with the results.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use weir_core::evaluate::Test;
use weir_core::{BatchStream, Error, Predicate, Result};

use super::accumulate::Measure;
use super::external::external;
use super::keys::{KeyRows, NullKeys};
use super::merge::{Merge, numbers};
use super::reading::{Reading, Told};
use super::sequence::by;
use super::table::{Narrow, Shape, Table, taken};
use super::{Room, side_by_side};
use crate::condition::parse_condition;
use crate::read::settled;
use crate::steps::compared::Compared;
use crate::steps::{Env, Operator, Spooled, later};

/// Gives every row what its group amounts to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BroadcastRows {
    pub(crate) keys: Vec<usize>,
    pub(crate) measures: Vec<Measure>,
    pub(crate) condition: Option<String>,
    /// What the condition reads as numbers.
    #[serde(default, skip_serializing_if = "Compared::is_empty")]
    pub(crate) compared: Compared,
    pub(crate) window: Option<Window>,
}

/// Rows count in which `a` is at most so much later than `b`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Window {
    /// At most; where it is negative, `a` is earlier.
    pub(crate) micros: i64,
    pub(crate) a: Moment,
    pub(crate) b: Moment,
}

/// A column of moments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) column: usize,
    pub(crate) read: Reading,
    pub(crate) of: String,
    pub(crate) pointer: String,
}

impl Moment {
    fn micros(
        &self,
        batch: &RecordBatch,
        before: u64,
    ) -> Result<arrow::array::TimestampMicrosecondArray> {
        let told = Told {
            column: &self.of,
            pointer: &self.pointer,
        };
        let stored = batch.column(self.column);
        let read = self.read.read(stored, &told, before)?;
        weir_values::columns::as_moments(&read)
            .map_err(|error| error.error(&self.of, before).under(&self.pointer))
    }
}

/// Which rows count.
struct Only {
    test: Option<Test>,
    compared: Compared,
    window: Option<Window>,
}

impl Only {
    fn rows(&self, batch: &RecordBatch, before: u64) -> Result<BooleanArray> {
        let mut kept = match &self.test {
            Some(test) => test.eval(&self.compared.read(batch, Some(before))?)?,
            None => BooleanArray::from(vec![true; batch.num_rows()]),
        };
        if let Some(window) = &self.window {
            let a = window.a.micros(batch, before)?;
            let b = window.b.micros(batch, before)?;
            let (low, high) = (window.micros.min(0), window.micros.max(0));
            let (low, high) = (i128::from(low), i128::from(high));
            let within = |row: usize| {
                let apart = i128::from(a.value(row)) - i128::from(b.value(row));
                a.is_valid(row) && b.is_valid(row) && (low..=high).contains(&apart)
            };
            let within = arrow::buffer::BooleanBuffer::collect_bool(batch.num_rows(), within);
            kept = BooleanArray::new(kept.values() & &within, None);
        }
        Ok(kept)
    }
}

/// The condition of a step over columns of `schema`.
pub(crate) fn condition(text: &str, schema: &Schema, pointer: &str) -> Result<Predicate> {
    Ok(settled(&parse_condition(text, pointer)?, schema))
}

impl BroadcastRows {
    fn only(&self, schema: &Schema) -> Result<Option<Only>> {
        if self.condition.is_none() && self.window.is_none() {
            return Ok(None);
        }
        let test = self.condition.as_deref().map(|text| {
            let condition = condition(text, schema, "")?;
            self.compared.test(&condition, schema)
        });
        Ok(Some(Only {
            test: test.transpose()?,
            compared: self.compared.clone(),
            window: self.window.clone(),
        }))
    }

    async fn work(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let only = self.only(&schema)?;
        let (keys, measures) = (&self.keys, &self.measures);
        let shape = Shape::new(&schema, keys, NullKeys::Nobody, measures, only.is_some());
        let looked = Arc::new(Looked {
            shape,
            only,
            is_full: AtomicBool::new(false),
        });
        let mut room = Room::of(&env);
        let mut table = Some(Table::new(&looked.shape, 0));
        let mut groups = Groups::default();
        let mut spool = env.spool(&schema);
        let mut input = looked.rows(&env, input);
        while let Some((batch, rows)) = input.next().await.transpose()? {
            if let Some(summed) = &mut table {
                let bytes = summed.bytes_with(batch.num_rows()) + groups.bytes;
                match rows.filter(|_| room.fits(bytes)) {
                    Some(rows) => {
                        summed.add(&rows)?;
                        groups.keep(summed.ids(), &room);
                    }
                    None => {
                        table = None;
                        groups = Groups::default();
                        room.leave();
                        looked.is_full.store(true, Ordering::Relaxed);
                    }
                }
            }
            spool.push(batch).await?;
        }
        let spooled = spool.done().await?;
        let out = self.schema(&schema)?;
        let places = self.places(&schema);
        match table {
            Some(table) => {
                let groups = (table, groups, room);
                again(&env, spooled, groups, looked, Put { out, places })
            }
            None => apart(&env, spooled, looked, Put { out, places }).await,
        }
    }

    /// Where each result goes.
    fn places(&self, schema: &Schema) -> Vec<usize> {
        let mut width = schema.fields().len();
        let place = |measure: &Measure| {
            let known = schema
                .fields()
                .iter()
                .position(|f| f.name() == &measure.name);
            known.unwrap_or_else(|| {
                width += 1;
                width - 1
            })
        };
        self.measures.iter().map(place).collect()
    }
}

impl Operator for BroadcastRows {
    fn name(&self) -> &'static str {
        "weir_broadcast"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let mut fields: Vec<FieldRef> = input.fields().to_vec();
        for (measure, place) in self.measures.iter().zip(self.places(input)) {
            let field = measure.field(input)?;
            match fields.get_mut(place) {
                Some(known) => *known = field,
                None => fields.push(field),
            }
        }
        let metadata = input.metadata().clone();
        Ok(Arc::new(Schema::new_with_metadata(fields, metadata)))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(self.work(input, schema, env))
    }
}

/// How rows are looked at.
struct Looked {
    shape: Shape,
    only: Option<Only>,
    /// The table has no room: nothing needs to be made ready for it.
    is_full: AtomicBool,
}

type Rows = (RecordBatch, Option<Narrow>);

impl Looked {
    /// The columns that are looked at. `before` rows came earlier.
    fn narrow(&self, batch: &RecordBatch, before: u64) -> Result<RecordBatch> {
        let counted = self.only.as_ref().map(|only| only.rows(batch, before));
        self.shape.narrowed(batch, counted.transpose()?, before)
    }

    /// The rows and, beside them, what a table takes of them.
    fn rows(self: &Arc<Self>, env: &Env, input: BatchStream) -> BoxStream<'static, Result<Rows>> {
        let looked = Arc::clone(self);
        let mut before = 0_u64;
        let numbered = input.map_ok(move |batch| {
            let first = before;
            before += batch.num_rows() as u64;
            (batch, first)
        });
        side_by_side(env, numbered, move |(batch, before)| {
            if looked.is_full.load(Ordering::Relaxed) {
                return Ok((batch, None));
            }
            let rows = looked.shape.rows(looked.narrow(&batch, before)?)?;
            Ok((batch, Some(rows)))
        })
    }

    fn keys_of(&self, batch: &RecordBatch) -> Result<KeyRows> {
        let keys = batch.project(&self.shape.keys)?;
        KeyRows::of(keys.columns(), keys.num_rows())
    }
}

/// The groups of all rows, kept from the first pass while there is room.
#[derive(Default)]
struct Groups {
    kept: Vec<Vec<u32>>,
    bytes: usize,
    is_full: bool,
}

/// The part of the room that they may fill.
const GROUPS_PART: usize = 2;

impl Groups {
    fn keep(&mut self, ids: &[u32], room: &Room) {
        let bytes = self.bytes + size_of_val(ids);
        if self.is_full || bytes > room.most / GROUPS_PART {
            // Later rows are looked up again; those at the front are known.
            self.is_full = true;
            return;
        }
        self.bytes = bytes;
        self.kept.push(ids.to_vec());
    }
}

/// Where results go.
struct Put {
    out: SchemaRef,
    places: Vec<usize>,
}

impl Put {
    fn over(&self, batch: &RecordBatch, results: Vec<ArrayRef>) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        for (result, place) in results.into_iter().zip(&self.places) {
            match columns.get_mut(*place) {
                Some(column) => *column = result,
                None => columns.push(result),
            }
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.out), columns)?)
    }
}

/// The second pass, with the results of all groups in memory.
fn again(
    env: &Env,
    spooled: Spooled,
    (mut table, groups, room): (Table, Groups, Room),
    looked: Arc<Looked>,
    put: Put,
) -> Result<BatchStream> {
    let results = table.finish()?;
    table.freeze();
    let mut kept = groups.kept.into_iter();
    let rows = spooled.read().map(move |batch| {
        let batch = batch?;
        let ids = match kept.next() {
            Some(ids) => ids,
            None => {
                table.number(&looked.keys_of(&batch)?)?;
                table.ids().to_vec()
            }
        };
        Ok((batch, ids))
    });
    Ok(side_by_side(env, rows, move |(batch, ids)| {
        // Held until the last row is out.
        let _room = &room;
        put.over(&batch, taken(&results, ids)?)
    }))
}

/// The second pass, with results sorted back into the order of rows.
async fn apart(env: &Env, spooled: Spooled, looked: Arc<Looked>, put: Put) -> Result<BatchStream> {
    let (mut before, given) = (0_u64, Arc::clone(&looked));
    let rows = spooled.read().map(move |batch| {
        let batch = batch?;
        let narrowed = given.narrow(&batch, before);
        before += batch.num_rows() as u64;
        narrowed
    });
    let summed = external(env, rows.boxed(), &looked.shape).await?;
    let mut fields = vec![Field::new("weir.place", DataType::UInt64, false)];
    let results = summed.schema.fields()[2..].iter().enumerate();
    fields.extend(results.map(|(n, field)| Field::clone(field).with_name(format!("weir.{n}"))));
    let schema = Arc::new(Schema::new(fields));
    let given = Arc::clone(&schema);
    let groups = Merge::new(summed.groups, summed.schema);
    let placed = futures::stream::try_unfold((summed.rows.read(), groups), move |state| {
        let given = Arc::clone(&given);
        async move {
            let (mut rows, mut groups) = state;
            let Some(batch) = rows.next().await.transpose()? else {
                return Ok(None);
            };
            let numbers = batch.column(0).as_primitive::<UInt64Type>().values();
            // The first of the columns is the first place of the group.
            let mut columns = groups.lookup(numbers).await?;
            columns[0] = Arc::clone(batch.column(1));
            let batch = RecordBatch::try_new(given, columns)?;
            Ok::<_, Error>(Some((batch, (rows, groups))))
        }
    });
    let placed = env.sort(placed.boxed(), &schema, &[by("weir.place")])?;
    let state = (spooled.read(), Merge::new(placed, schema), put, 0_u64);
    let rows = futures::stream::try_unfold(state, |state| async move {
        let (mut rows, mut results, put, before) = state;
        let Some(batch) = rows.next().await.transpose()? else {
            return Ok(None);
        };
        let count = batch.num_rows();
        let found = results.lookup(&numbers(before, count)).await?;
        let batch = put.over(&batch, found)?;
        Ok::<_, Error>(Some((batch, (rows, results, put, before + count as u64))))
    });
    Ok(rows.boxed())
}
