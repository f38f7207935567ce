//! Arrow into values of SQLite, by table: the way back of `decode`. A column is
//! brought into the one Arrow type that its cells are read from, then each cell is
//! bound to the statement as it lies there.
//!
//! | Arrow | new column | bound as |
//! |---|---|---|
//! | bool | `BOOLEAN` | 0 or 1 |
//! | int8 to int64, uint8 to uint32 | `INTEGER` | integer |
//! | uint64, decimal(p,s) | `DECIMAL_TEXT(p,s)` | text: numbers of SQLite have fifteen digits |
//! | float16, float32, float64 | `REAL` | real; NaN is null |
//! | string, null, duration, interval | `TEXT` | text |
//! | JSON, list, struct, map | `JSON_TEXT` | text; `JSON` would make numbers of some |
//! | UUID | `UUID` | text |
//! | binary | `BLOB` | blob |
//! | date, time | `DATE`, `TIME` | text |
//! | timestamp, with a zone | `TIMESTAMP`, `TIMESTAMPTZ` | text, with a zone in UTC |

use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, Float64Array,
    Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Float64Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use rusqlite::Statement;
use rusqlite::types::{ToSqlOutput, ValueRef};
use weir_core::Result as CoreResult;
use weir_core::types::is_json;
use weir_formats::json::JsonCells;
use weir_kit::write::{TypeRule, native_type};

use super::moment;
use super::types::Kind;
use crate::shared::convert::{Refused, converted};

/// How a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Integers.
    Int,
    /// Reals.
    Float,
    /// Decimals as text; where not `whole`, SQLite makes a number of it that has
    /// fifteen digits.
    Decimal {
        /// Digits.
        precision: u8,
        /// Places.
        scale: i8,
        /// Whether all digits are kept.
        whole: bool,
    },
    /// Truth values.
    Bool,
    /// Dates as text.
    Date,
    /// Times as text.
    Time,
    /// Date and time as text.
    Timestamp,
    /// The same in UTC, with its zone.
    Instant,
    /// Text.
    Text,
    /// Ids as text.
    Uuid,
    /// Anything as a JSON document.
    Json,
    /// Bytes.
    Bytes,
}

/// A column of a table, as far as writing asks.
#[derive(Debug, Clone)]
pub struct Target {
    /// What its values are meant to be.
    pub kind: Kind,
    /// Whether decimals keep all their digits in it.
    pub whole: bool,
}

fn plain(field: &Field) -> &DataType {
    match field.data_type() {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

fn is_uuid(field: &Field) -> bool {
    field.extension_type_name() == Some("arrow.uuid")
        && matches!(plain(field), DataType::FixedSizeBinary(16))
}

fn is_text(field: &Field) -> bool {
    matches!(
        plain(field),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_bytes(field: &Field) -> bool {
    matches!(
        plain(field),
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}

fn is_span(field: &Field) -> bool {
    matches!(plain(field), DataType::Duration(_) | DataType::Interval(_))
}

fn is_number(field: &Field) -> bool {
    let type_ = plain(field);
    type_.is_integer() || type_.is_floating() || type_.is_decimal()
}

fn is_nested(field: &Field) -> bool {
    plain(field).is_nested()
}

/// Precision and scale of the text that a number of this type becomes.
fn digits(type_: &DataType) -> Option<(u8, i8)> {
    match type_ {
        DataType::UInt64 => Some((20, 0)),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => match u8::try_from(*s) {
            Ok(scale) if scale <= *p => Some((*p, *s)),
            Ok(_) => None,
            Err(_) => {
                let precision = p.saturating_add(s.unsigned_abs());
                (precision <= 76).then_some((precision, 0))
            }
        },
        _ => None,
    }
}

const fn rule(fits: fn(&Field) -> bool, name: fn(&DataType) -> String) -> TypeRule {
    TypeRule { fits, name }
}

/// Types of new columns; the first rule that fits holds.
static RULES: [TypeRule; 14] = [
    rule(is_json, |_| "JSON_TEXT".into()),
    rule(is_uuid, |_| "UUID".into()),
    rule(is_nested, |_| "JSON_TEXT".into()),
    rule(|f| *plain(f) == DataType::Boolean, |_| "BOOLEAN".into()),
    rule(
        |f| digits(plain(f)).is_some(),
        |t| digits(t).map_or_else(String::new, |(p, s)| format!("DECIMAL_TEXT({p},{s})")),
    ),
    rule(|f| plain(f).is_integer(), |_| "INTEGER".into()),
    rule(|f| plain(f).is_floating(), |_| "REAL".into()),
    rule(is_bytes, |_| "BLOB".into()),
    rule(
        |f| matches!(plain(f), DataType::Date32 | DataType::Date64),
        |_| "DATE".into(),
    ),
    rule(
        |f| matches!(plain(f), DataType::Time32(_) | DataType::Time64(_)),
        |_| "TIME".into(),
    ),
    rule(
        |f| matches!(plain(f), DataType::Timestamp(_, None)),
        |_| "TIMESTAMP".into(),
    ),
    rule(
        |f| matches!(plain(f), DataType::Timestamp(_, Some(_))),
        |_| "TIMESTAMPTZ".into(),
    ),
    rule(
        |f| is_text(f) || is_span(f) || *plain(f) == DataType::Null,
        |_| "TEXT".into(),
    ),
    // Decimals that have more places than digits.
    rule(|f| plain(f).is_decimal(), |_| "TEXT".into()),
];

/// The type of a new column, and how it is written.
pub fn created(field: &FieldRef) -> CoreResult<(String, Wire)> {
    let bare = field.as_ref().clone().with_data_type(plain(field).clone());
    let native = native_type(&RULES, &bare)?;
    let target = Target {
        kind: super::types::kind(&native),
        whole: true,
    };
    let wire = wire(field, &target).unwrap_or(Wire::Text);
    Ok((native, wire))
}

/// How values of `field` go into a column; none where they do not fit.
pub fn wire(field: &FieldRef, target: &Target) -> Option<Wire> {
    let is_moment = matches!(
        plain(field),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    );
    let is_time = matches!(plain(field), DataType::Time32(_) | DataType::Time64(_));
    let is_bool = *plain(field) == DataType::Boolean;
    let is_word = is_text(field) && !is_json(field);
    let is_null = *plain(field) == DataType::Null;
    let (fits, wire) = match target.kind {
        Kind::Int => (is_number(field) || is_word, Wire::Int),
        Kind::Float => (is_number(field) || is_word, Wire::Float),
        Kind::Decimal(precision, scale) => (
            is_number(field) || is_word,
            Wire::Decimal {
                precision,
                scale,
                whole: target.whole,
            },
        ),
        Kind::Bool => (is_bool || is_word, Wire::Bool),
        Kind::Date => (is_moment || is_word, Wire::Date),
        Kind::Time => (is_time || is_word, Wire::Time),
        Kind::Timestamp => (is_moment || is_word, Wire::Timestamp),
        Kind::Instant => (is_moment || is_word, Wire::Instant),
        Kind::Json if is_text(field) => (true, Wire::Text),
        Kind::Json => (is_nested(field) || is_number(field), Wire::Json),
        Kind::Bytes => (is_bytes(field), Wire::Bytes),
        Kind::Text if is_uuid(field) => (true, Wire::Uuid),
        Kind::Text if is_nested(field) => (true, Wire::Json),
        Kind::Text if is_time => (true, Wire::Time),
        Kind::Text => match plain(field) {
            DataType::Date32 | DataType::Date64 => (true, Wire::Date),
            DataType::Timestamp(_, None) => (true, Wire::Timestamp),
            DataType::Timestamp(_, Some(_)) => (true, Wire::Instant),
            _ => (!is_bytes(field), Wire::Text),
        },
        Kind::Any => return created(field).ok().map(|(_, wire)| wire),
    };
    (fits || is_null).then_some(wire)
}

enum Cells {
    Int(Int64Array),
    Float(Float64Array),
    /// Whether all digits are kept.
    Digits(StringArray, bool),
    Bool(BooleanArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    /// Whether the zone is written.
    Moment(TimestampMicrosecondArray, bool),
    Text(StringArray),
    Uuid(FixedSizeBinaryArray),
    Json(JsonCells),
    Bytes(BinaryArray),
}

/// The cells of one column of a batch.
pub struct Column {
    nulls: Option<NullBuffer>,
    cells: Cells,
}

/// Why a cell was not bound.
pub enum Unbound {
    /// Its value cannot be written.
    Value(&'static str),
    /// SQLite does not take it.
    Sqlite(rusqlite::Error),
}

const NO_DATE: &str = "a date or time that SQLite does not know: years are 0 to 9999";

impl Column {
    /// Those of `array`, written as `wire` says.
    pub fn new(wire: Wire, field: &FieldRef, array: &ArrayRef) -> Result<Self, Refused> {
        let micros = |zone: bool| {
            DataType::Timestamp(
                TimeUnit::Microsecond,
                zone.then(|| std::sync::Arc::from("UTC")),
            )
        };
        let has_zone = matches!(plain(field), DataType::Timestamp(_, Some(_)));
        let cells = match wire {
            Wire::Int => {
                let exact = !is_text(field);
                Cells::Int(
                    converted(array, &DataType::Int64, exact)?
                        .as_primitive::<Int64Type>()
                        .clone(),
                )
            }
            Wire::Float => {
                let exact = !is_text(field) && !plain(field).is_floating();
                let array = converted(array, &DataType::Float64, exact)?;
                Cells::Float(array.as_primitive::<Float64Type>().clone())
            }
            Wire::Decimal {
                precision,
                scale,
                whole,
            } => {
                let type_ = Kind::Decimal(precision, scale).data_type();
                let exact = !is_text(field) && !plain(field).is_floating();
                let array = converted(array, &type_, exact)?;
                let array = converted(&array, &DataType::Utf8, false)?;
                Cells::Digits(array.as_string::<i32>().clone(), whole)
            }
            Wire::Bool => Cells::Bool(
                converted(array, &DataType::Boolean, false)?
                    .as_boolean()
                    .clone(),
            ),
            Wire::Date => {
                let array = converted(array, &DataType::Date32, false)?;
                Cells::Date(array.as_primitive::<Date32Type>().clone())
            }
            Wire::Time => {
                let array = converted(array, &DataType::Time64(TimeUnit::Microsecond), false)?;
                Cells::Time(array.as_primitive::<Time64MicrosecondType>().clone())
            }
            Wire::Timestamp | Wire::Instant => {
                let zone = has_zone || (wire == Wire::Instant && is_text(field));
                let array = converted(array, &micros(zone), false)?;
                let values = array.as_primitive::<TimestampMicrosecondType>().clone();
                Cells::Moment(values, wire == Wire::Instant)
            }
            Wire::Text => Cells::Text(
                converted(array, &DataType::Utf8, false)?
                    .as_string::<i32>()
                    .clone(),
            ),
            Wire::Uuid => {
                let array = converted(array, &DataType::FixedSizeBinary(16), false)?;
                Cells::Uuid(array.as_fixed_size_binary().clone())
            }
            Wire::Json => Cells::Json(JsonCells::new(field, array).map_err(|_| Refused {
                row: 0,
                why: "its type cannot be written as JSON",
            })?),
            Wire::Bytes => Cells::Bytes(
                converted(array, &DataType::Binary, false)?
                    .as_binary::<i32>()
                    .clone(),
            ),
        };
        Ok(Column {
            nulls: array.logical_nulls(),
            cells,
        })
    }

    /// Binds the cell of a row; `scratch` is room for its text.
    pub fn bind(
        &self,
        row: usize,
        statement: &mut Statement<'_>,
        at: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Unbound> {
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let value = if is_null {
            ValueRef::Null
        } else {
            self.cells.value(row, scratch).map_err(Unbound::Value)?
        };
        statement
            .raw_bind_parameter(at, ToSqlOutput::Borrowed(value))
            .map_err(Unbound::Sqlite)
    }
}

impl Cells {
    fn value<'a>(
        &'a self,
        row: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<ValueRef<'a>, &'static str> {
        scratch.clear();
        let mut text = String::new();
        let is_written = match self {
            Cells::Int(cells) => return Ok(ValueRef::Integer(cells.value(row))),
            Cells::Float(cells) => return Ok(ValueRef::Real(cells.value(row))),
            Cells::Bool(cells) => return Ok(ValueRef::Integer(i64::from(cells.value(row)))),
            Cells::Text(cells) => return Ok(ValueRef::Text(cells.value(row).as_bytes())),
            Cells::Bytes(cells) => return Ok(ValueRef::Blob(cells.value(row))),
            Cells::Digits(cells, whole) => {
                let digits = cells.value(row);
                if !whole && !is_kept(digits) {
                    return Err("a number of more than the fifteen digits that SQLite keeps");
                }
                return Ok(ValueRef::Text(digits.as_bytes()));
            }
            Cells::Json(cells) => {
                cells.write(row, scratch);
                return Ok(ValueRef::Text(scratch));
            }
            Cells::Uuid(cells) => {
                let id = uuid::Uuid::from_slice(cells.value(row)).map_err(|_| "not a UUID")?;
                text = id.hyphenated().to_string();
                true
            }
            Cells::Date(cells) => moment::write_date(i64::from(cells.value(row)), &mut text),
            Cells::Time(cells) => moment::write_time(cells.value(row), &mut text),
            Cells::Moment(cells, zone) => {
                let done = moment::write_timestamp(cells.value(row), &mut text);
                text.push_str(if *zone { "+00:00" } else { "" });
                done
            }
        };
        if !is_written {
            return Err(NO_DATE);
        }
        scratch.extend_from_slice(text.as_bytes());
        Ok(ValueRef::Text(scratch))
    }
}

/// Whether a plain decimal survives as a number of SQLite.
fn is_kept(digits: &str) -> bool {
    let plain = digits.trim_start_matches(['-', '0', '.']);
    let significant = match digits.contains('.') {
        true => plain
            .trim_end_matches('0')
            .bytes()
            .filter(u8::is_ascii_digit)
            .count(),
        false if digits.parse::<i64>().is_ok() => 0,
        false => plain.len(),
    };
    significant <= 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_digits_are_kept() {
        for fine in [
            "0.1",
            "-123456789.012345",
            "9223372036854775807",
            "1000000000000.00",
            "0.000000000000001",
        ] {
            assert!(is_kept(fine), "{fine}");
        }
        for lost in [
            "1234567890.1234567",
            "92233720368547758070",
            "0.1234567890123456",
        ] {
            assert!(!is_kept(lost), "{lost}");
        }
    }
}
