//! What should be cleaned, and the steps that do it.

use arrow::datatypes::FieldRef;
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use serde_json::{Map, Value};
use weir_core::Result;
use weir_values::ColumnKind;

use super::across::FoundAcross;
use super::cells::Cells;
use crate::steps::Env;

/// Something that should be cleaned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// What it is named in `suggestions` of a transform.
    pub id: &'static str,
    /// Why.
    pub reason: String,
    /// The step that does it.
    pub step: Value,
    /// The columns that it is about.
    pub columns: Vec<String>,
    /// Rows that would change or go.
    pub rows: u64,
    /// Cells that would change or go.
    pub cells: u64,
    /// What speaks for it, by column, where there is more to say than `reason`
    /// does.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
}

/// Which suggestions are applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// All of them.
    All,
    /// These, by id, in the order of a profile.
    Listed(Vec<String>),
}

/// What the first look at all rows has found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) rows: u64,
    /// All columns, in their order.
    pub(super) columns: Vec<FoundColumn>,
    pub(super) across: FoundAcross,
}

/// What was found in a column, as the profile tells it.
#[derive(Debug)]
pub(super) struct FoundColumn {
    /// Its field in the rows that are pushed.
    pub(super) field: FieldRef,
    pub(super) kind: ColumnKind,
    /// `null_value_count`
    pub(super) nulls: u64,
    /// `count_distinct`; an estimate will do, but 1 must be 1.
    pub(super) distinct: u64,
    /// `invalid_value_count`
    pub(super) invalid: u64,
    /// Of columns of numbers.
    pub(super) mean: Option<f64>,
    /// Of columns of numbers, with ddof 1.
    pub(super) std: Option<f64>,
    /// Of columns of numbers.
    pub(super) skew: Option<f64>,
    pub(super) mode_ratio: Option<f64>,
}

/// Takes a second look at the rows, now that it is known what to look for, and
/// says what should be cleaned.
pub(super) struct Adviser {}

/// What should be done.
#[derive(Debug, Default)]
pub(super) struct Advice {
    pub(super) suggestions: Vec<Suggestion>,
    /// What columns mean for the steps of suggestions: without those that a step
    /// could not read as that.
    pub(super) kinds: Vec<(String, ColumnKind)>,
}

impl Adviser {
    pub(super) fn new(_found: Found, _env: &Env) -> Result<Self> {
        Ok(Adviser {})
    }

    /// Whether the rows have to be pushed once more.
    #[expect(clippy::unused_self, reason = "filled in by the next commits")]
    pub(super) fn wants_rows(&self) -> bool {
        false
    }

    /// The next batch of the second look, with the cells of all columns.
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "filled in by the next commits"
    )]
    pub(super) fn push(&mut self, _batch: &RecordBatch, _cells: &[Cells]) -> Result<()> {
        Ok(())
    }

    /// What should be done.
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "filled in by the next commits"
    )]
    pub(super) fn finish(self) -> Result<Advice> {
        Ok(Advice::default())
    }
}
