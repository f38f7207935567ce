//! The functions over groups: which there are, what they give for a column of a
//! type, and what computes them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::types::field_type_name;
use weir_core::{Error, Result};

use super::distinct::Distinct;
use super::extreme::{Keep, pick};
use super::median::Medians;
use super::physical::{input_type, is_number};
use super::spread::Spread;
use super::totals::totals;
use super::{Accumulator, Counts};
use crate::groups::reading::{Reading, Told};

/// What is computed of the values of a group. Nulls are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// The mean.
    #[serde(alias = "mean", alias = "avg")]
    Average,
    /// The sum; of no values 0.
    Sum,
    /// The smallest value; of text by code point.
    #[serde(alias = "minimum")]
    Min,
    /// The largest value; of text by code point.
    #[serde(alias = "maximum")]
    Max,
    /// The value in the middle, or the mean of the two there.
    Median,
    /// How many values there are.
    Count,
    /// How many different values there are.
    #[serde(alias = "nunique", alias = "distinct_count")]
    CountDistinct,
    /// The first value in row order.
    First,
    /// The last value in row order.
    Last,
    /// The standard deviation of a sample (n − 1); null below two values.
    #[serde(alias = "stddev")]
    Std,
    /// The variance of a sample (n − 1); null below two values.
    #[serde(alias = "variance")]
    Var,
}

const _: () = {
    let mut place = 0;
    while place < Function::ALL.len() {
        assert!(Function::ALL[place] as usize == place);
        place += 1;
    }
};

impl Function {
    /// Every function, each at the place of its number.
    pub(crate) const ALL: [Function; 11] = [
        Function::Average,
        Function::Sum,
        Function::Min,
        Function::Max,
        Function::Median,
        Function::Count,
        Function::CountDistinct,
        Function::First,
        Function::Last,
        Function::Std,
        Function::Var,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Function::Average => "average",
            Function::Sum => "sum",
            Function::Min => "min",
            Function::Max => "max",
            Function::Median => "median",
            Function::Count => "count",
            Function::CountDistinct => "count_distinct",
            Function::First => "first",
            Function::Last => "last",
            Function::Std => "std",
            Function::Var => "var",
        }
    }

    /// Whether it calculates with numbers, or compares values as such.
    pub(crate) fn calculates(self) -> bool {
        self.is_arithmetic() || matches!(self, Function::Min | Function::Max)
    }

    fn is_arithmetic(self) -> bool {
        matches!(
            self,
            Function::Average | Function::Sum | Function::Median | Function::Std | Function::Var
        )
    }

    /// Whether it keeps every value of a group until the end.
    pub(crate) fn keeps_values(self) -> bool {
        matches!(self, Function::Median | Function::CountDistinct)
    }

    /// The field of its result for `input`, or what it cannot work with.
    pub(crate) fn result(self, input: &Field, pointer: &str) -> Result<Field> {
        let data_type = match input.data_type() {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        let refused = |what: &str| {
            let message = format!(
                "{} needs {what}, and column `{}` is {}",
                self.name(),
                input.name(),
                field_type_name(input)
            );
            Error::invalid(pointer, message).hint(
                "convert the column with convert_type first, or say what it means in column_types",
            )
        };
        let result = match self {
            Function::Count | Function::CountDistinct => DataType::Int64,
            Function::First | Function::Last => {
                return Ok(input
                    .clone()
                    .with_data_type(data_type.clone())
                    .with_nullable(true));
            }
            Function::Min | Function::Max => {
                if data_type.is_nested() || matches!(data_type, DataType::Interval(_)) {
                    return Err(refused("numbers, dates, booleans or text"));
                }
                return Ok(input
                    .clone()
                    .with_data_type(data_type.clone())
                    .with_nullable(true));
            }
            _ if !is_number(data_type) => return Err(refused("numbers")),
            Function::Sum => sum_type(data_type),
            Function::Average | Function::Median | Function::Std | Function::Var => {
                DataType::Float64
            }
        };
        Ok(Field::new(input.name(), result, true))
    }

    /// What computes it. `input` is a type that [`super::input_type`] gave.
    fn accumulator(self, measure: &Measure, input: &DataType) -> Box<dyn Accumulator> {
        match self {
            Function::Count => Box::new(Counts::default()),
            Function::CountDistinct => Box::new(Distinct::new()),
            Function::Average => totals(input, true, measure),
            Function::Sum => totals(input, false, measure),
            Function::Median => Box::new(Medians::new(input)),
            Function::Std => Box::new(Spread::new(true)),
            Function::Var => Box::new(Spread::new(false)),
            Function::Min => pick(Keep::Min, input),
            Function::Max => pick(Keep::Max, input),
            Function::First => pick(Keep::First, input),
            Function::Last => pick(Keep::Last, input),
        }
    }
}

fn sum_type(input: &DataType) -> DataType {
    match input {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal32(_, s) | DataType::Decimal64(_, s) | DataType::Decimal128(_, s) => {
            DataType::Decimal128(38, *s)
        }
        DataType::Decimal256(_, s) => DataType::Decimal256(76, *s),
        _ => DataType::Int64,
    }
}

/// One result over groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measure {
    pub(crate) function: Function,
    /// The place of the column.
    pub(crate) column: usize,
    /// The name of the result.
    pub(crate) name: String,
    /// The name of the column as the caller knows it.
    pub(crate) of: String,
    /// Where errors point.
    pub(crate) pointer: String,
    /// How the column is read.
    #[serde(default)]
    pub(crate) read: Reading,
}

impl Measure {
    /// The field of the result over rows of `schema`.
    pub(crate) fn field(&self, schema: &Schema) -> Result<FieldRef> {
        let stored = schema.field(self.column);
        let read = self.read.data_type(stored.data_type());
        let input = match self.read {
            Reading::Stored => stored.clone().with_name(&self.of),
            _ => Field::new(&self.of, read, true),
        };
        let field = self.function.result(&input, &self.pointer)?;
        Ok(Arc::new(field.with_name(&self.name)))
    }

    /// The type that its accumulator takes, over rows of `schema`.
    pub(crate) fn input(&self, schema: &Schema) -> DataType {
        let stored = schema.field(self.column).data_type();
        input_type(self.function, &self.read.data_type(stored))
    }

    /// The values that its accumulator takes. `before` rows came earlier.
    pub(crate) fn values(&self, batch: &RecordBatch, before: u64) -> Result<ArrayRef> {
        let stored = batch.column(self.column);
        let told = Told {
            column: &self.of,
            pointer: &self.pointer,
        };
        let values = self.read.read(stored, &told, before)?;
        Ok(cast(
            &values,
            &input_type(self.function, values.data_type()),
        )?)
    }

    /// What computes it over values of type `input`.
    pub(crate) fn accumulator(&self, input: &DataType) -> Box<dyn Accumulator> {
        self.function.accumulator(self, input)
    }
}
