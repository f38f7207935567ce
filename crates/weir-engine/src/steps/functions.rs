//! Row functions by name: what makes them again from a plan that was written down.

use std::sync::Arc;

use serde_json::Value;
use weir_core::{Error, Result};

use super::add_column::{Calculation, Choice, Piece};
use super::cells::Cells;
use super::function::RowFunction;
use super::gaps::{Constant, Copied, There};
use super::rows::Matches;
use super::sql::SqlExpression;

type Make = fn(Value) -> Result<Arc<dyn RowFunction>>;

/// Every row function.
const FUNCTIONS: &[(&str, Make)] = &[
    ("weir_matches", Matches::make),
    ("weir_expression", SqlExpression::make),
    ("weir_constant", Constant::make),
    ("weir_copied", Copied::make),
    ("weir_there", There::make),
    ("weir_cells", Cells::make),
    ("weir_calculation", Calculation::make),
    ("weir_choice", Choice::make),
    ("weir_piece", Piece::make),
];

/// The row function `name` with `args`.
pub(crate) fn function(name: &str, args: Value) -> Result<Arc<dyn RowFunction>> {
    let found = FUNCTIONS.iter().find(|(known, _)| *known == name);
    let (_, make) = found.ok_or_else(|| Error::internal(format!("no row function {name}")))?;
    make(args)
}
