//! Native types by table: which Arrow types go into each, and how.
//!
//! | Arrow | becomes, in a new table | what is lost |
//! |---|---|---|
//! | bool | `boolean` | |
//! | int8, uint8, int16 | `smallint` | comes back as int16 |
//! | uint16, int32 | `integer` | comes back as int32 |
//! | uint32, int64 | `bigint` | comes back as int64 |
//! | uint64 | `numeric(20,0)` | comes back as a decimal |
//! | float16, float32 | `real` | comes back as float32 |
//! | float64 | `double precision` | |
//! | decimal(p,s) | `numeric(p,s)` | a scale below zero becomes zeros |
//! | string | `text` | a NUL is refused |
//! | JSON | `jsonb` | order and repetition of keys, spaces |
//! | binary | `bytea` | |
//! | UUID | `uuid` | comes back as text |
//! | date | `date` | |
//! | time | `time` | nanoseconds |
//! | timestamp | `timestamp`, with a zone `timestamptz` | nanoseconds, and the zone's name |
//! | duration, interval | `interval` | nanoseconds; a duration comes back as an interval |
//! | list of the above | an array | a null list is not an empty one; no list within |
//! | other lists, struct, map | `jsonb` | what JSON has no type for is text |
//! | null | `text` | |

use std::collections::HashMap;

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt32Type,
};
use weir_core::Result as CoreResult;
use weir_core::types::is_json;
use weir_formats::json::JsonCells;
use weir_kit::write::{TypeRule, native_type};

use super::fixed::{boolean, date, fixed, interval, timestamp};
use super::list::{item_of, lists};
use super::{Cells, Refused, numeric, text};
use crate::postgres::types::TypeFacts;
use crate::shared::convert::converted;

/// How a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// As one of the types of the table.
    Plain(Kind),
    /// As an array of one of them; the oid is that of the item.
    List(Kind, u32),
    /// As text, which the server reads with the input of the type itself.
    Text,
}

/// Types that are written in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// `int2`.
    Int2,
    /// `int4`.
    Int4,
    /// `int8`.
    Int8,
    /// `oid`.
    Oid,
    /// `float4`.
    Float4,
    /// `float8`.
    Float8,
    /// `numeric`.
    Numeric,
    /// `text`, `varchar`, `char`, `name`, enums.
    Text,
    /// `bytea`.
    Bytes,
    /// `json`.
    Json,
    /// `jsonb`, which has a version before it.
    Jsonb,
    /// `uuid`.
    Uuid,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `timestamp` and `timestamptz`: instants of UTC.
    Timestamp,
    /// `interval`.
    Interval,
}

/// Oid, oid of its array, kind.
const TABLE: [(u32, u32, Kind); 20] = [
    (16, 1000, Kind::Bool),
    (17, 1001, Kind::Bytes),
    (19, 1003, Kind::Text),
    (20, 1016, Kind::Int8),
    (21, 1005, Kind::Int2),
    (23, 1007, Kind::Int4),
    (25, 1009, Kind::Text),
    (26, 1028, Kind::Oid),
    (114, 199, Kind::Json),
    (700, 1021, Kind::Float4),
    (701, 1022, Kind::Float8),
    (1042, 1014, Kind::Text),
    (1043, 1015, Kind::Text),
    (1082, 1182, Kind::Date),
    (1083, 1183, Kind::Time),
    (1114, 1115, Kind::Timestamp),
    (1184, 1185, Kind::Timestamp),
    (1186, 1187, Kind::Interval),
    (1700, 1231, Kind::Numeric),
    (2950, 2951, Kind::Uuid),
];

/// Types that new columns get, and their oids in [`TABLE`], by what stands
/// before a parenthesis.
const CREATED: [(&str, u32); 16] = [
    ("boolean", 16),
    ("smallint", 21),
    ("integer", 23),
    ("bigint", 20),
    ("numeric", 1700),
    ("real", 700),
    ("double precision", 701),
    ("text", 25),
    ("jsonb", 3802),
    ("bytea", 17),
    ("uuid", 2950),
    ("date", 1082),
    ("time", 1083),
    ("timestamp", 1114),
    ("timestamptz", 1184),
    ("interval", 1186),
];

fn is_uuid(field: &Field) -> bool {
    field.extension_type_name() == Some("arrow.uuid")
}

fn word(text: &str) -> String {
    text.to_owned()
}

/// Types of new columns; the first rule that fits holds.
static RULES: [TypeRule; 17] = [
    rule(is_json, |_| word("jsonb")),
    rule(is_uuid, |_| word("uuid")),
    rule(|f| is_null(f.data_type()), |_| word("text")),
    rule(|f| *f.data_type() == DataType::Boolean, |_| word("boolean")),
    rule(is_small, |_| word("smallint")),
    rule(
        |f| matches!(f.data_type(), DataType::UInt16 | DataType::Int32),
        |_| word("integer"),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::UInt32 | DataType::Int64),
        |_| word("bigint"),
    ),
    rule(
        |f| *f.data_type() == DataType::UInt64,
        |_| word("numeric(20,0)"),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::Float16 | DataType::Float32),
        |_| word("real"),
    ),
    rule(
        |f| *f.data_type() == DataType::Float64,
        |_| word("double precision"),
    ),
    rule(|f| f.data_type().is_decimal(), decimal_name),
    rule(|f| is_text(f.data_type()), |_| word("text")),
    rule(|f| is_binary(f.data_type()), |_| word("bytea")),
    rule(
        |f| matches!(f.data_type(), DataType::Date32 | DataType::Date64),
        |_| word("date"),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::Time32(_) | DataType::Time64(_)),
        |_| word("time"),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::Timestamp(..)),
        |t| match t {
            DataType::Timestamp(_, Some(_)) => word("timestamptz"),
            _ => word("timestamp"),
        },
    ),
    rule(|f| is_span(f.data_type()), |_| word("interval")),
];

const fn rule(fits: fn(&Field) -> bool, name: fn(&DataType) -> String) -> TypeRule {
    TypeRule { fits, name }
}

fn is_null(data_type: &DataType) -> bool {
    *data_type == DataType::Null
}

fn is_small(field: &Field) -> bool {
    matches!(
        field.data_type(),
        DataType::Int8 | DataType::UInt8 | DataType::Int16
    )
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}

fn is_span(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Duration(_) | DataType::Interval(_))
}

fn decimal_name(data_type: &DataType) -> String {
    let (precision, scale) = match data_type {
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => (i32::from(*p), i32::from(*s)),
        _ => return word("numeric"),
    };
    match scale {
        ..0 => format!("numeric({},0)", precision - scale),
        _ => format!("numeric({},{scale})", precision.max(scale)),
    }
}

/// The type of a new column for `field`, and how it is written.
pub fn created_type(field: &FieldRef) -> CoreResult<(String, Wire)> {
    let data_type = field.data_type();
    if let Some(item) = item_of(data_type) {
        let is_plain = item_of(item.data_type()).is_none() && !is_record(item.data_type());
        if is_plain {
            let (native, wire) = created_type(&item)?;
            if let Wire::Plain(kind) = wire {
                return Ok((
                    format!("{native}[]"),
                    Wire::List(kind, created_oid(&native)),
                ));
            }
        }
    }
    if data_type.is_nested()
        && !matches!(
            data_type,
            DataType::Dictionary(..) | DataType::RunEndEncoded(..)
        )
    {
        return Ok((word("jsonb"), Wire::Plain(Kind::Jsonb)));
    }
    let plain = field
        .as_ref()
        .clone()
        .with_data_type(plain(data_type).clone());
    let native = native_type(&RULES, &plain)?;
    let kind = kind_of(created_oid(&native)).map_or(Kind::Text, |(kind, _)| kind);
    Ok((native, Wire::Plain(kind)))
}

fn is_record(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..)
    )
}

/// The type of the values of a dictionary or of runs.
fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

fn created_oid(native: &str) -> u32 {
    let name = native.split('(').next().unwrap_or_default();
    let row = CREATED.iter().find(|(known, _)| *known == name);
    row.map_or(0, |(_, oid)| *oid)
}

/// The kind of a type, and whether the oid is that of an array.
fn kind_of(oid: u32) -> Option<(Kind, bool)> {
    if let Some(jsonb) = [(3802, false), (3807, true)]
        .iter()
        .find(|row| row.0 == oid)
    {
        return Some((Kind::Jsonb, jsonb.1));
    }
    let row = TABLE.iter().find(|row| row.0 == oid || row.1 == oid);
    row.map(|row| (row.2, row.1 == oid))
}

/// The oid of the items of an array of this oid.
fn item_oid(oid: u32) -> u32 {
    let row = TABLE.iter().find(|row| row.1 == oid);
    row.map_or(3802, |row| row.0)
}

/// How a column of `field` is written into one of the type `oid`; none where
/// the one does not go into the other.
pub fn wire(field: &Field, oid: u32, facts: &HashMap<u32, TypeFacts>) -> Option<Wire> {
    let source = plain(field.data_type());
    let mut oid = oid;
    // Domains over domains end long before this.
    for _ in 0..64 {
        match facts.get(&oid) {
            Some(found) if found.kind == b'd' => oid = found.base,
            _ => break,
        }
    }
    if let Some((kind, is_array)) = kind_of(oid) {
        if !is_array {
            return kind.takes(source).then_some(Wire::Plain(kind));
        }
        let mut item = item_of(source);
        while let Some(inner) = item.as_ref().and_then(|item| item_of(item.data_type())) {
            item = Some(inner);
        }
        return match item {
            Some(item) if kind.takes(plain(item.data_type())) => {
                Some(Wire::List(kind, item_oid(oid)))
            }
            Some(_) => None,
            None => (is_text(source) || is_null(source)).then_some(Wire::Text),
        };
    }
    let is_enum = facts.get(&oid).is_some_and(|found| found.kind == b'e');
    if is_enum {
        return Kind::Text.takes(source).then_some(Wire::Plain(Kind::Text));
    }
    // Whatever the type is, the server reads it from its text.
    let is_shown = !source.is_nested() && !is_binary(source);
    is_shown.then_some(Wire::Text)
}

impl Kind {
    /// Whether values of an Arrow type go into it.
    fn takes(self, source: &DataType) -> bool {
        let number = source.is_numeric();
        if is_null(source) {
            return true;
        }
        match self {
            Kind::Bool => *source == DataType::Boolean || is_text(source),
            Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid | Kind::Float4 | Kind::Float8 => {
                number || is_text(source)
            }
            Kind::Numeric => number || is_text(source),
            Kind::Text | Kind::Json | Kind::Jsonb => true,
            Kind::Bytes => is_binary(source) || is_text(source),
            Kind::Uuid => is_text(source) || *source == DataType::FixedSizeBinary(16),
            Kind::Date => {
                let is_moment = matches!(source, DataType::Timestamp(..));
                is_date(source) || is_moment || is_text(source)
            }
            Kind::Time => {
                matches!(source, DataType::Time32(_) | DataType::Time64(_)) || is_text(source)
            }
            Kind::Timestamp => {
                matches!(source, DataType::Timestamp(..)) || is_date(source) || is_text(source)
            }
            Kind::Interval => is_span(source) || is_text(source),
        }
    }

    fn cells(self, field: &FieldRef, array: &ArrayRef) -> Result<Box<dyn Cells>, Refused> {
        let source = array.data_type();
        let plain_as = |to: DataType| converted(array, &to, false);
        let whole_as =
            |to: DataType| converted(array, &to, source.is_numeric() && !source.is_integer());
        Ok(match self {
            Kind::Bool => boolean(&plain_as(DataType::Boolean)?),
            Kind::Int2 => {
                fixed::<Int16Type, 2>(&whole_as(DataType::Int16)?, |v| Ok(v.to_be_bytes()))
            }
            Kind::Int4 => {
                fixed::<Int32Type, 4>(&whole_as(DataType::Int32)?, |v| Ok(v.to_be_bytes()))
            }
            Kind::Int8 => {
                fixed::<Int64Type, 8>(&whole_as(DataType::Int64)?, |v| Ok(v.to_be_bytes()))
            }
            Kind::Oid => {
                fixed::<UInt32Type, 4>(&whole_as(DataType::UInt32)?, |v| Ok(v.to_be_bytes()))
            }
            Kind::Float4 => {
                fixed::<Float32Type, 4>(&plain_as(DataType::Float32)?, |v| Ok(v.to_be_bytes()))
            }
            Kind::Float8 => {
                fixed::<Float64Type, 8>(&plain_as(DataType::Float64)?, |v| Ok(v.to_be_bytes()))
            }
            Kind::Numeric => numeric_cells(array)?,
            Kind::Text => text_cells(field, array)?,
            Kind::Json => json_cells(field, array, None)?,
            Kind::Jsonb => json_cells(field, array, Some(1))?,
            Kind::Bytes => text::bytes(&plain_as(DataType::Binary)?),
            Kind::Uuid if is_text(source) => text::uuid_text(&plain_as(DataType::Utf8)?),
            Kind::Uuid => text::uuid_bytes(&plain_as(DataType::FixedSizeBinary(16))?),
            Kind::Date => {
                let is_moment = matches!(source, DataType::Timestamp(..));
                let days = converted(&unzoned(array), &DataType::Date32, is_moment)?;
                fixed::<Date32Type, 4>(&days, date)
            }
            Kind::Time => {
                let micros = plain_as(DataType::Time64(TimeUnit::Microsecond))?;
                fixed::<Time64MicrosecondType, 8>(&micros, |v| Ok(v.to_be_bytes()))
            }
            Kind::Timestamp => {
                let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
                let micros = converted(&unzoned(array), &micros, false)?;
                fixed::<TimestampMicrosecondType, 8>(&micros, timestamp)
            }
            Kind::Interval => {
                let spans = plain_as(DataType::Interval(IntervalUnit::MonthDayNano))?;
                fixed::<IntervalMonthDayNanoType, 16>(&spans, interval)
            }
        })
    }
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64)
}

/// The same instants without the name of their zone: on the wire all are of UTC.
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

fn numeric_cells(array: &ArrayRef) -> Result<Box<dyn Cells>, Refused> {
    Ok(match array.data_type() {
        DataType::Decimal128(_, scale) => numeric::decimal128(array, *scale),
        DataType::Decimal256(_, scale) => numeric::decimal256(array, *scale),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
            let wide = converted(array, &DataType::Decimal128(38, *scale), false)?;
            numeric::decimal128(&wide, *scale)
        }
        source if source.is_integer() => {
            let wide = converted(array, &DataType::Decimal128(38, 0), false)?;
            numeric::decimal128(&wide, 0)
        }
        _ => numeric::text(&converted(array, &DataType::Utf8, false)?),
    })
}

fn text_cells(field: &FieldRef, array: &ArrayRef) -> Result<Box<dyn Cells>, Refused> {
    if array.data_type().is_nested() {
        return json_cells(field, array, None);
    }
    let array = match is_binary(array.data_type()) {
        true => converted(array, &DataType::Binary, false)?,
        false => ArrayRef::clone(array),
    };
    Ok(text::text(
        &converted(&array, &DataType::Utf8, false)?,
        None,
    ))
}

/// Text is the JSON that it must be; everything else is written as JSON.
fn json_cells(
    field: &FieldRef,
    array: &ArrayRef,
    version: Option<u8>,
) -> Result<Box<dyn Cells>, Refused> {
    if is_text(array.data_type()) {
        return Ok(text::text(
            &converted(array, &DataType::Utf8, false)?,
            version,
        ));
    }
    let cells = JsonCells::new(field, array.as_ref()).map_err(|_| Refused {
        row: 0,
        why: "its type cannot be written as JSON",
    })?;
    Ok(text::json(cells, version))
}

impl Wire {
    /// Cells of an array that goes this way.
    pub fn cells(&self, field: &FieldRef, array: &ArrayRef) -> Result<Box<dyn Cells>, Refused> {
        let flat = plain(array.data_type()).clone();
        let array = converted(array, &flat, false)?;
        match self {
            // Null in every row: nothing is ever written.
            _ if is_null(array.data_type()) => {
                let none = arrow::array::new_null_array(&DataType::Utf8, array.len());
                Ok(text::text(&none, None))
            }
            Wire::Plain(kind) => kind.cells(field, &array),
            Wire::List(kind, item_oid) => lists(&array, &Wire::Plain(*kind), *item_oid),
            Wire::Text => Kind::Text.cells(field, &array),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn created(data_type: DataType) -> String {
        let field = Arc::new(Field::new("x", data_type, true));
        created_type(&field).unwrap().0
    }

    #[test]
    fn every_type_of_a_new_column_has_its_oid() {
        for (name, oid) in CREATED {
            assert_eq!(created_oid(name), oid);
            assert!(kind_of(oid).is_some(), "{name}");
        }
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        assert_eq!(created(DataType::UInt64), "numeric(20,0)");
        assert_eq!(created(DataType::Decimal128(5, -2)), "numeric(7,0)");
        assert_eq!(created(list(DataType::Int8)), "smallint[]");
        assert_eq!(created(list(list(DataType::Int8))), "jsonb");
        assert_eq!(
            created(DataType::Struct(arrow::datatypes::Fields::empty())),
            "jsonb"
        );
        let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        assert_eq!(created(words), "text");
    }
}
