//! Every step there is.

use super::impute::{DropNulls, FillNulls, Impute};
use super::pipeline::StepKind;
use super::rows::{FilterRows, LimitRows, RemoveRows, SampleRows, SortBy};
use super::shape::{RemoveColumn, Rename, Select};
use super::sql::Sql;

/// Every step, in the order of the catalogue.
pub(super) const STEPS: &[StepKind] = &[
    StepKind::of::<Select>("select", &[], "Keeps columns, in the given order"),
    StepKind::of::<RemoveColumn>(
        "remove_column",
        &["drop_columns", "remove"],
        "Removes columns; names that no column has are ignored",
    ),
    StepKind::of::<Rename>(
        "rename",
        &["rename_columns"],
        "Renames columns, all at once",
    ),
    StepKind::of::<FilterRows>(
        "filter_rows",
        &["filter"],
        "Keeps the rows that a condition holds for",
    ),
    StepKind::of::<SortBy>(
        "sort_rows",
        &["sort"],
        "Sorts rows; equal ones keep their order",
    ),
    StepKind::of::<LimitRows>("limit", &[], "Keeps the first rows"),
    StepKind::of::<SampleRows>(
        "sample",
        &[],
        "Keeps rows by chance, the same ones for the same seed, in their order",
    ),
    StepKind::of::<RemoveRows>("remove_row", &[], "Removes rows by their position"),
    StepKind::of::<Sql>(
        "sql",
        &["custom"],
        "Runs one SELECT over the table `input`; no files, no network, no writes",
    ),
    StepKind::of::<Impute>(
        "impute",
        &[],
        "Fills missing values: nulls, and text that is empty or blank",
    ),
    StepKind::of::<FillNulls>("fill_nulls", &[], "Fills nulls"),
    StepKind::of::<DropNulls>("drop_nulls", &[], "Removes rows with nulls"),
];
