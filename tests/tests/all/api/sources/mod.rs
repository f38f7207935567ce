//! `/v1/sources` and everything below it.

mod change;
mod count;
mod doctor;
mod duckdb;
mod failures;
pub mod files;
pub mod hang_up;
mod list;
mod load;
mod mysql;
mod names;
mod preview;
mod read_only;
mod register;
mod session;
mod sqlite;
mod streams;
mod types;
mod write;
