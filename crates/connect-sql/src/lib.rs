//! Connectors to databases that speak SQL: one folder each, and `shared` for what
//! is the same in all of them.

pub mod duckdb;
pub mod mysql;
pub mod postgres;
mod shared;
pub mod sqlite;

pub use weir_kit::{KeeperSettings, PathRules};
