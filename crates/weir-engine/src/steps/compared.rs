//! Comparisons with numbers: text that the caller says is a number is read as
//! one there, and stays text wherever else a filter speaks of it.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use serde::{Deserialize, Serialize};
use weir_core::evaluate::{Test, compile, place_of};
use weir_core::{Comparison, Error, Operand, Predicate, Result, Value};
use weir_values::columns::{NotRead, UNREADABLE, as_numbers};

use super::frame::Frame;
use crate::groups::Reading;

/// Columns of text that a filter reads as numbers where it compares them with
/// numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Compared {
    columns: Vec<String>,
    /// Where the filter stands.
    pointer: String,
}

/// The name under which the number of a text is compared.
fn number_of(column: &str) -> String {
    format!("weir.number.{column}")
}

impl Compared {
    /// What `predicate`, which is settled, compares of `frame`.
    pub(crate) fn of(predicate: &Predicate, frame: &Frame, pointer: &str) -> Self {
        let fields = frame.schema().fields().iter().enumerate();
        let given = fields.filter(|(place, _)| Reading::of(frame, *place) == Reading::Numbers);
        let mut compared = Compared {
            columns: given.map(|(_, field)| field.name().clone()).collect(),
            pointer: pointer.to_owned(),
        };
        let read = compared.over(predicate, frame.schema());
        let read = read.columns();
        let is_read = |name: &String| read.contains(&number_of(name).as_str());
        compared.columns.retain(is_read);
        compared
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// `predicate` as a test of what [`Compared::read`] gives of `schema`.
    pub(crate) fn test(&self, predicate: &Predicate, schema: &Schema) -> Result<Test> {
        if self.is_empty() {
            return compile(predicate, schema);
        }
        compile(&self.over(predicate, schema), &self.wide(schema))
    }

    /// The rows with their numbers beside them; `before` rows came earlier, where
    /// that is known.
    pub(crate) fn read(&self, batch: &RecordBatch, before: Option<u64>) -> Result<RecordBatch> {
        if self.is_empty() {
            return Ok(batch.clone());
        }
        let schema = batch.schema();
        let mut arrays = batch.columns().to_vec();
        for name in &self.columns {
            let place = weir_core::evaluate::index_of(&schema, name)?;
            let numbers = as_numbers(batch.column(place));
            let numbers = numbers.map_err(|error| self.unread(error, name, before))?;
            let numbers: ArrayRef = Arc::new(numbers.floats());
            arrays.push(numbers);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let wide = Arc::new(self.wide(&schema));
        Ok(RecordBatch::try_new_with_options(wide, arrays, &options)?)
    }

    fn unread(&self, error: NotRead, column: &str, before: Option<u64>) -> Error {
        let error = match (error, before) {
            (NotRead::Cell(cell), None) => {
                let message = format!("column `{column}`: `{}` is not {}", cell.value, cell.wanted);
                Error::invalid("", message).code(UNREADABLE).hint(
                    "convert the column with convert_type first, which makes null of what cannot be read",
                )
            }
            (error, before) => error.error(column, before.unwrap_or_default()),
        };
        error.under(&self.pointer)
    }

    fn wide(&self, schema: &Schema) -> Schema {
        let number = |name: &String| -> FieldRef {
            Arc::new(Field::new(number_of(name), DataType::Float64, true))
        };
        let fields = schema.fields().iter().cloned();
        Schema::new(
            fields
                .chain(self.columns.iter().map(number))
                .collect::<Vec<_>>(),
        )
    }

    /// `predicate` with the numbers in the place of their texts.
    fn over(&self, predicate: &Predicate, schema: &Schema) -> Predicate {
        let all = |parts: &[Predicate]| parts.iter().map(|part| self.over(part, schema)).collect();
        match predicate {
            Predicate::And(parts) => Predicate::And(all(parts)),
            Predicate::Or(parts) => Predicate::Or(all(parts)),
            Predicate::Not(part) => Predicate::Not(Box::new(self.over(part, schema))),
            Predicate::Compare { column, op, right } => self.comparison(column, *op, right, schema),
            Predicate::Between { column, low, high }
                if self.has(column) && is_number(low) && is_number(high) =>
            {
                Predicate::Between {
                    column: number_of(column),
                    low: low.clone(),
                    high: high.clone(),
                }
            }
            Predicate::In { column, values } if self.has(column) => {
                let (numbers, others) = values.iter().cloned().partition(is_number);
                let one_of = |column, values| Predicate::In { column, values };
                Predicate::Or(vec![
                    one_of(number_of(column), numbers),
                    one_of(column.clone(), others),
                ])
            }
            other => other.clone(),
        }
    }

    fn comparison(
        &self,
        column: &str,
        op: Comparison,
        right: &Operand,
        schema: &Schema,
    ) -> Predicate {
        let read = |name: &str| match self.has(name) {
            true => number_of(name),
            false => name.to_owned(),
        };
        let is_numeric = |name: &str| {
            let place = place_of(schema, name);
            self.has(name) || place.is_some_and(|at| schema.field(at).data_type().is_numeric())
        };
        let (column, right) = match right {
            Operand::Value(value) if is_number(value) => (read(column), right.clone()),
            Operand::Column(other) if is_numeric(column) && is_numeric(other) => {
                (read(column), Operand::Column(read(other)))
            }
            _ => (column.to_owned(), right.clone()),
        };
        Predicate::Compare { column, op, right }
    }

    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known == column)
    }
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Number(_))
}
