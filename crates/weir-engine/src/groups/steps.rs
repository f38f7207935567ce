//! The steps over groups and over the order of rows, as callers write them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use weir_core::config::nearest;
use weir_core::evaluate::is_text;
use weir_core::types::field_type_name;
use weir_core::{Error, Result};

use super::accumulate::{Function, Measure};
use super::aggregate::AggregateRows;
use super::broadcast::{BroadcastRows, Moment, Window, condition};
use super::duplicates::{DropRows, KeepRow};
use super::reading::Reading;
use super::shift::ShiftRows;
use crate::condition::parse_condition;
use crate::steps::compared::Compared;
use crate::steps::{At, Frame, Step};

/// Gives every row what its group amounts to; the order of rows stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverGroups {
    /// The columns, each with a result of its own.
    pub columns: Vec<String>,
    /// Rows with equal values here are a group; a row with a null among them is
    /// in none and gets null. Without it, the whole table is the group.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// Only rows count for which this holds, as in `amount > 10 and state ==
    /// 'open'`. A group of which no row counts gets null.
    pub condition: Option<String>,
    /// Only rows count for which `timestamp_a` is at most so many seconds later
    /// than `timestamp_b`, or earlier where this is negative.
    pub window_seconds: Option<f64>,
    /// The later column of the window.
    pub timestamp_a: Option<String>,
    /// The earlier column of the window.
    pub timestamp_b: Option<String>,
    /// Names of the results, one for each of `columns`; else
    /// `{column}_{function}`. A result named like a column takes its place.
    pub names: Option<Vec<String>>,
}

/// [`OverGroups`] with one function: that at place `F` of [`Function::ALL`].
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Broadcast<const F: usize>(OverGroups);

impl<const F: usize> Step for Broadcast<F> {
    fn check(&self, at: &At) -> Result<()> {
        self.0.check(at)
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        self.0.plan(const { Function::ALL[F] }, frame, at)
    }
}

impl OverGroups {
    fn check(&self, at: &At) -> Result<()> {
        if self.columns.is_empty() {
            return Err(Error::invalid(
                at.field("columns"),
                "name at least one column",
            ));
        }
        if let Some(names) = &self.names
            && names.len() != self.columns.len()
        {
            let message = format!(
                "`names` has {} names for {} columns",
                names.len(),
                self.columns.len()
            );
            return Err(Error::invalid(at.field("names"), message)
                .hint("give one name for each of `columns`, in their order"));
        }
        if let Some(text) = &self.condition {
            parse_condition(text, &at.field("condition"))?;
        }
        match (self.window_seconds, &self.timestamp_a, &self.timestamp_b) {
            (None, None, None) | (Some(_), Some(_), Some(_)) => Ok(()),
            _ => Err(Error::invalid(
                at.step(),
                "a window takes `window_seconds`, `timestamp_a` and `timestamp_b` together",
            )),
        }
    }

    fn plan(self, function: Function, frame: Frame, at: &At) -> Result<Frame> {
        let places = frame.indices(&self.columns, at)?;
        let keys = frame.indices_of("group_by", &self.group_by, at)?;
        let mut measures = Vec::with_capacity(places.len());
        for (n, place) in places.into_iter().enumerate() {
            let name = match &self.names {
                Some(names) => names[n].clone(),
                None => format!("{}_{}", self.columns[n], function.name()),
            };
            measures.push(measure(
                &frame,
                function,
                place,
                name,
                at.item("columns", n),
            ));
        }
        unique(&measures, |n| match &self.names {
            Some(_) => at.item("names", n),
            None => at.item("columns", n),
        })?;
        let schema = frame.schema();
        for measure in &measures {
            measure.field(schema)?;
        }
        let mut compared = Compared::default();
        if let Some(text) = &self.condition {
            let pointer = at.field("condition");
            let condition = condition(text, schema, &pointer)?;
            compared = Compared::of(&condition, &frame, &pointer);
            let test = compared.test(&condition, schema);
            drop(test.map_err(|error| error.repointed(|_| pointer.clone()))?);
        }
        let window = self.window(&frame, at)?;
        frame.operate(Arc::new(BroadcastRows {
            keys,
            measures,
            condition: self.condition,
            compared,
            window,
        }))
    }

    fn window(&self, frame: &Frame, at: &At) -> Result<Option<Window>> {
        let (Some(seconds), Some(a), Some(b)) =
            (self.window_seconds, &self.timestamp_a, &self.timestamp_b)
        else {
            return Ok(None);
        };
        if !seconds.is_finite() {
            return Err(Error::invalid(
                at.field("window_seconds"),
                "no number of seconds",
            ));
        }
        let moment = |name: &str, field: &str| -> Result<Moment> {
            let pointer = at.field(field);
            let column = frame.index(name, &pointer)?;
            let stored = frame.field(column);
            let read = match stored.data_type() {
                DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Reading::Stored,
                text if is_text(text) => Reading::Moments,
                _ => {
                    let shown = field_type_name(stored);
                    let message = format!("a window needs dates, and column `{name}` is {shown}");
                    return Err(Error::invalid(pointer, message)
                        .hint("convert the column to a timestamp with convert_type first"));
                }
            };
            Ok(Moment {
                column,
                read,
                of: name.to_owned(),
                pointer,
            })
        };
        Ok(Some(Window {
            // Beyond all there is: as far as it goes.
            micros: (seconds * 1e6).round() as i64,
            a: moment(a, "timestamp_a")?,
            b: moment(b, "timestamp_b")?,
        }))
    }
}

/// What is computed of the column at `place`.
fn measure(
    frame: &Frame,
    function: Function,
    place: usize,
    name: String,
    pointer: String,
) -> Measure {
    let read = match function.calculates() {
        true => Reading::of(frame, place),
        false => Reading::Stored,
    };
    Measure {
        function,
        column: place,
        name,
        of: frame.field(place).name().clone(),
        pointer,
        read,
    }
}

/// No two results have one name.
fn unique(measures: &[Measure], pointer: impl Fn(usize) -> String) -> Result<()> {
    let mut known = HashSet::new();
    for (n, measure) in measures.iter().enumerate() {
        if !known.insert(measure.name.as_str()) {
            let message = format!("two results are named `{}`", measure.name);
            return Err(
                Error::invalid(pointer(n), message).hint("give each result a name of its own")
            );
        }
    }
    Ok(())
}

/// Gives one row for each group, in the order in which the groups first appear.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// Rows with equal values here are a group, null among them; without it, the
    /// whole table is one.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// What is computed of each group.
    #[serde(default)]
    pub aggregations: Vec<Aggregation>,
}

/// One result.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregation {
    /// What is computed.
    #[schemars(with = "Function")]
    pub function: String,
    /// Of which column; `count` without one counts rows.
    pub column: Option<String>,
    /// The name of the result; else `{column}_{function}`.
    pub name: Option<String>,
}

impl Aggregation {
    fn function(&self, pointer: &str) -> Result<Function> {
        const KNOWN: [&str; 15] = [
            "average",
            "mean",
            "avg",
            "sum",
            "min",
            "max",
            "median",
            "count",
            "count_distinct",
            "first",
            "last",
            "std",
            "stddev",
            "var",
            "variance",
        ];
        serde_json::from_value(Value::String(self.function.clone())).map_err(|_| {
            let shown: String = self.function.chars().take(40).collect();
            let message = match nearest(&self.function, &KNOWN) {
                Some(near) => format!("there is no function `{shown}`; did you mean `{near}`?"),
                None => format!("there is no function `{shown}`"),
            };
            Error::invalid(pointer, message).hint(
                "functions are average, sum, min, max, median, count, count_distinct, first, last, std and var",
            )
        })
    }

    fn measure(&self, frame: &Frame, at: &str) -> Result<Measure> {
        let function = self.function(&format!("{at}/function"))?;
        let pointer = format!("{at}/column");
        let Some(column) = &self.column else {
            if function != Function::Count || frame.schema().fields().is_empty() {
                let message = format!("`column` is missing: of what is the {}?", function.name());
                return Err(Error::invalid(pointer, message));
            }
            let name = self.name.clone().unwrap_or_else(|| "count".to_owned());
            return Ok(Measure {
                read: Reading::Rows,
                ..measure(frame, function, 0, name, pointer)
            });
        };
        let place = frame.index(column, &pointer)?;
        let name = self.name.clone();
        let name = name.unwrap_or_else(|| format!("{column}_{}", function.name()));
        let measure = measure(frame, function, place, name, pointer);
        measure.field(frame.schema())?;
        Ok(measure)
    }
}

impl Step for Aggregate {
    fn check(&self, at: &At) -> Result<()> {
        if self.group_by.is_empty() && self.aggregations.is_empty() {
            return Err(Error::invalid(
                at.step(),
                "give `group_by`, `aggregations` or both",
            ));
        }
        for (n, aggregation) in self.aggregations.iter().enumerate() {
            aggregation.function(&format!("{}/function", at.item("aggregations", n)))?;
        }
        let mut known = HashSet::new();
        for (n, name) in self.group_by.iter().enumerate() {
            if !known.insert(name) {
                let message = format!("`{name}` stands twice in `group_by`");
                return Err(Error::invalid(at.item("group_by", n), message));
            }
        }
        Ok(())
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let keys = frame.indices_of("group_by", &self.group_by, at)?;
        let item = |n: usize| at.item("aggregations", n);
        let measures = self.aggregations.iter().enumerate();
        let measures = measures.map(|(n, one)| one.measure(&frame, &item(n)));
        let measures = measures.collect::<Result<Vec<Measure>>>()?;
        unique(&measures, |n| format!("{}/name", item(n)))?;
        for (n, measure) in measures.iter().enumerate() {
            if self.group_by.contains(&measure.name) {
                let message = format!("`{}` is a column of `group_by`", measure.name);
                return Err(Error::invalid(format!("{}/name", item(n)), message)
                    .hint("give the result another name"));
            }
        }
        let tally = frame.tally();
        tally.add("groups", 0);
        frame.operate(Arc::new(AggregateRows {
            keys,
            measures,
            tally,
        }))
    }
}

/// Leaves out rows that come again; the others keep their order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropDuplicates {
    /// Rows are equal that are equal here; nulls equal each other. All columns
    /// where it is not given.
    pub columns: Option<Vec<String>>,
    /// Which of several equal rows stays.
    #[serde(default)]
    pub keep: KeepRow,
}

impl Step for DropDuplicates {
    fn check(&self, at: &At) -> Result<()> {
        match &self.columns {
            Some(columns) if columns.is_empty() => Err(Error::invalid(
                at.field("columns"),
                "name at least one column, or leave `columns` out for all of them",
            )),
            _ => Ok(()),
        }
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let keys = match &self.columns {
            Some(columns) => frame.indices(columns, at)?,
            None => (0..frame.schema().fields().len()).collect(),
        };
        let tally = frame.tally();
        tally.add("removed", 0);
        frame.operate(Arc::new(DropRows {
            keys,
            keep: self.keep,
            tally,
        }))
    }
}

/// Gives the difference of each row's value from that of an earlier row.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    /// The column: numbers, or dates, whose difference is in days.
    pub column: String,
    /// How many rows earlier; later, where it is negative.
    #[serde(default = "one_period")]
    pub periods: i64,
    /// Earlier within the group of rows with equal values here.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// The name of the result; else `{column}_diff`.
    pub name: Option<String>,
}

fn one_period() -> i64 {
    1
}

impl Step for Diff {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let pointer = at.field("column");
        let column = frame.index(&self.column, &pointer)?;
        let operator = ShiftRows {
            column,
            periods: self.periods,
            keys: frame.indices_of("group_by", &self.group_by, at)?,
            name: self.name.unwrap_or_else(|| format!("{}_diff", self.column)),
            is_difference: true,
            read: Reading::of(&frame, column),
            fill: Value::Null,
            of: self.column,
            pointer,
        };
        frame.operate(Arc::new(operator))
    }
}

/// Moves the values of a column to other rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShiftArgs {
    /// The column.
    pub column: String,
    /// By how many rows; the other way, where it is negative.
    #[serde(default = "one_period")]
    pub periods: i64,
    /// Within the group of rows with equal values here; a row with a null among
    /// them is in none and gets null.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// What comes in at the open end; else null.
    #[serde(default)]
    pub fill: Value,
    /// The name of the result; else `{column}_shift_down` or `{column}_shift_up`.
    pub name: Option<String>,
}

impl ShiftArgs {
    fn plan(self, is_down: bool, frame: Frame, at: &At) -> Result<Frame> {
        let column = frame.index(&self.column, &at.field("column"))?;
        let pointer = at.field("fill");
        super::fill::one(&self.fill, frame.field(column), &pointer)?;
        let suffix = if is_down { "shift_down" } else { "shift_up" };
        let operator = ShiftRows {
            column,
            periods: match is_down {
                true => self.periods,
                false => self.periods.saturating_neg(),
            },
            keys: frame.indices_of("group_by", &self.group_by, at)?,
            name: self
                .name
                .unwrap_or_else(|| format!("{}_{suffix}", self.column)),
            is_difference: false,
            read: Reading::Stored,
            fill: self.fill,
            of: self.column,
            pointer,
        };
        frame.operate(Arc::new(operator))
    }
}

/// Moves values down: each row gets that of an earlier one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ShiftDown(ShiftArgs);

impl Step for ShiftDown {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        self.0.plan(true, frame, at)
    }
}

/// Moves values up: each row gets that of a later one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ShiftUp(ShiftArgs);

impl Step for ShiftUp {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        self.0.plan(false, frame, at)
    }
}
