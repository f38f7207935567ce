//! Parquet files.

mod bytes;
mod footer;
mod pages;
mod prune;
pub mod read;
mod rows;
mod thrift;
mod values;
mod write;

pub use write::{ParquetCodec, ParquetEncoder};
