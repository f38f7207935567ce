//! The step that adds a column: a SQL expression over the others, or one of the
//! functions of Mage's `add`.

mod calculation;
mod choice;
mod pieces;
mod plan;

pub(super) use calculation::Calculation;
pub(super) use choice::Choice;
pub(super) use pieces::Piece;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::{Error, Result};

use super::at::At;
use super::cells::{checked_type, converted};
use super::frame::Frame;
use super::pipeline::Step;

/// Adds a column, last; one of the same name is replaced in place.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddColumn {
    /// The name of the column.
    pub name: String,
    /// A SQL expression over the columns of a row. This or `udf`.
    pub expression: Option<String>,
    /// A function, whose arguments stand beside it. This or `expression`.
    pub udf: Option<Udf>,
    /// Converts the result, as `convert_type` does.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// The operands, in order.
    pub columns: Option<Vec<String>>,
    /// `constant`: the value. `addition`, `difference`, `multiply`, `divide`: a
    /// last operand.
    #[schemars(schema_with = "super::cells::scalar_schema")]
    #[serde(default, deserialize_with = "given")]
    pub value: Option<Value>,
    /// What a number is that moves a date; days unless given.
    pub time_unit: Option<TimeUnit>,
    /// `date_trunc`: what the date is cut off to.
    pub date_part: Option<DatePart>,
    /// `formatted_date`: codes of strftime.
    pub format: Option<String>,
    /// `if_else`: condition text, as in `filter_rows`.
    pub condition: Option<String>,
    /// `if_else`: a value or `{"column": name}`, where the condition holds.
    #[serde(default, deserialize_with = "given")]
    pub then: Option<Value>,
    /// `if_else`: a value or `{"column": name}`, where it does not.
    #[serde(rename = "else", default, deserialize_with = "given")]
    pub else_: Option<Value>,
    /// `string_replace`: what is searched.
    pub pattern: Option<String>,
    /// `string_replace`: what takes its place; `$1` and `\1` are groups.
    pub replacement: Option<String>,
    /// `string_replace`: the pattern is a regular expression; so it is unless this
    /// is false.
    pub regex: Option<bool>,
    /// `string_split`: what stands between the parts, as it stands.
    pub separator: Option<String>,
    /// `string_split`: which part, from 0; negative from the end.
    pub part_index: Option<i64>,
    /// `substring`: the first character, from 0; negative from the end.
    pub start: Option<i64>,
    /// `substring`: the character before which it ends.
    pub stop: Option<i64>,
}

/// A value that may be null, and is then there.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A function of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Udf {
    /// All operands added; a date moved by numbers.
    Addition,
    /// Operands subtracted from the first; two dates in days.
    Difference,
    /// All operands multiplied.
    Multiply,
    /// The first operand divided by the others; by zero it is null.
    Divide,
    /// The same value in every row.
    Constant,
    /// A date cut off to a part of the calendar.
    DateTrunc,
    /// A date as text.
    FormattedDate,
    /// Kilometres between two places: columns of latitude and longitude, twice.
    DistanceBetween,
    /// One value where a condition holds, else another.
    IfElse,
    /// Text with matches replaced.
    StringReplace,
    /// A part of text between separators.
    StringSplit,
    /// Some characters of text.
    Substring,
}

impl Udf {
    /// The arguments it takes beside `name`, `udf` and `type`.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Udf::Addition | Udf::Difference | Udf::Multiply | Udf::Divide => {
                &["columns", "value", "time_unit"]
            }
            Udf::Constant => &["value"],
            Udf::DateTrunc => &["columns", "date_part"],
            Udf::FormattedDate => &["columns", "format"],
            Udf::DistanceBetween => &["columns"],
            Udf::IfElse => &["condition", "then", "else"],
            Udf::StringReplace => &["columns", "pattern", "replacement", "regex"],
            Udf::StringSplit => &["columns", "separator", "part_index"],
            Udf::Substring => &["columns", "start", "stop"],
        }
    }
}

/// What one is worth that is added to a date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TimeUnit {
    /// Days.
    #[default]
    #[serde(rename = "d")]
    Day,
    /// Hours.
    #[serde(rename = "h")]
    Hour,
    /// Minutes.
    #[serde(rename = "m")]
    Minute,
    /// Seconds.
    #[serde(rename = "s")]
    Second,
}

impl TimeUnit {
    /// In microseconds.
    pub(super) fn micros(self) -> i64 {
        1_000_000
            * match self {
                TimeUnit::Day => 86_400,
                TimeUnit::Hour => 3_600,
                TimeUnit::Minute => 60,
                TimeUnit::Second => 1,
            }
    }
}

/// A part of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// Fractions go.
    Second,
    /// Seconds go.
    Minute,
    /// Minutes go.
    Hour,
    /// The time goes.
    Day,
    /// The Monday of the week.
    Week,
    /// The first of the month.
    Month,
    /// The first of the quarter.
    Quarter,
    /// The first of January.
    Year,
}

impl AddColumn {
    /// The arguments that are there.
    fn arguments(&self) -> Vec<&'static str> {
        let all = [
            ("columns", self.columns.is_some()),
            ("value", self.value.is_some()),
            ("time_unit", self.time_unit.is_some()),
            ("date_part", self.date_part.is_some()),
            ("format", self.format.is_some()),
            ("condition", self.condition.is_some()),
            ("then", self.then.is_some()),
            ("else", self.else_.is_some()),
            ("pattern", self.pattern.is_some()),
            ("replacement", self.replacement.is_some()),
            ("regex", self.regex.is_some()),
            ("separator", self.separator.is_some()),
            ("part_index", self.part_index.is_some()),
            ("start", self.start.is_some()),
            ("stop", self.stop.is_some()),
        ];
        let there = all.into_iter().filter(|(_, there)| *there);
        there.map(|(name, _)| name).collect()
    }

    /// What is wrong where an argument stands that is not taken.
    fn only(&self, taken: &[&str], whose: &str, at: &At) -> Result<()> {
        match self
            .arguments()
            .into_iter()
            .find(|name| !taken.contains(name))
        {
            None => Ok(()),
            Some(name) => {
                let message = format!("{whose} takes no `{name}`");
                let error = Error::invalid(at.field(name), message).code("unknown_field");
                Err(match taken {
                    [] => error,
                    taken => error.hint(format!("it takes {}", taken.join(", "))),
                })
            }
        }
    }

    /// The argument `name`, which must be there.
    fn needed<'a, T>(value: &'a Option<T>, name: &str, at: &At) -> Result<&'a T> {
        value.as_ref().ok_or_else(|| {
            let message = format!("`{name}` is missing");
            Error::invalid(at.field(name), message)
        })
    }
}

impl Step for AddColumn {
    fn check(&self, at: &At) -> Result<()> {
        if self.name.is_empty() {
            return Err(Error::invalid(at.field("name"), "a name must not be empty"));
        }
        if let Some(text) = &self.type_ {
            checked_type(text, at)?;
        }
        match (&self.expression, self.udf) {
            (Some(_), None) => self.only(&[], "an expression", at),
            (None, Some(udf)) => {
                self.only(udf.arguments(), "this function", at)?;
                self.check_udf(udf, at)
            }
            _ => {
                let message = "give one of `expression` and `udf`";
                Err(Error::invalid(at.step(), message)
                    .hint("`expression` is SQL over the columns; `udf` names a function"))
            }
        }
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let name = self.name.clone();
        let type_ = self.type_.clone();
        let frame = match (&self.expression, self.udf) {
            (Some(text), _) => {
                let (function, inputs) =
                    super::sql::expression(&frame, text, &at.field("expression"))?;
                frame.put(&name, std::sync::Arc::new(function), inputs)?
            }
            (None, Some(udf)) => self.plan_udf(udf, frame, at)?,
            (None, None) => frame,
        };
        match (type_, frame.find(&name)) {
            (Some(type_), Some(place)) => converted(frame, place, &type_),
            _ => Ok(frame),
        }
    }
}
