//! A writer for each column, built once a batch, so that the work per cell is
//! one call and no look at the type.

use arrow::array::cast::AsArray;
use arrow::array::{Array, BooleanArray, FixedSizeBinaryArray, GenericByteArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, BinaryType, ByteArrayType, DataType, Decimal32Type,
    Decimal64Type, Decimal128Type, Decimal256Type, Field, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, LargeBinaryType, LargeUtf8Type, TimeUnit, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type, Utf8Type,
};
use weir_core::types::{EXTENSION_NAME, is_json};
use weir_core::{Error, Result};

use super::embedded::write_document;
use super::number::{write_decimal, write_decimal256, write_f32, write_f64, write_integer};
use super::text::{write_base64, write_text};
use super::time::{Zone, write_date, write_duration, write_interval, write_time, write_timestamp};
use super::{nested, time};
use crate::plain::flatten;

/// Writes the value of a row that is not null.
pub(crate) trait Cell: Send {
    fn write(&self, row: usize, out: &mut Vec<u8>);
}

/// A column's writer.
pub(crate) struct Column {
    nulls: Option<NullBuffer>,
    cell: Box<dyn Cell>,
}

impl Column {
    /// A writer of `array`, whose meaning `field` tells.
    pub(crate) fn new(field: &Field, array: &dyn Array, js_safe: bool) -> Result<Self> {
        if let Some(flat) = flatten(array)? {
            return Column::new(field, &flat, js_safe);
        }
        Ok(Column {
            nulls: array.logical_nulls(),
            cell: build(field, array, js_safe)?,
        })
    }

    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        match &self.nulls {
            Some(nulls) if nulls.is_null(row) => out.extend_from_slice(b"null"),
            _ => self.cell.write(row, out),
        }
    }
}

fn build(field: &Field, array: &dyn Array, js_safe: bool) -> Result<Box<dyn Cell>> {
    let data_type = array.data_type();
    if data_type.is_numeric() {
        return number(array, js_safe).ok_or_else(|| unknown(data_type));
    }
    if data_type.is_temporal() {
        return temporal(array, true).ok_or_else(|| unknown(data_type));
    }
    if data_type.is_nested() {
        return nested::build(array, js_safe);
    }
    bytes(field, array, js_safe).ok_or_else(|| unknown(data_type))
}

pub(super) fn unknown(data_type: &DataType) -> Error {
    Error::unsupported(format!(
        "columns of type {data_type} cannot be written as JSON"
    ))
    .hint("leave the column out with `columns`, or ask for Arrow")
}

struct Mapped<N: ArrowNativeType, F> {
    values: ScalarBuffer<N>,
    write: F,
}

impl<N: ArrowNativeType, F: Fn(N, &mut Vec<u8>) + Send> Cell for Mapped<N, F> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        (self.write)(self.values[row], out);
    }
}

pub(crate) fn mapped<T, F>(array: &dyn Array, write: F) -> Box<dyn Cell>
where
    T: ArrowPrimitiveType,
    F: Fn(T::Native, &mut Vec<u8>) + Send + 'static,
{
    let values = array.as_primitive::<T>().values().clone();
    Box::new(Mapped { values, write })
}

fn integer<T>(array: &dyn Array, js_safe: bool) -> Box<dyn Cell>
where
    T: ArrowPrimitiveType,
    T::Native: itoa::Integer + TryInto<i64>,
{
    mapped::<T, _>(array, move |value, out| write_integer(value, js_safe, out))
}

pub(crate) fn number(array: &dyn Array, js_safe: bool) -> Option<Box<dyn Cell>> {
    Some(match *array.data_type() {
        DataType::Int8 => integer::<Int8Type>(array, js_safe),
        DataType::Int16 => integer::<Int16Type>(array, js_safe),
        DataType::Int32 => integer::<Int32Type>(array, js_safe),
        DataType::Int64 => integer::<Int64Type>(array, js_safe),
        DataType::UInt8 => integer::<UInt8Type>(array, js_safe),
        DataType::UInt16 => integer::<UInt16Type>(array, js_safe),
        DataType::UInt32 => integer::<UInt32Type>(array, js_safe),
        DataType::UInt64 => integer::<UInt64Type>(array, js_safe),
        DataType::Float16 => mapped::<Float16Type, _>(array, |v, out| write_f32(v.to_f32(), out)),
        DataType::Float32 => mapped::<Float32Type, _>(array, write_f32),
        DataType::Float64 => mapped::<Float64Type, _>(array, write_f64),
        DataType::Decimal32(_, scale) => mapped::<Decimal32Type, _>(array, move |v, out| {
            write_decimal(v.into(), scale, js_safe, out);
        }),
        DataType::Decimal64(_, scale) => mapped::<Decimal64Type, _>(array, move |v, out| {
            write_decimal(v.into(), scale, js_safe, out);
        }),
        DataType::Decimal128(_, scale) => {
            mapped::<Decimal128Type, _>(array, move |v, out| write_decimal(v, scale, js_safe, out))
        }
        DataType::Decimal256(_, scale) => mapped::<Decimal256Type, _>(array, move |v, out| {
            write_decimal256(v, scale, js_safe, out);
        }),
        _ => return None,
    })
}

/// Between quotes, as JSON wants it, or bare.
fn quoted(quotes: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if quotes {
        out.push(b'"');
    }
    write(out);
    if quotes {
        out.push(b'"');
    }
}

/// The values of any type that is stored as `N`.
fn stored<N: ArrowNativeType>(array: &dyn Array) -> Option<ScalarBuffer<N>> {
    let data = array.to_data();
    let buffer = data.buffers().first()?.clone();
    Some(ScalarBuffer::new(buffer, data.offset(), data.len()))
}

fn as_quoted<N, F>(array: &dyn Array, quotes: bool, write: F) -> Option<Box<dyn Cell>>
where
    N: ArrowNativeType,
    F: Fn(N, &mut Vec<u8>) + Send + 'static,
{
    let values = stored::<N>(array)?;
    let write = move |value: N, out: &mut Vec<u8>| quoted(quotes, out, |out| write(value, out));
    Some(Box::new(Mapped { values, write }))
}

pub(crate) fn temporal(array: &dyn Array, quotes: bool) -> Option<Box<dyn Cell>> {
    match array.data_type() {
        DataType::Date32 => as_quoted(array, quotes, |days: i32, out| {
            write_date(i64::from(days), out)
        }),
        DataType::Date64 => as_quoted(array, quotes, |ms: i64, out| write_date64(ms, out)),
        DataType::Time32(unit) => {
            let unit = *unit;
            as_quoted(array, quotes, move |value: i32, out| {
                write_time(i64::from(value), unit, out)
            })
        }
        DataType::Time64(unit) => {
            let unit = *unit;
            as_quoted(array, quotes, move |value: i64, out| {
                write_time(value, unit, out)
            })
        }
        DataType::Timestamp(unit, name) => {
            let (unit, zone) = (*unit, Zone::of(name.as_deref()));
            as_quoted(array, quotes, move |value: i64, out| {
                write_timestamp(value, unit, &zone, out)
            })
        }
        DataType::Duration(unit) => {
            let unit = *unit;
            as_quoted(array, quotes, move |value: i64, out| {
                write_duration(value, unit, out)
            })
        }
        DataType::Interval(unit) => Some(interval(array, *unit, quotes)),
        _ => None,
    }
}

/// Milliseconds that should be whole days; where they are not, nothing is lost.
fn write_date64(ms: i64, out: &mut Vec<u8>) {
    const DAY_MS: i64 = 86_400_000;
    if ms % DAY_MS == 0 {
        write_date(ms / DAY_MS, out);
    } else {
        time::write_timestamp(ms, TimeUnit::Millisecond, &Zone::Naive, out);
    }
}

fn interval(array: &dyn Array, unit: IntervalUnit, quotes: bool) -> Box<dyn Cell> {
    match unit {
        IntervalUnit::YearMonth => mapped::<IntervalYearMonthType, _>(array, move |months, out| {
            quoted(quotes, out, |out| write_interval(months.into(), 0, 0, out));
        }),
        IntervalUnit::DayTime => mapped::<IntervalDayTimeType, _>(array, move |value, out| {
            let nanos = i64::from(value.milliseconds) * 1_000_000;
            quoted(quotes, out, |out| {
                write_interval(0, value.days.into(), nanos, out)
            });
        }),
        IntervalUnit::MonthDayNano => {
            mapped::<IntervalMonthDayNanoType, _>(array, move |v, out| {
                quoted(quotes, out, |out| {
                    write_interval(v.months.into(), v.days.into(), v.nanoseconds, out)
                });
            })
        }
    }
}

struct Bytes<T: ByteArrayType, F> {
    values: GenericByteArray<T>,
    write: F,
}

impl<T: ByteArrayType, F: Fn(&T::Native, &mut Vec<u8>) + Send> Cell for Bytes<T, F> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        (self.write)(self.values.value(row), out);
    }
}

fn texts<T>(field: &Field, array: &dyn Array, js_safe: bool) -> Box<dyn Cell>
where
    T: ByteArrayType<Native = str>,
{
    let values = array.as_bytes::<T>().clone();
    if is_json(field) {
        let write = move |text: &str, out: &mut Vec<u8>| write_document(text, js_safe, out);
        return Box::new(Bytes { values, write });
    }
    Box::new(Bytes {
        values,
        write: write_text,
    })
}

struct Bools(BooleanArray);

impl Cell for Bools {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let word: &[u8] = if self.0.value(row) { b"true" } else { b"false" };
        out.extend_from_slice(word);
    }
}

struct Nothing;

impl Cell for Nothing {
    fn write(&self, _: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"null");
    }
}

struct Fixed {
    values: FixedSizeBinaryArray,
    is_uuid: bool,
}

impl Cell for Fixed {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let value = self.values.value(row);
        if self.is_uuid {
            quoted(true, out, |out| write_uuid(value, out));
        } else {
            write_base64(value, out);
        }
    }
}

pub(crate) fn is_uuid(field: &Field, size: i32) -> bool {
    let name = field.metadata().get(EXTENSION_NAME);
    size == 16 && name.is_some_and(|name| name == "arrow.uuid")
}

pub(crate) fn write_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

fn bytes(field: &Field, array: &dyn Array, js_safe: bool) -> Option<Box<dyn Cell>> {
    Some(match array.data_type() {
        DataType::Null => Box::new(Nothing),
        DataType::Boolean => Box::new(Bools(array.as_boolean().clone())),
        DataType::Utf8 => texts::<Utf8Type>(field, array, js_safe),
        DataType::LargeUtf8 => texts::<LargeUtf8Type>(field, array, js_safe),
        DataType::Binary => Box::new(Bytes {
            values: array.as_bytes::<BinaryType>().clone(),
            write: write_base64,
        }),
        DataType::LargeBinary => Box::new(Bytes {
            values: array.as_bytes::<LargeBinaryType>().clone(),
            write: write_base64,
        }),
        DataType::FixedSizeBinary(size) => Box::new(Fixed {
            values: array.as_fixed_size_binary().clone(),
            is_uuid: is_uuid(field, *size),
        }),
        _ => return None,
    })
}
