//! Numbers and dates calculated with, column by column.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, TimestampMicrosecondArray, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{Error, Result, config};
use weir_values::ColumnKind;
use weir_values::calc::{Operand, Operation, calculate, distances};
use weir_values::columns::as_moments;
use weir_values::texts::{Texts, is_text};

use super::{TimeUnit, Udf};
use crate::steps::cells::Placed;
use crate::steps::function::RowFunction;

/// What an operand is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// A number; a text that is none is an error.
    Number,
    /// A moment; a text that is none is an error.
    Moment,
    /// A moment; a text that is none is null.
    Read,
}

impl Role {
    /// By the type of the column, and what the caller says of it.
    pub(super) fn of(field: &Field, kind: Option<ColumnKind>) -> Option<Self> {
        if weir_core::types::is_json(field) {
            return None;
        }
        match field.data_type() {
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Some(Role::Moment),
            DataType::Boolean => Some(Role::Number),
            data_type if data_type.is_numeric() => Some(Role::Number),
            data_type if is_text(data_type) => match kind? {
                ColumnKind::Datetime => Some(Role::Moment),
                kind if kind.is_number() => Some(Role::Number),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the functions of dates take the column.
    pub(super) fn may_be_moment(field: &Field) -> bool {
        matches!(
            field.data_type(),
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) | DataType::Null
        ) || is_text(field.data_type())
    }
}

/// A calculation over columns.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Calculation {
    udf: Udf,
    names: Vec<String>,
    roles: Vec<Role>,
    value: Option<String>,
    unit: TimeUnit,
}

impl Calculation {
    pub(super) fn new(
        udf: Udf,
        names: Vec<String>,
        roles: Vec<Role>,
        value: Option<String>,
        unit: TimeUnit,
    ) -> Self {
        Calculation {
            udf,
            names,
            roles,
            value,
            unit,
        }
    }

    pub(crate) fn make(args: Value) -> Result<Arc<dyn RowFunction>> {
        Ok(Arc::new(Calculation::read(args)?))
    }

    pub(crate) fn read(args: Value) -> Result<Self> {
        config::decode(args)
    }

    /// Whether whole numbers or decimals are what comes out.
    pub(super) fn can_overflow(&self, inputs: &[FieldRef]) -> bool {
        let made = self.field(inputs);
        made.is_ok_and(|field| field.data_type().is_integer() || field.data_type().is_decimal())
    }

    fn operand(&self, n: usize, array: &ArrayRef, before: u64) -> Result<Operand> {
        let name = self.names.get(n).map_or("", String::as_str);
        let refused = |error: weir_values::columns::NotRead| error.error(name, before);
        match (self.roles.get(n), Texts::of(array)) {
            (Some(Role::Moment), _) => Ok(Operand::Moment(as_moments(array).map_err(refused)?)),
            (Some(Role::Read), Some(texts)) => {
                Ok(Operand::Moment(weir_values::moment::dates(&texts)))
            }
            (Some(Role::Read), None) => Ok(Operand::Moment(TimestampMicrosecondArray::new_null(
                array.len(),
            ))),
            (Some(Role::Number) | None, _) => Operand::numbers(array).map_err(refused),
        }
    }

    fn operation(&self) -> Operation {
        match self.udf {
            Udf::Difference => Operation::Subtract,
            Udf::Multiply => Operation::Multiply,
            Udf::Divide => Operation::Divide,
            _ => Operation::Add,
        }
    }

    fn distance(&self, operands: &[Operand]) -> Result<ArrayRef> {
        let floats = operands.iter().map(Operand::floats);
        let floats: Vec<Float64Array> = floats.collect::<Result<_>>()?;
        let [a, b, c, d] = floats.as_slice() else {
            return Err(Error::internal("a distance of other than four columns"));
        };
        Ok(Arc::new(distances([a, b, c, d])))
    }

    fn folded(&self, operands: Vec<Operand>, rows: usize) -> Result<ArrayRef> {
        let mut operands = operands.into_iter();
        let Some(mut result) = operands.next() else {
            return Err(Error::internal("a calculation without operands"));
        };
        let (operation, unit) = (self.operation(), self.unit.micros());
        for operand in operands {
            result = calculate(&result, operation, &operand, unit)?;
        }
        if let Some(text) = &self.value {
            let value = Operand::constant(text, rows, &result);
            let value = value.ok_or_else(|| Error::internal("a value that is no number"))?;
            result = calculate(&result, operation, &value, unit)?;
        }
        Ok(result.array())
    }
}

impl RowFunction for Calculation {
    fn name(&self) -> &'static str {
        "weir_calculation"
    }

    fn args(&self) -> Value {
        json!(self)
    }

    fn field(&self, inputs: &[FieldRef]) -> Result<Field> {
        let nothing = inputs
            .iter()
            .map(|field| new_empty_array(field.data_type()));
        let nothing: Vec<ArrayRef> = nothing.collect();
        let made = self.call(&nothing, 0)?;
        Ok(Field::new("", made.data_type().clone(), true))
    }

    fn call(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        self.call_from(inputs, rows, 0)
    }
}

impl Placed for Calculation {
    fn call_from(&self, inputs: &[ArrayRef], rows: usize, before: u64) -> Result<ArrayRef> {
        let operands = inputs.iter().enumerate();
        let operands = operands.map(|(n, array)| self.operand(n, array, before));
        let operands: Vec<Operand> = operands.collect::<Result<_>>()?;
        match self.udf {
            Udf::DistanceBetween => self.distance(&operands),
            _ => self.folded(operands, rows),
        }
    }
}
