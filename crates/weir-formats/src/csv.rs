//! CSV out, as RFC 4180 has it: a header row, quotes only where they are
//! needed. Null is an empty field and empty text a quoted one, so that the two
//! stay apart; whatever is nested goes out as JSON text.

use arrow::array::cast::AsArray;
use arrow::array::{Array, FixedSizeBinaryArray, GenericByteArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    BinaryType, ByteArrayType, DataType, Field, Float16Type, Float32Type, Float64Type,
    LargeBinaryType, LargeUtf8Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, Utf8Type,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use weir_core::types::unique_names;
use weir_core::{Error, Result};

use crate::json::cell::{Cell, Column, is_uuid, mapped, number, temporal, write_uuid};
use crate::json::time::write_second;
use crate::plain::flatten;
use crate::{EncodeOptions, Encoder, Output};

/// How CSV leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvOut {
    delimiter: u8,
    /// Start with a byte order mark: Excel reads UTF-8 only with one.
    pub bom: bool,
    /// Put `'` before text that a spreadsheet would take for a formula.
    pub excel_safe: bool,
    /// Bytes that depend on the values alone: lines end with LF, and moments are
    /// `%Y-%m-%d %H:%M:%S` in UTC, without fractions.
    pub deterministic: bool,
}

impl Default for CsvOut {
    fn default() -> Self {
        CsvOut {
            delimiter: b',',
            bom: false,
            excel_safe: false,
            deterministic: false,
        }
    }
}

impl CsvOut {
    /// With this delimiter, unless it may stand in a number, a moment or base64.
    pub fn with_delimiter(self, delimiter: u8) -> Option<Self> {
        let is_free = delimiter == b'\t'
            || (delimiter.is_ascii_punctuation() && !b"\"'+-.:/=".contains(&delimiter));
        is_free.then_some(CsvOut { delimiter, ..self })
    }
}

/// What would have to be quoted, four times in each byte of a word.
#[derive(Clone, Copy)]
struct Quoting {
    delimiter: u8,
    excel_safe: bool,
    plain_moments: bool,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of every byte that is zero, and perhaps of bytes above it.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

impl Quoting {
    fn is_special(self, byte: u8) -> bool {
        byte == self.delimiter || matches!(byte, b'"' | b'\n' | b'\r')
    }

    fn any_special(self, word: u64) -> bool {
        let found = |byte: u8| zeros(word ^ (ONES * u64::from(byte)));
        (found(self.delimiter) | found(b'"') | found(b'\n') | found(b'\r')) & HIGHS != 0
    }

    fn needs_quotes(self, text: &[u8]) -> bool {
        let (words, rest) = text.as_chunks::<8>();
        words
            .iter()
            .any(|word| self.any_special(u64::from_le_bytes(*word)))
            || rest.iter().any(|byte| self.is_special(*byte))
    }

    /// A field of text.
    fn write(self, text: &[u8], out: &mut Vec<u8>) {
        let is_formula = self.excel_safe
            && matches!(
                text.first(),
                Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r')
            );
        if !text.is_empty() && !self.needs_quotes(text) {
            if is_formula {
                out.push(b'\'');
            }
            out.extend_from_slice(text);
            return;
        }
        out.push(b'"');
        if is_formula {
            out.push(b'\'');
        }
        for part in text.split_inclusive(|byte| *byte == b'"') {
            out.extend_from_slice(part);
            // Only a part that ends in a quote is followed, or is the last of such.
            if part.ends_with(b"\"") {
                out.push(b'"');
            }
        }
        out.push(b'"');
    }
}

struct Text<T: ByteArrayType> {
    values: GenericByteArray<T>,
    quoting: Quoting,
}

impl<T: ByteArrayType> Cell for Text<T>
where
    T::Native: AsRef<[u8]>,
{
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        self.quoting.write(self.values.value(row).as_ref(), out);
    }
}

struct Bytes<F> {
    value: F,
    quoting: Quoting,
}

impl<F: Fn(usize) -> String + Send> Cell for Bytes<F> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        self.quoting.write((self.value)(row).as_bytes(), out);
    }
}

struct Uuids(FixedSizeBinaryArray);

impl Cell for Uuids {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        write_uuid(self.0.value(row), out);
    }
}

struct Bools(arrow::array::BooleanArray);

impl Cell for Bools {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let word: &[u8] = if self.0.value(row) { b"true" } else { b"false" };
        out.extend_from_slice(word);
    }
}

struct Nothing;

impl Cell for Nothing {
    fn write(&self, _: usize, _: &mut Vec<u8>) {}
}

/// Lists, structs, maps and unions.
struct Nested {
    column: Column,
    quoting: Quoting,
}

impl Cell for Nested {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let mut json = Vec::new();
        self.column.write(row, &mut json);
        self.quoting.write(&json, out);
    }
}

fn base64<T>(array: &dyn Array, quoting: Quoting) -> Box<dyn Cell>
where
    T: ByteArrayType<Native = [u8]>,
{
    let values = array.as_bytes::<T>().clone();
    let value = move |row: usize| STANDARD.encode(values.value(row));
    Box::new(Bytes { value, quoting })
}

fn text<T>(array: &dyn Array, quoting: Quoting) -> Box<dyn Cell>
where
    T: ByteArrayType<Native = str>,
{
    let values = array.as_bytes::<T>().clone();
    Box::new(Text { values, quoting })
}

fn float<T>(array: &dyn Array) -> Box<dyn Cell>
where
    T: arrow::datatypes::ArrowPrimitiveType,
    T::Native: ryu::Float + Into<f64>,
{
    mapped::<T, _>(array, |value, out| {
        let wide: f64 = value.into();
        // As in JSON: what is not a number is null.
        if wide.is_finite() {
            out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
        }
    })
}

fn cell(field: &Field, array: &dyn Array, quoting: Quoting) -> Result<Box<dyn Cell>> {
    let unknown = || {
        Error::unsupported(format!(
            "columns of type {} cannot be written as CSV",
            array.data_type()
        ))
        .hint("leave the column out with `columns`, or ask for Arrow")
    };
    Ok(match array.data_type() {
        DataType::Null => Box::new(Nothing),
        DataType::Boolean => Box::new(Bools(array.as_boolean().clone())),
        DataType::Float16 => mapped::<Float16Type, _>(array, |value, out| {
            if value.is_finite() {
                let value = value.to_f32();
                out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
            }
        }),
        DataType::Float32 => float::<Float32Type>(array),
        DataType::Float64 => float::<Float64Type>(array),
        DataType::Utf8 => text::<Utf8Type>(array, quoting),
        DataType::LargeUtf8 => text::<LargeUtf8Type>(array, quoting),
        DataType::Binary => base64::<BinaryType>(array, quoting),
        DataType::LargeBinary => base64::<LargeBinaryType>(array, quoting),
        DataType::FixedSizeBinary(size) => {
            let values = array.as_fixed_size_binary().clone();
            if is_uuid(field, *size) {
                return Ok(Box::new(Uuids(values)));
            }
            let value = move |row: usize| STANDARD.encode(values.value(row));
            Box::new(Bytes { value, quoting })
        }
        DataType::Timestamp(unit, _) if quoting.plain_moments => plain_moments(array, *unit),
        other if other.is_numeric() => number(array, false).ok_or_else(unknown)?,
        other if other.is_temporal() => temporal(array, false).ok_or_else(unknown)?,
        _ => Box::new(Nested {
            column: Column::new(field, array, false)?,
            quoting,
        }),
    })
}

/// Moments to the second, whatever their unit.
fn plain_moments(array: &dyn Array, unit: TimeUnit) -> Box<dyn Cell> {
    match unit {
        TimeUnit::Second => mapped::<TimestampSecondType, _>(array, write_second),
        TimeUnit::Millisecond => mapped::<TimestampMillisecondType, _>(array, |value, out| {
            write_second(value.div_euclid(1_000), out);
        }),
        TimeUnit::Microsecond => mapped::<TimestampMicrosecondType, _>(array, |value, out| {
            write_second(value.div_euclid(1_000_000), out);
        }),
        TimeUnit::Nanosecond => mapped::<TimestampNanosecondType, _>(array, |value, out| {
            write_second(value.div_euclid(1_000_000_000), out);
        }),
    }
}

struct Writer {
    nulls: Option<NullBuffer>,
    cell: Box<dyn Cell>,
}

impl Writer {
    fn new(field: &Field, array: &dyn Array, quoting: Quoting) -> Result<Self> {
        if let Some(flat) = flatten(array)? {
            return Writer::new(field, &flat, quoting);
        }
        Ok(Writer {
            nulls: array.logical_nulls(),
            cell: cell(field, array, quoting)?,
        })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            self.cell.write(row, out);
        }
    }
}

/// Writes CSV.
pub struct CsvEncoder {
    schema: SchemaRef,
    options: CsvOut,
}

impl CsvEncoder {
    /// An encoder for batches of `schema`.
    pub fn new(schema: &SchemaRef, options: &EncodeOptions) -> Self {
        CsvEncoder {
            schema: schema.clone(),
            options: options.csv,
        }
    }

    fn quoting(&self) -> Quoting {
        Quoting {
            delimiter: self.options.delimiter,
            excel_safe: self.options.excel_safe,
            plain_moments: self.options.deterministic,
        }
    }

    fn line_end(&self) -> &'static [u8] {
        if self.options.deterministic {
            b"\n"
        } else {
            b"\r\n"
        }
    }
}

impl Encoder for CsvEncoder {
    fn start(&mut self, out: &mut Output) -> Result<()> {
        let names = unique_names(self.schema.fields().iter().map(|f| f.name().as_str()));
        let out = out.text();
        if self.options.bom {
            out.extend_from_slice("\u{feff}".as_bytes());
        }
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                out.push(self.options.delimiter);
            }
            self.quoting().write(name.as_bytes(), out);
        }
        out.extend_from_slice(self.line_end());
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Output) -> Result<()> {
        let quoting = self.quoting();
        let columns = self.schema.fields().iter().zip(batch.columns());
        let writers = columns
            .map(|(field, array)| Writer::new(field, array, quoting))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let text = out.text();
            let start = text.len();
            for (index, writer) in writers.iter().enumerate() {
                if index > 0 {
                    text.push(quoting.delimiter);
                }
                writer.write(row, text);
            }
            if text.len() == start {
                // Readers skip an empty line: a lone null must not vanish.
                text.extend_from_slice(b"\"\"");
            }
            text.extend_from_slice(self.line_end());
            out.row_done();
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Output) -> Result<()> {
        Ok(())
    }

    fn fail(&mut self, _: &Value, _: &mut Output) {
        // Only the cut body can say it: CSV has no ending of its own.
    }
}
