//! Steps over whole rows: which ones stay, in which order.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::{StreamExt, TryStreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::evaluate::{Test, is_text};
use weir_core::{BatchStream, Error, Nulls, Order, Predicate, Result, config};
use weir_values::ColumnKind;
use weir_values::moment::dates;
use weir_values::number::numbers;
use weir_values::texts::Texts;

use super::at::At;
use super::compared::Compared;
use super::env::Env;
use super::frame::Frame;
use super::function::RowFunction;
use super::operator::{Operator, failed, later};
use super::pipeline::Step;
use super::report::Tally;
use crate::read::{limited, settled};
use crate::tree::parse_filter;

/// Keeps rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterRows {
    /// Condition text: `amount >= 10 and (state == 'open' or name contains "^A")`.
    pub condition: Option<String>,
    /// A predicate tree: `{"and": […]}`, `{"or": […]}`, `{"not": …}` and leaves
    /// `{"column", "operator", "value" | "value_column"}`.
    pub predicate: Option<Value>,
    /// A SQL expression; rows stay for which it is true.
    #[serde(rename = "where")]
    pub where_: Option<String>,
}

impl FilterRows {
    /// The filter as [`parse_filter`] takes it, and where it stands.
    fn filter(&self, at: &At) -> Result<Option<(Value, String)>> {
        match (&self.condition, &self.predicate, &self.where_) {
            (Some(text), None, None) => Ok(Some((json!(text), at.field("condition")))),
            (None, Some(tree), None) => Ok(Some((tree.clone(), at.field("predicate")))),
            (None, None, Some(_)) => Ok(None),
            _ => Err(Error::invalid(
                at.step(),
                "give one of `condition`, `predicate` and `where`",
            )),
        }
    }

    /// The predicate, of what is not SQL.
    pub(super) fn predicate(&self, at: &At) -> Result<Option<Predicate>> {
        self.filter(at)?
            .map(|(filter, pointer)| parse_filter(&filter, &pointer).map(Predicate::And))
            .transpose()
    }
}

impl Step for FilterRows {
    fn check(&self, at: &At) -> Result<()> {
        self.predicate(at).map(drop)
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        frame.tally().add("removed", 0);
        let Some((filter, pointer)) = self.filter(at)? else {
            let text = self.where_.unwrap_or_default();
            return super::sql::filter(frame, &text, &at.field("where"));
        };
        let (matches, inputs) = Matches::new(filter, &frame, &pointer)?;
        frame.filter(Arc::new(matches), inputs)
    }
}

/// Whether a predicate holds.
#[derive(Debug)]
pub(crate) struct Matches {
    filter: Value,
    columns: Vec<String>,
    compared: Compared,
    test: OnceLock<Test>,
    tally: Arc<Tally>,
}

impl Matches {
    /// For the columns of `frame` that `filter`, which stands at `pointer`, speaks
    /// of; their places come back.
    pub(crate) fn new(filter: Value, frame: &Frame, pointer: &str) -> Result<(Self, Vec<usize>)> {
        let predicate = Predicate::And(parse_filter(&filter, pointer)?);
        let predicate = settled(&predicate, frame.schema());
        let compared = Compared::of(&predicate, frame, pointer);
        let test = compared.test(&predicate, frame.schema());
        drop(test.map_err(|error| error.repointed(|_| pointer.to_owned()))?);
        let mut columns: Vec<String> = Vec::new();
        for name in predicate.columns() {
            if frame.find(name).is_some() && !columns.iter().any(|known| known == name) {
                columns.push(name.to_owned());
            }
        }
        let places = columns.iter().filter_map(|name| frame.find(name)).collect();
        let matches = Matches {
            filter,
            columns,
            compared,
            test: OnceLock::new(),
            tally: frame.tally(),
        };
        Ok((matches, places))
    }

    /// Counts what it does not match into `tally`.
    pub(crate) fn counted_by(mut self, tally: Arc<Tally>) -> Self {
        self.tally = tally;
        self
    }

    pub(crate) fn make(args: Value) -> Result<Arc<dyn RowFunction>> {
        #[derive(Deserialize)]
        struct Args {
            filter: Value,
            columns: Vec<String>,
            #[serde(default)]
            compared: Compared,
        }
        let args: Args = config::decode(args)?;
        Ok(Arc::new(Matches {
            filter: args.filter,
            columns: args.columns,
            compared: args.compared,
            test: OnceLock::new(),
            tally: Arc::default(),
        }))
    }
}

impl RowFunction for Matches {
    fn name(&self) -> &'static str {
        "weir_matches"
    }

    fn args(&self) -> Value {
        json!({"filter": self.filter, "columns": self.columns, "compared": self.compared})
    }

    fn field(&self, _: &[FieldRef]) -> Result<Field> {
        Ok(Field::new("", DataType::Boolean, false))
    }

    fn call(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let fields = self.columns.iter().zip(inputs);
        let fields = fields.map(|(name, array)| Field::new(name, array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&schema), inputs.to_vec(), &options)?;
        let test = match self.test.get() {
            Some(test) => test,
            None => {
                let predicate = Predicate::And(parse_filter(&self.filter, "/filter")?);
                let test = self.compared.test(&settled(&predicate, &schema), &schema)?;
                self.test.get_or_init(|| test)
            }
        };
        let kept = test.eval(&self.compared.read(&batch, None)?)?;
        self.tally.add("removed", (rows - kept.true_count()) as u64);
        Ok(Arc::new(kept))
    }
}

/// Sorts rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SortBy {
    /// Most significant key first.
    pub by: Vec<SortKey>,
}

/// A key of an order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SortKey {
    /// The column.
    pub column: String,
    /// Smallest first.
    #[serde(default = "yes")]
    pub ascending: bool,
    /// Where nulls go.
    #[serde(default)]
    pub nulls: NullsAt,
}

fn yes() -> bool {
    true
}

/// Where nulls stand in an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NullsAt {
    /// Before every value.
    First,
    /// After every value.
    #[default]
    Last,
}

impl SortKey {
    pub(super) fn order(&self) -> Order {
        Order {
            column: self.column.clone(),
            ascending: self.ascending,
            nulls: match self.nulls {
                NullsAt::First => Nulls::First,
                NullsAt::Last => Nulls::Last,
            },
        }
    }
}

impl Step for SortBy {
    fn check(&self, at: &At) -> Result<()> {
        if self.by.is_empty() {
            return Err(Error::invalid(
                at.field("by"),
                "give at least one key to sort by",
            ));
        }
        Ok(())
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        for (n, key) in self.by.iter().enumerate() {
            let pointer = format!("{}/column", at.item("by", n));
            let index = frame.index(&key.column, &pointer)?;
            let field = frame.field(index);
            if field.data_type().is_nested() {
                let shown = weir_core::types::field_type_name(field);
                let message = format!("rows cannot be sorted by `{}`, a {shown}", key.column);
                return Err(Error::invalid(pointer, message));
            }
        }
        let meant = |key: &SortKey| {
            let index = frame.find(&key.column)?;
            let kind = frame.kind_of(index)?;
            is_text(frame.field(index).data_type()).then_some(kind)
        };
        let meant = self.by.iter().map(meant).collect();
        frame.operate(Arc::new(SortRows { by: self.by, meant }))
    }
}

/// Sorts, spilling where it must.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SortRows {
    by: Vec<SortKey>,
    /// What the caller says that keys mean which are stored as text.
    meant: Vec<Option<ColumnKind>>,
}

/// The name of the key at place `n` where it is sorted by what it means.
fn meaning_of(n: usize) -> String {
    format!("weir.key.{n}")
}

impl SortRows {
    /// The places of keys that are read, and the columns that they are read into.
    fn read(&self, schema: &Schema) -> Vec<(usize, Field, bool)> {
        let keys = self.by.iter().zip(&self.meant).enumerate();
        let read = |(n, (key, kind)): (usize, (&SortKey, &Option<ColumnKind>))| {
            let kind = (*kind)?;
            let data_type = match kind {
                ColumnKind::Datetime => DataType::Timestamp(TimeUnit::Microsecond, None),
                kind if kind.is_number() => DataType::Float64,
                _ => return None,
            };
            let place = schema.index_of(&key.column).ok()?;
            let is_number = kind.is_number();
            Some((place, Field::new(meaning_of(n), data_type, true), is_number))
        };
        keys.filter_map(read).collect()
    }
}

/// A text as what it means; what cannot be read is null.
fn meaning(column: &ArrayRef, is_number: bool) -> ArrayRef {
    match Texts::of(column) {
        Some(texts) if is_number => Arc::new(numbers(&texts)),
        Some(texts) => Arc::new(dates(&texts)),
        None => Arc::clone(column),
    }
}

impl Operator for SortRows {
    fn name(&self) -> &'static str {
        "weir_sort"
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        let mut keys: Vec<Order> = self.by.iter().map(SortKey::order).collect();
        let read = self.read(&schema);
        if read.is_empty() {
            return env.sort(input, &schema, &keys).unwrap_or_else(failed);
        }
        for (n, key) in keys.iter_mut().enumerate() {
            if read
                .iter()
                .any(|(_, field, _)| *field.name() == meaning_of(n))
            {
                key.column = meaning_of(n);
            }
        }
        let width = schema.fields().len();
        let fields = schema.fields().iter().cloned();
        let added = read.iter().map(|(_, field, _)| Arc::new(field.clone()));
        let wide: SchemaRef = Arc::new(Schema::new(fields.chain(added).collect::<Vec<_>>()));
        let given = Arc::clone(&wide);
        let rows = input.map(move |batch| {
            let batch = batch?;
            let mut columns = batch.columns().to_vec();
            let added = read
                .iter()
                .map(|(place, _, is_number)| meaning(batch.column(*place), *is_number));
            columns.extend(added);
            Ok(RecordBatch::try_new(Arc::clone(&given), columns)?)
        });
        let kept: Vec<usize> = (0..width).collect();
        match env.sort(rows.boxed(), &wide, &keys) {
            Ok(sorted) => sorted.map(move |batch| Ok(batch?.project(&kept)?)).boxed(),
            Err(error) => failed(error),
        }
    }
}

/// Keeps the first rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRows {
    /// Rows at most.
    #[serde(deserialize_with = "config::whole")]
    pub rows: u64,
}

impl Step for LimitRows {
    fn plan(self, frame: Frame, _: &At) -> Result<Frame> {
        frame.operate(Arc::new(Limit { rows: self.rows }))
    }
}

/// Ends the stream after some rows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Limit {
    rows: u64,
}

impl Operator for Limit {
    fn name(&self) -> &'static str {
        "weir_limit"
    }

    fn run(self: Arc<Self>, input: BatchStream, _: SchemaRef, _: Env) -> BatchStream {
        limited(input, self.rows)
    }
}

/// Keeps rows by chance.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleRows {
    /// The share of rows to keep, from 0 to 1; the number is rounded to the
    /// nearest whole one. This or `rows`.
    pub fraction: Option<f64>,
    /// The number of rows to keep. This or `fraction`.
    #[serde(default, deserialize_with = "config::whole_option")]
    pub rows: Option<u64>,
    /// The same rows for the same seed.
    #[serde(default = "seed")]
    pub seed: u64,
}

fn seed() -> u64 {
    42
}

impl Step for SampleRows {
    fn check(&self, at: &At) -> Result<()> {
        match (self.fraction, self.rows) {
            (Some(share), None) if !(0.0..=1.0).contains(&share) => Err(Error::invalid(
                at.field("fraction"),
                "`fraction` is from 0 to 1",
            )),
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err(Error::invalid(
                at.step(),
                "give either `fraction` or `rows`",
            )),
        }
    }

    fn plan(self, frame: Frame, _: &At) -> Result<Frame> {
        frame.note("seed", self.seed);
        frame.operate(Arc::new(Sample {
            fraction: self.fraction,
            rows: self.rows,
            seed: self.seed,
        }))
    }
}

/// Spools, counts, then picks as many as are wanted, each set of rows with the
/// same chance (selection sampling: Knuth, The Art of Computer Programming,
/// volume 2, 3.4.2, algorithm S).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    fraction: Option<f64>,
    rows: Option<u64>,
    seed: u64,
}

impl Sample {
    fn wanted(&self, all: u64) -> u64 {
        match (self.fraction, self.rows) {
            (Some(share), _) => ((all as f64 * share).round() as u64).min(all),
            (None, rows) => rows.unwrap_or(0).min(all),
        }
    }

    async fn picked(
        self: Arc<Self>,
        mut input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let mut spool = env.spool(&schema);
        let mut all = 0_u64;
        while let Some(batch) = input.next().await.transpose()? {
            all += batch.num_rows() as u64;
            spool.push(batch).await?;
        }
        let spooled = spool.done().await?;
        let (mut wanted, mut left) = (self.wanted(all), all);
        let mut chance = StdRng::seed_from_u64(self.seed);
        let rows = spooled.read().and_then(move |batch| {
            let mut pick = |_| {
                let picked = chance.random_range(0..left) < wanted;
                left -= 1;
                wanted -= u64::from(picked);
                Some(picked)
            };
            let kept: BooleanArray = (0..batch.num_rows()).map(&mut pick).collect();
            futures::future::ready(filter_record_batch(&batch, &kept).map_err(Error::from))
        });
        Ok(rows.boxed())
    }
}

impl Operator for Sample {
    fn name(&self) -> &'static str {
        "weir_sample"
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(self.picked(input, schema, env))
    }
}

/// Removes rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveRows {
    /// Positions from 0; those that no row has are ignored.
    pub rows: Vec<u64>,
}

impl Step for RemoveRows {
    fn plan(self, frame: Frame, _: &At) -> Result<Frame> {
        frame.tally().add("removed", 0);
        let tally = frame.tally();
        let rows = self.rows.into_iter().collect();
        frame.operate(Arc::new(RemoveRow { rows, tally }))
    }
}

/// Leaves rows out by their number.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RemoveRow {
    rows: BTreeSet<u64>,
    #[serde(skip)]
    tally: Arc<Tally>,
}

impl Operator for RemoveRow {
    fn name(&self) -> &'static str {
        "weir_remove_row"
    }

    fn run(self: Arc<Self>, input: BatchStream, _: SchemaRef, _: Env) -> BatchStream {
        let mut next = 0_u64;
        let rows = input.and_then(move |batch| {
            let numbers = next..next + batch.num_rows() as u64;
            next = numbers.end;
            let kept: BooleanArray = numbers.map(|n| Some(!self.rows.contains(&n))).collect();
            self.tally
                .add("removed", (kept.len() - kept.true_count()) as u64);
            let kept = filter_record_batch(&batch, &kept);
            futures::future::ready(kept.map_err(Error::from))
        });
        rows.boxed()
    }
}
