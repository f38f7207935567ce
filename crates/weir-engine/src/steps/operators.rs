//! Operators by name: what makes them again from a plan that was written down.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_core::{Error, Result, config};

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
    ("weir_enter", made::<Enter>),
    ("weir_sort", made::<SortRows>),
    ("weir_numbered", Numbered::make),
    ("weir_fix", made::<FixDetected>),
    ("weir_limit", made::<Limit>),
    ("weir_sample", made::<Sample>),
    ("weir_remove_row", made::<RemoveRow>),
    ("weir_sql", made::<Query>),
    ("weir_fill", made::<Fill>),
    ("weir_carry", made::<Carry>),
    ("weir_back", made::<Back>),
    ("weir_auto", made::<Auto>),
    ("weir_rescale", made::<Rescale>),
    ("weir_outliers", made::<Outliers>),
    ("weir_join", Join::make),
    ("weir_broadcast", made::<BroadcastRows>),
    ("weir_aggregate", made::<AggregateRows>),
    ("weir_drop_duplicates", made::<DropRows>),
    ("weir_shift", made::<ShiftRows>),
];

fn made<T: Operator + DeserializeOwned>(args: Value) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(config::decode::<T>(args)?))
}

/// The operator `name` with `args`.
pub(crate) fn operator(name: &str, args: Value) -> Result<Arc<dyn Operator>> {
    let found = OPERATORS.iter().find(|(known, _)| *known == name);
    let (_, make) = found.ok_or_else(|| Error::internal(format!("no operator {name}")))?;
    make(args)
}
