//! Every type as text: numbers in their shortest form, moments as ISO 8601,
//! lists and structs as JSON.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Float32Type, Float64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
};
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use weir_core::Result;

use crate::instants::{
    counts, days_of, micros_of, per_second, write_clock, write_day, write_moment,
};
use crate::texts::Texts;

/// One cell as text, for a message.
pub(super) fn cell(array: &ArrayRef, row: usize) -> String {
    let one = array.slice(row, 1);
    let texts = texts_of(&one).ok();
    let text = texts.as_ref().and_then(|texts| {
        let texts = Texts::of(texts)?;
        (!texts.is_null(0)).then(|| texts.value(0).to_owned())
    });
    text.unwrap_or_else(|| {
        format!(
            "a value of type {}",
            weir_core::types::type_name(array.data_type())
        )
    })
}

/// JSON text without the quotes of a string; other values as they stand.
pub(super) fn unquoted(text: &str) -> Cow<'_, str> {
    if !text.starts_with('"') {
        return Cow::Borrowed(text);
    }
    match serde_json::from_str(text) {
        Ok(inner) => Cow::Owned(inner),
        Err(_) => Cow::Borrowed(text),
    }
}

/// JSON as text: strings lose their quotes, `null` is null.
pub(super) fn unwrapped(texts: &Texts<'_>) -> ArrayRef {
    let mut out = texts.builder();
    for text in texts.iter() {
        match text.map(str::trim) {
            None | Some("null") => out.push_null(),
            Some(text) => out.push(&unquoted(text)),
        }
    }
    out.finish()
}

/// Cells written one by one into the same buffer.
fn written(array: &dyn Array, mut write: impl FnMut(usize, &mut String)) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        write(row, &mut text);
        out.append_value(&text);
    }
    Arc::new(out.finish())
}

fn clock<T: ArrowPrimitiveType>(array: &ArrayRef, unit: TimeUnit) -> ArrayRef
where
    i64: From<T::Native>,
{
    let values = array.as_primitive::<T>();
    written(array, |row, out| {
        write_clock(i64::from(values.value(row)), per_second(unit), out);
    })
}

/// The shortest text that reads back, with `.0` where whole; NaN and infinities
/// have none.
fn floats<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<ArrayRef>
where
    T::Native: Into<f64>,
{
    let values = array.as_primitive::<T>();
    let finite = match values
        .values()
        .iter()
        .all(|value| (*value).into().is_finite())
    {
        true => values.clone(),
        false => values.unary_opt::<_, T>(|value| value.into().is_finite().then_some(value)),
    };
    Ok(cast(&finite, &DataType::Utf8)?)
}

fn days(days: &Date32Array) -> ArrayRef {
    written(days, |row, out| write_day(i64::from(days.value(row)), out))
}

/// Every cell as text; what has no text is null.
///
/// # Errors
///
/// Faults of this service only.
pub fn texts_of(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Arc::clone(array),
        DataType::Float64 => floats::<Float64Type>(array)?,
        DataType::Float32 => floats::<Float32Type>(array)?,
        DataType::Float16 => texts_of(&cast(array, &DataType::Float32)?)?,
        DataType::Timestamp(..) => match counts(array) {
            Some((values, unit, is_zoned)) => written(array, |row, out| {
                write_moment(values.value(row), unit, is_zoned, out);
            }),
            None => new_null_array(&DataType::Utf8, array.len()),
        },
        DataType::Date32 => days(array.as_primitive::<Date32Type>()),
        DataType::Date64 => match micros_of(array) {
            Some(moments) => days(&days_of(&moments)),
            None => new_null_array(&DataType::Utf8, array.len()),
        },
        DataType::Time32(TimeUnit::Second) => clock::<Time32SecondType>(array, TimeUnit::Second),
        DataType::Time32(_) => clock::<Time32MillisecondType>(array, TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Microsecond) => {
            clock::<Time64MicrosecondType>(array, TimeUnit::Microsecond)
        }
        DataType::Time64(_) => clock::<Time64NanosecondType>(array, TimeUnit::Nanosecond),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => bytes(array)?,
        data_type if data_type.is_nested() => json(array),
        DataType::Duration(_) | DataType::Interval(_) => formatted(array),
        DataType::Null => new_null_array(&DataType::Utf8, array.len()),
        _ => cast(array, &DataType::Utf8)?,
    })
}

/// Bytes that are UTF-8.
fn bytes(array: &ArrayRef) -> Result<ArrayRef> {
    let bytes = cast(array, &DataType::LargeBinary)?;
    let cells = bytes.as_binary::<i64>().iter();
    let texts = cells.map(|cell| std::str::from_utf8(cell?).ok());
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// Lists, structs and maps as JSON; null where they hold what JSON has not.
fn json(array: &ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new("value", array.data_type().clone(), true));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let Ok(mut encoder) = make_encoder(&field, array, &options) else {
        return new_null_array(&DataType::Utf8, array.len());
    };
    let mut room = Vec::new();
    written(array, |row, out| {
        room.clear();
        encoder.encode(row, &mut room);
        out.push_str(&String::from_utf8_lossy(&room));
    })
}

fn formatted(array: &ArrayRef) -> ArrayRef {
    use std::fmt::Write;
    let options = FormatOptions::default();
    let Ok(formatter) = ArrayFormatter::try_new(array, &options) else {
        return new_null_array(&DataType::Utf8, array.len());
    };
    written(array, |row, out| {
        let _ = write!(out, "{}", formatter.value(row));
    })
}
