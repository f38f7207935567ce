//! What should be cleaned, and the steps that do it.

use serde::Serialize;
use serde_json::Value;

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
}

/// Which suggestions are applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// All of them.
    All,
    /// These, by id, in the order of a profile.
    Listed(Vec<String>),
}
