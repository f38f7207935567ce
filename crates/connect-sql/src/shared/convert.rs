//! A column brought into the type that an encoder reads, without losing what
//! nobody agreed to lose: a value that does not fit is told by its row.

use arrow::array::{Array, ArrayRef};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::util::display::FormatOptions;

/// Why a value cannot be written: its row within the batch, and what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// From 0.
    pub row: usize,
    /// What is wrong, without the value.
    pub why: &'static str,
}

/// What [`converted`] says of a value that does not fit.
const MISFIT: &str = "a value that its column cannot hold";

/// `array` as `to`. Where `exact`, what comes back from there must be the same.
pub fn converted(array: &ArrayRef, to: &DataType, exact: bool) -> Result<ArrayRef, Refused> {
    if array.data_type() == to {
        return Ok(ArrayRef::clone(array));
    }
    let options = CastOptions {
        safe: true,
        format_options: FormatOptions::default(),
    };
    let never = |_| Refused {
        row: 0,
        why: "its type cannot be converted",
    };
    let there = cast_with_options(array, to, &options).map_err(never)?;
    // What cannot be converted became null.
    if there.logical_null_count() > array.logical_null_count() {
        let (before, after) = (array.logical_nulls(), there.logical_nulls());
        let lost = |row: &usize| {
            let was = before.as_ref().is_some_and(|nulls| nulls.is_null(*row));
            let is = after.as_ref().is_some_and(|nulls| nulls.is_null(*row));
            is && !was
        };
        let row = (0..array.len()).find(lost).unwrap_or(0);
        return Err(Refused { row, why: MISFIT });
    }
    if exact {
        let back = cast_with_options(&there, array.data_type(), &options).map_err(never)?;
        let differs = distinct(&back, array).map_err(never)?;
        if let Some(row) = differs.values().set_indices().next() {
            return Err(Refused { row, why: MISFIT });
        }
    }
    Ok(there)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn the_first_value_that_does_not_fit_is_told() {
        let large: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1), Some(1 << 40)]));
        assert_eq!(
            converted(&large, &DataType::Int32, false).unwrap_err().row,
            2
        );
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("5"), None, Some("x")]));
        assert_eq!(
            converted(&texts, &DataType::Int32, false).unwrap_err().row,
            2
        );
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![2.0, 2.5]));
        assert_eq!(
            converted(&floats, &DataType::Int32, true).unwrap_err().row,
            1
        );
        assert!(converted(&floats.slice(0, 1), &DataType::Int32, true).is_ok());
    }
}
