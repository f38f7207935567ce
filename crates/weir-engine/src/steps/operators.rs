//! Operators by name: what makes them again from a plan that was written down.

use std::sync::Arc;

use serde_json::Value;
use weir_core::{Error, Result};

use super::auto::Auto;
use super::carry::{Back, Carry};
use super::cells::{FixDetected, Numbered};
use super::enter::Enter;
use super::fill::Fill;
use super::join::Join;
use super::operator::Operator;
use super::outliers::Outliers;
use super::rows::{Limit, RemoveRow, Sample, SortRows};
use super::scaling::Rescale;
use super::sql::Query;
use crate::groups::{AggregateRows, BroadcastRows, DropRows, ShiftRows};

type Make = fn(Value) -> Result<Arc<dyn Operator>>;

/// Every operator.
const OPERATORS: &[(&str, Make)] = &[
    ("weir_enter", |_| Ok(Arc::new(Enter))),
    ("weir_sort", SortRows::make),
    ("weir_numbered", Numbered::make),
    ("weir_fix", FixDetected::make),
    ("weir_limit", Limit::make),
    ("weir_sample", Sample::make),
    ("weir_remove_row", RemoveRow::make),
    ("weir_sql", Query::make),
    ("weir_fill", Fill::make),
    ("weir_carry", Carry::make),
    ("weir_back", Back::make),
    ("weir_auto", Auto::make),
    ("weir_rescale", Rescale::make),
    ("weir_outliers", Outliers::make),
    ("weir_join", Join::make),
    ("weir_broadcast", BroadcastRows::make),
    ("weir_aggregate", AggregateRows::make),
    ("weir_drop_duplicates", DropRows::make),
    ("weir_shift", ShiftRows::make),
];

/// The operator `name` with `args`.
pub(crate) fn operator(name: &str, args: Value) -> Result<Arc<dyn Operator>> {
    let found = OPERATORS.iter().find(|(known, _)| *known == name);
    let (_, make) = found.ok_or_else(|| Error::internal(format!("no operator {name}")))?;
    make(args)
}
