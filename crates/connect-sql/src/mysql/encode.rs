//! Native types by table: which Arrow types go into each, and how.
//!
//! | Arrow | becomes, in a new table | what is lost |
//! |---|---|---|
//! | bool | `boolean` | |
//! | int8 to int64, uint8 to uint64 | `tinyint` to `bigint`, `unsigned` | |
//! | float16 float32, float64 | `float`, `double` | NaN and infinities are refused; -0 becomes 0 |
//! | decimal(p,s) | `decimal(p,s)` | above 65 digits or 30 places `longtext` |
//! | string | `longtext`, as a key `varchar(255)` | |
//! | json, list, struct, map | `json` | what JSON has no type for is text |
//! | uuid | `char(36)` | comes back as text |
//! | binary | `longblob`, as a key `varbinary(255)` | |
//! | date, time | `date`, `time(6)` | nanoseconds; a time comes back as a duration |
//! | timestamp | `datetime(6)`, in UTC | nanoseconds, and the zone |
//! | duration | `bigint`, in microseconds | comes back as a number |
//! | interval, null | `longtext` | |

use arrow::datatypes::{DataType, Field, FieldRef};
use weir_core::Result as CoreResult;
use weir_core::types::is_json;
use weir_kit::write::{TypeRule, native_type};

use crate::shared::target::Wires;

/// How values of a column are written.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `boolean`, `bit(1)`.
    Truth,
    /// Whole numbers.
    Int(DataType),
    /// `decimal(p,s)`.
    Decimal(u8, i8),
    /// `float`.
    Float,
    /// `double`.
    Double,
    /// Text of so many characters at most.
    Text(Option<usize>),
    /// Bytes, so many at most.
    Bytes(Option<usize>),
    /// JSON documents.
    Json,
    /// `date`.
    Date,
    /// `datetime` and `timestamp`: moments of UTC.
    Moment,
    /// `time`.
    Time,
    /// A duration as microseconds.
    Micros,
}

/// The first word of a native type, and what the whole of it means.
type TypeRow = (&'static str, fn(&str) -> Kind);

/// Native types, as the catalogue says them.
const TABLE: &[TypeRow] = &[
    ("tinyint", |t| int(t, DataType::Int8, DataType::UInt8)),
    ("smallint", |t| int(t, DataType::Int16, DataType::UInt16)),
    ("mediumint", |t| int(t, DataType::Int32, DataType::UInt32)),
    ("int", |t| int(t, DataType::Int32, DataType::UInt32)),
    ("bigint", |t| int(t, DataType::Int64, DataType::UInt64)),
    ("year", |_| Kind::Int(DataType::Int16)),
    ("decimal", |t| {
        let (precision, scale) = numbers(t);
        Kind::Decimal(
            precision.unwrap_or(10).min(65) as u8,
            scale.unwrap_or(0).min(38) as i8,
        )
    }),
    ("float", |_| Kind::Float),
    ("double", |_| Kind::Double),
    ("char", |t| Kind::Text(numbers(t).0)),
    ("varchar", |t| Kind::Text(numbers(t).0)),
    ("tinytext", |_| Kind::Text(Some(255))),
    ("binary", |t| Kind::Bytes(numbers(t).0)),
    ("varbinary", |t| Kind::Bytes(numbers(t).0)),
    ("tinyblob", |_| Kind::Bytes(Some(255))),
    ("blob", |_| Kind::Bytes(Some(65_535))),
    ("mediumblob", |_| Kind::Bytes(Some(16_777_215))),
    ("longblob", |_| Kind::Bytes(None)),
    ("json", |_| Kind::Json),
    ("date", |_| Kind::Date),
    ("datetime", |_| Kind::Moment),
    ("timestamp", |_| Kind::Moment),
    ("time", |_| Kind::Time),
    ("bit", |t| match numbers(t).0 {
        Some(1) | None => Kind::Truth,
        _ => Kind::Int(DataType::UInt64),
    }),
    ("geometry", |_| Kind::Bytes(None)),
    ("point", |_| Kind::Bytes(None)),
    ("linestring", |_| Kind::Bytes(None)),
    ("polygon", |_| Kind::Bytes(None)),
    ("multipoint", |_| Kind::Bytes(None)),
    ("multilinestring", |_| Kind::Bytes(None)),
    ("multipolygon", |_| Kind::Bytes(None)),
    ("geometrycollection", |_| Kind::Bytes(None)),
];

fn int(native: &str, signed: DataType, unsigned: DataType) -> Kind {
    match native {
        "tinyint(1)" => Kind::Truth,
        _ if native.contains("unsigned") => Kind::Int(unsigned),
        _ => Kind::Int(signed),
    }
}

/// What stands in the parentheses of a type.
fn numbers(native: &str) -> (Option<usize>, Option<usize>) {
    let inner = native
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    let mut parts = inner
        .map_or("", |(inner, _)| inner)
        .split(',')
        .map(|part| part.trim().parse().ok());
    (parts.next().flatten(), parts.next().flatten())
}

/// How a column of the table is written.
pub fn kind_of(native: &str) -> Kind {
    let end = native
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(native.len());
    let row = TABLE.iter().find(|(name, _)| *name == &native[..end]);
    // Whatever the type is, the server reads it from its text.
    row.map_or(Kind::Text(None), |(_, kind)| kind(native))
}

/// Types of new columns; the first rule that fits holds.
static RULES: [TypeRule; 18] = [
    rule(is_json, |_| "json".into()),
    rule(|f| is_record(f.data_type()), |_| "json".into()),
    rule(is_uuid, |_| "char(36)".into()),
    rule(
        |f| *f.data_type() == DataType::Boolean,
        |_| "tinyint(1)".into(),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::Int8 | DataType::UInt8),
        |t| signed("tinyint", t),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::Int16 | DataType::UInt16),
        |t| signed("smallint", t),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::Int32 | DataType::UInt32),
        |t| signed("int", t),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::Int64 | DataType::UInt64),
        |t| signed("bigint", t),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::Float16 | DataType::Float32),
        |_| "float".into(),
    ),
    rule(|f| *f.data_type() == DataType::Float64, |_| "double".into()),
    rule(
        |f| decimal(f.data_type()).is_some(),
        |t| {
            decimal(t).map_or_else(String::new, |(precision, scale)| {
                format!("decimal({precision},{scale})")
            })
        },
    ),
    rule(|f| is_binary(f.data_type()), |_| "longblob".into()),
    rule(|f| is_date(f.data_type()), |_| "date".into()),
    rule(|f| is_time(f.data_type()), |_| "time(6)".into()),
    rule(
        |f| matches!(f.data_type(), DataType::Timestamp(..)),
        |_| "datetime(6)".into(),
    ),
    rule(
        |f| matches!(f.data_type(), DataType::Duration(_)),
        |_| "bigint".into(),
    ),
    rule(|f| f.data_type().is_decimal(), |_| "longtext".into()),
    rule(
        |f| {
            is_text(f.data_type())
                || matches!(f.data_type(), DataType::Interval(_) | DataType::Null)
        },
        |_| "longtext".into(),
    ),
];

const fn rule(fits: fn(&Field) -> bool, name: fn(&DataType) -> String) -> TypeRule {
    TypeRule { fits, name }
}

fn signed(name: &str, data_type: &DataType) -> String {
    match data_type.is_unsigned_integer() {
        true => format!("{name} unsigned"),
        false => name.to_owned(),
    }
}

/// Digits and places of a decimal that the server has a type for.
fn decimal(data_type: &DataType) -> Option<(i16, i16)> {
    let (precision, scale) = match data_type {
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => (i16::from(*p), i16::from(*s)),
        _ => return None,
    };
    let (precision, scale) = match scale {
        ..0 => (precision - scale, 0),
        _ => (precision.max(scale), scale),
    };
    (precision <= 65 && scale <= 30).then_some((precision, scale))
}

/// Whether a field holds UUIDs.
pub fn is_uuid(field: &Field) -> bool {
    field.extension_type_name() == Some("arrow.uuid")
}

/// Whether it is text.
pub fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// Whether it is bytes.
pub fn is_binary(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64)
}

/// Whether it is a time of day.
pub fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Time32(_) | DataType::Time64(_))
}

/// Whether it is made of other types.
pub fn is_record(data_type: &DataType) -> bool {
    data_type.is_nested()
        && !matches!(
            data_type,
            DataType::Dictionary(..) | DataType::RunEndEncoded(..)
        )
}

/// The type of the values of a dictionary or of runs.
pub fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

/// The connector's types, for the plan of a write.
pub struct Types;

impl Wires for Types {
    type Wire = Kind;
    type Kind = Kind;

    fn created(&self, field: &FieldRef, is_key: bool) -> CoreResult<(String, Kind)> {
        let flat = field
            .as_ref()
            .clone()
            .with_data_type(plain(field.data_type()).clone());
        let native = native_type(&RULES, &flat)?;
        let native = match native.as_str() {
            "longtext" if is_key => "varchar(255)".to_owned(),
            "longblob" if is_key => "varbinary(255)".to_owned(),
            _ => native,
        };
        let kind = match flat.data_type() {
            DataType::Duration(_) => Kind::Micros,
            _ => kind_of(&native),
        };
        Ok((native, kind))
    }

    fn into(&self, field: &FieldRef, kind: &Kind) -> Option<Kind> {
        let source = plain(field.data_type());
        let is_span = matches!(source, DataType::Duration(_));
        let is_moment = matches!(source, DataType::Timestamp(..));
        let (number, text) = (
            source.is_numeric(),
            is_text(source) || *source == DataType::Null,
        );
        let fits = match kind {
            Kind::Truth => number || *source == DataType::Boolean,
            Kind::Int(_) if is_span => return Some(Kind::Micros),
            Kind::Int(_) => number || *source == DataType::Boolean,
            Kind::Decimal(..) | Kind::Float | Kind::Double => number,
            Kind::Text(_) | Kind::Json => true,
            Kind::Bytes(_) => is_binary(source),
            Kind::Date | Kind::Moment => is_date(source) || is_moment,
            Kind::Time => is_time(source) || is_span,
            Kind::Micros => is_span,
        };
        (fits || text).then(|| kind.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn types_of_new_columns_are_known() {
        let created = |data_type, is_key| {
            let field = Arc::new(Field::new("x", data_type, true));
            Types.created(&field, is_key).unwrap()
        };
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int8, true)));
        for (data_type, native, kind) in [
            (
                DataType::UInt64,
                "bigint unsigned",
                Kind::Int(DataType::UInt64),
            ),
            (DataType::Boolean, "tinyint(1)", Kind::Truth),
            (DataType::Int8, "tinyint", Kind::Int(DataType::Int8)),
            (
                DataType::Decimal128(5, -2),
                "decimal(7,0)",
                Kind::Decimal(7, 0),
            ),
            (DataType::Decimal256(76, 20), "longtext", Kind::Text(None)),
            (DataType::Duration(TimeUnit::Second), "bigint", Kind::Micros),
            (list, "json", Kind::Json),
            (DataType::Utf8View, "longtext", Kind::Text(None)),
        ] {
            assert_eq!(created(data_type, false), (native.to_owned(), kind));
        }
        assert_eq!(
            created(DataType::Utf8, true),
            ("varchar(255)".into(), Kind::Text(Some(255)))
        );
        assert_eq!(kind_of("enum('a','b')"), Kind::Text(None));
        assert_eq!(kind_of("decimal(10,2) unsigned"), Kind::Decimal(10, 2));
    }
}
