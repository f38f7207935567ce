//! Columns added, subtracted, multiplied and divided: whole numbers and decimals
//! exactly, moments with spans of time, everything else as floats. A null operand
//! gives null, and so do a division by zero and a float beyond all floats.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, TimestampMicrosecondArray};
use arrow::compute::kernels::numeric::{add, mul, sub};
use arrow::compute::{CastOptions, binary, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;
use weir_core::{Error, Result};

use crate::columns::{NotRead, Numbers, as_numbers, without_infinities};
use crate::instants::DAY_MICROS;

/// What is done with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `a + b`.
    Add,
    /// `a − b`.
    Subtract,
    /// `a · b`.
    Multiply,
    /// `a / b`, a float.
    Divide,
}

/// A column to calculate with.
#[derive(Debug, Clone)]
pub enum Operand {
    /// Whole numbers of 64 bits.
    Whole(Int64Array),
    /// Floats.
    Float(Float64Array),
    /// Decimals of 128 or 256 bits.
    Decimal(ArrayRef),
    /// Moments in UTC.
    Moment(TimestampMicrosecondArray),
}

fn cast(array: &dyn Array, data_type: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    Ok(cast_with_options(array, data_type, &options)?)
}

impl Operand {
    /// The numbers of a column. Text is read; the first that is none is the error.
    ///
    /// # Errors
    ///
    /// A text that is no number.
    pub fn numbers(array: &ArrayRef) -> std::result::Result<Self, NotRead> {
        Ok(match array.data_type() {
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => {
                Operand::Decimal(cast(array, &DataType::Decimal128(*p, *s))?)
            }
            DataType::Decimal128(..) | DataType::Decimal256(..) => {
                Operand::Decimal(Arc::clone(array))
            }
            DataType::UInt64 => Operand::Decimal(cast(array, &DataType::Decimal128(20, 0))?),
            _ => match as_numbers(array)? {
                Numbers::Whole(whole) => Operand::Whole(whole),
                Numbers::Float(floats) => Operand::Float(floats),
            },
        })
    }

    /// The same number in every row. Beside decimals a number with decimals is one too.
    pub fn constant(text: &str, rows: usize, beside: &Operand) -> Option<Self> {
        let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if is_plain && let Some(value) = crate::number::integer(text) {
            return Some(Operand::Whole(Int64Array::from_value(value, rows)));
        }
        if matches!(beside, Operand::Decimal(_)) && text.len() <= 38 {
            let places = text.split_once('.').map_or("", |(_, places)| places);
            let scale = i8::try_from(places.len()).ok()?;
            if places.bytes().all(|b| b.is_ascii_digit())
                && let Some(value) = crate::number::decimal(text, 38, scale)
            {
                let value = arrow::array::Decimal128Array::from_value(value.to_i128()?, rows);
                let value = value.with_precision_and_scale(38.min(text.len() as u8), scale);
                return value.ok().map(|value| Operand::Decimal(Arc::new(value)));
            }
        }
        let value = crate::number::number(text)?;
        Some(Operand::Float(Float64Array::from_value(value, rows)))
    }

    /// The column behind.
    pub fn array(self) -> ArrayRef {
        match self {
            Operand::Whole(array) => Arc::new(array),
            Operand::Float(array) => Arc::new(array),
            Operand::Decimal(array) => array,
            Operand::Moment(array) => Arc::new(array),
        }
    }

    fn as_array(&self) -> &dyn Array {
        match self {
            Operand::Whole(array) => array,
            Operand::Float(array) => array,
            Operand::Decimal(array) => array,
            Operand::Moment(array) => array,
        }
    }

    /// As floats.
    pub fn floats(&self) -> Result<Float64Array> {
        Ok(match self {
            Operand::Whole(whole) => whole.unary(|value| value as f64),
            Operand::Float(floats) => floats.clone(),
            Operand::Decimal(decimals) => {
                let field = arrow::datatypes::Field::new("", decimals.data_type().clone(), true);
                let target = crate::convert::Target::Float64;
                let converted = crate::convert::convert(decimals, &field, target)?;
                converted.array.as_primitive::<Float64Type>().clone()
            }
            Operand::Moment(moments) => Float64Array::new_null(moments.len()),
        })
    }
}

fn overflow() -> Error {
    Error::invalid("", "a whole number or decimal grows beyond its type")
        .code("overflow")
        .hint("convert an operand to float64 first, or to a decimal of fewer digits")
}

fn exact(made: std::result::Result<ArrayRef, ArrowError>) -> Result<ArrayRef> {
    made.map_err(|error| match error {
        ArrowError::ArithmeticOverflow(_)
        | ArrowError::ComputeError(_)
        | ArrowError::InvalidArgumentError(_) => overflow(),
        other => other.into(),
    })
}

/// Whole numbers as decimals, and both as wide as the wider one.
fn as_decimals(left: &Operand, right: &Operand) -> Result<(ArrayRef, ArrayRef)> {
    let decimal = |operand: &Operand| match operand {
        Operand::Whole(whole) => cast(whole, &DataType::Decimal128(19, 0)),
        operand => Ok(arrow::array::make_array(operand.as_array().to_data())),
    };
    let (left, right) = (decimal(left)?, decimal(right)?);
    let wide = |array: ArrayRef| match array.data_type() {
        DataType::Decimal128(p, s) => cast(&array, &DataType::Decimal256(*p, *s)),
        _ => Ok(array),
    };
    let is_wide = |array: &ArrayRef| matches!(array.data_type(), DataType::Decimal256(..));
    if is_wide(&left) == is_wide(&right) {
        return Ok((left, right));
    }
    Ok((wide(left)?, wide(right)?))
}

/// What an operation gives for two columns of the same length. `unit` is what
/// one is worth that is added to a moment, in microseconds.
///
/// # Errors
///
/// Whole numbers or decimals that overflow; operands that do not go together.
/// The errors have no pointer.
pub fn calculate(
    left: &Operand,
    operation: Operation,
    right: &Operand,
    unit: i64,
) -> Result<Operand> {
    use Operation::{Add, Divide, Multiply, Subtract};
    match (left, right, operation) {
        (Operand::Moment(a), Operand::Moment(b), Subtract) => {
            Ok(Operand::Float(days_between(a, b)?))
        }
        (Operand::Moment(moments), span, Add | Subtract) if !matches!(span, Operand::Moment(_)) => {
            let sign = if operation == Add { 1 } else { -1 };
            Ok(Operand::Moment(moved(moments, span, sign * unit)?))
        }
        (Operand::Moment(_), _, _) | (_, Operand::Moment(_), _) => Err(Error::invalid(
            "",
            "a date can be moved by a number, or be subtracted from a date",
        )
        .hint("put the date first; `multiply` and `divide` take numbers only")),
        (_, _, Divide) => {
            let (a, b) = (left.floats()?, right.floats()?);
            let quotient: Float64Array = binary(&a, &b, |a, b| a / b)?;
            Ok(Operand::Float(without_infinities(&quotient)))
        }
        (Operand::Float(_), _, _) | (_, Operand::Float(_), _) => {
            let (a, b) = (left.floats()?, right.floats()?);
            let made: Float64Array = match operation {
                Add => binary(&a, &b, |a, b| a + b)?,
                Subtract => binary(&a, &b, |a, b| a - b)?,
                Multiply | Divide => binary(&a, &b, |a, b| a * b)?,
            };
            Ok(Operand::Float(without_infinities(&made)))
        }
        (Operand::Whole(a), Operand::Whole(b), _) => {
            let made = exact(applied(a, operation, b))?;
            Ok(Operand::Whole(made.as_primitive::<Int64Type>().clone()))
        }
        _ => {
            let (a, b) = as_decimals(left, right)?;
            Ok(Operand::Decimal(exact(applied(&a, operation, &b))?))
        }
    }
}

fn applied(
    left: &dyn Array,
    operation: Operation,
    right: &dyn Array,
) -> std::result::Result<ArrayRef, ArrowError> {
    match operation {
        Operation::Add => add(&left, &right),
        Operation::Subtract => sub(&left, &right),
        Operation::Multiply | Operation::Divide => mul(&left, &right),
    }
}

/// Days from `b` to `a`, with fractions.
fn days_between(
    a: &TimestampMicrosecondArray,
    b: &TimestampMicrosecondArray,
) -> Result<Float64Array> {
    let between = |a: i64, b: i64| (i128::from(a) - i128::from(b)) as f64 / DAY_MICROS as f64;
    Ok(binary(a, b, between)?)
}

/// Moments moved by so many units; null beyond 64 bits.
fn moved(
    moments: &TimestampMicrosecondArray,
    span: &Operand,
    unit: i64,
) -> Result<TimestampMicrosecondArray> {
    const LIMIT: f64 = 9.2e18;
    let spans: Int64Array = match span {
        Operand::Whole(whole) => whole.unary_opt(|value| value.checked_mul(unit)),
        span => span.floats()?.unary_opt(|value| {
            let micros = (value * unit as f64).round();
            (micros.abs() < LIMIT).then_some(micros as i64)
        }),
    };
    let both = moments.iter().zip(spans.iter());
    Ok(both
        .map(|(moment, span)| moment?.checked_add(span?))
        .collect())
}

/// Radius of the earth, in km.
const EARTH: f64 = 6371.0;

/// Kilometres between two places on the earth, all in degrees (haversine,
/// R = 6371 km).
pub fn distance([lat1, lng1, lat2, lng2]: [f64; 4]) -> f64 {
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let cosines = lat1.to_radians().cos() * lat2.to_radians().cos();
    let share = half(lat1, lat2) + cosines * half(lng1, lng2);
    2.0 * EARTH * share.clamp(0.0, 1.0).sqrt().asin()
}

/// [`distance`] of every row; null where one of the four is.
pub fn distances(places: [&Float64Array; 4]) -> Float64Array {
    let rows = places[0].len();
    let value = |row: usize| {
        let mut at = [0.0; 4];
        for (to, from) in at.iter_mut().zip(places) {
            if from.is_null(row) {
                return None;
            }
            *to = from.value(row);
        }
        Some(distance(at)).filter(|km| km.is_finite())
    };
    (0..rows).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, UInt64Array};

    fn whole(values: Vec<Option<i64>>) -> Operand {
        Operand::Whole(Int64Array::from(values))
    }

    fn floats(operand: Operand) -> Float64Array {
        operand.array().as_primitive::<Float64Type>().clone()
    }

    #[test]
    fn whole_numbers_stay_exact_or_fail() {
        let large = whole(vec![Some(9_007_199_254_740_993), None]);
        let made = calculate(&large, Operation::Add, &whole(vec![Some(2), Some(1)]), 1).unwrap();
        assert!(
            matches!(made, Operand::Whole(array) if array == Int64Array::from(vec![Some(9_007_199_254_740_995), None]))
        );
        let error = calculate(
            &whole(vec![Some(i64::MAX)]),
            Operation::Multiply,
            &whole(vec![Some(2)]),
            1,
        )
        .unwrap_err();
        assert_eq!(error.stable_code(), "overflow");
        // What stands under a null does not count.
        let hidden = Int64Array::new(vec![i64::MAX].into(), Some(vec![false].into()));
        let made = calculate(
            &Operand::Whole(hidden),
            Operation::Add,
            &whole(vec![Some(2)]),
            1,
        )
        .unwrap();
        assert_eq!(made.array().null_count(), 1);
    }

    #[test]
    fn divisions_are_floats_and_by_zero_null() {
        let made = calculate(
            &whole(vec![Some(7), Some(1), Some(0)]),
            Operation::Divide,
            &whole(vec![Some(2), Some(0), Some(0)]),
            1,
        )
        .unwrap();
        assert_eq!(
            floats(made),
            Float64Array::from(vec![Some(3.5), None, None])
        );
        let big = Operand::Float(Float64Array::from(vec![1e308]));
        let made = calculate(&big, Operation::Multiply, &whole(vec![Some(100)]), 1).unwrap();
        assert_eq!(made.array().null_count(), 1);
    }

    #[test]
    fn decimals_stay_decimals() {
        let price: ArrayRef = Arc::new(
            Decimal128Array::from(vec![150])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        );
        let price = Operand::numbers(&price).unwrap();
        let shown = |operand: Operand| {
            crate::convert::texts_of(&operand.array())
                .unwrap()
                .as_string::<i32>()
                .value(0)
                .to_owned()
        };
        let made = calculate(&price, Operation::Add, &whole(vec![Some(2)]), 1).unwrap();
        assert_eq!(shown(made), "3.50");
        let half = Operand::constant("0.5", 1, &price).unwrap();
        assert_eq!(
            shown(calculate(&price, Operation::Multiply, &half, 1).unwrap()),
            "0.750"
        );
        let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        let unsigned = Operand::numbers(&unsigned).unwrap();
        assert_eq!(
            shown(calculate(&unsigned, Operation::Subtract, &whole(vec![Some(1)]), 1).unwrap()),
            "18446744073709551614"
        );
        let wide: ArrayRef = Arc::new(
            Decimal128Array::from(vec![i128::MAX / 2])
                .with_precision_and_scale(38, 0)
                .unwrap(),
        );
        let wide = Operand::numbers(&wide).unwrap();
        let mut product = Ok(wide.clone());
        for _ in 0..3 {
            product =
                product.and_then(|product| calculate(&product, Operation::Multiply, &wide, 1));
        }
        assert_eq!(product.unwrap_err().stable_code(), "overflow");
    }

    #[test]
    fn moments_are_moved_and_subtracted() {
        let moments =
            |values: Vec<Option<i64>>| Operand::Moment(TimestampMicrosecondArray::from(values));
        let start = moments(vec![Some(0), None, Some(i64::MAX)]);
        let one = whole(vec![Some(1), Some(1), Some(1)]);
        let made = calculate(&start, Operation::Subtract, &one, DAY_MICROS).unwrap();
        assert!(
            matches!(&made, Operand::Moment(array) if array.value(0) == -DAY_MICROS && array.is_null(1))
        );
        let made = calculate(&start, Operation::Add, &one, DAY_MICROS).unwrap();
        assert_eq!(made.array().null_count(), 2);
        let half = Operand::Float(Float64Array::from(vec![0.5, 0.5, 0.5]));
        let made = calculate(&start, Operation::Add, &half, DAY_MICROS).unwrap();
        let days = calculate(
            &made,
            Operation::Subtract,
            &moments(vec![Some(0), Some(0), Some(0)]),
            1,
        )
        .unwrap();
        assert_eq!(floats(days).value(0), 0.5);
        assert!(calculate(&start, Operation::Multiply, &one, 1).is_err());
        assert!(calculate(&one, Operation::Add, &start, 1).is_err());
    }

    #[test]
    fn distances_are_in_km() {
        assert!((distance([52.52, 13.405, 48.8566, 2.3522]) - 877.463_325_917_543_2).abs() < 1e-9);
        assert!((distance([0.0, 0.0, 0.0, 180.0]) - 20_015.086_796_020_572).abs() < 1e-9);
        let column = |value| Float64Array::from(vec![value, None]);
        let made = distances([
            &column(Some(10.0)),
            &column(Some(20.0)),
            &column(Some(10.0)),
            &column(Some(20.0)),
        ]);
        assert_eq!(made, Float64Array::from(vec![Some(0.0), None]));
    }
}
