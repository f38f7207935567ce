//! JSON out: our own typed writers, because a JSON value per cell is what
//! makes other services slow, and because no digit may be lost.

pub(crate) mod cell;
mod embedded;
mod nested;
mod number;
mod stream;
mod text;
mod time;

pub use stream::{JsonEncoder, NdjsonEncoder, write_columns, write_rows};
pub use text::write_text;
