//! What is found out across columns: rows that are there twice, rows with gaps
//! or invalid cells, and which columns of numbers say the same.

use arrow::record_batch::RecordBatch;
use weir_core::Result;

use super::cells::{Cells, ReadColumn};
use crate::steps::Env;

/// Gathers it, batch after batch.
pub(super) struct Across {}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct FoundAcross {
    pub(super) rows: u64,
    /// Rows less different rows.
    pub(super) duplicate_rows: u64,
    /// Rows in which an invalid cell stands.
    pub(super) invalid_rows: u64,
    /// Rows in which every cell has a value.
    pub(super) complete_rows: u64,
    /// Pearson's r of pairs of columns of numbers, over the rows in which both
    /// have a value: places of the columns, the first one smaller.
    pub(super) correlations: Vec<(usize, usize, Option<f64>)>,
    /// Columns that others predict, with the variance inflation factor at which
    /// each was left out.
    pub(super) collinear: Vec<(usize, f64)>,
}

impl Across {
    pub(super) fn new(_columns: &[ReadColumn], _approximate: bool, _env: &Env) -> Result<Self> {
        Ok(Across {})
    }

    /// The next batch; `cells` are those of all columns.
    #[expect(clippy::unused_async, reason = "filled in by the next commits")]
    pub(super) async fn push(&mut self, _batch: &RecordBatch, _cells: &[Cells]) -> Result<()> {
        Ok(())
    }

    /// What was found in all rows.
    #[expect(clippy::unused_async, reason = "filled in by the next commits")]
    pub(super) async fn finish(self) -> Result<FoundAcross> {
        Ok(FoundAcross::default())
    }
}
