//! What a comparison means for a column's type: literals and columns are
//! brought to one Arrow type in which they compare exactly.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, LargeStringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::error::{Error, Result};
use crate::predicate::{Comparison, Value};
use crate::types::field_type_name;

/// The digits a decimal of 256 bits holds.
const DIGITS: u8 = 76;

/// Refuses what cannot be cast instead of making it null.
const STRICT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// A literal ready to be compared with a column: both are cast to `common`.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    pub(crate) common: DataType,
    /// One value of type `common`.
    pub(crate) value: ArrayRef,
}

/// Brings `value` to a type in which it compares with `field` under `op`.
pub(crate) fn literal(field: &Field, value: &Value, op: Comparison) -> Result<Literal> {
    let ordered = !matches!(op, Comparison::Eq | Comparison::Ne);
    let data_type = field.data_type();
    if is_text(data_type) {
        return text_literal(field, value, ordered);
    }
    if *data_type == DataType::Boolean {
        return bool_literal(field, value, ordered);
    }
    if data_type.is_numeric() {
        return number_literal(field, value);
    }
    if is_temporal(data_type) {
        let Value::Text(text) = value else {
            return Err(mismatch(
                field,
                value,
                "write the date or time as text, as in '2024-01-31'",
            ));
        };
        return temporal_literal(field, text);
    }
    Err(mismatch(
        field,
        value,
        "values of this type cannot be compared; test them for null only",
    ))
}

fn one(common: DataType, value: ArrayRef) -> Literal {
    Literal { common, value }
}

fn text_literal(field: &Field, value: &Value, ordered: bool) -> Result<Literal> {
    let text = match value {
        Value::Text(text) => text.clone(),
        // Equality with a number written bare means its digits as they stand;
        // an order between text and a number has no one meaning.
        Value::Int(number) if !ordered => number.to_string(),
        Value::Number(number) if !ordered => number.clone(),
        Value::Bool(value) if !ordered => value.to_string(),
        _ => {
            return Err(mismatch(
                field,
                value,
                "quote the value to compare it as text",
            ));
        }
    };
    Ok(one(
        DataType::LargeUtf8,
        Arc::new(LargeStringArray::from(vec![text])),
    ))
}

fn bool_literal(field: &Field, value: &Value, ordered: bool) -> Result<Literal> {
    let truth = match value {
        Value::Bool(truth) if !ordered => *truth,
        Value::Text(text) if !ordered && text.eq_ignore_ascii_case("true") => true,
        Value::Text(text) if !ordered && text.eq_ignore_ascii_case("false") => false,
        _ => return Err(mismatch(field, value, "compare it with true or false")),
    };
    Ok(one(
        DataType::Boolean,
        Arc::new(BooleanArray::from(vec![truth])),
    ))
}

fn number_literal(field: &Field, value: &Value) -> Result<Literal> {
    let hint = "compare it with a number";
    let written = match value {
        Value::Int(number) => {
            if field.data_type().is_integer() && *field.data_type() != DataType::UInt64 {
                return Ok(one(
                    DataType::Int64,
                    Arc::new(Int64Array::from(vec![*number])),
                ));
            }
            number.to_string()
        }
        Value::Number(number) | Value::Text(number) => number.trim().to_owned(),
        Value::Bool(_) | Value::Null => return Err(mismatch(field, value, hint)),
    };
    let parsed: f64 = written
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite())
        .ok_or_else(|| mismatch(field, value, hint))?;
    let float = || {
        one(
            DataType::Float64,
            Arc::new(Float64Array::from(vec![parsed])),
        )
    };
    if field.data_type().is_floating() {
        return Ok(float());
    }
    // Integers and decimals compare as decimals wide enough for both; a literal
    // in exponent form or beyond that width is a float.
    let (whole, scale) = digits_of(field.data_type());
    let Some((literal_whole, literal_scale)) = digits_in(&written) else {
        return Ok(float());
    };
    let scale = scale.max(literal_scale);
    if u16::from(whole.max(literal_whole)) + u16::from(scale) > u16::from(DIGITS) {
        return Ok(float());
    }
    let common = DataType::Decimal256(DIGITS, scale as i8);
    let text: ArrayRef = Arc::new(LargeStringArray::from(vec![written]));
    let value = cast_with_options(&text, &common, &STRICT).map_err(Error::internal)?;
    Ok(one(common, value))
}

/// Digits before and after the point that a type may hold.
fn digits_of(data_type: &DataType) -> (u8, u8) {
    match data_type {
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            let scale = (*s).max(0) as u8;
            (p.saturating_sub(scale), scale)
        }
        _ => (20, 0),
    }
}

/// Digits before and after the point of a number written without exponent.
fn digits_in(text: &str) -> Option<(u8, u8)> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return None;
    }
    Some((
        u8::try_from(whole.len()).ok()?,
        u8::try_from(fraction.len()).ok()?,
    ))
}

fn temporal_literal(field: &Field, text: &str) -> Result<Literal> {
    // A date column compared with a moment compares moments.
    let common = match field.data_type() {
        DataType::Date32 | DataType::Date64 if text.len() > 10 => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        other => other.clone(),
    };
    let array: ArrayRef = Arc::new(LargeStringArray::from(vec![text.trim()]));
    let value = cast_with_options(&array, &common, &STRICT)
        .ok()
        .filter(|value| value.is_valid(0))
        .ok_or_else(|| {
            mismatch(
                field,
                &Value::Text(text.to_owned()),
                "write it as in '2024-01-31' or '2024-01-31T12:00:00Z'",
            )
        })?;
    Ok(one(common, value))
}

/// The type in which two columns compare.
pub fn common_type(left: &Field, right: &Field) -> Result<DataType> {
    let (a, b) = (left.data_type(), right.data_type());
    if is_text(a) && is_text(b) {
        return Ok(DataType::LargeUtf8);
    }
    if a == b && (*a == DataType::Boolean || is_temporal(a)) {
        return Ok(a.clone());
    }
    if a.is_numeric() && b.is_numeric() {
        if a.is_floating() || b.is_floating() {
            return Ok(DataType::Float64);
        }
        let ((whole_a, scale_a), (whole_b, scale_b)) = (digits_of(a), digits_of(b));
        let scale = scale_a.max(scale_b);
        if u16::from(whole_a.max(whole_b)) + u16::from(scale) <= u16::from(DIGITS) {
            return Ok(DataType::Decimal256(DIGITS, scale as i8));
        }
        return Ok(DataType::Float64);
    }
    let moment = |t: &DataType| {
        matches!(
            t,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _)
        )
    };
    if moment(a) && moment(b) {
        return Ok(DataType::Timestamp(
            TimeUnit::Microsecond,
            zone_of(a).or(zone_of(b)),
        ));
    }
    let message = format!(
        "the columns `{}` ({}) and `{}` ({}) cannot be compared",
        left.name(),
        field_type_name(left),
        right.name(),
        field_type_name(right)
    );
    Err(Error::invalid("/filter", message).code("invalid_filter"))
}

fn zone_of(data_type: &DataType) -> Option<Arc<str>> {
    match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    }
}

/// Whether a type holds text.
pub fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_temporal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(_, _)
    )
}

fn mismatch(field: &Field, value: &Value, hint: &'static str) -> Error {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Number(_) => "a number",
        Value::Text(_) => "this text",
    };
    let message = format!(
        "column `{}` is {}, it cannot be compared with {kind}",
        field.name(),
        field_type_name(field)
    );
    Error::invalid("/filter", message)
        .code("invalid_filter")
        .hint(hint)
}
