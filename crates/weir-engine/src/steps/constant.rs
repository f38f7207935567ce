//! One value for every gap of a column: what the caller gives, as a value of the
//! column's type, and what stands for `missing` where nothing is given.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Decimal256Array, Float64Array, Int64Array,
    LargeStringArray, StringArray, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, i256};
use serde_json::Value;
use weir_core::types::{field_type_name, is_json};
use weir_core::{Error, Result};
use weir_values::texts::{is_text, shown};
use weir_values::{ColumnKind, moment, number};

/// `value` as an array with one row of the type of `field`, or 422 at `pointer`.
pub(super) fn constant(value: &Value, field: &Field, pointer: &str) -> Result<ArrayRef> {
    let array = match field.data_type() {
        data_type if is_text(data_type) => written(value, field),
        DataType::Boolean => {
            truth(value).map(|truth| Arc::new(BooleanArray::from(vec![truth])) as _)
        }
        DataType::Decimal128(precision, scale) => {
            decimal(value, *precision, *scale).and_then(|digits| {
                let array = Decimal128Array::from(vec![digits.to_i128()?]);
                let array = array.with_precision_and_scale(*precision, *scale).ok()?;
                Some(Arc::new(array) as _)
            })
        }
        DataType::Decimal256(precision, scale) => {
            decimal(value, *precision, *scale).and_then(|digits| {
                let array = Decimal256Array::from(vec![digits]);
                let array = array.with_precision_and_scale(*precision, *scale).ok()?;
                Some(Arc::new(array) as _)
            })
        }
        data_type if data_type.is_integer() => whole(value, data_type),
        data_type if data_type.is_numeric() => text_of(value)
            .and_then(|text| number::number(&text))
            .and_then(|value| narrowed(&Float64Array::from(vec![value]), data_type))
            .filter(is_finite),
        data_type @ (DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) => value
            .as_str()
            .and_then(moment::micros)
            .and_then(|micros| dated(micros, data_type)),
        _ => decoded(value, field),
    };
    array.ok_or_else(|| {
        let (shown, wanted) = (shown(&value.to_string()), field_type_name(field));
        let message = format!(
            "`{shown}` does not fit the column `{}`, a {wanted}",
            field.name()
        );
        Error::invalid(pointer, message).hint(
            "give a value of the column's type, or convert the column with convert_type first",
        )
    })
}

fn is_finite(array: &ArrayRef) -> bool {
    let floats = narrowed(array.as_ref(), &DataType::Float64);
    floats.is_some_and(|floats| {
        let mut moments = weir_values::moments::Moments::new();
        moments.push(&floats).is_ok() && moments.count() == 1
    })
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The array cast without loss of range; none where it does not fit.
fn narrowed(array: &dyn Array, data_type: &DataType) -> Option<ArrayRef> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let cast = cast_with_options(array, data_type, &options).ok()?;
    cast.is_valid(0).then_some(cast)
}

fn whole(value: &Value, data_type: &DataType) -> Option<ArrayRef> {
    let text = text_of(value)?;
    if let Some(value) = text
        .trim()
        .parse::<u64>()
        .ok()
        .filter(|v| *v > i64::MAX as u64)
    {
        return narrowed(&UInt64Array::from(vec![value]), data_type);
    }
    let is_whole = match text.trim().parse::<i64>() {
        Ok(_) => true,
        Err(_) => number::number(&text).is_some_and(|value| value.fract() == 0.0),
    };
    let value = number::integer(&text).filter(|_| is_whole)?;
    narrowed(&Int64Array::from(vec![value]), data_type)
}

fn decimal(value: &Value, precision: u8, scale: i8) -> Option<i256> {
    let text = text_of(value)?;
    let digits = number::decimal(&text, precision, scale)?;
    // What the scale cuts off would be another value.
    let exact = number::decimal(&text, 76, scale.saturating_add(12));
    let ten = i256::from_i128(1_000_000_000_000);
    match exact {
        Some(exact) if digits.checked_mul(ten) != Some(exact) => None,
        _ => Some(digits),
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "true" | "yes" | "y" | "t" | "1" | "on" => Some(true),
            "false" | "no" | "n" | "f" | "0" | "off" => Some(false),
            _ => None,
        },
        Value::Number(number) => match number.to_string().as_str() {
            "1" => Some(true),
            "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn dated(micros: i64, data_type: &DataType) -> Option<ArrayRef> {
    let moment = TimestampMicrosecondArray::from(vec![micros]);
    match data_type {
        DataType::Timestamp(_, Some(_)) => narrowed(&moment.with_timezone("UTC"), data_type),
        DataType::Date32 | DataType::Date64 if micros.rem_euclid(86_400_000_000) != 0 => None,
        _ => narrowed(&moment, data_type),
    }
}

fn written(value: &Value, field: &Field) -> Option<ArrayRef> {
    let text = match value {
        _ if is_json(field) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(text_array(text, field.data_type()))
}

/// A text as an array with one row.
pub(super) fn text_array(text: String, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from(vec![text])),
        DataType::Utf8View => Arc::new(StringViewArray::from(vec![text])),
        _ => Arc::new(StringArray::from(vec![text])),
    }
}

/// Lists and other types as they are written in JSON rows.
fn decoded(value: &Value, field: &Field) -> Option<ArrayRef> {
    let field = field.clone().with_name("value").with_nullable(true);
    let schema = Arc::new(Schema::new(vec![field]));
    let mut decoder = arrow::json::ReaderBuilder::new(schema)
        .build_decoder()
        .ok()?;
    let row = serde_json::json!({ "value": value }).to_string();
    decoder.decode(row.as_bytes()).ok()?;
    let batch = decoder.flush().ok()??;
    let array = batch.column(0);
    (array.len() == 1 && array.is_valid(0)).then(|| Arc::clone(array))
}

/// What fills a column of this kind where no value is given: 0 for numbers, `[]`
/// for lists, `missing` for every other kind of text. None for the rest, which
/// needs one.
pub(crate) fn default_value(field: &Field, kind: ColumnKind) -> Option<ArrayRef> {
    let data_type = field.data_type();
    let value = if is_text(data_type) {
        match kind {
            ColumnKind::Datetime => return None,
            ColumnKind::List if is_json(field) => Value::Array(Vec::new()),
            ColumnKind::Number | ColumnKind::NumberWithDecimals if is_json(field) => 0.into(),
            ColumnKind::List => "[]".into(),
            ColumnKind::Number | ColumnKind::NumberWithDecimals => "0".into(),
            _ => "missing".into(),
        }
    } else if data_type.is_numeric() {
        0.into()
    } else if matches!(kind, ColumnKind::List) {
        Value::Array(Vec::new())
    } else {
        return None;
    };
    constant(&value, field, "").ok()
}

/// 422: a column of this type has no value that stands for a missing one.
pub(super) fn needs_value(field: &Field, pointer: &str) -> Error {
    let message = format!(
        "the column `{}`, a {}, needs a `value` to be filled with",
        field.name(),
        field_type_name(field)
    );
    Error::invalid(pointer, message).hint(
        "give `value`, or use mode, random or sequential, or leave the column out of `columns`",
    )
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use serde_json::json;
    use weir_core::types::parse_field;

    use super::*;

    fn made(shown: &str, value: &Value) -> Option<ArrayRef> {
        let field = parse_field("a", shown).unwrap();
        let array = constant(value, &field, "/steps/0/value").ok()?;
        assert_eq!(array.data_type(), field.data_type());
        Some(array)
    }

    #[test]
    fn values_take_the_type_of_their_column() {
        let big = made("int64", &json!(9_007_199_254_740_993_i64)).unwrap();
        assert_eq!(
            big.as_primitive::<Int64Type>().value(0),
            9_007_199_254_740_993
        );
        for (shown, value) in [
            ("int64", json!(1.0)),
            ("int64", json!("5")),
            ("int16", json!(300)),
            ("uint64", json!(u64::MAX)),
            ("float32", json!(1.5)),
            ("decimal(10,2)", json!(1.25)),
            ("bool", json!("yes")),
            ("date", json!("2020-01-02")),
            ("timestamp(ms, UTC)", json!("2020-01-02T03:04:05Z")),
            ("timestamp(us)", json!("2020-01-02")),
            ("list<int64>", json!([1, 2])),
            ("string", json!("")),
            ("json", json!({"a": 1})),
        ] {
            assert!(made(shown, &value).is_some(), "{shown} {value}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (shown, value) in [
            ("int64", json!(1.5)),
            ("int64", json!("x")),
            ("int64", json!(true)),
            ("int8", json!(300)),
            ("uint64", json!(-1)),
            ("float32", json!(1e300)),
            ("float64", json!("ten")),
            ("decimal(4,2)", json!(123.45)),
            ("decimal(4,2)", json!(1.234)),
            ("bool", json!("perhaps")),
            ("date", json!("2020-13-99")),
            ("date", json!(5)),
            ("list<int64>", json!("x")),
            ("list<int64>", json!(["x"])),
            ("string", json!([1])),
        ] {
            assert!(made(shown, &value).is_none(), "{shown} {value}");
        }
        let field = parse_field("a", "int64").unwrap();
        let error = constant(&json!("x".repeat(100)), &field, "/p").unwrap_err();
        assert_eq!(error.fields()[0].pointer, "/p");
        assert!(error.message().len() < 150, "{}", error.message());
    }
}
