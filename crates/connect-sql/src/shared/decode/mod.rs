//! Values as they come into Arrow arrays: one small decoder a type, appending to
//! its builder without a value in between.

mod rows;
mod text;

use arrow::array::ArrayRef;

pub use rows::RowBuilder;
pub use text::{Bytes, Text, plain};

/// Why a value was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// The bytes are not of the form that the type has.
    Malformed(&'static str),
    /// The Arrow type cannot hold the value.
    Unrepresentable(&'static str),
    /// More dimensions, or fewer, than the column was declared with.
    Dimensions,
}

/// Appends the values of one column.
pub trait Decoder: Send {
    /// Appends one value.
    fn push(&mut self, value: &[u8]) -> Result<(), Misfit>;
    /// Appends a null.
    fn push_null(&mut self);
    /// Gives what was appended and starts anew.
    fn finish(&mut self) -> Result<ArrayRef, Misfit>;
}
