//! What to read from a source.

use crate::predicate::{Conjuncts, Value};
use crate::stream_id::StreamId;

/// What is read: a stream that discovery found, or a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A table, view, file, topic …
    Stream(StreamId),
    /// A statement in the source's own dialect.
    Query {
        /// Exactly one statement that only reads.
        text: String,
        /// Bound by position where the dialect numbers its parameters.
        params: Params,
    },
}

/// Bound parameters of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Params {
    /// By position: `$1`, `$2`, …
    Positional(Vec<Value>),
    /// By name: `:name`. Connectors whose dialect knows only positions refuse them.
    Named(Vec<(String, Value)>),
}

impl Default for Params {
    fn default() -> Self {
        Params::Positional(Vec::new())
    }
}

/// Where nulls stand in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nulls {
    /// Before every value.
    First,
    /// After every value.
    #[default]
    Last,
}

/// One key of an order. Text sorts by code point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The column.
    pub column: String,
    /// Smallest first.
    pub ascending: bool,
    /// Where nulls go.
    pub nulls: Nulls,
}

/// A read. Evaluated as source → filter → order → limit → columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What to read.
    pub target: Target,
    /// Columns to give, in this order; `None` is all of them.
    pub columns: Option<Vec<String>>,
    /// Conjuncts of the filter; empty keeps every row.
    pub filter: Conjuncts,
    /// Order keys, most significant first.
    pub order: Vec<Order>,
    /// Rows at most.
    pub limit: Option<u64>,
    /// Rows in a batch at most; a wish, batches are also bounded in bytes.
    pub batch_rows: Option<usize>,
    /// Ask the source for its own estimate, which may cost a round trip.
    pub estimate: bool,
}

impl Read {
    /// Reads all of `target`.
    pub fn all(target: Target) -> Self {
        Read {
            target,
            columns: None,
            filter: Vec::new(),
            order: Vec::new(),
            limit: None,
            batch_rows: None,
            estimate: false,
        }
    }
}
