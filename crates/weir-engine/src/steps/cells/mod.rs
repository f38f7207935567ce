//! Steps over the values of single cells: case, blanks, patterns, types.

mod change;
mod convert;
mod fix;
mod names;
mod numbered;
mod replace;
mod text;

pub(super) use change::Cells;
pub(crate) use change::is_plain_text;
pub(super) use convert::{ConvertType, checked_type, converted};
pub(super) use fix::{FixDetected, FixSyntaxErrors};
pub(super) use names::CleanColumnNames;
pub(super) use numbered::{Numbered, Placed, Slot};
pub(super) use replace::{Replace, scalar, scalar_schema};
pub(super) use text::{Lowercase, Reformat, TrimWhitespace, Uppercase};
