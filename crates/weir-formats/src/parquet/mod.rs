//! Parquet files.

mod prune;
pub mod read;
mod write;

pub use write::{ParquetCodec, ParquetEncoder};
