//! Rows whose key comes more than once: one of them stays, or none. The first
//! ones stay while rows flow; for the last ones, and for none, rows are put aside
//! until it is known which stay.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, UInt64Type};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{BatchStream, Error, Result};

use super::keys::{GroupKeys, KeyRows, NullKeys, UNKNOWN};
use super::sequence::in_groups;
use super::{Room, side_by_side};
use crate::steps::{Env, Operator, Spool, Spooled, Tally, later};

/// Which of several equal rows stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeepRow {
    /// The first one.
    First,
    /// The last one.
    #[default]
    Last,
    /// None of them.
    None,
}

/// Leaves out rows whose key comes again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DropRows {
    pub(crate) keys: Vec<usize>,
    pub(crate) keep: KeepRow,
    #[serde(skip)]
    pub(crate) tally: Arc<Tally>,
}

impl DropRows {
    /// The rows and, beside them, their keys.
    fn keyed(&self, env: &Env, input: BatchStream) -> BoxStream<'static, Result<Keyed>> {
        let keys = self.keys.clone();
        side_by_side(env, input, move |batch: RecordBatch| {
            let columns: Vec<ArrayRef> = keys
                .iter()
                .map(|key| Arc::clone(batch.column(*key)))
                .collect();
            let keys = KeyRows::of(&columns, batch.num_rows())?;
            Ok((batch, keys))
        })
    }

    /// The first ones stay: they go on as they come.
    fn first(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        let input = self.keyed(&env, input);
        let tally = Arc::clone(&self.tally);
        let state = First {
            room: Room::of(&env),
            keys: GroupKeys::new(NullKeys::Group),
            is_full: false,
            aside: None,
            ids: Vec::new(),
            fresh: Vec::new(),
            operator: self,
            schema,
            env: env.clone(),
        };
        let rows = futures::stream::try_unfold(Some((state, input)), |state| async move {
            let Some((mut state, mut input)) = state else {
                return Ok(None);
            };
            match input.next().await.transpose()? {
                Some((batch, keys)) => {
                    let kept = state.kept(&batch, &keys).await?;
                    let kept = kept.map(|kept| Ok((batch, Some(kept))));
                    let kept = futures::stream::iter(kept).boxed();
                    Ok::<_, Error>(Some((kept, Some((state, input)))))
                }
                None => {
                    let rest = state.ended().await?.map_ok(|batch| (batch, None));
                    Ok(Some((rest.boxed(), None)))
                }
            }
        });
        let kept = side_by_side(&env, rows.try_flatten(), move |(batch, kept)| match kept {
            None => Ok(Some(batch)),
            Some(kept) => filtered(&batch, &kept, &tally),
        });
        kept.try_filter_map(|batch| futures::future::ready(Ok(batch)))
            .boxed()
    }

    /// The last ones, or none, stay: known once all rows are there.
    async fn later(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let mut input = self.keyed(&env, input);
        let mut room = Room::of(&env);
        let mut marks = Some(Marks::new(self.keep));
        let mut spool = env.spool(&schema);
        while let Some((batch, keys)) = input.next().await.transpose()? {
            if let Some(marked) = &mut marks {
                if room.fits(marked.bytes_with(batch.num_rows())) {
                    marked.add(&keys, batch.num_rows())?;
                } else {
                    marks = None;
                    room.leave();
                }
            }
            spool.push(batch).await?;
        }
        let spooled = spool.done().await?;
        let kept = match marks {
            Some(mut marks) => {
                let kept = marks.kept.finish();
                room.must_fit(kept.len() / 8)?;
                kept
            }
            None => self.sorted_out(&env, &spooled, &mut room).await?,
        };
        Ok(self.only(&env, spooled, kept, room))
    }

    /// The rows that `kept` marks.
    fn only(&self, env: &Env, spooled: Spooled, kept: BooleanBuffer, room: Room) -> BatchStream {
        let tally = Arc::clone(&self.tally);
        let mut before = 0;
        let rows = spooled.read().map_ok(move |batch| {
            let rows = batch.num_rows();
            let kept = BooleanArray::new(kept.slice(before, rows), None);
            before += rows;
            (batch, kept)
        });
        let kept = side_by_side(env, rows, move |(batch, kept)| {
            let _held = &room;
            filtered(&batch, &kept, &tally)
        });
        kept.try_filter_map(|batch| futures::future::ready(Ok(batch)))
            .boxed()
    }

    /// Which rows stay, found by sorting them by their key.
    async fn sorted_out(
        &self,
        env: &Env,
        spooled: &Spooled,
        room: &mut Room,
    ) -> Result<BooleanBuffer> {
        let (wanted, width) = (self.keys.clone(), self.keys.len());
        let keyed = spooled
            .read()
            .map(move |batch| Ok(batch?.project(&wanted)?))
            .boxed();
        let (mut sorted, _) = in_groups(env, keyed, width, NullKeys::Group, &[])?;
        let mut kept = BooleanBufferBuilder::new(0);
        let mut mark = |place: u64| -> Result<()> {
            let place = place as usize;
            if place >= kept.len() {
                kept.append_n((place + 1 - kept.len()).max(1 << 16), false);
                room.must_fit(kept.capacity() / 8)?;
            }
            kept.set_bit(place, true);
            Ok(())
        };
        let mut run: Option<(u64, u64, bool)> = None;
        while let Some(batch) = sorted.next().await.transpose()? {
            let groups = batch.column(0).as_primitive::<UInt64Type>().values();
            let places = batch.column(1).as_primitive::<UInt64Type>().values();
            for (group, place) in groups.iter().zip(places) {
                match &mut run {
                    Some((open, last, is_single)) if open == group => {
                        *is_single = false;
                        if self.keep == KeepRow::Last {
                            *last = *place;
                        }
                    }
                    run => {
                        let before = run.replace((*group, *place, true));
                        if let Some(place) = before.and_then(|run| self.stays(run)) {
                            mark(place)?;
                        }
                    }
                }
            }
        }
        if let Some(place) = run.and_then(|run| self.stays(run)) {
            mark(place)?;
        }
        // Rows behind the last that stays.
        let rows = spooled.read();
        let rows = rows.try_fold(0, |sum, batch| {
            futures::future::ready(Ok(sum + batch.num_rows()))
        });
        let rows = rows.await?;
        if kept.len() < rows {
            kept.append_n(rows - kept.len(), false);
        }
        Ok(kept.finish())
    }

    /// The row that stays of a group.
    fn stays(&self, (_, place, is_single): (u64, u64, bool)) -> Option<u64> {
        (self.keep != KeepRow::None || is_single).then_some(place)
    }
}

/// The rows that stay, if there are any; the others are counted.
fn filtered(
    batch: &RecordBatch,
    kept: &BooleanArray,
    tally: &Tally,
) -> Result<Option<RecordBatch>> {
    let removed = kept.len() - kept.true_count();
    tally.add("removed", removed as u64);
    if removed == 0 {
        return Ok(Some(batch.clone()));
    }
    if removed == kept.len() {
        return Ok(None);
    }
    Ok(Some(filter_record_batch(batch, kept)?))
}

impl Operator for DropRows {
    fn name(&self) -> &'static str {
        "weir_drop_duplicates"
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        if self.keep == KeepRow::First {
            return self.first(input, schema, env);
        }
        later(self.later(input, schema, env))
    }
}

/// Rows and their keys.
type Keyed = (RecordBatch, KeyRows);

/// What is known while the first ones go on.
struct First {
    operator: Arc<DropRows>,
    schema: SchemaRef,
    env: Env,
    room: Room,
    keys: GroupKeys,
    is_full: bool,
    /// Rows of keys for which there is no room.
    aside: Option<Spool>,
    ids: Vec<u32>,
    fresh: Vec<u32>,
}

impl First {
    /// Which of the rows go on; those of keys for which there is no room are put
    /// aside, and are not counted as removed.
    async fn kept(&mut self, batch: &RecordBatch, keys: &KeyRows) -> Result<Option<BooleanArray>> {
        let rows = batch.num_rows();
        if !self.is_full && !self.room.fits(self.keys.bytes_with(rows)) {
            self.is_full = true;
            self.keys.freeze();
        }
        self.keys.ids(keys, &mut self.ids, &mut self.fresh)?;
        if !self.is_full {
            let mut kept = BooleanBufferBuilder::new(rows);
            kept.append_n(rows, false);
            let fresh = self.fresh.iter();
            fresh.for_each(|row| kept.set_bit(*row as usize, true));
            return Ok(Some(BooleanArray::new(kept.finish(), None)));
        }
        let ids = &self.ids;
        let unknown = BooleanBuffer::collect_bool(rows, |row| ids[row] == UNKNOWN);
        let unknown = BooleanArray::new(unknown, None);
        if let Some(unknown) = filtered(batch, &unknown, &self.operator.tally)? {
            let (env, schema) = (&self.env, &self.schema);
            let aside = self.aside.get_or_insert_with(|| env.spool(schema));
            aside.push(unknown).await?;
        }
        Ok(None)
    }

    /// The first ones among the rows that were put aside.
    async fn ended(mut self) -> Result<BatchStream> {
        let Some(aside) = self.aside.take() else {
            return Ok(futures::stream::empty().boxed());
        };
        // The table is not asked any more.
        self.keys = GroupKeys::new(NullKeys::Group);
        self.room.leave();
        let spooled = aside.done().await?;
        let operator = &self.operator;
        let kept = operator
            .sorted_out(&self.env, &spooled, &mut self.room)
            .await?;
        Ok(operator.only(&self.env, spooled, kept, self.room))
    }
}

/// Which rows stay, as far as it is known.
struct Marks {
    keep: KeepRow,
    keys: GroupKeys,
    kept: BooleanBufferBuilder,
    /// The row of each group that may stay.
    rows: Vec<u64>,
    ids: Vec<u32>,
    fresh: Vec<u32>,
}

impl Marks {
    fn new(keep: KeepRow) -> Self {
        Marks {
            keep,
            keys: GroupKeys::new(NullKeys::Group),
            kept: BooleanBufferBuilder::new(0),
            rows: Vec::new(),
            ids: Vec::new(),
            fresh: Vec::new(),
        }
    }

    fn bytes_with(&self, rows: usize) -> usize {
        let table = self.keys.bytes_with(rows);
        table + 2 * (self.rows.capacity() + rows) * size_of::<u64>() + self.kept.capacity() / 4
    }

    fn add(&mut self, keys: &KeyRows, rows: usize) -> Result<()> {
        self.keys.ids(keys, &mut self.ids, &mut self.fresh)?;
        let before = self.kept.len();
        self.kept.append_n(rows, true);
        for (row, id) in self.ids.iter().enumerate() {
            let (row, id) = (before + row, *id as usize);
            match self.rows.get_mut(id) {
                None => self.rows.push(row as u64),
                Some(known) => {
                    self.kept.set_bit(*known as usize, false);
                    match self.keep {
                        KeepRow::None => self.kept.set_bit(row, false),
                        _ => *known = row as u64,
                    }
                }
            }
        }
        Ok(())
    }
}
