//! One row for each group. Once the table is full no group is added to it: rows
//! of further groups are put aside and summed up at the end. Their groups came
//! later than those of the table, so the order of first appearance holds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{concat, take};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use weir_core::{BatchStream, Result};

use super::accumulate::{Function, Measure};
use super::external::external;
use super::keys::NullKeys;
use super::sequence::by;
use super::table::{Narrow, Shape, Table};
use super::{Room, side_by_side};
use crate::steps::{Env, Operator, Spool, Tally, later};

/// Gives one row for each group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AggregateRows {
    pub(crate) keys: Vec<usize>,
    pub(crate) measures: Vec<Measure>,
    #[serde(skip)]
    pub(crate) tally: Arc<Tally>,
}

/// Rows of an answer in one batch.
const BATCH_ROWS: usize = 8192;

impl AggregateRows {
    /// The key's columns as results, before the results that are wanted.
    fn shape(&self, schema: &Schema) -> Shape {
        let key = |key: &usize| Measure {
            function: Function::First,
            column: *key,
            name: schema.field(*key).name().clone(),
            of: schema.field(*key).name().clone(),
            pointer: String::new(),
            read: Default::default(),
        };
        let measures: Vec<Measure> = self
            .keys
            .iter()
            .map(key)
            .chain(self.measures.clone())
            .collect();
        Shape::new(schema, &self.keys, NullKeys::Group, &measures, false)
    }

    async fn work(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let shape = Arc::new(self.shape(&schema));
        let mut gather = Gather::new(Arc::clone(&shape), self.keys.len(), env.clone());
        let mut before = 0_u64;
        let numbered = input.map_ok(move |batch| {
            let first = before;
            before += batch.num_rows() as u64;
            (batch, first)
        });
        let mut rows = side_by_side(&env, numbered, move |(batch, before)| {
            shape.rows(shape.narrowed(&batch, None, before)?)
        });
        while let Some(rows) = rows.next().await.transpose()? {
            gather.add(rows).await?;
        }
        let groups = gather.ended(&self.schema(&schema)?).await?;
        let tally = Arc::clone(&self.tally);
        let counted = groups.inspect_ok(move |batch| tally.add("groups", batch.num_rows() as u64));
        Ok(counted.boxed())
    }
}

impl Operator for AggregateRows {
    fn name(&self) -> &'static str {
        "weir_aggregate"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let keys = self
            .keys
            .iter()
            .map(|key| Ok(Arc::clone(&input.fields()[*key])));
        let results = self.measures.iter().map(|measure| measure.field(input));
        let fields = keys.chain(results).collect::<Result<Vec<FieldRef>>>()?;
        let metadata = input.metadata().clone();
        Ok(Arc::new(Schema::new_with_metadata(fields, metadata)))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(self.work(input, schema, env))
    }
}

/// What happens to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is added to the table.
    Adds,
    /// It is added if its group is there, else put aside.
    Frozen,
    /// It is put aside: what keeps every value has no room in a table.
    Aside,
}

/// Sums groups up.
struct Gather {
    env: Env,
    shape: Arc<Shape>,
    keys: usize,
    room: Room,
    state: State,
    table: Table,
    /// The keys of the groups, as they came.
    firsts: Vec<Vec<ArrayRef>>,
    firsts_bytes: usize,
    aside: Option<Spool>,
}

impl Gather {
    fn new(shape: Arc<Shape>, keys: usize, env: Env) -> Self {
        Gather {
            room: Room::of(&env),
            state: State::Adds,
            table: Table::new(&shape, keys),
            firsts: Vec::new(),
            firsts_bytes: 0,
            // Where rows cannot be left out later, they are there from the start.
            aside: shape.keeps_values().then(|| env.spool(&shape.narrow)),
            shape,
            keys,
            env,
        }
    }

    async fn add(&mut self, rows: Narrow) -> Result<()> {
        let narrow = &rows.batch;
        let bytes = self.table.bytes_with(narrow.num_rows()) + self.firsts_bytes;
        if self.state == State::Adds && !self.room.fits(bytes) {
            self.full();
        }
        if self.state == State::Aside {
            return self.put_aside(rows.batch).await;
        }
        self.table.add(&rows)?;
        let fresh = self.table.fresh();
        if !fresh.is_empty() {
            let keys = narrow.columns()[..self.keys].iter();
            let keys = keys.map(|key| Ok(take(key, &fresh, None)?));
            let keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
            let bytes = keys.iter().map(|key| key.get_array_memory_size());
            self.firsts_bytes += bytes.sum::<usize>();
            self.firsts.push(keys);
        }
        match self.state {
            State::Adds if self.aside.is_some() => self.put_aside(rows.batch).await,
            State::Frozen => match self.table.unknown(narrow)? {
                Some(unknown) => self.put_aside(unknown).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn put_aside(&mut self, narrow: RecordBatch) -> Result<()> {
        let (env, schema) = (&self.env, &self.shape.narrow);
        let aside = self.aside.get_or_insert_with(|| env.spool(schema));
        aside.push(narrow).await
    }

    /// There is no room for more groups.
    fn full(&mut self) {
        if !self.shape.keeps_values() {
            self.state = State::Frozen;
            self.table.freeze();
            return;
        }
        self.state = State::Aside;
        self.table = Table::new(&self.shape, self.keys);
        self.firsts.clear();
        self.firsts_bytes = 0;
        self.room.leave();
    }

    /// One row for each group, in the order in which they came.
    async fn ended(mut self, out: &SchemaRef) -> Result<BatchStream> {
        let mut parts: Vec<BatchStream> = Vec::new();
        if self.state != State::Aside {
            let results = self.table.finish()?;
            let firsts = std::mem::take(&mut self.firsts);
            parts.push(known(firsts, results, out, self.room));
        }
        if let Some(aside) = self.aside.filter(|_| self.state != State::Adds) {
            let rows = aside.done().await?.read();
            parts.push(further(&self.env, rows, &self.shape, out).await?);
        }
        Ok(futures::stream::iter(parts).flatten().boxed())
    }
}

/// The groups of the table.
fn known(
    firsts: Vec<Vec<ArrayRef>>,
    results: Vec<ArrayRef>,
    out: &SchemaRef,
    room: Room,
) -> BatchStream {
    let all = firsts
        .iter()
        .map(|keys| keys.first().map_or(0, |key| key.len()))
        .sum();
    // Without a key there is one group, if there was a row.
    let groups = if out.fields().len() == results.len() {
        firsts.len()
    } else {
        all
    };
    let state = (firsts.into_iter(), 0_usize, room);
    let out = Arc::clone(out);
    let rows = futures::stream::unfold(state, move |(mut firsts, at, room)| {
        let made = (at < groups).then(|| batch(&mut firsts, at, groups, &results, &out));
        async move {
            let made = made?;
            let rows = made.as_ref().map_or(groups, RecordBatch::num_rows);
            Some((made, (firsts, at + rows, room)))
        }
    });
    rows.boxed()
}

/// The next groups: so many of `firsts` as make a batch.
fn batch(
    firsts: &mut std::vec::IntoIter<Vec<ArrayRef>>,
    at: usize,
    groups: usize,
    results: &[ArrayRef],
    out: &SchemaRef,
) -> Result<RecordBatch> {
    let mut parts: Vec<Vec<ArrayRef>> = Vec::new();
    let mut rows = 0;
    while rows < BATCH_ROWS
        && let Some(keys) = firsts.next()
    {
        rows += keys.first().map_or(1, |key| key.len());
        parts.push(keys);
    }
    let rows = rows.min(groups - at);
    let width = out.fields().len() - results.len();
    let mut columns = Vec::with_capacity(out.fields().len());
    for key in 0..width {
        let pieces: Vec<&dyn Array> = parts.iter().map(|keys| keys[key].as_ref()).collect();
        columns.push(concat(&pieces)?);
    }
    columns.extend(results.iter().map(|result| result.slice(at, rows)));
    Ok(RecordBatch::try_new(Arc::clone(out), columns)?)
}

/// The groups of rows that were put aside.
async fn further(
    env: &Env,
    rows: BatchStream,
    shape: &Shape,
    out: &SchemaRef,
) -> Result<BatchStream> {
    let summed = external(env, rows, shape).await?;
    let fields = summed.schema.fields().iter().enumerate();
    let fields = fields.map(|(n, field)| Field::clone(field).with_name(format!("weir.{n}")));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let given = Arc::clone(&schema);
    let groups = summed.groups.map(move |batch| {
        let columns = batch?.columns().to_vec();
        Ok(RecordBatch::try_new(Arc::clone(&given), columns)?)
    });
    let sorted = env.sort(groups.boxed(), &schema, &[by("weir.1")])?;
    let out = Arc::clone(out);
    let rows = sorted.map(move |batch| {
        let columns = batch?.columns()[2..].to_vec();
        Ok(RecordBatch::try_new(Arc::clone(&out), columns)?)
    });
    Ok(rows.boxed())
}
