//! One value of a column's type, as a caller writes it in JSON.

use std::sync::Arc;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field};
use serde_json::Value;
use weir_core::evaluate::is_text;
use weir_core::types::field_type_name;
use weir_core::{Error, Result};

/// Refuses what cannot be cast instead of making it null.
const STRICT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// An array of one value, which may be null.
pub(crate) fn one(value: &Value, field: &Field, pointer: &str) -> Result<ArrayRef> {
    let data_type = field.data_type();
    let refused = || {
        let shown: String = value.to_string().chars().take(40).collect();
        let message = format!(
            "{shown} is no value of column `{}`, which is {}",
            field.name(),
            field_type_name(field)
        );
        Error::invalid(pointer, message)
    };
    let exact: ArrayRef = match value {
        Value::Null => return Ok(new_null_array(data_type, 1)),
        Value::Bool(truth) if *data_type == DataType::Boolean => {
            Arc::new(BooleanArray::from(vec![*truth]))
        }
        Value::Number(number) if data_type.is_integer() => match number.as_i64() {
            Some(whole) => Arc::new(Int64Array::from(vec![whole])),
            None => {
                let float = number.as_f64().filter(|float| float.fract() == 0.0);
                match (number.as_u64(), float) {
                    (Some(large), _) => Arc::new(StringArray::from(vec![large.to_string()])),
                    (None, Some(float)) => Arc::new(Float64Array::from(vec![float])),
                    (None, None) => return Err(refused()),
                }
            }
        },
        Value::Number(number) if data_type.is_floating() => {
            let float = number.as_f64().filter(|float| float.is_finite());
            Arc::new(Float64Array::from(vec![float.ok_or_else(refused)?]))
        }
        Value::Number(number) if data_type.is_numeric() => {
            Arc::new(StringArray::from(vec![number.to_string()]))
        }
        Value::String(text) if is_text(data_type) => {
            Arc::new(StringArray::from(vec![text.as_str()]))
        }
        Value::String(text) if is_moment(data_type) => {
            let micros = weir_values::moment::micros(text).ok_or_else(refused)?;
            let moment = TimestampMicrosecondArray::from(vec![micros]);
            match data_type {
                DataType::Timestamp(_, Some(_)) => Arc::new(moment.with_timezone("UTC")),
                _ => Arc::new(moment),
            }
        }
        _ => return Err(refused()),
    };
    cast_with_options(&exact, data_type, &STRICT).map_err(|_| refused())
}

fn is_moment(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(data_type, T::Date32 | T::Date64 | T::Timestamp(_, _))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use serde_json::json;
    use weir_core::types::field_of_type;

    #[test]
    fn a_value_is_taken_as_the_type_of_its_column() {
        for (name, value, shown) in [
            ("int8", json!(5), "5"),
            (
                "int64",
                json!(9_007_199_254_740_993_i64),
                "9007199254740993",
            ),
            ("uint64", json!(u64::MAX), "18446744073709551615"),
            ("int64", json!(2.0), "2"),
            ("float64", json!(2), "2.0"),
            ("decimal(5,2)", json!(1.25), "1.25"),
            ("string", json!("a"), "a"),
            ("bool", json!(true), "true"),
            ("date", json!("2024-02-29"), "2024-02-29"),
            (
                "timestamp(ns, UTC)",
                json!("2024-02-29 10:00"),
                "2024-02-29T10:00:00Z",
            ),
            ("list<int8>", json!(null), ""),
        ] {
            let field = field_of_type("x", name).unwrap();
            let array = one(&value, &field, "/fill").unwrap();
            assert_eq!(array.data_type(), field.data_type());
            let text = arrow::util::display::array_value_to_string(&array, 0).unwrap();
            assert_eq!(text, shown, "{name}");
        }
        let view = Field::new("x", DataType::Utf8View, true);
        assert_eq!(
            one(&json!("é"), &view, "")
                .unwrap()
                .as_string_view()
                .value(0),
            "é"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (name, value) in [
            ("int8", json!(300)),
            ("int64", json!(1.5)),
            ("int64", json!("5")),
            ("string", json!(5)),
            ("bool", json!(1)),
            ("date", json!("soon")),
            ("decimal(3,2)", json!(1000)),
            ("list<int8>", json!([1])),
        ] {
            let field = field_of_type("x", name).unwrap();
            let error = one(&value, &field, "/steps/0/fill").unwrap_err();
            assert_eq!(error.fields()[0].pointer, "/steps/0/fill", "{name}");
        }
    }
}
