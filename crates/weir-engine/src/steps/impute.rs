//! The steps that deal with what is missing: filling it, or leaving its rows out.

use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::DataType;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::types::field_type_name;
use weir_core::{Error, Result, config};
use weir_values::ColumnKind;
use weir_values::imputation::{Strategy, Thresholds};
use weir_values::missing::Missing;
use weir_values::texts::is_text;

use super::at::At;
use super::auto::Auto;
use super::carry::{Back, Carry, Key};
use super::constant::{constant, default_value, needs_value};
use super::facts::shown;
use super::fill::{Fill, Gap};
use super::filling::averaged_type;
use super::frame::Frame;
use super::function::RowFunction;
use super::gaps::{Constant, Copied, There, written};
use super::pipeline::Step;
use super::shape::no_repeats;

/// Fills missing values: nulls, and blank text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Impute {
    /// The columns to fill.
    pub columns: Vec<String>,
    /// How; `constant` where a `value` is given.
    pub strategy: Option<Strategy>,
    /// What `constant` fills with. Without it numbers get 0, lists `[]` and text
    /// `missing`.
    pub value: Option<Value>,
    /// The column that `column` copies from.
    pub source_column: Option<String>,
    /// The columns whose order `sequential` follows, in which the rows stay; the
    /// order of the rows without them.
    pub order_by: Option<Vec<String>>,
    /// The same values are drawn for the same seed; without one it is drawn too,
    /// and told in the report.
    #[serde(default, deserialize_with = "config::whole_option")]
    pub seed: Option<u64>,
    /// Where the rules of `auto` end; each is optional.
    pub thresholds: Option<Thresholds>,
}

impl Impute {
    fn strategy(&self, at: &At) -> Result<Strategy> {
        match (self.strategy, &self.value) {
            (Some(strategy), _) => Ok(strategy),
            (None, Some(_)) => Ok(Strategy::Constant),
            (None, None) => Err(
                Error::invalid(at.field("strategy"), "`strategy` is missing")
                    .hint("give a strategy, for example `auto`, or a `value`"),
            ),
        }
    }

    /// Arguments that the strategy does not look at.
    fn idle(&self, strategy: Strategy) -> Vec<String> {
        let given = [
            ("value", self.value.is_some(), Strategy::Constant),
            (
                "source_column",
                self.source_column.is_some(),
                Strategy::Column,
            ),
            ("order_by", self.order_by.is_some(), Strategy::Sequential),
            ("thresholds", self.thresholds.is_some(), Strategy::Auto),
        ];
        let idle = given
            .into_iter()
            .filter(|(_, is_given, of)| *is_given && *of != strategy);
        idle.map(|(name, ..)| {
            format!(
                "`{name}` does nothing with the strategy `{}`",
                strategy.name()
            )
        })
        .collect()
    }
}

impl Step for Impute {
    fn check(&self, at: &At) -> Result<()> {
        no_repeats("columns", &self.columns, at)?;
        let strategy = self.strategy(at)?;
        if strategy == Strategy::Column && self.source_column.is_none() {
            let message = "the strategy `column` needs `source_column`";
            return Err(Error::invalid(at.field("source_column"), message));
        }
        Ok(())
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let strategy = self.strategy(at)?;
        for text in self.idle(strategy) {
            frame.tally().warn(text);
        }
        let gaps = gaps(&frame, &self.columns, at)?;
        let seed = self
            .seed
            .unwrap_or_else(|| u64::from(rand::random::<u32>()));
        if self.seed.is_some() || matches!(strategy, Strategy::Random | Strategy::Auto) {
            frame.note("seed", seed);
        }
        let blanks = Missing::Blanks;
        match strategy {
            Strategy::Average | Strategy::Median | Strategy::Mode | Strategy::Random => {
                found(frame, strategy, gaps, blanks, seed)
            }
            Strategy::Constant => constants(frame, gaps, self.value, blanks, at),
            Strategy::Sequential => {
                let keys = keys(&frame, &self.order_by.unwrap_or_default(), at)?;
                carried(frame, gaps, keys, blanks)
            }
            Strategy::Column => {
                let source = self.source_column.unwrap_or_default();
                copied(frame, gaps, &source, at)
            }
            Strategy::RowRm => {
                let there = There {
                    least: gaps.len() as u64,
                    blanks: true,
                    tally: frame.tally(),
                };
                let inputs = frame.indices(&self.columns, at)?;
                complete(frame, there, inputs)
            }
            Strategy::Auto => {
                let auto = Auto {
                    gaps,
                    thresholds: self.thresholds.unwrap_or_default(),
                    others: Auto::others(&frame, &self.columns),
                    seed,
                    tally: frame.tally(),
                };
                frame.operate(Arc::new(auto))
            }
        }
    }
}

/// Fills nulls; blank text stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FillNulls {
    /// The columns to fill.
    pub columns: Vec<String>,
    /// How; `constant` where a `value` is given.
    pub method: Option<Method>,
    /// What `constant` fills with. Without it numbers get 0, lists `[]` and text
    /// `missing`.
    pub value: Option<Value>,
}

/// A way to fill nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The mean of the values that are there.
    Mean,
    /// Their median.
    Median,
    /// The most frequent one; of several the smallest.
    Mode,
    /// The last one before.
    Ffill,
    /// The next one behind.
    Bfill,
    /// One value for all.
    Constant,
}

impl Step for FillNulls {
    fn check(&self, at: &At) -> Result<()> {
        no_repeats("columns", &self.columns, at)?;
        if self.method.is_none() && self.value.is_none() {
            let error = Error::invalid(at.field("method"), "`method` is missing");
            return Err(error.hint("give a method, for example `median`, or a `value`"));
        }
        Ok(())
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let method = self.method.unwrap_or(Method::Constant);
        if self.value.is_some() && method != Method::Constant {
            frame
                .tally()
                .warn("`value` does nothing but with the method `constant`");
        }
        let gaps = gaps(&frame, &self.columns, at)?;
        let nulls = Missing::Nulls;
        match method {
            Method::Mean => found(frame, Strategy::Average, gaps, nulls, 0),
            Method::Median => found(frame, Strategy::Median, gaps, nulls, 0),
            Method::Mode => found(frame, Strategy::Mode, gaps, nulls, 0),
            Method::Constant => constants(frame, gaps, self.value, nulls, at),
            Method::Ffill => carried(frame, gaps, Vec::new(), nulls),
            Method::Bfill => {
                let tally = frame.tally();
                frame.operate(Arc::new(Back { gaps, tally }))
            }
        }
    }
}

/// Leaves rows with nulls out; blank text is none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropNulls {
    /// The columns to look at; all without it.
    pub columns: Option<Vec<String>>,
    /// Rows with any null go, or those with nulls only.
    #[serde(default)]
    pub how: How,
    /// Rows with at least so many values stay, whatever `how` says.
    #[serde(default, deserialize_with = "config::whole_option")]
    pub thresh: Option<u64>,
}

/// Which rows have too many nulls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Those with one.
    #[default]
    Any,
    /// Those with nothing else.
    All,
}

impl Step for DropNulls {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let inputs = match &self.columns {
            Some(columns) => frame.indices(columns, at)?,
            None => (0..frame.schema().fields().len()).collect(),
        };
        let all = inputs.len() as u64;
        let least = match (self.thresh, self.how) {
            (Some(thresh), _) => thresh,
            (None, How::Any) => all,
            (None, How::All) => all.min(1),
        };
        let there = There {
            least,
            blanks: false,
            tally: frame.tally(),
        };
        complete(frame, there, inputs)
    }
}

pub(super) fn gaps(frame: &Frame, columns: &[String], at: &At) -> Result<Vec<Gap>> {
    let places = frame.indices(columns, at)?;
    let gap = |(n, place): (usize, usize)| Gap {
        name: columns[n].clone(),
        pointer: at.item("columns", n),
        kind: frame.kind_of(place),
    };
    Ok(places.into_iter().enumerate().map(gap).collect())
}

fn keys(frame: &Frame, columns: &[String], at: &At) -> Result<Vec<Key>> {
    let places = frame.indices_of("order_by", columns, at)?;
    let mut keys = Vec::with_capacity(places.len());
    for (n, place) in places.into_iter().enumerate() {
        let field = frame.field(place);
        if field.data_type().is_nested() {
            let shown = field_type_name(field);
            let message = format!("rows cannot be ordered by `{}`, a {shown}", columns[n]);
            return Err(Error::invalid(at.item("order_by", n), message));
        }
        keys.push(Key {
            name: columns[n].clone(),
            kind: frame.kind_of(place),
        });
    }
    Ok(keys)
}

/// What each column itself says fills its gaps.
fn found(
    frame: Frame,
    strategy: Strategy,
    gaps: Vec<Gap>,
    missing: Missing,
    seed: u64,
) -> Result<Frame> {
    if matches!(strategy, Strategy::Average | Strategy::Median) {
        for gap in &gaps {
            let column = gap.column(frame.schema(), strategy, missing)?;
            averaged_type(frame.schema(), &column, gap.is_number())?;
        }
    }
    let fill = Fill {
        strategy,
        blanks: missing == Missing::Blanks,
        gaps,
        seed,
        tally: frame.tally(),
    };
    frame.operate(Arc::new(fill))
}

fn carried(frame: Frame, gaps: Vec<Gap>, order: Vec<Key>, missing: Missing) -> Result<Frame> {
    for gap in &gaps {
        let entry = json!({"strategy": Strategy::Sequential.name()});
        frame.tally().set_of("columns", &gap.name, entry);
    }
    let carry = Carry {
        gaps,
        order,
        blanks: missing == Missing::Blanks,
        tally: frame.tally(),
    };
    frame.operate(Arc::new(carry))
}

/// One value for all gaps of a column. Text whose meaning nobody has told is
/// looked at first, where no value is given.
fn constants(
    frame: Frame,
    gaps: Vec<Gap>,
    value: Option<Value>,
    missing: Missing,
    at: &At,
) -> Result<Frame> {
    let mut changes: Vec<(usize, Arc<dyn RowFunction>, Vec<usize>)> = Vec::new();
    let mut unknown = Vec::new();
    for gap in gaps {
        let place = frame.index(&gap.name, &gap.pointer)?;
        let field = frame.field(place);
        let array = match (&value, gap.kind) {
            (Some(value), _) => constant(value, field, &at.field("value"))?,
            (None, None) if is_text(field.data_type()) => {
                unknown.push(gap);
                continue;
            }
            (None, kind) => {
                let kind = kind.unwrap_or(match field.data_type() {
                    data_type if data_type.is_list() => ColumnKind::List,
                    _ => ColumnKind::Number,
                });
                default_value(field, kind).ok_or_else(|| needs_value(field, &gap.pointer))?
            }
        };
        let entry = json!({"strategy": Strategy::Constant.name(), "value": shown(&array)});
        frame.tally().set_of("columns", &gap.name, entry);
        frame.tally().count("filled", &gap.name, 0);
        let function = Constant {
            column: gap.name,
            written: written(&array)?,
            value: array,
            blanks: missing == Missing::Blanks,
            tally: frame.tally(),
        };
        changes.push((place, Arc::new(function), vec![place]));
    }
    let frame = match changes.is_empty() {
        true => frame,
        false => frame.replace_all(changes)?,
    };
    match unknown.is_empty() {
        true => Ok(frame),
        false => found(frame, Strategy::Constant, unknown, missing, 0),
    }
}

/// Values of another column of the same row.
fn copied(frame: Frame, gaps: Vec<Gap>, source: &str, at: &At) -> Result<Frame> {
    let pointer = at.field("source_column");
    let from = frame.index(source, &pointer)?;
    let mut changes: Vec<(usize, Arc<dyn RowFunction>, Vec<usize>)> = Vec::new();
    for gap in gaps {
        let place = frame.index(&gap.name, &gap.pointer)?;
        let (to, given) = (frame.field(place), frame.field(from));
        if !may_copy(given.data_type(), to.data_type()) {
            let message = format!(
                "`{source}`, a {}, cannot fill `{}`, a {}",
                field_type_name(given),
                gap.name,
                field_type_name(to)
            );
            return Err(Error::invalid(pointer, message)
                .hint("convert one of the columns with convert_type first"));
        }
        let entry = json!({"strategy": Strategy::Column.name(), "source_column": source});
        frame.tally().set_of("columns", &gap.name, entry);
        frame.tally().count("filled", &gap.name, 0);
        let function = Copied {
            column: gap.name,
            tally: frame.tally(),
        };
        changes.push((place, Arc::new(function), vec![place, from]));
    }
    match changes.is_empty() {
        true => Ok(frame),
        false => frame.replace_all(changes),
    }
}

/// Whether values of `from` stand in a column of `to` as they are.
fn may_copy(from: &DataType, to: &DataType) -> bool {
    let whole = |data_type: &DataType| {
        data_type.is_integer().then(|| {
            let bits = data_type.primitive_width().unwrap_or(8) * 8;
            (data_type.is_signed_integer(), bits)
        })
    };
    match (whole(from), whole(to)) {
        _ if from == to => true,
        _ if is_text(to) => !from.is_nested() && can_cast_types(from, to),
        (Some((false, bits)), Some((true, wider))) => bits < wider,
        (Some((signed, bits)), Some((same, wider))) => signed == same && bits <= wider,
        (Some((_, bits)), None) => to == &DataType::Float64 && bits <= 32,
        _ => from.is_floating() && to == &DataType::Float64,
    }
}

fn complete(frame: Frame, there: There, inputs: Vec<usize>) -> Result<Frame> {
    frame.tally().add("removed", 0);
    frame.filter(Arc::new(there), inputs)
}
