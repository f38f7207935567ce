//! Filling gaps by rules: what a column means and what it holds decides. One pass
//! counts what is missing, a second one looks closer at the columns that miss
//! something, a third one fills.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use weir_core::{BatchStream, Result};
use weir_values::ColumnKind;
use weir_values::dice::Dice;
use weir_values::fill::Forward;
use weir_values::imputation::{self, RowChoice, Strategy, Thresholds};
use weir_values::missing::{Missing, present};
use weir_values::texts::is_text;

use super::carry::{Key, ordered};
use super::constant::default_value;
use super::env::Env;
use super::facts::{Column, Facts, Gather, Reads, Wanted, shown};
use super::fill::{Gap, retyped};
use super::filling::{Filling, With, averaged, filled, settled};
use super::frame::Frame;
use super::operator::{Operator, later};
use super::report::Tally;
use super::spool::Spooled;

/// Fills gaps by rules.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Auto {
    pub(super) gaps: Vec<Gap>,
    pub(super) thresholds: Thresholds,
    /// Other columns that may be dates.
    pub(super) others: Vec<Gap>,
    pub(super) seed: u64,
    #[serde(skip)]
    pub(super) tally: Arc<Tally>,
}

/// A column and what the rules say about it.
struct Judged {
    column: Column,
    kind: ColumnKind,
    choice: Option<Strategy>,
    facts: Facts,
    report: Map<String, Value>,
}

/// What the first pass found.
struct First {
    spooled: Spooled,
    rows: u64,
    complete: u64,
    columns: Vec<(Column, ColumnKind, Facts)>,
    time: Option<Key>,
}

impl Auto {
    /// The columns beside `columns` by which a table may be a time series.
    pub(super) fn others(frame: &Frame, columns: &[String]) -> Vec<Gap> {
        let fields = frame.schema().fields().iter().enumerate();
        let may_be = |(place, field): &(usize, &Arc<arrow::datatypes::Field>)| {
            let is_listed = columns.contains(field.name());
            let kind = frame.kind_of(*place);
            !is_listed
                && match field.data_type() {
                    DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => true,
                    data_type => {
                        is_text(data_type) && kind.is_none_or(|kind| kind == ColumnKind::Datetime)
                    }
                }
        };
        let other = |(place, field): (usize, &Arc<arrow::datatypes::Field>)| Gap {
            name: field.name().clone(),
            pointer: String::new(),
            kind: frame.kind_of(place),
        };
        fields.filter(may_be).map(other).collect()
    }

    /// Types in a plan that has to be whole before rows flow: numbers that might
    /// get an average are floats.
    fn types(&self, schema: &Schema) -> Result<Vec<(usize, DataType)>> {
        let mut types = Vec::new();
        for gap in &self.gaps {
            let index = weir_core::evaluate::index_of(schema, &gap.name)?;
            types.push((index, floating(schema.field(index).data_type(), gap.kind)));
        }
        Ok(types)
    }

    async fn first(&self, mut input: BatchStream, schema: &SchemaRef, env: &Env) -> Result<First> {
        let mut wanted = Vec::new();
        for gap in self.gaps.iter().chain(&self.others) {
            let column = gap.column(schema, Strategy::Auto, Missing::Blanks)?;
            let kind = gap.kind.is_none();
            let want = Wanted {
                kind,
                ..Wanted::default()
            };
            wanted.push((column, want));
        }
        let listed: Vec<Column> = wanted.iter().map(|(column, _)| column.clone()).collect();
        let mut gather = Gather::new(wanted, schema, env)?;
        let mut spool = env.spool(schema);
        let (mut rows, mut complete) = (0, 0);
        while let Some(batch) = input.next().await.transpose()? {
            gather.push(&batch).await?;
            rows += batch.num_rows() as u64;
            complete += gather.complete(self.gaps.len(), batch.num_rows());
            spool.push(batch).await?;
        }
        let spooled = spool.done().await?;
        let facts = gather.finish(&spooled).await?;
        let gaps = self.gaps.iter().chain(&self.others);
        let judged = gaps.zip(listed).zip(facts).map(|((gap, column), facts)| {
            let found = facts.detected.map_or(ColumnKind::Text, |found| found.kind);
            (column, gap.kind.unwrap_or(found), facts)
        });
        let mut columns: Vec<(Column, ColumnKind, Facts)> = judged.collect();
        let most = self.thresholds.datetime_missing_rate;
        let time = columns
            .iter()
            .filter(|(_, kind, facts)| *kind == ColumnKind::Datetime && facts.runs.rate() <= most)
            .min_by_key(|(column, ..)| column.index)
            .map(|(column, kind, _)| Key {
                name: column.name.clone(),
                kind: Some(*kind),
            });
        columns.truncate(self.gaps.len());
        Ok(First {
            spooled,
            rows,
            complete,
            columns,
            time,
        })
    }

    /// Looks closer at the columns that miss something.
    async fn judged(&self, first: First, schema: &SchemaRef, env: &Env) -> Result<Vec<Judged>> {
        let mut wanted = Vec::new();
        for (n, (column, kind, facts)) in first.columns.iter().enumerate() {
            if facts.runs.missing == 0 {
                continue;
            }
            let mut column = column.clone();
            let want = if is_number(*kind, schema, &column) {
                column.reads = match self.gaps[n].kind {
                    Some(_) => Reads::Numbers,
                    None => Reads::Leniently,
                };
                Wanted {
                    moments: true,
                    quantiles: vec![0.5],
                    ..Wanted::default()
                }
            } else {
                Wanted {
                    mode: true,
                    sample: Some(Dice::new(self.seed, 2 * n as u64)),
                    ..Wanted::default()
                }
            };
            wanted.push((column, want));
        }
        let mut gather = Gather::new(wanted, schema, env)?;
        let mut rows = first.spooled.read();
        while let Some(batch) = rows.next().await.transpose()? {
            gather.push(&batch).await?;
        }
        let mut closer = gather.finish(&first.spooled).await?.into_iter();
        let is_series = first.time.is_some();
        let mut judged = Vec::with_capacity(first.columns.len());
        for (column, kind, facts) in first.columns {
            let runs = facts.runs;
            let closer = match runs.missing {
                0 => None,
                _ => closer.next(),
            };
            let facts = Facts {
                runs,
                ..closer.unwrap_or_default()
            };
            judged.push(self.judge(column, kind, facts, is_series, first.time.as_ref()));
        }
        Ok(judged)
    }

    fn judge(
        &self,
        column: Column,
        kind: ColumnKind,
        facts: Facts,
        is_series: bool,
        time: Option<&Key>,
    ) -> Judged {
        let runs = facts.runs;
        let skew = facts.moments.as_ref().and_then(|moments| moments.skew());
        let top = facts.top.as_ref().map(|top| top.count);
        let mode_ratio = top.map(|count| count as f64 / runs.rows as f64);
        let known = imputation::Facts {
            kind,
            count: runs.count(),
            missing_rate: runs.rate(),
            longest_run: runs.longest,
            starts: runs.starts,
            skew,
            mode_ratio,
        };
        let choice = self.thresholds.column(&known, is_series);
        let mut report = basic(choice.map_or("no_action", Strategy::name), kind, &facts);
        if facts.moments.is_some() {
            report.insert("skew".to_owned(), json!(skew));
        }
        if mode_ratio.is_some() {
            report.insert("mode_ratio".to_owned(), json!(mode_ratio));
        }
        if let (Some(Strategy::Sequential), Some(time)) = (choice, time) {
            report.insert("order_by".to_owned(), json!([time.name]));
        }
        Judged {
            column,
            kind,
            choice,
            facts,
            report,
        }
    }

    /// What fills a column, and its type then.
    fn filling(
        &self,
        n: usize,
        judged: Judged,
        schema: &Schema,
        planned: &DataType,
        is_late: bool,
    ) -> Result<Filling> {
        let Judged {
            mut column,
            kind,
            choice,
            facts,
            mut report,
        } = judged;
        let field = schema.field(column.index);
        let from = field.data_type();
        let is_given = is_text(from) && planned == &DataType::Float64;
        if is_given {
            column.reads = Reads::Numbers;
        }
        // What the column is, unless an average makes it something else.
        let plain = match (is_late, is_given) {
            (true, false) => from,
            _ => planned,
        };
        let mut to = plain.clone();
        let with = match choice {
            None | Some(Strategy::Column | Strategy::RowRm | Strategy::Auto) => With::Nothing,
            Some(Strategy::Sequential) => With::Forward(Forward::default()),
            Some(Strategy::Average | Strategy::Median) => {
                let strategy = choice.unwrap_or(Strategy::Median);
                let wanted = floating(from, Some(kind));
                let wanted = if is_text(from) { plain.clone() } else { wanted };
                let value = match is_late {
                    true => settled(strategy, &facts, from, &wanted)?,
                    false => averaged(strategy, &facts, &wanted)?,
                };
                to = value.data_type().clone();
                With::Value(value)
            }
            Some(Strategy::Mode) => match facts.top {
                Some(top) => With::Value(top.value),
                None => With::Nothing,
            },
            Some(Strategy::Random) => match facts.pool {
                Some(pool) => {
                    report.insert("sampled".to_owned(), facts.is_sampled.into());
                    With::Picks(pool, Dice::new(self.seed, 2 * n as u64 + 1))
                }
                None => With::Nothing,
            },
            Some(Strategy::Constant) => match default_value(field, kind) {
                Some(value) => With::Value(value),
                None => With::Nothing,
            },
        };
        let with = match with {
            With::Value(value) => {
                report.insert("value".to_owned(), shown(&value));
                With::Value(cast(&value, &to)?)
            }
            With::Picks(pool, dice) => With::Picks(cast(&pool, &to)?, dice),
            other => other,
        };
        if choice.is_some() {
            let is_filled = !matches!(with, With::Nothing | With::Forward(_));
            if is_filled || matches!(with, With::Nothing) {
                let filled = if is_filled { facts.runs.missing } else { 0 };
                report.insert("filled".to_owned(), filled.into());
            }
        }
        self.tally.set_of("columns", &column.name, report);
        Ok(Filling { column, to, with })
    }

    async fn rows(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
        is_late: bool,
    ) -> Result<(SchemaRef, BatchStream)> {
        let first = self.first(input, &schema, &env).await?;
        let planned = self.types(&schema)?;
        let choice = self.thresholds.rows(first.complete, first.rows);
        if first.rows > 0 {
            let share = first.complete as f64 / first.rows as f64;
            self.tally.set("complete_rows_rate", share);
        }
        let spooled = first.spooled.clone();
        let time = first.time.clone();
        let judged = match choice {
            RowChoice::Columns => self.judged(first, &schema, &env).await?,
            RowChoice::Nothing | RowChoice::Remove => plainly(first),
        };
        let mut columns = Vec::with_capacity(judged.len());
        let mut fillings = Vec::with_capacity(judged.len());
        for (n, judged) in judged.into_iter().enumerate() {
            columns.push(judged.column.clone());
            fillings.push(self.filling(n, judged, &schema, &planned[n].1, is_late)?);
        }
        let types: Vec<(usize, DataType)> = fillings
            .iter()
            .map(|filling| (filling.column.index, filling.to.clone()))
            .collect();
        let made = retyped(&schema, &types);
        let is_sequence = |filling: &Filling| matches!(filling.with, With::Forward(_));
        let mut rows = spooled.read();
        if choice == RowChoice::Remove {
            rows = whole(rows, columns, Arc::clone(&self.tally));
        } else if let Some(time) = time.filter(|_| fillings.iter().any(is_sequence)) {
            rows = ordered(rows, &schema, &[time], &env)?;
        }
        Ok((Arc::clone(&made), filled(rows, made, fillings)))
    }
}

/// Whether the column is one of numbers that can be averaged.
fn is_number(kind: ColumnKind, schema: &Schema, column: &Column) -> bool {
    let data_type = schema.field(column.index).data_type();
    kind.is_number() && (is_text(data_type) || data_type.is_numeric())
}

/// The type of a column that gets an average.
fn floating(from: &DataType, kind: Option<ColumnKind>) -> DataType {
    let is_number = kind.is_none_or(ColumnKind::is_number);
    let is_given = kind.is_some_and(ColumnKind::is_number);
    match from {
        from if from.is_decimal() => from.clone(),
        from if from.is_numeric() && is_number => DataType::Float64,
        from if is_text(from) && is_given => DataType::Float64,
        from => from.clone(),
    }
}

fn basic(strategy: &str, kind: ColumnKind, facts: &Facts) -> Map<String, Value> {
    let runs = facts.runs;
    let entries = [
        ("strategy", json!(strategy)),
        ("type", json!(kind)),
        ("missing", json!(runs.missing)),
        ("missing_rate", json!(runs.rate())),
        ("longest_missing_run", json!(runs.longest)),
    ];
    let entries = entries.map(|(key, value)| (key.to_owned(), value));
    entries.into_iter().collect()
}

/// Columns that are not filled: nothing is missing, or rows go.
fn plainly(first: First) -> Vec<Judged> {
    let judged = first.columns.into_iter().map(|(column, kind, facts)| {
        let strategy = match facts.runs.missing {
            0 => "no_action",
            _ => Strategy::RowRm.name(),
        };
        Judged {
            report: basic(strategy, kind, &facts),
            column,
            kind,
            choice: None,
            facts,
        }
    });
    judged.collect()
}

/// The rows in which every column has a value.
fn whole(rows: BatchStream, columns: Vec<Column>, tally: Arc<Tally>) -> BatchStream {
    tally.add("removed", 0);
    rows.map(move |batch| {
        let batch: RecordBatch = batch?;
        let there = columns
            .iter()
            .fold(None, |all: Option<NullBuffer>, column| {
                let there = present(batch.column(column.index), column.missing);
                NullBuffer::union(all.as_ref(), there.as_ref())
            });
        let Some(there) = there else {
            return Ok(batch);
        };
        tally.add("removed", there.null_count() as u64);
        let kept = BooleanArray::new(there.into_inner(), None);
        Ok(filter_record_batch(&batch, &kept)?)
    })
    .boxed()
}

impl Operator for Auto {
    fn name(&self) -> &'static str {
        "weir_auto"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        Ok(retyped(input, &self.types(input)?))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(
            self.rows(input, schema, env, false)
                .map_ok(|(_, rows)| rows),
        )
    }

    fn settles(&self, input: &SchemaRef) -> bool {
        let types = self.types(input).unwrap_or_default();
        types
            .iter()
            .any(|(index, to)| input.field(*index).data_type() != to)
    }

    fn settle(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> BoxFuture<'static, Result<(SchemaRef, BatchStream)>> {
        self.rows(input, schema, env, true).boxed()
    }
}
