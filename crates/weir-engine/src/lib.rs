//! What a source cannot do itself: filters, orders, limits and projections over
//! its batches, on DataFusion where an operation must be able to spill.

mod condition;
mod groups;
mod plan;
mod pool;
pub mod profile;
mod read;
mod scratch;
mod sort;
pub mod steps;
mod tree;

pub use condition::parse_condition;
pub use read::{Answer, Engine, EngineLimits};
pub use tree::{parse_filter, parse_predicate};
pub use weir_values::ColumnKind;

#[cfg(test)]
mod filter_tests;

/// How deep a filter may nest.
const MAX_DEPTH: usize = 128;
