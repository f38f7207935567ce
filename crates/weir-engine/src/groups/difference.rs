//! The difference of a column from itself: exact in whole numbers and decimals,
//! in days for dates.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::compute::kernels::numeric::sub;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Field, Float64Type,
    Int64Type, TimeUnit,
};
use weir_core::types::{field_type_name, is_json};
use weir_core::{Error, Result};

use super::accumulate::overflow;
use super::reading::Told;

/// The type in which differences of a column are computed.
pub(crate) fn input_type(stored: &Field, pointer: &str) -> Result<DataType> {
    use DataType as T;
    let refused = || {
        let message = format!(
            "differences need numbers or dates, and column `{}` is {}",
            stored.name(),
            field_type_name(stored)
        );
        Error::invalid(pointer, message).hint(
            "convert the column with convert_type first, or say what it means in column_types",
        )
    };
    Ok(match stored.data_type() {
        _ if is_json(stored) => return Err(refused()),
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => T::Int64,
        T::UInt64 => T::Decimal128(20, 0),
        T::Float16 | T::Float32 | T::Float64 | T::Null => T::Float64,
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) => T::Decimal128(*p, *s),
        other @ (T::Decimal256(_, _)
        | T::Date32
        | T::Date64
        | T::Timestamp(_, _)
        | T::Time32(_)
        | T::Time64(_)
        | T::Duration(_)) => other.clone(),
        _ => return Err(refused()),
    })
}

/// The type of differences of `stored`, computed in `input`.
pub(crate) fn result_type(stored: &DataType, input: &DataType) -> DataType {
    match input {
        DataType::Int64 => DataType::Int64,
        _ if *stored == DataType::UInt64 => DataType::Int64,
        DataType::Decimal128(p, s) => DataType::Decimal128(38.min(p + 1), *s),
        DataType::Decimal256(p, s) => DataType::Decimal256(76.min(p + 1), *s),
        _ => DataType::Float64,
    }
}

/// `now - before`, null where either is; `result` is what [`result_type`] gave.
pub(crate) fn difference(
    now: &ArrayRef,
    before: &ArrayRef,
    result: &DataType,
    told: &Told<'_>,
) -> Result<ArrayRef> {
    let too_large = || overflow(told.pointer, told.column, "a difference");
    match now.data_type() {
        DataType::Int64 => {
            let (now, before) = (
                now.as_primitive::<Int64Type>(),
                before.as_primitive::<Int64Type>(),
            );
            let nulls = NullBuffer::union(now.nulls(), before.nulls());
            whole(now.values(), before.values(), nulls).ok_or_else(too_large)
        }
        DataType::Float64 => {
            let (now, before) = (
                now.as_primitive::<Float64Type>(),
                before.as_primitive::<Float64Type>(),
            );
            let apart = arrow::compute::binary::<_, _, _, Float64Type>(now, before, |a, b| a - b)?;
            let apart: &Float64Array = &apart;
            if apart.values().iter().all(|value| value.is_finite()) {
                return Ok(Arc::new(apart.clone()));
            }
            let finite =
                apart.unary_opt::<_, Float64Type>(|value| value.is_finite().then_some(value));
            Ok(Arc::new(finite))
        }
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => {
            decimals(now, before, result).ok_or_else(too_large)
        }
        _ => days(now, before),
    }
}

/// `None` where one does not fit.
fn whole(now: &[i64], before: &[i64], nulls: Option<NullBuffer>) -> Option<ArrayRef> {
    let mut fits = true;
    let pairs = now.iter().zip(before);
    let apart: Vec<i64> = pairs
        .map(|(a, b)| {
            let (apart, is_wrapped) = a.overflowing_sub(*b);
            fits &= !is_wrapped;
            apart
        })
        .collect();
    if !fits {
        // What stands under nulls may wrap.
        let mut pairs = now.iter().zip(before).enumerate();
        let is_valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        if pairs.any(|(row, (a, b))| is_valid(row) && a.checked_sub(*b).is_none()) {
            return None;
        }
    }
    Some(Arc::new(PrimitiveArray::<Int64Type>::new(
        apart.into(),
        nulls,
    )))
}

fn decimals(now: &ArrayRef, before: &ArrayRef, result: &DataType) -> Option<ArrayRef> {
    let apart = sub(now, before).ok()?;
    match (apart.data_type(), result) {
        (DataType::Decimal128(_, s), DataType::Int64) => {
            let narrow = apart.as_primitive::<Decimal128Type>();
            debug_assert_eq!(*s, 0);
            let narrow =
                narrow.try_unary::<_, Int64Type, ()>(|value| i64::try_from(value).map_err(drop));
            Some(Arc::new(narrow.ok()?))
        }
        (DataType::Decimal128(p, s), _) => {
            let values = apart.as_primitive::<Decimal128Type>();
            let fits =
                |value: i128| Decimal128Type::validate_decimal_precision(value, *p, *s).is_ok();
            values.iter().flatten().all(fits).then_some(apart)
        }
        (DataType::Decimal256(p, s), _) => {
            let values = apart.as_primitive::<Decimal256Type>();
            let fits = |value| Decimal256Type::validate_decimal_precision(value, *p, *s).is_ok();
            values.iter().flatten().all(fits).then_some(apart)
        }
        _ => None,
    }
}

/// The moments' distance in days.
fn days(now: &ArrayRef, before: &ArrayRef) -> Result<ArrayRef> {
    let per_day = per_day(now.data_type());
    let (now, before) = (counted(now)?, counted(before)?);
    let (now, before) = (
        now.as_primitive::<Int64Type>(),
        before.as_primitive::<Int64Type>(),
    );
    let apart = |a: i64, b: i64| (i128::from(a) - i128::from(b)) as f64 / per_day;
    let days = arrow::compute::binary::<_, _, _, Float64Type>(now, before, apart)?;
    Ok(Arc::new(days))
}

/// Units of a type in one day.
fn per_day(data_type: &DataType) -> f64 {
    use DataType as T;
    let unit = match data_type {
        T::Date32 => return 1.0,
        T::Timestamp(unit, _) | T::Time32(unit) | T::Time64(unit) | T::Duration(unit) => *unit,
        _ => TimeUnit::Millisecond,
    };
    86_400.0
        * match unit {
            TimeUnit::Second => 1.0,
            TimeUnit::Millisecond => 1e3,
            TimeUnit::Microsecond => 1e6,
            TimeUnit::Nanosecond => 1e9,
        }
}

/// Units as whole numbers.
fn counted(array: &ArrayRef) -> Result<ArrayRef> {
    if let Some(days) = array.as_primitive_opt::<Date32Type>() {
        return Ok(Arc::new(days.unary::<_, Int64Type>(i64::from)));
    }
    let narrow = match array.data_type() {
        DataType::Time32(_) => cast(array, &DataType::Int32)?,
        _ => Arc::clone(array),
    };
    Ok(cast(&narrow, &DataType::Int64)?)
}
