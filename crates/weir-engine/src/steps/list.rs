//! Every step there is.

use super::add_column::AddColumn;
use super::cells::{
    CleanColumnNames, ConvertType, FixSyntaxErrors, Lowercase, Reformat, Replace, TrimWhitespace,
    Uppercase,
};
use super::impute::{DropNulls, FillNulls, Impute};
use super::join::JoinWith;
use super::outliers::RemoveOutliers;
use super::pipeline::StepKind;
use super::rows::{FilterRows, LimitRows, RemoveRows, SampleRows, SortBy};
use super::scaling::{Normalize, Standardize};
use super::shape::{RemoveColumn, Rename, Select};
use super::sql::Sql;
use crate::groups as over;
use crate::groups::{Broadcast, Function};

/// The step that gives rows what a function makes of their group.
const fn broadcast<const F: usize>(summary: &'static str) -> StepKind {
    StepKind::of::<Broadcast<F>>(Function::ALL[F].name(), &[], summary)
}

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
    StepKind::of::<CleanColumnNames>(
        "clean_column_names",
        &["clean_column_name"],
        "Makes column names lower case words joined by `_`",
    ),
    StepKind::of::<AddColumn>(
        "add_column",
        &["add"],
        "Adds a column: a SQL expression over the others, or a function of them",
    ),
    StepKind::of::<ConvertType>("convert_type", &[], "Changes the type of columns"),
    StepKind::of::<TrimWhitespace>(
        "trim_whitespace",
        &[],
        "Takes the white space around texts away",
    ),
    StepKind::of::<Lowercase>("lowercase", &[], "Makes texts lower case"),
    StepKind::of::<Uppercase>("uppercase", &[], "Makes texts upper case"),
    StepKind::of::<Replace>(
        "replace",
        &[],
        "Replaces text inside of texts, or whole cells of any type",
    ),
    StepKind::of::<Reformat>(
        "reformat",
        &[],
        "Gives texts one form: one case, numbers for money, timestamps for dates",
    ),
    StepKind::of::<FixSyntaxErrors>(
        "fix_syntax_errors",
        &[],
        "Marks texts that are no valid value of what their column means",
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
    StepKind::of::<JoinWith>(
        "join",
        &[],
        "Puts rows beside those of another table that have the same keys",
    ),
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
    StepKind::of::<Normalize>("normalize", &[], "Brings columns between 0 and 1"),
    StepKind::of::<Standardize>(
        "standardize",
        &[],
        "Brings columns around 0, in standard deviations",
    ),
    StepKind::of::<RemoveOutliers>("remove_outliers", &[], "Removes rows unlike the others"),
    broadcast::<{ Function::Average as usize }>("The mean of each group, given to every row of it"),
    broadcast::<{ Function::Sum as usize }>("The sum of each group, given to every row of it"),
    broadcast::<{ Function::Min as usize }>(
        "The smallest value of each group, given to every row of it",
    ),
    broadcast::<{ Function::Max as usize }>(
        "The largest value of each group, given to every row of it",
    ),
    broadcast::<{ Function::Median as usize }>(
        "The median of each group, given to every row of it",
    ),
    broadcast::<{ Function::Count as usize }>(
        "The number of values of each group, given to every row of it",
    ),
    broadcast::<{ Function::CountDistinct as usize }>(
        "The number of different values of each group, given to every row of it",
    ),
    broadcast::<{ Function::First as usize }>(
        "The first value of each group, given to every row of it",
    ),
    broadcast::<{ Function::Last as usize }>(
        "The last value of each group, given to every row of it",
    ),
    StepKind::of::<over::Aggregate>("aggregate", &["group"], "Gives one row for each group"),
    StepKind::of::<over::DropDuplicates>(
        "drop_duplicates",
        &["drop_duplicate"],
        "Leaves out rows that come again",
    ),
    StepKind::of::<over::Diff>(
        "diff",
        &[],
        "The difference of each row's value from that of an earlier row",
    ),
    StepKind::of::<over::ShiftDown>(
        "shift_down",
        &[],
        "Moves values down: each row gets that of an earlier one",
    ),
    StepKind::of::<over::ShiftUp>(
        "shift_up",
        &[],
        "Moves values up: each row gets that of a later one",
    ),
];
