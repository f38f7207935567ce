//! Values into Arrow builders, without a value in between.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Decimal256Builder, Float64Builder, Int64Builder, RecordBatchOptions, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{SchemaRef, i256};
use arrow::record_batch::RecordBatch;
use rusqlite::Row;
use rusqlite::types::ValueRef;
use weir_core::{Error, Result, SourceFault};

use super::failure;
use super::moment::{self, DAY};
use super::types::Kind;

/// What a value is that does not fit its column.
type Misfit = &'static str;

/// The builder of one column.
enum Cells {
    Int(Int64Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Wide(Decimal256Builder, u8, i8),
    Bool(BooleanBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Moment(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl Cells {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Int => Cells::Int(Int64Builder::new()),
            Kind::Float => Cells::Float(Float64Builder::new()),
            Kind::Decimal(precision, scale) if precision <= 38 => {
                let builder = Decimal128Builder::new().with_data_type(kind.data_type());
                Cells::Decimal(builder, precision, scale)
            }
            Kind::Decimal(precision, scale) => {
                let builder = Decimal256Builder::new().with_data_type(kind.data_type());
                Cells::Wide(builder, precision, scale)
            }
            Kind::Bool => Cells::Bool(BooleanBuilder::new()),
            Kind::Date => Cells::Date(Date32Builder::new()),
            Kind::Time => Cells::Time(Time64MicrosecondBuilder::new()),
            Kind::Timestamp => Cells::Moment(TimestampMicrosecondBuilder::new()),
            Kind::Instant => Cells::Moment(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            Kind::Json | Kind::Text | Kind::Any => Cells::Text(StringBuilder::new()),
            Kind::Bytes => Cells::Bytes(BinaryBuilder::new()),
        }
    }

    fn push_null(&mut self) {
        match self {
            Cells::Int(cells) => cells.append_null(),
            Cells::Float(cells) => cells.append_null(),
            Cells::Decimal(cells, ..) => cells.append_null(),
            Cells::Wide(cells, ..) => cells.append_null(),
            Cells::Bool(cells) => cells.append_null(),
            Cells::Date(cells) => cells.append_null(),
            Cells::Time(cells) => cells.append_null(),
            Cells::Moment(cells) => cells.append_null(),
            Cells::Text(cells) => cells.append_null(),
            Cells::Bytes(cells) => cells.append_null(),
        }
    }

    /// Appends a value that is not null.
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), Misfit> {
        match self {
            Cells::Int(cells) => cells.append_value(int(value)?),
            Cells::Float(cells) => cells.append_value(float(value)?),
            Cells::Decimal(cells, precision, scale) => {
                let number = decimal(value, *precision, *scale)?.to_i128();
                cells.append_value(number.ok_or(CLASS)?);
            }
            Cells::Wide(cells, precision, scale) => {
                cells.append_value(decimal(value, *precision, *scale)?);
            }
            Cells::Bool(cells) => cells.append_value(boolean(value)?),
            Cells::Date(cells) => cells.append_value(date(value)?),
            Cells::Time(cells) => {
                let time = moment::time_of_day(text(value)?.trim());
                cells.append_value(time.ok_or("a text that is no time")?);
            }
            Cells::Moment(cells) => cells.append_value(at(value)?),
            Cells::Text(cells) => push_text(cells, value)?,
            Cells::Bytes(cells) => match value {
                ValueRef::Blob(bytes) | ValueRef::Text(bytes) => cells.append_value(bytes),
                _ => return Err(CLASS),
            },
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Cells::Int(cells) => Arc::new(cells.finish()),
            Cells::Float(cells) => Arc::new(cells.finish()),
            Cells::Decimal(cells, ..) => Arc::new(cells.finish()),
            Cells::Wide(cells, ..) => Arc::new(cells.finish()),
            Cells::Bool(cells) => Arc::new(cells.finish()),
            Cells::Date(cells) => Arc::new(cells.finish()),
            Cells::Time(cells) => Arc::new(cells.finish()),
            Cells::Moment(cells) => Arc::new(cells.finish()),
            Cells::Text(cells) => ArrayBuilder::finish(cells),
            Cells::Bytes(cells) => ArrayBuilder::finish(cells),
        }
    }
}

/// A value of another class than the column's.
const CLASS: Misfit = "a value of another type";
const UTF8: Misfit = "text that is not UTF-8";

fn text(value: ValueRef<'_>) -> Result<&str, Misfit> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_err(|_| UTF8),
        _ => Err(CLASS),
    }
}

fn push_text(cells: &mut StringBuilder, value: ValueRef<'_>) -> Result<(), Misfit> {
    use std::fmt::Write as _;
    let wrote = match value {
        ValueRef::Integer(number) => write!(cells, "{number}"),
        ValueRef::Real(number) => write!(cells, "{number:?}"),
        _ => cells.write_str(text(value)?),
    };
    wrote.map_err(|_| CLASS)?;
    cells.append_value("");
    Ok(())
}

fn int(value: ValueRef<'_>) -> Result<i64, Misfit> {
    match value {
        ValueRef::Integer(number) => Ok(number),
        _ => Err(CLASS),
    }
}

/// Whole numbers up to here are doubles without loss.
const EXACT: u64 = 1 << 53;

fn float(value: ValueRef<'_>) -> Result<f64, Misfit> {
    match value {
        ValueRef::Real(number) if number.is_finite() => Ok(number),
        ValueRef::Real(_) => Err("an infinity"),
        ValueRef::Integer(number) if number.unsigned_abs() <= EXACT => Ok(number as f64),
        ValueRef::Integer(_) => Err("a whole number that a double does not hold"),
        _ => Err(CLASS),
    }
}

fn boolean(value: ValueRef<'_>) -> Result<bool, Misfit> {
    match value {
        ValueRef::Integer(0) => Ok(false),
        ValueRef::Integer(1) => Ok(true),
        ValueRef::Text(word) if word.eq_ignore_ascii_case(b"true") => Ok(true),
        ValueRef::Text(word) if word.eq_ignore_ascii_case(b"false") => Ok(false),
        _ => Err("a value that is neither true nor false"),
    }
}

fn at(value: ValueRef<'_>) -> Result<i64, Misfit> {
    let micros = match value {
        ValueRef::Integer(seconds) => moment::of_seconds(seconds),
        ValueRef::Real(day) => moment::of_julian(day),
        _ => moment::parse(text(value)?.trim()),
    };
    micros.ok_or("a value that is no date and time")
}

fn date(value: ValueRef<'_>) -> Result<i32, Misfit> {
    let micros = at(value)?;
    if micros % DAY != 0 {
        return Err("a date with a time of the day");
    }
    i32::try_from(micros / DAY).map_err(|_| CLASS)
}

const BEYOND: Misfit = "a number beyond the precision or scale";

fn decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> Result<i256, Misfit> {
    match value {
        ValueRef::Integer(number) => digits(&number.to_string(), precision, scale),
        ValueRef::Real(number) if number.is_finite() => {
            // What SQLite promises of a real: fifteen digits.
            let rounded: f64 = format!("{number:.14e}").parse().map_err(|_| CLASS)?;
            digits(&rounded.to_string(), precision, scale)
        }
        ValueRef::Real(_) => Err("an infinity"),
        _ => digits(text(value)?.trim(), precision, scale),
    }
}

/// A plain number as the digits of a decimal.
fn digits(text: &str, precision: u8, scale: i8) -> Result<i256, Misfit> {
    let (negative, plain) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return Err("a text that is no plain number");
    }
    let (whole, fraction) = (
        whole.trim_start_matches('0'),
        fraction.trim_end_matches('0'),
    );
    let scale = usize::try_from(scale).unwrap_or(0);
    if fraction.len() > scale || whole.len() + scale > usize::from(precision) {
        return Err(BEYOND);
    }
    let sign = if negative { "-" } else { "" };
    let number = format!("{sign}0{whole}{fraction:0<scale$}");
    i256::from_string(&number).ok_or(BEYOND)
}

/// Collects rows until they make a batch.
pub struct RowBuilder {
    schema: SchemaRef,
    cells: Vec<Cells>,
    lenient: bool,
    /// Rows collected since the last batch.
    pub rows: usize,
    /// About their bytes.
    pub bytes: usize,
    finished: u64,
    /// Values that became null because they do not fit.
    pub nulled: u64,
}

impl RowBuilder {
    /// A builder for columns of these kinds. When `lenient`, values that do not fit
    /// become null.
    pub fn new(schema: SchemaRef, kinds: &[Kind], lenient: bool) -> Self {
        RowBuilder {
            schema,
            cells: kinds.iter().map(|kind| Cells::of(*kind)).collect(),
            lenient,
            rows: 0,
            bytes: 0,
            finished: 0,
            nulled: 0,
        }
    }

    /// Appends a row.
    pub fn push(&mut self, row: &Row<'_>) -> Result<()> {
        for index in 0..self.cells.len() {
            let value = row.get_ref(index).map_err(failure::of)?;
            self.bytes += match value {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => 8 + bytes.len(),
                _ => 8,
            };
            let cells = &mut self.cells[index];
            if value == ValueRef::Null {
                cells.push_null();
                continue;
            }
            if let Err(what) = cells.push(value) {
                if !self.lenient {
                    return Err(self.misfit(index, what));
                }
                cells.push_null();
                self.nulled += 1;
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn misfit(&self, column: usize, what: Misfit) -> Error {
        let row = self.finished + self.rows as u64 + 1;
        let name = self.schema.field(column).name();
        let message =
            format!("column `{name}`, row {row}: {what} has no place in the column's type");
        Error::source(SourceFault::Data, message)
            .code("unrepresentable")
            .hint("cast the column to text in a query, filter such rows out, or set unrepresentable to null")
    }

    /// What was collected, as a batch.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let columns = self.cells.iter_mut().map(Cells::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.finished += self.rows as u64;
        (self.rows, self.bytes) = (0, 0);
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_decimals_or_are_told() {
        let decimal = |value: ValueRef<'_>| decimal(value, 10, 2).map(|n| n.to_string());
        let text = |text: &'static str| ValueRef::Text(text.as_bytes());
        assert_eq!(decimal(ValueRef::Integer(-5)).unwrap(), "-500");
        assert_eq!(decimal(ValueRef::Real(0.1 + 0.2)).unwrap(), "30");
        assert_eq!(decimal(text("-00012.340")).unwrap(), "-1234");
        assert_eq!(decimal(text(".5")).unwrap(), "50");
        for bad in ["", ".", "1e5", "1.234", "123456789", "abc", "--1", "0x1"] {
            assert!(decimal(text(bad)).is_err(), "{bad}");
        }
        assert!(decimal(ValueRef::Real(f64::INFINITY)).is_err());
        assert!(decimal(ValueRef::Real(1e300)).is_err());
        assert!(decimal(ValueRef::Blob(b"1")).is_err());
    }
}
