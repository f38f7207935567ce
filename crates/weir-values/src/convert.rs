//! One type of column into another, cell by cell: what `convert_type` means. A
//! cell that cannot be read or does not fit is null, counted, and the first of
//! them is remembered for those who want an error.
//!
//! Numbers and moments: a whole number is microseconds since 1970 UTC for a
//! timestamp and days for a date, and back; so both ways lose nothing.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Decimal128Array, Decimal128Builder,
    Decimal256Builder, Float64Array, Int64Array, Int64Builder, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, Float64Type, Int64Type, i256,
};
use weir_core::{Error, Result, types};

use crate::columns::{Unreadable, without_infinities};
use crate::instants::{days_of, micros_of};
use crate::texts::{Texts, is_text};
use crate::{moment, number};

#[path = "convert_text.rs"]
mod shown;

pub use shown::texts_of;

/// What a column can be converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Whole numbers of 64 bits.
    Int64,
    /// Floats of 64 bits.
    Float64,
    /// Decimals of so many digits, so many of them behind the point.
    Decimal(u8, i8),
    /// Text.
    Text,
    /// Truth values.
    Bool,
    /// Days.
    Date,
    /// Microseconds, in UTC, without a zone.
    Timestamp,
}

/// The types that [`Target`] reads, for messages.
pub const TARGETS: &str = "int64, float64, decimal(p,s), string, bool, date, timestamp";

impl FromStr for Target {
    type Err = Error;

    /// The error has no pointer: the caller adds it with `under`.
    fn from_str(text: &str) -> Result<Self> {
        let shown = text.trim();
        Ok(match shown {
            "int64" => Target::Int64,
            "float64" => Target::Float64,
            "string" => Target::Text,
            "bool" => Target::Bool,
            "date" => Target::Date,
            "timestamp" | "timestamp(us)" => Target::Timestamp,
            _ => match types::field_of_type("", shown).map(|field| field.data_type().clone()) {
                Some(DataType::Decimal128(p, s) | DataType::Decimal256(p, s)) => {
                    Target::Decimal(p, s)
                }
                _ => {
                    let shown = crate::texts::shown(text);
                    let known = [
                        "int64",
                        "float64",
                        "decimal",
                        "string",
                        "bool",
                        "date",
                        "timestamp",
                    ];
                    let near = weir_core::config::nearest(&shown, &known);
                    let near =
                        near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                    let message = format!("`{shown}` is no type to convert to{near}");
                    return Err(Error::invalid("", message)
                        .code("unknown_type")
                        .hint(format!("types are {TARGETS}")));
                }
            },
        })
    }
}

impl Target {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Target::Int64 => DataType::Int64,
            Target::Float64 => DataType::Float64,
            Target::Decimal(p, s) if p <= 38 => DataType::Decimal128(p, s),
            Target::Decimal(p, s) => DataType::Decimal256(p, s),
            Target::Text => DataType::Utf8,
            Target::Bool => DataType::Boolean,
            Target::Date => DataType::Date32,
            Target::Timestamp => DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
        }
    }

    /// The type of a column of `field` once converted: text keeps its layout.
    pub fn type_from(self, field: &Field) -> DataType {
        match self {
            Target::Text if is_text(field.data_type()) => field.data_type().clone(),
            _ => self.data_type(),
        }
    }

    /// What a cell is asked to be, for messages.
    fn wanted(self) -> &'static str {
        match self {
            Target::Int64 => "a whole number of 64 bits",
            Target::Float64 => "a number",
            Target::Decimal(..) => "a decimal of that size",
            Target::Text => "text",
            Target::Bool => "true or false",
            Target::Date => "a date",
            Target::Timestamp => "a date or a time",
        }
    }
}

/// What came of a conversion.
#[derive(Debug)]
pub struct Converted {
    /// The column; what could not be read is null.
    pub array: ArrayRef,
    /// How many cells could not be read. Null and blank ones do not count.
    pub unreadable: usize,
    /// The first of them.
    pub first: Option<Unreadable>,
}

/// Converts a column of `field`.
///
/// # Errors
///
/// Only faults of this service: cells that cannot be read are counted.
pub fn convert(array: &ArrayRef, field: &Field, target: Target) -> Result<Converted> {
    let is_json = types::is_json(field);
    if array.data_type() == &target.type_from(field) && !is_json {
        let (array, unreadable, first) = (Arc::clone(array), 0, None);
        return Ok(Converted {
            array,
            unreadable,
            first,
        });
    }
    let array = plain(array)?;
    if let Some(texts) = Texts::of(&array) {
        let made = match target {
            Target::Text => shown::unwrapped(&texts),
            _ => from_text(&texts, target, is_json),
        };
        return Ok(counted(&array, made, target, |row| {
            read_as(&texts, row, is_json).is_some()
        }));
    }
    let made = from_values(&array, target)?;
    Ok(counted(&array, made, target, |_| true))
}

/// Dictionaries and runs as what they stand for.
fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values),
        DataType::RunEndEncoded(_, values) => cast(array, values.data_type()),
        _ => Ok(Arc::clone(array)),
    }
}

/// Counts the cells that became null without having been null or blank.
fn counted(
    before: &ArrayRef,
    array: ArrayRef,
    target: Target,
    says_something: impl Fn(usize) -> bool,
) -> Converted {
    let mut converted = Converted {
        unreadable: 0,
        first: None,
        array,
    };
    let (Some(nulls), was) = (converted.array.logical_nulls(), before.logical_nulls()) else {
        return converted;
    };
    let was_null = |row| was.as_ref().is_some_and(|was| was.is_null(row));
    for row in (!nulls.inner()).set_indices() {
        if was_null(row) || !says_something(row) {
            continue;
        }
        converted.unreadable += 1;
        if converted.first.is_none() {
            let value = shown::cell(before, row);
            converted.first = Some(Unreadable::new(row, &value, target.wanted()));
        }
    }
    converted
}

fn cast(array: &dyn Array, data_type: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    Ok(cast_with_options(array, data_type, &options)?)
}

/// The text of a cell as it is read: `None` where it is null, blank or JSON's
/// `null`. Text inside of JSON is without its quotes.
fn read_as<'a>(texts: &Texts<'a>, row: usize, is_json: bool) -> Option<Cow<'a, str>> {
    if texts.is_null(row) {
        return None;
    }
    let text = texts.value(row).trim();
    let text = match is_json {
        true if text == "null" => return None,
        true => shown::unquoted(text),
        false => Cow::Borrowed(text),
    };
    (!text.trim().is_empty()).then_some(text)
}

/// Booleans as text says them.
pub fn truth(text: &str) -> Option<bool> {
    const WORDS: [(&str, bool); 12] = [
        ("true", true),
        ("false", false),
        ("yes", true),
        ("no", false),
        ("y", true),
        ("n", false),
        ("t", true),
        ("f", false),
        ("1", true),
        ("0", false),
        ("on", true),
        ("off", false),
    ];
    let text = text.trim();
    let found = WORDS
        .iter()
        .find(|(word, _)| text.eq_ignore_ascii_case(word));
    found.map(|(_, truth)| *truth)
}

fn from_text(texts: &Texts<'_>, target: Target, is_json: bool) -> ArrayRef {
    let cells = (0..texts.len()).map(|row| read_as(texts, row, is_json));
    match target {
        Target::Int64 => {
            let mut out = Int64Builder::with_capacity(texts.len());
            cells.for_each(|cell| out.append_option(cell.and_then(|text| number::integer(&text))));
            Arc::new(out.finish())
        }
        Target::Float64 if !is_json => Arc::new(number::numbers(texts)),
        Target::Float64 => {
            let read = cells.map(|cell| cell.and_then(|text| number::number(&text)));
            Arc::new(read.collect::<Float64Array>())
        }
        Target::Bool => {
            let mut out = BooleanBuilder::with_capacity(texts.len());
            cells.for_each(|cell| out.append_option(cell.and_then(|text| truth(&text))));
            Arc::new(out.finish())
        }
        Target::Decimal(precision, scale) => {
            let read =
                cells.map(|cell| cell.and_then(|text| number::decimal(&text, precision, scale)));
            decimals(read, texts.len(), precision, scale)
        }
        Target::Date | Target::Timestamp => {
            let moments = if is_json {
                let read = cells.map(|cell| cell.and_then(|text| moment::micros(&text)));
                read.collect()
            } else {
                moment::dates(texts)
            };
            match target {
                Target::Date => Arc::new(days_of(&moments)),
                _ => Arc::new(moments),
            }
        }
        Target::Text => shown::unwrapped(texts),
    }
}

fn decimals(
    values: impl Iterator<Item = Option<i256>>,
    rows: usize,
    precision: u8,
    scale: i8,
) -> ArrayRef {
    if precision > 38 {
        let mut out = Decimal256Builder::with_capacity(rows)
            .with_data_type(DataType::Decimal256(precision, scale));
        values.for_each(|value| out.append_option(value));
        return Arc::new(out.finish());
    }
    let mut out = Decimal128Builder::with_capacity(rows)
        .with_data_type(DataType::Decimal128(precision, scale));
    values.for_each(|value| out.append_option(value.and_then(i256::to_i128)));
    Arc::new(out.finish())
}

fn from_values(array: &ArrayRef, target: Target) -> Result<ArrayRef> {
    if target == Target::Text {
        return texts_of(array);
    }
    let data_type = array.data_type();
    let nothing = || Ok(new_null_array(&target.data_type(), array.len()));
    match data_type {
        DataType::Boolean => match target {
            Target::Date | Target::Timestamp => nothing(),
            Target::Decimal(..) => from_values(&cast(array, &DataType::Int64)?, target),
            _ => cast(array, &target.data_type()),
        },
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            from_moments(array, target)
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            let texts = texts_of(array)?;
            match Texts::of(&texts) {
                Some(texts) => Ok(from_text(&texts, target, false)),
                None => nothing(),
            }
        }
        data_type if data_type.is_numeric() => match target {
            Target::Date => {
                let days = cast(&from_numbers(array, Target::Int64)?, &DataType::Int32)?;
                cast(&days, &DataType::Date32)
            }
            Target::Timestamp => cast(&from_numbers(array, Target::Int64)?, &target.data_type()),
            _ => from_numbers(array, target),
        },
        _ => nothing(),
    }
}

fn from_moments(array: &ArrayRef, target: Target) -> Result<ArrayRef> {
    let nothing = new_null_array(&target.data_type(), array.len());
    let Some(moments) = micros_of(array) else {
        return Ok(nothing);
    };
    let is_day = matches!(array.data_type(), DataType::Date32 | DataType::Date64);
    let count = || -> Int64Array {
        match is_day {
            true => days_of(&moments).unary(i64::from),
            false => moments.reinterpret_cast::<Int64Type>(),
        }
    };
    Ok(match target {
        Target::Date if array.data_type() == &DataType::Date32 => Arc::clone(array),
        Target::Date => Arc::new(days_of(&moments)),
        Target::Timestamp => Arc::new(moments),
        Target::Bool | Target::Text => nothing,
        _ => {
            let count: ArrayRef = Arc::new(count());
            from_numbers(&count, target)?
        }
    })
}

/// Of integers, floats and decimals of every size.
fn from_numbers(array: &ArrayRef, target: Target) -> Result<ArrayRef> {
    let data_type = array.data_type();
    if data_type.is_floating() {
        return from_floats(array, target);
    }
    if matches!(target, Target::Bool) {
        return non_zero(array);
    }
    match (data_type, target) {
        (DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale), Target::Float64) => {
            Ok(Arc::new(decimal_floats(array, *scale)?))
        }
        (DataType::Decimal32(p, s) | DataType::Decimal64(p, s), Target::Float64) => {
            from_numbers(&cast(array, &DataType::Decimal128(*p, *s))?, target)
        }
        (DataType::UInt64, Target::Decimal(..)) => {
            from_numbers(&cast(array, &DataType::Decimal128(20, 0))?, target)
        }
        (_, Target::Int64) if data_type.is_decimal() => {
            // Wide first: what is cut off must not be rounded.
            let texts = texts_of(array)?;
            Ok(Texts::of(&texts).map_or_else(
                || new_null_array(&DataType::Int64, array.len()),
                |texts| from_text(&texts, target, false),
            ))
        }
        _ => cast(array, &target.data_type()),
    }
}

fn non_zero(array: &ArrayRef) -> Result<ArrayRef> {
    let truths: BooleanArray = match array.data_type() {
        DataType::Decimal256(..) => {
            let values = array.as_primitive::<Decimal256Type>();
            BooleanArray::from_unary(values, |value| value != i256::ZERO)
        }
        data_type if data_type.is_decimal() => {
            let wide = match data_type {
                DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => {
                    cast(array, &DataType::Decimal128(*p, *s))?
                }
                _ => Arc::clone(array),
            };
            BooleanArray::from_unary(wide.as_primitive::<Decimal128Type>(), |value| value != 0)
        }
        _ => return cast(array, &DataType::Boolean),
    };
    Ok(Arc::new(truths))
}

/// The floats nearest to decimals.
fn decimal_floats(array: &ArrayRef, scale: i8) -> Result<Float64Array> {
    // Both sides are exact, so that the quotient is the nearest float.
    const EXACT: i128 = 1 << 53;
    if let Some(values) = array.as_any().downcast_ref::<Decimal128Array>()
        && (0..=22).contains(&scale)
        && values.values().iter().all(|value| value.abs() <= EXACT)
    {
        let unit = 10_f64.powi(i32::from(scale));
        return Ok(values.unary(|value| value as f64 / unit));
    }
    let texts = texts_of(array)?;
    Ok(Texts::of(&texts).map_or_else(
        || Float64Array::new_null(array.len()),
        |texts| number::numbers(&texts),
    ))
}

fn from_floats(array: &ArrayRef, target: Target) -> Result<ArrayRef> {
    let floats = cast(array, &DataType::Float64)?;
    let floats = without_infinities(floats.as_primitive::<Float64Type>());
    Ok(match target {
        Target::Int64 => Arc::new(whole(&floats)),
        Target::Bool => Arc::new(BooleanArray::from_unary(&floats, |value| value != 0.0)),
        Target::Decimal(precision, scale) => {
            // By way of the digits that a reader of the float sees.
            let texts = texts_of(array)?;
            let Some(texts) = Texts::of(&texts) else {
                return Ok(new_null_array(&target.data_type(), array.len()));
            };
            let read = texts
                .iter()
                .map(|text| number::decimal(text?, precision, scale));
            decimals(read, texts.len(), precision, scale)
        }
        Target::Float64 | Target::Text | Target::Date | Target::Timestamp => Arc::new(floats),
    })
}

/// Floats cut off toward zero; null beyond 64 bits.
fn whole(floats: &Float64Array) -> Int64Array {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    floats.unary_opt(|value| (-LIMIT..LIMIT).contains(&value).then_some(value as i64))
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
