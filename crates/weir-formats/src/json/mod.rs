//! JSON out: our own typed writers, because a JSON value per cell is what
//! makes other services slow, and because no digit may be lost.

pub(crate) mod cell;
mod embedded;
mod nested;
mod number;
mod stream;
mod text;
pub(crate) mod time;

use arrow::array::Array;
use arrow::datatypes::Field;
use weir_core::Result;

pub use stream::{JsonEncoder, NdjsonEncoder, write_columns, write_rows};
pub use text::write_text;

/// The values of one column as JSON documents, without loss of digits.
pub struct JsonCells(cell::Column);

impl JsonCells {
    /// Those of `array`, whose meaning `field` tells.
    pub fn new(field: &Field, array: &dyn Array) -> Result<Self> {
        cell::Column::new(field, array, false).map(JsonCells)
    }

    /// Appends the document of a row.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        self.0.write(row, out);
    }
}
