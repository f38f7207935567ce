//! Numbers as unsigned keys of the same order, so that one selection, one table
//! and one radix serve all of them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float64Array, Int64Array,
    PrimitiveArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use serde_json::Value;
use weir_core::Result;

const SIGN: u64 = 1 << 63;

/// How values of a type become keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Whole numbers, dates, moments, lengths of time, booleans.
    Signed,
    /// Whole numbers without a sign.
    Unsigned,
    /// Floats, and decimals as floats.
    Float,
}

/// One number, as exact as its column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// A whole number without a sign.
    Uint(u64),
    /// A float.
    Float(f64),
}

impl Number {
    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Uint(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    /// As JSON; a float that is no number is null.
    pub fn to_json(self) -> Value {
        match self {
            Number::Int(value) => value.into(),
            Number::Uint(value) => value.into(),
            Number::Float(value) => value.into(),
        }
    }
}

impl KeyKind {
    /// How values of `data_type` become keys whose equality is theirs; none for
    /// types with values of more than 64 bits.
    pub fn exact(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::UInt64 => KeyKind::Unsigned,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => KeyKind::Float,
            other if other.is_integer() => KeyKind::Signed,
            DataType::Boolean
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Duration(_) => KeyKind::Signed,
            _ => return None,
        })
    }

    /// How numbers of `data_type` become keys of the same order.
    pub fn of_number(data_type: &DataType) -> Option<Self> {
        match data_type {
            other if other.is_decimal() => Some(KeyKind::Float),
            other if other.is_numeric() => KeyKind::exact(other),
            _ => None,
        }
    }

    /// The key of the number.
    pub fn value(self, key: u64) -> Number {
        match self {
            KeyKind::Signed => Number::Int((key ^ SIGN) as i64),
            KeyKind::Unsigned => Number::Uint(key),
            KeyKind::Float => Number::Float(float_of(key)),
        }
    }

    /// An array of one type with 64 bits a value, which [`KeyKind::each`] reads.
    pub fn wide(self, array: &ArrayRef) -> Result<ArrayRef> {
        Ok(match (self, array.data_type()) {
            (KeyKind::Float, _) => cast(array, &DataType::Float64)?,
            (KeyKind::Unsigned, _) => cast(array, &DataType::UInt64)?,
            (KeyKind::Signed, DataType::Boolean) => cast(array, &DataType::Int64)?,
            (KeyKind::Signed, DataType::Date32 | DataType::Time32(_)) => {
                cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?
            }
            (KeyKind::Signed, _) => cast(array, &DataType::Int64)?,
        })
    }

    /// The value of `key` as an array of `data_type` with one row.
    pub fn narrow(self, key: u64, data_type: &DataType) -> Result<ArrayRef> {
        let wide: ArrayRef = match self.value(key) {
            Number::Int(value) => match data_type {
                DataType::Boolean => return Ok(Arc::new(BooleanArray::from(vec![value != 0]))),
                DataType::Date32 | DataType::Time32(_) => {
                    cast(&Int64Array::from(vec![value]), &DataType::Int32)?
                }
                _ => Arc::new(Int64Array::from(vec![value])),
            },
            Number::Uint(value) => Arc::new(UInt64Array::from(vec![value])),
            Number::Float(value) => Arc::new(Float64Array::from(vec![value])),
        };
        Ok(cast(&wide, data_type)?)
    }

    /// Calls `take` with the row and the key of every value that is there; NaN
    /// and infinities are not.
    pub fn each(self, wide: &ArrayRef, take: impl FnMut(usize, u64)) {
        match self {
            KeyKind::Signed => each::<Int64Type>(wide, |value| Some(value as u64 ^ SIGN), take),
            KeyKind::Unsigned => each::<UInt64Type>(wide, Some, take),
            KeyKind::Float => {
                each::<Float64Type>(wide, |value| value.is_finite().then(|| key_of(value)), take)
            }
        }
    }

    /// The keys of all values that are there, in their order.
    pub fn keys(self, array: &ArrayRef, keys: &mut Vec<u64>) -> Result<()> {
        let wide = self.wide(array)?;
        keys.reserve(array.len() - wide.null_count());
        self.each(&wide, |_, key| keys.push(key));
        Ok(())
    }
}

fn each<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    key: impl Fn(T::Native) -> Option<u64>,
    mut take: impl FnMut(usize, u64),
) {
    let array: &PrimitiveArray<T> = array.as_primitive();
    let values = array.values();
    let mut run = |start: usize, end: usize| {
        for (offset, value) in values[start..end].iter().enumerate() {
            if let Some(key) = key(*value) {
                take(start + offset, key);
            }
        }
    };
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => run(0, array.len()),
        Some(nulls) => {
            for (start, end) in nulls.valid_slices() {
                run(start, end);
            }
        }
    }
}

/// The key of a float: −0.0 and 0.0 have the same.
pub fn key_of(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The float of a key.
pub fn float_of(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key ^ SIGN })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_come_back_in_their_type() {
        let arrays: [ArrayRef; 5] = [
            Arc::new(Date32Array::from(vec![-3])),
            Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN]).with_timezone("UTC")),
            Arc::new(BooleanArray::from(vec![true])),
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            Arc::new(Float64Array::from(vec![-0.5])),
        ];
        for array in arrays {
            let kind = KeyKind::exact(array.data_type()).unwrap();
            let mut keys = Vec::new();
            kind.keys(&array, &mut keys).unwrap();
            let again = kind.narrow(keys[0], array.data_type()).unwrap();
            assert_eq!(&again, &array);
        }
        assert_eq!(key_of(-0.0), key_of(0.0));
    }

    proptest! {
        #[test]
        fn keys_have_the_order_of_floats(a in prop::num::f64::NORMAL, b in prop::num::f64::NORMAL) {
            prop_assert_eq!(key_of(a).cmp(&key_of(b)), a.total_cmp(&b));
            prop_assert_eq!(float_of(key_of(a)), a);
        }
    }
}
