//! Bytes of the binary format into Arrow arrays: one small decoder a type,
//! appending to its builder without a value in between.

mod fixed;
mod list;
mod network;
mod numeric;
mod rows;
mod text;

pub use crate::shared::decode::{Bytes, Decoder, Misfit, RowBuilder, Text, plain};
pub use fixed::{Fixed, boolean, interval};
pub use list::List;
pub use network::inet;
pub use numeric::{Decimal128, Decimal256};
pub use rows::{CopyReader, push_row};
pub use text::{jsonb, uuid};

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
