//! How a step reads a column: as it is stored, or as what the caller says it means.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};
use weir_core::evaluate::is_text;
use weir_core::{Error, Result};
use weir_values::columns::{as_moments, as_numbers};

use crate::steps::Frame;

/// How a column is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reading {
    /// As it is.
    #[default]
    Stored,
    /// Text as numbers.
    Numbers,
    /// Text as moments.
    Moments,
    /// Not at all: each row is a value.
    Rows,
}

impl Reading {
    /// What the caller's word on column `index` makes of it where a step calculates.
    pub(crate) fn of(frame: &Frame, index: usize) -> Self {
        use weir_values::ColumnKind as K;
        let field = frame.field(index);
        if !is_text(field.data_type()) || weir_core::types::is_json(field) {
            return Reading::Stored;
        }
        match frame.kind_of(index) {
            Some(K::Datetime) => Reading::Moments,
            Some(kind) if kind.is_number() => Reading::Numbers,
            _ => Reading::Stored,
        }
    }

    /// The type that comes of `stored`.
    pub(crate) fn data_type(self, stored: &DataType) -> DataType {
        match self {
            Reading::Stored => stored.clone(),
            Reading::Numbers => DataType::Float64,
            Reading::Moments => DataType::Timestamp(TimeUnit::Microsecond, None),
            Reading::Rows => DataType::Boolean,
        }
    }

    /// The values of `column`, of whose stream `before` rows came earlier.
    pub(crate) fn read(self, column: &ArrayRef, told: &Told<'_>, before: u64) -> Result<ArrayRef> {
        let unread = |error: weir_values::columns::NotRead| -> Error {
            error.error(told.column, before).under(told.pointer)
        };
        Ok(match self {
            Reading::Stored => Arc::clone(column),
            Reading::Numbers => Arc::new(as_numbers(column).map_err(unread)?.floats()),
            Reading::Moments => Arc::new(as_moments(column).map_err(unread)?),
            Reading::Rows => Arc::new(BooleanArray::from(vec![true; column.len()])),
        })
    }
}

/// What an error about a column names.
pub(crate) struct Told<'a> {
    pub(crate) column: &'a str,
    pub(crate) pointer: &'a str,
}
