//! A column as numbers or as moments, whatever it is stored as: text is read,
//! blanks are null, and a text that cannot be read is an error that says where.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, Int64Array, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use weir_core::{Error, Result};

use crate::texts::{Texts, shown};
use crate::{instants, moment, number};

/// The code of errors about a cell that cannot be read.
pub const UNREADABLE: &str = "unreadable_value";

/// A cell that cannot be read as what a step needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its position in the array.
    pub row: usize,
    /// At most 40 characters of it.
    pub value: String,
    /// What it should be: `a number`, `a date`.
    pub wanted: &'static str,
}

impl Unreadable {
    /// What is wrong with the text at `row`.
    pub fn new(row: usize, value: &str, wanted: &'static str) -> Self {
        Unreadable {
            row,
            value: shown(value),
            wanted,
        }
    }

    /// As an error about `column`, of which `before` rows came in earlier
    /// batches. It has no pointer: the caller adds it with `under`.
    pub fn error(&self, column: &str, before: u64) -> Error {
        let row = before + self.row as u64;
        let (value, wanted) = (&self.value, self.wanted);
        let message = format!("column `{column}`, row {row}: `{value}` is not {wanted}");
        Error::invalid("", message)
            .code(UNREADABLE)
            .hint("rows count from 0; convert the column with convert_type first, which makes null of what cannot be read, or filter such rows away")
    }
}

/// Numbers, whole ones exact.
#[derive(Debug, Clone)]
pub enum Numbers {
    /// Whole numbers of 64 bits.
    Whole(Int64Array),
    /// Everything else.
    Float(Float64Array),
}

impl Numbers {
    /// As floats; whole numbers beyond 2^53 lose digits.
    pub fn floats(&self) -> Float64Array {
        match self {
            Numbers::Whole(array) => array.unary(|value| value as f64),
            Numbers::Float(array) => array.clone(),
        }
    }

    /// The array behind.
    pub fn array(self) -> ArrayRef {
        match self {
            Numbers::Whole(array) => Arc::new(array),
            Numbers::Float(array) => Arc::new(array),
        }
    }
}

/// Whether [`as_numbers`] gives whole numbers for the type: integers of up to 64
/// bits with a sign, and booleans.
pub fn is_whole(data_type: &DataType) -> bool {
    data_type.is_signed_integer()
        || matches!(
            data_type,
            DataType::Boolean | DataType::UInt8 | DataType::UInt16 | DataType::UInt32
        )
}

fn cast_to(array: &dyn Array, data_type: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    Ok(cast_with_options(array, data_type, &options)?)
}

/// The column as numbers. Booleans are 1 and 0, blank texts are null; the first
/// text that is no number is the error. Types without numbers (dates, lists) give
/// null only: callers refuse them beforehand.
pub fn as_numbers(array: &ArrayRef) -> std::result::Result<Numbers, NotRead> {
    if let Some(texts) = Texts::of(array) {
        return Ok(Numbers::Float(text_numbers(&texts)?));
    }
    if is_whole(array.data_type()) {
        let whole = cast_to(array, &DataType::Int64)?;
        return Ok(Numbers::Whole(whole.as_primitive::<Int64Type>().clone()));
    }
    let floats = cast_to(array, &DataType::Float64)?;
    let floats = floats.as_primitive::<Float64Type>();
    Ok(Numbers::Float(without_infinities(floats)))
}

/// Why a column is not what a step needs.
#[derive(Debug)]
pub enum NotRead {
    /// A cell cannot be read.
    Cell(Unreadable),
    /// Something else failed.
    Other(Error),
}

impl From<Unreadable> for NotRead {
    fn from(cell: Unreadable) -> Self {
        NotRead::Cell(cell)
    }
}

impl From<Error> for NotRead {
    fn from(error: Error) -> Self {
        NotRead::Other(error)
    }
}

impl NotRead {
    /// As an error about `column`; see [`Unreadable::error`].
    pub fn error(self, column: &str, before: u64) -> Error {
        match self {
            NotRead::Cell(cell) => cell.error(column, before),
            NotRead::Other(error) => error,
        }
    }
}

/// The same floats with null for NaN and infinities.
pub fn without_infinities(floats: &Float64Array) -> Float64Array {
    if floats.values().iter().all(|value| value.is_finite()) {
        return floats.clone();
    }
    floats.unary_opt(|value| value.is_finite().then_some(value))
}

fn text_numbers(texts: &Texts<'_>) -> std::result::Result<Float64Array, Unreadable> {
    let mut numbers = Float64Builder::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else {
            numbers.append_null();
            continue;
        };
        match number::number(text) {
            Some(value) => numbers.append_value(value),
            None if text.trim().is_empty() => numbers.append_null(),
            None => return Err(Unreadable::new(row, text, "a number")),
        }
    }
    Ok(numbers.finish())
}

/// The column as moments in UTC. Dates are their midnight, blank texts are null;
/// the first text that is no date is the error.
pub fn as_moments(array: &ArrayRef) -> std::result::Result<TimestampMicrosecondArray, NotRead> {
    if let Some(texts) = Texts::of(array) {
        return Ok(text_moments(&texts)?);
    }
    match instants::micros_of(array) {
        Some(moments) => Ok(moments),
        None => Ok(TimestampMicrosecondArray::new_null(array.len())),
    }
}

fn text_moments(texts: &Texts<'_>) -> std::result::Result<TimestampMicrosecondArray, Unreadable> {
    let mut moments = TimestampMicrosecondBuilder::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else {
            moments.append_null();
            continue;
        };
        match moment::micros(text) {
            Some(value) => moments.append_value(value),
            None if text.trim().is_empty() => moments.append_null(),
            None => return Err(Unreadable::new(row, text, "a date")),
        }
    }
    Ok(moments.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, Date32Array, StringArray, StringViewArray, TimestampNanosecondArray,
        TimestampSecondArray, UInt64Array,
    };

    #[test]
    fn text_is_read_as_numbers() {
        let text: ArrayRef = Arc::new(StringViewArray::from(vec![
            Some("1"),
            Some(" "),
            None,
            Some("2.5"),
        ]));
        let floats = as_numbers(&text).unwrap().floats();
        assert_eq!(
            floats,
            Float64Array::from(vec![Some(1.0), None, None, Some(2.5)])
        );
        let text: ArrayRef = Arc::new(StringArray::from(vec!["1", "abc"]));
        let error = as_numbers(&text).unwrap_err().error("a", 10);
        assert_eq!(error.message(), "column `a`, row 11: `abc` is not a number");
        assert_eq!(error.stable_code(), UNREADABLE);
    }

    #[test]
    fn numbers_stay_what_they_are() {
        let truths: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        assert!(
            matches!(as_numbers(&truths).unwrap(), Numbers::Whole(array) if array == Int64Array::from(vec![Some(1), None, Some(0)]))
        );
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX]));
        assert!(
            matches!(as_numbers(&whole).unwrap(), Numbers::Whole(array) if array.value(0) == i64::MAX)
        );
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert!(matches!(as_numbers(&large).unwrap(), Numbers::Float(_)));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, 1.0, f64::INFINITY]));
        assert_eq!(
            as_numbers(&floats).unwrap().floats(),
            Float64Array::from(vec![None, Some(1.0), None])
        );
    }

    #[test]
    fn moments_are_in_utc() {
        let expected = TimestampMicrosecondArray::from(vec![86_400_000_000]);
        for array in [
            Arc::new(StringArray::from(vec!["1970-01-02"])) as ArrayRef,
            Arc::new(Date32Array::from(vec![1])),
            Arc::new(TimestampSecondArray::from(vec![86_400]).with_timezone("+05:00")),
            Arc::new(TimestampNanosecondArray::from(vec![86_400_000_000_001])),
        ] {
            assert_eq!(
                as_moments(&array).unwrap(),
                expected,
                "{}",
                array.data_type()
            );
        }
        let text: ArrayRef = Arc::new(StringArray::from(vec!["", "soon"]));
        assert_eq!(
            as_moments(&text).unwrap_err().error("d", 0).message(),
            "column `d`, row 1: `soon` is not a date"
        );
    }
}
