//! What should be cleaned, and the steps that do it.

use arrow::datatypes::FieldRef;
use serde::Serialize;
use serde_json::{Map, Value};
use weir_values::ColumnKind;

use super::across::FoundAcross;

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

/// What should be done.
#[derive(Debug, Default)]
pub(super) struct Advice {
    pub(super) suggestions: Vec<Suggestion>,
    /// What columns mean for the steps of suggestions: without those that a step
    /// could not read as that.
    pub(super) kinds: Vec<(String, ColumnKind)>,
}

/// The names of suggestions.
pub(super) mod id {
    pub(in crate::profile) const CLEAN_COLUMN_NAMES: &str = "clean_column_names";
    pub(in crate::profile) const REMOVE_SPARSE_COLUMNS: &str = "remove_sparse_columns";
    pub(in crate::profile) const REMOVE_SINGLE_VALUE_COLUMNS: &str = "remove_single_value_columns";
    pub(in crate::profile) const FIX_SYNTAX_ERRORS: &str = "fix_syntax_errors";
    pub(in crate::profile) const REFORMAT_CAPS: &str = "reformat_caps";
    pub(in crate::profile) const REFORMAT_CURRENCY: &str = "reformat_currency";
    pub(in crate::profile) const REFORMAT_DATES: &str = "reformat_dates";
    pub(in crate::profile) const IMPUTE: &str = "impute";
    pub(in crate::profile) const REMOVE_COLLINEAR_COLUMNS: &str = "remove_collinear_columns";
    pub(in crate::profile) const DROP_DUPLICATES: &str = "drop_duplicates";
    pub(in crate::profile) const REMOVE_OUTLIERS: &str = "remove_outliers";
}

/// Every suggestion that there may be with the step that it is, in the order in
/// which they are made and applied.
pub(crate) const ALL: [(&str, &str); 11] = [
    (id::CLEAN_COLUMN_NAMES, "clean_column_names"),
    (id::REMOVE_SPARSE_COLUMNS, "remove_column"),
    (id::REMOVE_SINGLE_VALUE_COLUMNS, "remove_column"),
    (id::FIX_SYNTAX_ERRORS, "fix_syntax_errors"),
    (id::REFORMAT_CAPS, "reformat"),
    (id::REFORMAT_CURRENCY, "reformat"),
    (id::REFORMAT_DATES, "reformat"),
    (id::IMPUTE, "impute"),
    (id::REMOVE_COLLINEAR_COLUMNS, "remove_column"),
    (id::DROP_DUPLICATES, "drop_duplicates"),
    (id::REMOVE_OUTLIERS, "remove_outliers"),
];
