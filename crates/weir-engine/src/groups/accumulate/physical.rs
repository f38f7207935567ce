//! The few types that are computed with, and the way to and back from them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, make_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use weir_core::Result;

use super::function::Function;

/// What arithmetic takes: numbers, booleans as 1 and 0, and columns without values.
pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null)
}

/// Text and binary.
pub(super) fn is_bytes(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Binary | T::LargeBinary | T::BinaryView
    )
}

/// The type in which a column is handed to the accumulator of `function`.
pub(crate) fn input_type(function: Function, data_type: &DataType) -> DataType {
    use DataType as T;
    let data_type = match data_type {
        T::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    match function {
        Function::Std | Function::Var => T::Float64,
        Function::Average | Function::Sum | Function::Median => match data_type {
            T::UInt64 => T::UInt64,
            T::Float16 | T::Float32 | T::Float64 => T::Float64,
            T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) => T::Decimal128(*p, *s),
            T::Decimal256(p, s) => T::Decimal256(*p, *s),
            _ => T::Int64,
        },
        _ => data_type.clone(),
    }
}

/// How the values of a type are kept: the numbers in this type, or bytes.
pub(super) fn kept_as(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match data_type {
        T::Boolean | T::Int8 | T::Int16 | T::UInt8 | T::UInt16 => T::Int32,
        T::Int32 | T::Date32 | T::Time32(_) | T::Decimal32(_, _) => T::Int32,
        T::Int64 | T::UInt32 | T::Date64 | T::Time64(_) | T::Timestamp(_, _) => T::Int64,
        T::Duration(_) | T::Decimal64(_, _) => T::Int64,
        T::UInt64 => T::UInt64,
        T::Float16 | T::Float32 => T::Float32,
        T::Float64 => T::Float64,
        T::Decimal128(p, s) => T::Decimal128(*p, *s),
        T::Decimal256(p, s) => T::Decimal256(*p, *s),
        _ => return None,
    })
}

/// `array` as `to`, by its bits where both are as wide, else by value.
pub(super) fn converted(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    let is_same_width = from.primitive_width() == to.primitive_width()
        && from.primitive_width().is_some()
        && from.is_floating() == to.is_floating();
    if is_same_width {
        let data = array.to_data().into_builder().data_type(to.clone());
        return Ok(make_array(data.build()?));
    }
    Ok(cast(array, to)?)
}
