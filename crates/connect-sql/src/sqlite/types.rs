//! Declared types by table. SQLite types values, not columns: a declared type says
//! what the values are meant to be, and those that are not are told apart when they
//! are read.
//!
//! | declared | is read as | a value fits when it is |
//! |---|---|---|
//! | `INTEGER`, all that has `INT` in it | int64 | an integer |
//! | `REAL`, `FLOAT`, `DOUBLE` and what has them in it | float64 | a finite real |
//! | `DECIMAL(p,s)`, `NUMERIC(p,s)`, `DECIMAL_TEXT(p,s)` | decimal(p,s) | an integer, a plain number as text, or a real, of which 15 digits count |
//! | `BOOLEAN`, `BOOL` | bool | 0 or 1, or `true` or `false` as text |
//! | `DATE` | date | text, Julian day or Unix seconds, at midnight |
//! | `DATETIME`, `TIMESTAMP` | timestamp(us) | the same, at any time |
//! | `TIMESTAMPTZ`, `TIMESTAMP WITH TIME ZONE` | timestamp(us, UTC) | the same |
//! | `TIME` | time | text such as `12:30` or `12:30:00.5` |
//! | `JSON`, `JSON_TEXT` | json | text or a number |
//! | `TEXT`, `UUID`, all that has `CHAR`, `CLOB` or `TEXT` in it | string | text in UTF-8, or a number |
//! | `BLOB` | binary | a blob, or text |
//! | other names, such as `NUMERIC` alone | float64 | a number that a double holds |
//! | none | string | anything but a blob that is not UTF-8, in SQLite's text form |
//!
//! In views and queries a column that is computed has no declared type; its values
//! in the first rows tell ([`Seen`]).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use rusqlite::types::ValueRef;
use weir_core::types::{EXTENSION_NAME, JSON_EXTENSION, NATIVE_TYPE};

/// What the values of a column are meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Int,
    /// Real numbers.
    Float,
    /// Decimals of a precision and scale.
    Decimal(u8, i8),
    /// Truth values.
    Bool,
    /// Dates.
    Date,
    /// Times of a day.
    Time,
    /// Date and time.
    Timestamp,
    /// Instants.
    Instant,
    /// JSON documents.
    Json,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// Anything, as its text.
    Any,
}

/// Names of types that are known as a whole.
const NAMES: [(&str, Kind); 17] = [
    ("BOOLEAN", Kind::Bool),
    ("BOOL", Kind::Bool),
    ("DATE", Kind::Date),
    ("TIME", Kind::Time),
    ("DATETIME", Kind::Timestamp),
    ("TIMESTAMP", Kind::Timestamp),
    ("TIMESTAMP WITHOUT TIME ZONE", Kind::Timestamp),
    ("TIMESTAMPTZ", Kind::Instant),
    ("TIMESTAMP WITH TIME ZONE", Kind::Instant),
    ("JSON", Kind::Json),
    ("JSON_TEXT", Kind::Json),
    ("UUID", Kind::Text),
    ("GUID", Kind::Text),
    ("BLOB", Kind::Bytes),
    ("ANY", Kind::Any),
    ("", Kind::Any),
    ("STRING", Kind::Text),
];

/// Parts of names, by SQLite's own rules and in their order.
const PARTS: [(&str, Kind); 8] = [
    ("INT", Kind::Int),
    ("CHAR", Kind::Text),
    ("CLOB", Kind::Text),
    ("TEXT", Kind::Text),
    ("BLOB", Kind::Bytes),
    ("REAL", Kind::Float),
    ("FLOA", Kind::Float),
    ("DOUB", Kind::Float),
];

/// Names of decimals, where precision and scale follow.
const DECIMALS: [&str; 4] = ["DECIMAL", "NUMERIC", "DECIMAL_TEXT", "DEC"];

/// What a declared type means.
pub fn kind(declared: &str) -> Kind {
    let upper = declared.trim().to_ascii_uppercase();
    let (name, numbers) = match upper.split_once('(') {
        Some((name, numbers)) => (name.trim(), numbers.split(')').next()),
        None => (upper.as_str(), None),
    };
    if DECIMALS.contains(&name)
        && let Some((precision, scale)) = numbers.and_then(decimal)
    {
        return Kind::Decimal(precision, scale);
    }
    let whole = NAMES.iter().find(|(known, _)| *known == name);
    let part = || PARTS.iter().find(|(part, _)| upper.contains(part));
    whole.or_else(part).map_or(Kind::Float, |(_, kind)| *kind)
}

fn decimal(numbers: &str) -> Option<(u8, i8)> {
    let (precision, scale) = numbers.split_once(',').unwrap_or((numbers, "0"));
    let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    let is_fine =
        (1..=76).contains(&precision) && u8::try_from(scale).is_ok_and(|scale| scale <= precision);
    is_fine.then_some((precision, scale))
}

impl Kind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Decimal(precision, scale) if precision <= 38 => {
                DataType::Decimal128(precision, scale)
            }
            Kind::Decimal(precision, scale) => DataType::Decimal256(precision, scale),
            Kind::Bool => DataType::Boolean,
            Kind::Date => DataType::Date32,
            Kind::Time => DataType::Time64(TimeUnit::Microsecond),
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
            Kind::Json | Kind::Text | Kind::Any => DataType::Utf8,
            Kind::Bytes => DataType::Binary,
        }
    }

    /// The field of a column.
    pub fn field(self, name: &str, native: &str, nullable: bool) -> Field {
        let mut metadata = HashMap::from([(NATIVE_TYPE.to_owned(), native.to_owned())]);
        if self == Kind::Json {
            metadata.insert(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned());
        }
        Field::new(name, self.data_type(), nullable).with_metadata(metadata)
    }
}

/// What classes of values a computed column has shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    integers: bool,
    reals: bool,
    texts: bool,
    blobs: bool,
}

impl Seen {
    /// Looks at one more value.
    pub fn look(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(_) => self.integers = true,
            ValueRef::Real(_) => self.reals = true,
            ValueRef::Text(_) => self.texts = true,
            ValueRef::Blob(_) => self.blobs = true,
        }
    }

    /// What the column is read as: of one class as that, of several as text.
    pub fn kind(self) -> Kind {
        match (self.integers, self.reals, self.texts, self.blobs) {
            (true, false, false, false) => Kind::Int,
            (_, true, false, false) => Kind::Float,
            (false, false, true, false) => Kind::Text,
            (false, false, _, true) => Kind::Bytes,
            _ => Kind::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_are_known_by_name_or_part() {
        for (declared, expected) in [
            ("INTEGER", Kind::Int),
            ("unsigned big int", Kind::Int),
            ("varchar(255)", Kind::Text),
            ("NATIVE CHARACTER(70)", Kind::Text),
            ("double precision", Kind::Float),
            ("decimal(10, 2)", Kind::Decimal(10, 2)),
            ("NUMERIC(5)", Kind::Decimal(5, 0)),
            ("DECIMAL_TEXT(40,3)", Kind::Decimal(40, 3)),
            ("NUMERIC", Kind::Float),
            ("DECIMAL(99,1)", Kind::Float),
            ("DECIMAL(2,5)", Kind::Float),
            ("Boolean", Kind::Bool),
            ("datetime", Kind::Timestamp),
            ("TIMESTAMP(3)", Kind::Timestamp),
            ("", Kind::Any),
            ("BLOB", Kind::Bytes),
            ("json", Kind::Json),
        ] {
            assert_eq!(kind(declared), expected, "{declared}");
        }
    }
}
