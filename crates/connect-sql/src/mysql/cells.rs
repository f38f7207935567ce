//! Arrow arrays into text that the server reads: fields of `LOAD DATA`, or values
//! of an `INSERT`.

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, FieldRef,
    Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use weir_core::Result as CoreResult;
use weir_core::sink::bad_row;
use weir_formats::json::JsonCells;

use super::encode::{Kind, is_binary, is_record, is_text, is_time, is_uuid, plain};
use super::stage::Outgoing;
use crate::shared::convert::{Refused, converted};
use crate::shared::send::Encode;

/// In which form values are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines of `LOAD DATA`: fields apart by tabs, `\` before what means something.
    Lines,
    /// What stands after `VALUES`.
    Values,
}

/// How rows become text.
pub struct Rows {
    /// One for each column of the rows.
    pub columns: Vec<Outgoing>,
    /// Lines or values.
    pub form: Form,
}

impl Encode for Rows {
    fn encode(&self, batch: &RecordBatch, first: u64) -> CoreResult<Vec<u8>> {
        let schema = batch.schema();
        let mut columns = Vec::with_capacity(self.columns.len());
        for ((out, field), array) in self
            .columns
            .iter()
            .zip(schema.fields())
            .zip(batch.columns())
        {
            let cells = Column::new(&out.wire, field, array);
            columns.push(cells.map_err(|Refused { row, why }| {
                bad_row(first + row as u64, Some(&out.name), why)
            })?);
        }
        let (mut out, mut cell) = (Vec::with_capacity(1 << 20), Vec::new());
        for row in 0..batch.num_rows() {
            let number = first + row as u64;
            if self.form == Form::Values {
                out.extend_from_slice(if row == 0 { b"(" } else { b",(" });
            }
            out.extend_from_slice(number.to_string().as_bytes());
            for (place, column) in columns.iter().enumerate() {
                out.push(if self.form == Form::Lines {
                    b'\t'
                } else {
                    b','
                });
                cell.clear();
                let written = column.write(row, &mut cell);
                let written =
                    written.map_err(|why| bad_row(number, Some(&self.columns[place].name), why))?;
                self.form
                    .put(written.then_some(cell.as_slice()), column.shape, &mut out);
            }
            out.push(if self.form == Form::Lines {
                b'\n'
            } else {
                b')'
            });
        }
        Ok(out)
    }
}

impl Form {
    /// Appends one value; none is null. Bytes go as hexadecimal: not every byte is
    /// text. So does text among values: nothing in it can end its quotes, whatever
    /// the server takes for a way to escape.
    fn put(self, value: Option<&[u8]>, shape: Shape, out: &mut Vec<u8>) {
        match (self, value) {
            (Form::Lines, None) => out.extend_from_slice(b"\\N"),
            (Form::Values, None) => out.extend_from_slice(b"NULL"),
            (Form::Lines, Some(bytes)) if shape == Shape::Bytes => hex(bytes, out),
            (Form::Values, Some(bytes)) if shape == Shape::Bytes => {
                out.extend_from_slice(b"X'");
                hex(bytes, out);
                out.push(b'\'');
            }
            // As a text, a bit would take its letters.
            (Form::Values, Some(number)) if shape == Shape::Number => out.extend_from_slice(number),
            (Form::Lines, Some(text)) => escape(text, out),
            (Form::Values, Some(text)) => {
                out.extend_from_slice(b"_utf8mb4 X'");
                hex(text, out);
                out.push(b'\'');
            }
        }
    }
}

/// `\` before whatever would end or mean something in a line of `LOAD DATA`.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            0 => out.extend_from_slice(b"\\0"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x1a => out.extend_from_slice(b"\\Z"),
            b'\\' | b'\'' | b'"' => out.extend_from_slice(&[b'\\', *byte]),
            _ => out.push(*byte),
        }
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    }
}

type Put = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), &'static str> + Send>;

/// What the text of a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Digits, which need no quotes.
    Number,
    /// Text.
    Text,
    /// Bytes of any kind.
    Bytes,
}

/// The cells of one column of a batch.
struct Column {
    nulls: Option<NullBuffer>,
    shape: Shape,
    put: Put,
}

impl Column {
    fn new(kind: &Kind, field: &FieldRef, array: &ArrayRef) -> Result<Self, Refused> {
        let flat = converted(array, plain(array.data_type()), false)?;
        Ok(Column {
            nulls: array.logical_nulls(),
            shape: match kind {
                Kind::Truth | Kind::Int(_) | Kind::Micros => Shape::Number,
                Kind::Bytes(_) => Shape::Bytes,
                _ => Shape::Text,
            },
            put: cells(kind, field, &flat)?,
        })
    }

    /// Appends one cell; false where it is null.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<bool, &'static str> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(false);
        }
        (self.put)(row, out).map(|()| true)
    }
}

fn show(value: impl std::fmt::Display, out: &mut Vec<u8>) -> Result<(), &'static str> {
    use std::io::Write;
    write!(out, "{value}").map_err(|_| "no room")
}

fn finite(value: f64, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if !value.is_finite() {
        return Err("not a finite number, which the server has no place for");
    }
    show(format_args!("{value:e}"), out)
}

fn cells(kind: &Kind, field: &FieldRef, array: &ArrayRef) -> Result<Put, Refused> {
    let source = array.data_type();
    let to = |data_type: DataType| {
        converted(
            array,
            &data_type,
            source.is_numeric() && !source.is_integer(),
        )
    };
    Ok(match kind {
        _ if *source == DataType::Null => Box::new(|_, _| Ok(())),
        Kind::Truth => {
            let values = converted(array, &DataType::Boolean, false)?
                .as_boolean()
                .clone();
            // A bit takes the number, and no text of it, in any form.
            Box::new(move |row, out| show(u8::from(values.value(row)), out))
        }
        Kind::Int(DataType::UInt64) => {
            let values = to(DataType::UInt64)?.as_primitive::<UInt64Type>().clone();
            Box::new(move |row, out| show(values.value(row), out))
        }
        Kind::Int(width) => {
            let narrow = to(width.clone())?;
            let values = converted(&narrow, &DataType::Int64, false)?
                .as_primitive::<Int64Type>()
                .clone();
            Box::new(move |row, out| show(values.value(row), out))
        }
        Kind::Decimal(precision, scale) if *precision <= 38 => {
            let values = to(DataType::Decimal128(*precision, *scale))?
                .as_primitive::<Decimal128Type>()
                .clone();
            Box::new(move |row, out| show(values.value_as_string(row), out))
        }
        Kind::Decimal(precision, scale) => {
            let values = to(DataType::Decimal256(*precision, *scale))?
                .as_primitive::<Decimal256Type>()
                .clone();
            Box::new(move |row, out| show(values.value_as_string(row), out))
        }
        Kind::Float => {
            let values = converted(array, &DataType::Float32, false)?
                .as_primitive::<Float32Type>()
                .clone();
            Box::new(move |row, out| finite(f64::from(values.value(row)), out))
        }
        Kind::Double => {
            let values = converted(array, &DataType::Float64, false)?
                .as_primitive::<Float64Type>()
                .clone();
            Box::new(move |row, out| finite(values.value(row), out))
        }
        Kind::Text(most) => text_cells(field, array, *most)?,
        Kind::Bytes(most) => bytes_cells(array, *most)?,
        Kind::Json if is_text(source) => text_cells(field, array, None)?,
        Kind::Json => json_cells(field, array)?,
        Kind::Date => {
            let is_moment = matches!(source, DataType::Timestamp(..));
            let days = converted(&unzoned(array), &DataType::Date32, is_moment)?
                .as_primitive::<Date32Type>()
                .clone();
            Box::new(move |row, out| moment(i64::from(days.value(row)) * DAY, false, out))
        }
        Kind::Moment => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            let micros = converted(&unzoned(array), &micros, false)?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>().clone();
            Box::new(move |row, out| moment(micros.value(row), true, out))
        }
        Kind::Time => {
            let spans = spans(array)?;
            Box::new(move |row, out| time(spans.value(row), out))
        }
        Kind::Micros => {
            let spans = spans(array)?;
            Box::new(move |row, out| show(spans.value(row), out))
        }
    })
}

/// Microseconds of durations, and of times of day.
fn spans(array: &ArrayRef) -> Result<arrow::array::Int64Array, Refused> {
    let source = array.data_type();
    let micros = match is_time(source) || is_text(source) {
        true => converted(array, &DataType::Time64(TimeUnit::Microsecond), false)?,
        false => converted(array, &DataType::Duration(TimeUnit::Microsecond), false)?,
    };
    match micros.data_type() {
        DataType::Duration(_) => Ok(micros
            .as_primitive::<DurationMicrosecondType>()
            .reinterpret_cast()),
        _ => Ok(converted(&micros, &DataType::Int64, false)?
            .as_primitive::<Int64Type>()
            .clone()),
    }
}

const DAY: i64 = 86_400_000_000;
const BEYOND: &str = "a date beyond what the server can hold";

/// A date, or date and time: from the year 1 to 9999.
fn moment(micros: i64, with_time: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let moment = chrono::DateTime::from_timestamp_micros(micros).ok_or(BEYOND)?;
    if !(1..=9999).contains(&chrono::Datelike::year(&moment)) {
        return Err(BEYOND);
    }
    match with_time {
        true => show(moment.format("%Y-%m-%d %H:%M:%S%.6f"), out),
        false => show(moment.format("%Y-%m-%d"), out),
    }
}

/// 838:59:59, in microseconds.
const LONGEST: u64 = 3_020_399_000_000;

fn time(micros: i64, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    if micros > LONGEST {
        return Err("a time beyond 838:59:59");
    }
    let seconds = micros / 1_000_000;
    show(
        format_args!(
            "{sign}{:02}:{:02}:{:02}.{:06}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            micros % 1_000_000
        ),
        out,
    )
}

/// The same instants without the name of their zone.
fn unzoned(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let data = array.to_data().into_builder();
            let data = data.data_type(DataType::Timestamp(*unit, None)).build();
            data.map_or_else(|_| ArrayRef::clone(array), arrow::array::make_array)
        }
        _ => ArrayRef::clone(array),
    }
}

fn text_cells(field: &FieldRef, array: &ArrayRef, most: Option<usize>) -> Result<Put, Refused> {
    if is_record(array.data_type()) {
        return json_cells(field, array);
    }
    if is_uuid(field) && *array.data_type() == DataType::FixedSizeBinary(16) {
        let ids = array.as_fixed_size_binary().clone();
        return Ok(Box::new(move |row, out| {
            let id = uuid::Uuid::from_slice(ids.value(row)).map_err(|_| "not a UUID")?;
            show(id.hyphenated(), out)
        }));
    }
    let array = match is_binary(array.data_type()) {
        true => converted(array, &DataType::Binary, false)?,
        false => ArrayRef::clone(array),
    };
    let texts: StringArray = converted(&array, &DataType::Utf8, false)?
        .as_string::<i32>()
        .clone();
    Ok(Box::new(move |row, out| {
        let text = texts.value(row);
        if most.is_some_and(|most| text.len() > most && text.chars().count() > most) {
            return Err("text that is longer than its column takes");
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }))
}

fn bytes_cells(array: &ArrayRef, most: Option<usize>) -> Result<Put, Refused> {
    let values: BinaryArray = converted(array, &DataType::Binary, false)?
        .as_binary::<i32>()
        .clone();
    Ok(Box::new(move |row, out| {
        let bytes = values.value(row);
        if most.is_some_and(|most| bytes.len() > most) {
            return Err("more bytes than its column takes");
        }
        out.extend_from_slice(bytes);
        Ok(())
    }))
}

fn json_cells(field: &FieldRef, array: &ArrayRef) -> Result<Put, Refused> {
    let cells = JsonCells::new(field, array.as_ref()).map_err(|_| Refused {
        row: 0,
        why: "its type cannot be written as JSON",
    })?;
    Ok(Box::new(move |row, out| {
        cells.write(row, out);
        Ok(())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_quotes() {
        let put = |form: Form, value: Option<&[u8]>, shape| {
            let mut out = Vec::new();
            form.put(value, shape, &mut out);
            String::from_utf8(out).unwrap()
        };
        let odd: Option<&[u8]> = Some(b"a'\\\t\n\0\"");
        assert_eq!(
            put(Form::Values, odd, Shape::Text),
            "_utf8mb4 X'61275c090a0022'"
        );
        assert_eq!(put(Form::Lines, odd, Shape::Text), r#"a\'\\\t\n\0\""#);
        assert_eq!(put(Form::Lines, None, Shape::Text), "\\N");
        assert_eq!(put(Form::Lines, Some(b"\\N"), Shape::Text), "\\\\N");
        assert_eq!(put(Form::Values, Some(&[0, 255]), Shape::Bytes), "X'00ff'");
    }

    #[test]
    fn moments_and_times_have_ends() {
        let shown = |micros| {
            let mut out = Vec::new();
            moment(micros, true, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(shown(-1).unwrap(), "1969-12-31 23:59:59.999999");
        assert_eq!(
            shown(-62_135_596_800_000_000).unwrap(),
            "0001-01-01 00:00:00.000000"
        );
        assert!(shown(-62_135_596_800_000_001).is_err() && shown(i64::MAX).is_err());
        let mut out = Vec::new();
        time(-3_020_399_000_000, &mut out).unwrap();
        assert_eq!(out, b"-838:59:59.000000");
        assert!(time(3_020_399_000_001, &mut out).is_err());
    }
}
