//! SQL of the caller, in a session that knows one table and nothing else: no
//! catalogue, no file, no network, no statement but SELECT.

mod bounded;
mod expression;
mod looking;
mod query;
mod sandbox;

#[cfg(test)]
mod tests;

pub(crate) use expression::{SqlExpression, expression};
pub(crate) use query::Query;

use std::sync::Arc;

use arrow::datatypes::DataType;
use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::{Error, Result};

use super::at::At;
use super::frame::Frame;
use super::pipeline::Step;

/// Runs one SELECT over the table `input`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// One SELECT over the table `input`. Names of columns are matched exactly;
    /// quote those that are no plain words.
    pub query: String,
}

impl Step for Sql {
    fn check(&self, at: &At) -> Result<()> {
        sandbox::statement(&self.query, &at.field("query")).map(drop)
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let query = Query::new(self.query, at.field("query"));
        frame.operate(Arc::new(query))
    }
}

/// Keeps the rows for which the SQL expression `text` is true.
pub(super) fn filter(frame: Frame, text: &str, pointer: &str) -> Result<Frame> {
    let (function, inputs) = expression(&frame, text, pointer)?;
    if *function.data_type() != DataType::Boolean {
        let shown = weir_core::types::type_name(function.data_type());
        let message = format!("the expression gives {shown}, not true or false");
        return Err(Error::invalid(pointer, message).code("invalid_query"));
    }
    let function = function.keeping(frame.tally());
    frame.filter(Arc::new(function), inputs)
}
