//! Parquet files.

mod bytes;
mod prune;
pub mod read;
mod write;

pub use write::{ParquetCodec, ParquetEncoder};
