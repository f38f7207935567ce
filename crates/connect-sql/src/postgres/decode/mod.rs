//! Bytes of the binary format into Arrow arrays: one small decoder a type,
//! appending to its builder without a value in between.

mod fixed;
mod list;
mod network;
mod numeric;
mod rows;
mod text;

use arrow::array::ArrayRef;

pub use fixed::{Fixed, boolean, interval};
pub use list::List;
pub use network::inet;
pub use numeric::{Decimal128, Decimal256};
pub use rows::{CopyReader, RowBuilder};
pub use text::{Bytes, Text, jsonb, plain, uuid};

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

/// Reads a fixed number of bytes.
fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], Misfit> {
    let (head, tail) = bytes
        .split_first_chunk::<N>()
        .ok_or(Misfit::Malformed("too short"))?;
    *bytes = tail;
    Ok(head)
}

fn take_i32(bytes: &mut &[u8]) -> Result<i32, Misfit> {
    take(bytes).map(|b| i32::from_be_bytes(*b))
}

fn take_i16(bytes: &mut &[u8]) -> Result<i16, Misfit> {
    take(bytes).map(|b| i16::from_be_bytes(*b))
}
