//! A column of a batch as a profile reads it.

use arrow::array::{ArrayRef, Float64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use weir_values::ColumnKind;

/// What of a column is known before its values are counted.
#[derive(Debug, Clone)]
pub(super) struct ReadColumn {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) kind: ColumnKind,
}

/// The cells of a column in one batch.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    /// As they came.
    pub(super) raw: ArrayRef,
    /// As they are counted: cleaned when that was asked for, numbers as numbers.
    pub(super) values: ArrayRef,
    /// The same as floats, of columns of numbers.
    pub(super) floats: Option<Float64Array>,
    /// Which cells have a value; absent when all have.
    pub(super) present: Option<NullBuffer>,
    /// Which cells hold a value that is none of the column's type; absent when
    /// none does.
    pub(super) invalid: Option<BooleanBuffer>,
}
