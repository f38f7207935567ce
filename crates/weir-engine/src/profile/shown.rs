//! Values as a profile shows them: every digit of numbers, moments as ISO 8601
//! in UTC.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, TimeUnit};
use serde_json::{Number as JsonNumber, Value};
use weir_core::Result;
use weir_values::counts::{Counts, Key};
use weir_values::instants::{micros_of, write_moment};
use weir_values::order::{KeyKind, Number};
use weir_values::texts::Texts;

use crate::steps::shown;

/// How keys of a column are shown.
pub(super) struct Show {
    /// A table without values, which knows what keys mean.
    counts: Counts,
    /// Digits behind the point of decimals that are counted as whole numbers.
    scale: Option<i8>,
    /// Whether floats that are whole are shown as whole numbers.
    is_whole: bool,
}

impl Show {
    pub(super) fn new(data_type: &DataType, scale: Option<i8>) -> Result<Self> {
        Ok(Show {
            counts: Counts::new(data_type)?,
            scale,
            is_whole: false,
        })
    }

    /// Of whole numbers that were read out of text, floats or not.
    #[must_use]
    pub(super) fn whole(self, is_whole: bool) -> Self {
        Show { is_whole, ..self }
    }

    pub(super) fn key(&self, key: Key<'_>) -> Value {
        if let (Some(scale), Key::Fixed(key)) = (self.scale, key) {
            return match KeyKind::Signed.value(key) {
                Number::Int(value) => decimal(i128::from(value), scale),
                other => other.to_json(),
            };
        }
        if let (true, Some(KeyKind::Float), Key::Fixed(key)) =
            (self.is_whole, self.counts.key_kind(), key)
        {
            let value = KeyKind::Float.value(key).to_f64();
            if value.fract() == 0.0 && value.abs() < 9e15 {
                return Value::from(value as i64);
            }
        }
        match self.counts.value(key) {
            Ok(value) => cell(&value, 0),
            Err(_) => Value::Null,
        }
    }

    /// The value as a name in an object.
    pub(super) fn label(&self, key: Key<'_>) -> String {
        label(self.key(key))
    }

    /// A key of a number.
    pub(super) fn number(&self, key: u64) -> Value {
        self.key(Key::Fixed(key))
    }

    /// The number in the middle of two, exactly where it is one.
    pub(super) fn middle(&self, low: u64, high: u64) -> Value {
        if low == high {
            return self.number(low);
        }
        let kind = self.counts.key_kind().unwrap_or(KeyKind::Float);
        let place = weir_values::quantile::Place {
            low: 0,
            high: 1,
            part: 0.5,
        };
        let middle = place.between(kind.value(low), kind.value(high)).to_f64();
        float(middle / self.scale.map_or(1.0, power))
    }
}

/// Ten to the power of a scale.
pub(super) fn power(scale: i8) -> f64 {
    10_f64.powi(i32::from(scale))
}

pub(super) fn label(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A float; null where it is none.
pub(super) fn float(value: impl Into<Option<f64>>) -> Value {
    value
        .into()
        .filter(|value| value.is_finite())
        .map_or(Value::Null, Value::from)
}

/// A number of many digits.
pub(super) fn digits(text: &str) -> Value {
    serde_json::from_str::<JsonNumber>(text).map_or_else(|_| Value::from(text), Value::Number)
}

/// `value` in units of 10^−`scale`.
pub(super) fn decimal(value: i128, scale: i8) -> Value {
    let places = usize::from(scale.max(0).unsigned_abs());
    let mut text = format!("{:0width$}", value.unsigned_abs(), width = places + 1);
    if places > 0 {
        text.insert(text.len() - places, '.');
    }
    if scale < 0 && value != 0 {
        text.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
    }
    if value < 0 {
        text.insert(0, '-');
    }
    digits(&text)
}

/// A moment in microseconds as ISO 8601 in UTC.
pub(super) fn instant(micros: i64) -> Value {
    let mut text = String::new();
    write_moment(micros, TimeUnit::Microsecond, true, &mut text);
    Value::from(text)
}

/// A cell.
pub(super) fn cell(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    if let Some(texts) = Texts::of(array) {
        return Value::from(texts.value(row));
    }
    match array.data_type() {
        DataType::Boolean => return Value::from(array.as_boolean().value(row)),
        DataType::Decimal128(..) => {
            return digits(&array.as_primitive::<Decimal128Type>().value_as_string(row));
        }
        DataType::Decimal256(..) => {
            return digits(&array.as_primitive::<Decimal256Type>().value_as_string(row));
        }
        _ => {}
    }
    let one = array.slice(row, 1);
    if array.data_type().is_numeric()
        && let Some(kind) = KeyKind::exact(array.data_type())
    {
        let mut keys = Vec::new();
        let read = kind.keys(&one, &mut keys);
        if let (Ok(()), Some(key)) = (read, keys.first()) {
            return kind.value(*key).to_json();
        }
        return Value::Null;
    }
    if let Some(moments) = micros_of(&one)
        && moments.is_valid(0)
    {
        return instant(moments.value(0));
    }
    shown(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        assert_eq!(decimal(-5, 2).to_string(), "-0.05");
        assert_eq!(
            decimal(123_456_789_012_345_678_901, 1).to_string(),
            "12345678901234567890.1"
        );
        assert_eq!(decimal(7, 0).to_string(), "7");
        assert_eq!(decimal(-7, -2).to_string(), "-700");
    }

    #[test]
    fn moments_before_1970() {
        assert_eq!(instant(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(instant(-62_135_596_800_000_000), "0001-01-01T00:00:00Z");
    }
}
