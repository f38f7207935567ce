//! Rows beside the rows of another table that have the same keys.

mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::evaluate::common_type;
use weir_core::source::unknown_column;
use weir_core::types::{field_type_name, parse_field};
use weir_core::{BatchStream, Error, Result, config};

use super::at::At;
use super::env::Env;
use super::frame::Frame;
use super::operator::{Arguments, Operator};
use super::pipeline::{Ask, Step};

/// Joins with a stream of a source, or with rows in the step itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinWith {
    /// Name, id or reference of the source of the other table; with `stream`.
    pub source: Option<String>,
    /// The stream of that source.
    pub stream: Option<String>,
    /// The other table itself, in the place of `source` and `stream`: an array of
    /// objects, or `{"columns", "rows"}`.
    pub data: Option<Value>,
    /// Columns of these rows.
    pub left_on: Vec<String>,
    /// Columns of the other table that must equal them, in the same order; the
    /// same names unless given.
    pub right_on: Option<Vec<String>>,
    /// Which rows come out.
    #[serde(default)]
    pub how: How,
    /// Put behind the name of a column of the other table that these rows have, too.
    #[serde(default = "suffix")]
    pub suffix: String,
}

fn suffix() -> String {
    "_right".to_owned()
}

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Every row, with nulls where the other table has none.
    #[default]
    Left,
    /// Rows that have others.
    Inner,
    /// Every row of both.
    Full,
    /// Rows that have others, without their columns.
    Semi,
    /// Rows that have none.
    Anti,
}

impl Step for JoinWith {
    fn check(&self, at: &At) -> Result<()> {
        match (&self.source, &self.stream, &self.data) {
            (Some(_), Some(_), None) | (None, None, Some(_)) => {}
            (Some(_), None, None) => {
                return Err(Error::invalid(at.field("stream"), "`stream` is missing"));
            }
            (None, Some(_), None) => {
                return Err(Error::invalid(at.field("source"), "`source` is missing"));
            }
            _ => {
                let message = "give either `source` and `stream`, or `data`";
                return Err(Error::invalid(at.step(), message));
            }
        }
        if self.left_on.is_empty() {
            let message = "give at least one column to join on";
            return Err(Error::invalid(at.field("left_on"), message));
        }
        let right = self.right_on.as_ref().unwrap_or(&self.left_on);
        if right.len() != self.left_on.len() {
            let message = format!(
                "`left_on` has {} columns, `right_on` {}",
                self.left_on.len(),
                right.len()
            );
            return Err(Error::invalid(at.field("right_on"), message));
        }
        Ok(())
    }

    fn side(&self) -> Option<Ask> {
        match (&self.source, &self.stream, &self.data) {
            (Some(source), Some(stream), _) => Some(Ask::Stream {
                source: source.clone(),
                stream: stream.clone(),
            }),
            (_, _, Some(data)) => Some(Ask::Data(data.clone())),
            _ => None,
        }
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let right = frame
            .side_schema()
            .ok_or_else(|| Error::internal("a join without its other table"))?;
        let left_on = frame.indices_of("left_on", &self.left_on, at)?;
        let names = self.right_on.as_ref().unwrap_or(&self.left_on);
        let field = if self.right_on.is_some() {
            "right_on"
        } else {
            "left_on"
        };
        let mut right_on = Vec::with_capacity(names.len());
        for (n, name) in names.iter().enumerate() {
            let known: Vec<&str> = right.fields().iter().map(|f| f.name().as_str()).collect();
            let place = known.iter().position(|known| known == name);
            let pointer = at.item(field, n);
            right_on.push(place.ok_or_else(|| unknown_column(name, &known, &pointer))?);
            let (left, right) = (frame.field(left_on[n]), right.field(right_on[n]));
            common_type(left, right).map_err(|error| error.repointed(|_| pointer.clone()))?;
        }
        frame.operate_with_side(Arc::new(Join {
            right,
            left_on,
            right_on,
            how: self.how,
            suffix: self.suffix,
        }))
    }
}

/// A join with the second input.
#[derive(Debug)]
pub(crate) struct Join {
    right: SchemaRef,
    left_on: Vec<usize>,
    right_on: Vec<usize>,
    how: How,
    suffix: String,
}

/// A column of the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum From {
    Left(usize),
    Right(usize),
    /// The left one, or the right one where that is null.
    Either(usize, usize),
}

impl Join {
    pub(crate) fn make(args: Value) -> Result<Arc<dyn Operator>> {
        #[derive(Deserialize)]
        struct Args {
            right: Vec<(String, String)>,
            left_on: Vec<usize>,
            right_on: Vec<usize>,
            how: How,
            suffix: String,
        }
        let args: Args = config::decode(args)?;
        let fields = args
            .right
            .iter()
            .map(|(name, shown)| parse_field(name, shown));
        Ok(Arc::new(Join {
            right: Arc::new(Schema::new(fields.collect::<Result<Vec<Field>>>()?)),
            left_on: args.left_on,
            right_on: args.right_on,
            how: args.how,
            suffix: args.suffix,
        }))
    }

    /// The columns of the answer over `left`, with where they come from. A key
    /// that has the same name on both sides comes once.
    fn answer(&self, left: &Schema) -> Vec<(FieldRef, From)> {
        let pairs = || self.left_on.iter().zip(&self.right_on);
        let shared = |l: usize, r: usize| left.field(l).name() == self.right.field(r).name();
        let mut answer: Vec<(FieldRef, From)> = Vec::new();
        for (place, field) in left.fields().iter().enumerate() {
            let twin = pairs().find(|(l, r)| **l == place && shared(**l, **r));
            let from = match twin {
                Some((_, right)) if self.how == How::Full => From::Either(place, *right),
                _ => From::Left(place),
            };
            answer.push((Arc::clone(field), from));
        }
        if matches!(self.how, How::Semi | How::Anti) {
            return answer;
        }
        for (place, field) in self.right.fields().iter().enumerate() {
            if pairs().any(|(l, r)| *r == place && shared(*l, *r)) {
                continue;
            }
            let mut name = field.name().clone();
            if taken(&answer, &name) {
                name.push_str(&self.suffix);
            }
            let (stem, mut n) = (name.clone(), 2);
            while taken(&answer, &name) {
                name = format!("{stem}_{n}");
                n += 1;
            }
            let field = Field::clone(field).with_name(name).with_nullable(true);
            answer.push((Arc::new(field), From::Right(place)));
        }
        answer
    }

    /// The types in which the keys are compared.
    fn keys(&self, left: &Schema) -> Result<Vec<DataType>> {
        let pairs = self.left_on.iter().zip(&self.right_on);
        pairs
            .map(|(l, r)| key_type(left.field(*l), self.right.field(*r)))
            .collect()
    }
}

/// The type in which two keys are equal exactly when their values are.
fn key_type(left: &Field, right: &Field) -> Result<DataType> {
    let common = common_type(left, right)?;
    let (l, r) = (left.data_type(), right.data_type());
    let small = |t: &DataType| t.is_integer() && *t != DataType::UInt64;
    if l == r && (l.is_integer() || matches!(l, DataType::Decimal128(_, _))) {
        return Ok(l.clone());
    }
    if small(l) && small(r) {
        return Ok(DataType::Int64);
    }
    match common {
        // The widest that is needed; what is wider still is compared as text.
        DataType::Decimal256(_, scale) if (0..=18).contains(&scale) && !wide(l) && !wide(r) => {
            Ok(DataType::Decimal128(38, scale))
        }
        other => Ok(other),
    }
}

/// Whether a number may have more than 20 digits before the point.
fn wide(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
            i16::from(*p) - i16::from(*s) > 20
        }
        _ => false,
    }
}

fn taken(answer: &[(FieldRef, From)], name: &str) -> bool {
    answer.iter().any(|(field, _)| field.name() == name)
}

impl Arguments for Join {
    fn args(&self) -> Value {
        let shown = |field: &FieldRef| (field.name().clone(), field_type_name(field));
        let right: Vec<(String, String)> = self.right.fields().iter().map(shown).collect();
        json!({"right": right, "left_on": self.left_on, "right_on": self.right_on, "how": self.how, "suffix": self.suffix})
    }
}

impl Operator for Join {
    fn name(&self) -> &'static str {
        "weir_join"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let fields = self.answer(input).into_iter().map(|(field, _)| field);
        Ok(Arc::new(Schema::new_with_metadata(
            fields.collect::<Vec<_>>(),
            input.metadata().clone(),
        )))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        run::joined(self, input, schema, env)
    }
}
