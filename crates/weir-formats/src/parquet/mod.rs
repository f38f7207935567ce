//! Parquet files.

mod prune;
pub mod read;
