//! Arrow types to native ones, by table: the way back of `types`. A column is
//! brought into the Arrow type that DuckDB takes over, and what it makes of the
//! values is checked before they reach the table.
//!
//! | Arrow | becomes, in a new table | what is lost |
//! |---|---|---|
//! | bool, int8 … uint64, float32, float64 | the type of the same size | |
//! | float16 | `FLOAT` | comes back as float32 |
//! | decimal(p,s) up to 38 digits | `DECIMAL(p,s)` | a scale below zero becomes zeros |
//! | decimal above 38 digits | `VARCHAR` | comes back as text |
//! | string | `VARCHAR` | |
//! | JSON | `JSON` | |
//! | binary | `BLOB` | a fixed size |
//! | UUID | `UUID` | comes back as text |
//! | date | `DATE` | |
//! | time | `TIME` | nanoseconds |
//! | timestamp(s), (ms), (us), (ns) | `TIMESTAMP_S`, `TIMESTAMP_MS`, `TIMESTAMP`, `TIMESTAMP_NS` | |
//! | timestamp with a zone | `TIMESTAMP WITH TIME ZONE` | nanoseconds, and the zone's name |
//! | duration, interval | `INTERVAL` | nanoseconds; a duration comes back as an interval |
//! | list | `T[]` | a fixed size |
//! | struct | `STRUCT(…)` | |
//! | map | `MAP(K, V)` | comes back as JSON |
//! | null | `VARCHAR` | |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use libduckdb::{Logical, Type};
use weir_core::types::{EXTENSION_NAME, field_type_name, is_json};
use weir_core::{Error, Kind, Result};
use weir_kit::Dialect;

/// How a column is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Wire {
    /// The Arrow type that DuckDB takes over.
    pub arrow: DataType,
    /// The type of the column in which the rows wait.
    pub staged: String,
    /// Sixteen bytes that are shown as a UUID.
    is_uuid: bool,
    /// What must hold between the value and what the table's type makes of it.
    pub check: Check,
}

/// What is checked of each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing: the types are the same.
    None,
    /// That it is finite: the largest values mean infinity to DuckDB.
    Finite,
    /// That the table's type takes it.
    Taken,
    /// That the table's type has the same number.
    Equal,
}

fn is_uuid(field: &Field) -> bool {
    let name = field.metadata().get(EXTENSION_NAME);
    *field.data_type() == DataType::FixedSizeBinary(16)
        && name.is_some_and(|name| name == "arrow.uuid")
}

/// One row of the table: which Arrow type is taken over as which other one, and
/// what DuckDB calls it. Types with parts are in [`plain`] and [`parts`].
const TABLE: [(DataType, DataType, &str); 24] = [
    (DataType::Null, DataType::Utf8, "VARCHAR"),
    (DataType::Boolean, DataType::Boolean, "BOOLEAN"),
    (DataType::Int8, DataType::Int8, "TINYINT"),
    (DataType::Int16, DataType::Int16, "SMALLINT"),
    (DataType::Int32, DataType::Int32, "INTEGER"),
    (DataType::Int64, DataType::Int64, "BIGINT"),
    (DataType::UInt8, DataType::UInt8, "UTINYINT"),
    (DataType::UInt16, DataType::UInt16, "USMALLINT"),
    (DataType::UInt32, DataType::UInt32, "UINTEGER"),
    (DataType::UInt64, DataType::UInt64, "UBIGINT"),
    (DataType::Float16, DataType::Float32, "FLOAT"),
    (DataType::Float32, DataType::Float32, "FLOAT"),
    (DataType::Float64, DataType::Float64, "DOUBLE"),
    (DataType::Utf8, DataType::Utf8, "VARCHAR"),
    (DataType::LargeUtf8, DataType::Utf8, "VARCHAR"),
    (DataType::Utf8View, DataType::Utf8, "VARCHAR"),
    (DataType::Binary, DataType::Binary, "BLOB"),
    (DataType::LargeBinary, DataType::Binary, "BLOB"),
    (DataType::BinaryView, DataType::Binary, "BLOB"),
    (DataType::Date32, DataType::Date32, "DATE"),
    (DataType::Date64, DataType::Date32, "DATE"),
    (
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Second, None),
        "TIMESTAMP_S",
    ),
    (
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Millisecond, None),
        "TIMESTAMP_MS",
    ),
    (
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        "TIMESTAMP_NS",
    ),
];

const MICROS: TimeUnit = TimeUnit::Microsecond;

/// What is taken over for an Arrow type, and its native name.
fn plain(data_type: &DataType) -> Option<(DataType, String)> {
    if let Some((_, arrow, native)) = TABLE.iter().find(|(known, ..)| known == data_type) {
        return Some((arrow.clone(), (*native).to_owned()));
    }
    let named = |arrow: DataType, native: &str| Some((arrow, native.to_owned()));
    match data_type {
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => decimal(*p, *s),
        DataType::FixedSizeBinary(_) => named(DataType::Binary, "BLOB"),
        DataType::Time32(_) | DataType::Time64(_) => named(DataType::Time64(MICROS), "TIME"),
        DataType::Timestamp(_, None) => named(DataType::Timestamp(MICROS, None), "TIMESTAMP"),
        DataType::Timestamp(_, Some(_)) => named(
            DataType::Timestamp(MICROS, Some("UTC".into())),
            "TIMESTAMP WITH TIME ZONE",
        ),
        DataType::Duration(_) => named(DataType::Duration(MICROS), "INTERVAL"),
        DataType::Interval(_) => named(DataType::Interval(IntervalUnit::MonthDayNano), "INTERVAL"),
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        _ => parts(data_type),
    }
}

fn decimal(precision: u8, scale: i8) -> Option<(DataType, String)> {
    let (precision, scale) = match scale {
        ..0 => (precision.checked_add(scale.unsigned_abs())?, 0),
        _ => (precision.max(scale.unsigned_abs()), scale),
    };
    if precision > 38 {
        return Some((DataType::Utf8, "VARCHAR".to_owned()));
    }
    Some((
        DataType::Decimal128(precision, scale),
        format!("DECIMAL({precision},{scale})"),
    ))
}

fn parts(data_type: &DataType) -> Option<(DataType, String)> {
    let inner = |field: &FieldRef| {
        let (arrow, native) = plain(field.data_type())?;
        let native = if is_json(field) {
            "JSON".to_owned()
        } else {
            native
        };
        Some((Arc::new(Field::new(field.name(), arrow, true)), native))
    };
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            let (item, native) = inner(item)?;
            Some((DataType::List(item), format!("{native}[]")))
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let found: Vec<_> = fields.iter().map(inner).collect::<Option<_>>()?;
            let names = found.iter().map(|(field, native)| {
                format!("{} {native}", Dialect::Standard.quote(field.name()))
            });
            let native = format!("STRUCT({})", names.collect::<Vec<_>>().join(", "));
            let fields: Fields = found.into_iter().map(|(field, _)| field).collect();
            Some((DataType::Struct(fields), native))
        }
        DataType::Map(entries, sorted) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return None;
            };
            let [key, value] = pair
                .iter()
                .map(inner)
                .collect::<Option<Vec<_>>>()?
                .try_into()
                .ok()?;
            let native = format!("MAP({}, {})", key.1, value.1);
            let key = Arc::new(Field::clone(&key.0).with_nullable(false));
            let pair = DataType::Struct(Fields::from(vec![key, value.0]));
            let entries = Field::new(entries.name(), pair, false);
            Some((DataType::Map(Arc::new(entries), *sorted), native))
        }
        _ => None,
    }
}

/// The type of a new column, and how it is written.
pub fn created(field: &FieldRef) -> Result<(String, Wire)> {
    let unsupported = || {
        let (name, type_) = (field.name(), field_type_name(field));
        let message = format!("column `{name}` is {type_}, which DuckDB has no type for");
        Error::new(Kind::Invalid, message)
            .code("unsupported_type")
            .hint("convert the column first, for example to string or json")
    };
    let is_uuid = is_uuid(field);
    let (arrow, native) = match is_uuid {
        true => (DataType::Utf8, "VARCHAR".to_owned()),
        false => plain(field.data_type()).ok_or_else(unsupported)?,
    };
    let target = match (is_json(field), is_uuid) {
        (true, _) => "JSON".to_owned(),
        (_, true) => "UUID".to_owned(),
        _ => native.clone(),
    };
    let check = match &arrow {
        _ if target != native => Check::Taken,
        DataType::Date32 | DataType::Timestamp(..) => Check::Finite,
        _ => Check::None,
    };
    let wire = Wire {
        arrow,
        staged: native,
        is_uuid,
        check,
    };
    Ok((target, wire))
}

/// Groups of types whose values go into each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Bool,
    Number,
    Text,
    Bytes,
    Date,
    Time,
    Moment,
    Interval,
    Nested,
    /// Read by DuckDB from text.
    Shown,
}

fn group_of(arrow: &DataType) -> Group {
    match arrow {
        DataType::Boolean => Group::Bool,
        DataType::Utf8 => Group::Text,
        DataType::Binary => Group::Bytes,
        DataType::Date32 => Group::Date,
        DataType::Time64(_) => Group::Time,
        DataType::Timestamp(..) => Group::Moment,
        DataType::Duration(_) | DataType::Interval(_) => Group::Interval,
        nested if nested.is_nested() => Group::Nested,
        _ => Group::Number,
    }
}

fn group_in(logical: &Logical) -> Group {
    match logical.kind {
        Type::Boolean => Group::Bool,
        Type::TinyInt | Type::SmallInt | Type::Integer | Type::BigInt | Type::HugeInt => {
            Group::Number
        }
        Type::UTinyInt | Type::USmallInt | Type::UInteger | Type::UBigInt | Type::UHugeInt => {
            Group::Number
        }
        Type::Float | Type::Double | Type::Decimal => Group::Number,
        Type::Varchar => Group::Text,
        Type::Blob => Group::Bytes,
        Type::Date => Group::Date,
        Type::Time | Type::TimeNs => Group::Time,
        Type::Timestamp
        | Type::TimestampS
        | Type::TimestampMs
        | Type::TimestampNs
        | Type::TimestampTz => Group::Moment,
        Type::Interval => Group::Interval,
        Type::List | Type::Array | Type::Struct | Type::Map | Type::Union => Group::Nested,
        _ => Group::Shown,
    }
}

/// How a column of `field` is written into one of this type; none where the one
/// does not go into the other.
pub fn into(field: &FieldRef, logical: &Logical, native: &str) -> Option<Wire> {
    let (created, wire) = created(field).ok()?;
    let (from, to) = (group_of(&wire.arrow), group_in(logical));
    let is_text = from == Group::Text;
    let fits = match to {
        Group::Shown | Group::Nested if is_text => true,
        Group::Bytes => from == Group::Bytes,
        Group::Text => !matches!(from, Group::Bytes | Group::Nested),
        Group::Moment => matches!(from, Group::Moment | Group::Date) || is_text,
        Group::Shown => false,
        _ => from == to || is_text,
    };
    let is_null = *field.data_type() == DataType::Null;
    let check = match (from, to) {
        _ if created == native => wire.check,
        (Group::Number, Group::Number) => Check::Equal,
        (Group::Date, Group::Date) => Check::Finite,
        (Group::Moment, Group::Moment) => Check::Equal,
        _ => Check::Taken,
    };
    (fits || is_null).then_some(Wire { check, ..wire })
}

/// The values as DuckDB takes them over; the row and why, where one cannot be.
pub fn transported(
    wire: &Wire,
    field: &FieldRef,
    array: &ArrayRef,
) -> Result<ArrayRef, (usize, &'static str)> {
    if wire.is_uuid {
        let bytes = array.as_fixed_size_binary();
        let shown = bytes.iter().map(|id| {
            let id: [u8; 16] = id?.try_into().ok()?;
            Some(uuid::Uuid::from_bytes(id).to_string())
        });
        return Ok(Arc::new(shown.collect::<StringArray>()));
    }
    if field.data_type() == &wire.arrow {
        return Ok(Arc::clone(array));
    }
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    if let Ok(done) = cast_with_options(array, &wire.arrow, &strict) {
        return Ok(done);
    }
    // The first value that cannot be brought over is found by giving it up.
    let given_up = cast_with_options(array, &wire.arrow, &CastOptions::default());
    let row = given_up.ok().and_then(|given_up| {
        (0..array.len()).find(|row| array.is_valid(*row) && given_up.is_null(*row))
    });
    Err((row.unwrap_or(0), "does not fit the type of the column"))
}
