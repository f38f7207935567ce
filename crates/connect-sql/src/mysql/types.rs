//! Native types to Arrow types, by table. A type that is not in it is read as text.
//!
//! | native | Arrow | rule |
//! |---|---|---|
//! | `tinyint(1)` | bool | every number but 0 is true; int8 where `tinyint1_is_bool` is off |
//! | `tinyint` to `bigint`, unsigned | int8 to int64, uint8 to uint64 | `mediumint` is int32 |
//! | `decimal(p,s)` | decimal | 128 bits up to 38 digits, 256 up to 65 |
//! | `bit(1)`, `bit(n)` | bool, uint64 | |
//! | `date`, `datetime`, `timestamp` | date, timestamp(us), timestamp(us, UTC) | a month or day of 0 cannot be represented |
//! | `time` | duration(us) | it goes from -838 to 838 hours |
//! | `year` | int16 | |
//! | `json` | json | MariaDB's is `longtext` with a check, which it tells |
//! | `geometry` | binary | the server's own form: four bytes of SRID, then WKB |

use std::collections::HashMap;

use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Field,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use weir_core::Result;
use weir_core::types::{EXTENSION_NAME, JSON_EXTENSION, NATIVE_TYPE};

use super::decode::{self, Scalar, Truth, exact};
use super::wire::Reader;
use crate::shared::compare::Compare;
use crate::shared::decode::{Bytes, Decoder, Text, plain};

/// The charset of what is no text.
const BINARY: u16 = 63;

const UNSIGNED: u16 = 1 << 5;
const NOT_NULL: u16 = 1;
const ENUM: u16 = 1 << 8;
const SET: u16 = 1 << 11;

/// Longer text may be cut when the server sorts by it; see the session's
/// `max_sort_length`.
pub const SORTED_BYTES: u32 = 4096;

/// A column of an answer, as the protocol describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    /// Its name.
    pub name: String,
    kind: u8,
    flags: u16,
    charset: u16,
    length: u32,
    decimals: u8,
    is_json: bool,
}

/// How long a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// So many bytes.
    Fixed(usize),
    /// A byte says how many.
    Short,
    /// A length of varying size says how many.
    Text,
}

impl ColumnDef {
    /// Reads one.
    pub fn parse(packet: &[u8], is_extended: bool) -> Result<Self> {
        let mut reader = Reader(packet);
        for _ in 0..4 {
            reader.text()?;
        }
        let name = String::from_utf8_lossy(reader.text()?).into_owned();
        reader.text()?;
        let mut is_json = false;
        if is_extended {
            let mut said = Reader(reader.text()?);
            while !said.0.is_empty() {
                let what = said.byte()?;
                let value = said.text()?;
                is_json |= what == 1 && value == b"json";
            }
        }
        reader.length()?;
        let charset = reader.u16()?;
        let length = reader.u32()?;
        let kind = reader.byte()?;
        let flags = reader.u16()?;
        let decimals = reader.byte()?;
        Ok(ColumnDef {
            name,
            kind,
            flags,
            charset,
            length,
            decimals,
            is_json,
        })
    }

    /// Whether numbers have no sign.
    pub fn is_unsigned(&self) -> bool {
        self.flags & UNSIGNED != 0
    }

    /// Whether it is never null.
    pub fn is_required(&self) -> bool {
        self.flags & NOT_NULL != 0
    }

    /// How long its fields are.
    pub fn width(&self) -> Width {
        match self.kind {
            1 => Width::Fixed(1),
            2 | 13 => Width::Fixed(2),
            3 | 4 | 9 => Width::Fixed(4),
            5 | 8 => Width::Fixed(8),
            7 | 10 | 11 | 12 | 14 => Width::Short,
            _ => Width::Text,
        }
    }

    /// Digits, and those after the point.
    fn precision(&self) -> (u8, i8) {
        let sign = u32::from(!self.is_unsigned());
        let point = u32::from(self.decimals > 0);
        let digits = self.length.saturating_sub(sign + point).clamp(1, 65) as u8;
        (digits.max(self.decimals), self.decimals.min(76) as i8)
    }

    /// How it is read.
    pub fn mapping(&self, rules: Rules) -> Mapping {
        let row = TABLE.iter().find(|row| row.kinds.contains(&self.kind));
        match row {
            Some(row) => (row.map)(self, rules),
            None => Mapping::text(self, "text"),
        }
    }
}

/// What a source says of its types.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// `tinyint(1)` is read as a truth value.
    pub tinyint1_is_bool: bool,
    /// Values that cannot be represented become null.
    pub lenient: bool,
}

/// How a column is read.
#[derive(Clone)]
pub struct Mapping {
    /// Its Arrow type.
    pub data_type: DataType,
    /// JSON documents as text.
    pub is_json: bool,
    /// How it compares.
    pub compare: Compare,
    /// Its type as the source writes it.
    pub native: String,
    make: fn(&DataType) -> Box<dyn Decoder>,
}

impl Mapping {
    fn new(
        data_type: DataType,
        compare: Compare,
        native: impl Into<String>,
        make: fn(&DataType) -> Box<dyn Decoder>,
    ) -> Self {
        Mapping {
            data_type,
            is_json: false,
            compare,
            native: native.into(),
            make,
        }
    }

    fn text(column: &ColumnDef, native: &str) -> Self {
        let compare = match column.length <= SORTED_BYTES {
            true => Compare::Text,
            false => Compare::Unknown,
        };
        Mapping::new(DataType::Utf8, compare, native, |_| Text::boxed(plain))
    }

    fn bytes(native: &str) -> Self {
        Mapping::new(DataType::Binary, Compare::Unknown, native, |_| {
            Bytes::boxed()
        })
    }

    fn json() -> Self {
        Mapping {
            is_json: true,
            ..Mapping::new(DataType::Utf8, Compare::Unknown, "json", |_| {
                Text::boxed(plain)
            })
        }
    }

    /// A decoder of its values.
    pub fn decoder(&self) -> Box<dyn Decoder> {
        (self.make)(&self.data_type)
    }

    /// The field of a batch.
    pub fn field(&self, name: &str) -> Field {
        let mut metadata = HashMap::from([(NATIVE_TYPE.to_owned(), self.native.clone())]);
        if self.is_json {
            metadata.insert(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned());
        }
        Field::new(name, self.data_type.clone(), true).with_metadata(metadata)
    }
}

/// One row of the table: codes of the protocol, and how they are read.
struct TypeRow {
    kinds: &'static [u8],
    map: fn(&ColumnDef, Rules) -> Mapping,
}

const fn row(kinds: &'static [u8], map: fn(&ColumnDef, Rules) -> Mapping) -> TypeRow {
    TypeRow { kinds, map }
}

static TABLE: &[TypeRow] = &[
    row(&[1], tiny),
    row(&[2], |column, _| match column.is_unsigned() {
        true => Mapping::new(DataType::UInt16, Compare::Int, "smallint unsigned", |t| {
            Scalar::<UInt16Type, _>::boxed(t, |b| exact(b).map(u16::from_le_bytes))
        }),
        false => Mapping::new(DataType::Int16, Compare::Int, "smallint", |t| {
            Scalar::<Int16Type, _>::boxed(t, |b| exact(b).map(i16::from_le_bytes))
        }),
    }),
    row(&[3, 9], |column, _| {
        let name = if column.kind == 9 { "mediumint" } else { "int" };
        match column.is_unsigned() {
            true => Mapping::new(
                DataType::UInt32,
                Compare::Int,
                format!("{name} unsigned"),
                |t| Scalar::<UInt32Type, _>::boxed(t, |b| exact(b).map(u32::from_le_bytes)),
            ),
            false => Mapping::new(DataType::Int32, Compare::Int, name, |t| {
                Scalar::<Int32Type, _>::boxed(t, |b| exact(b).map(i32::from_le_bytes))
            }),
        }
    }),
    row(&[8], |column, _| match column.is_unsigned() {
        true => Mapping::new(DataType::UInt64, Compare::Int, "bigint unsigned", |t| {
            Scalar::<UInt64Type, _>::boxed(t, |b| exact(b).map(u64::from_le_bytes))
        }),
        false => Mapping::new(DataType::Int64, Compare::Int, "bigint", |t| {
            Scalar::<Int64Type, _>::boxed(t, |b| exact(b).map(i64::from_le_bytes))
        }),
    }),
    row(&[4], |_, _| {
        Mapping::new(DataType::Float32, Compare::Unknown, "float", |t| {
            Scalar::<Float32Type, _>::boxed(t, |b| exact(b).map(f32::from_le_bytes))
        })
    }),
    row(&[5], |_, _| {
        Mapping::new(DataType::Float64, Compare::Float, "double", |t| {
            Scalar::<Float64Type, _>::boxed(t, |b| exact(b).map(f64::from_le_bytes))
        })
    }),
    row(&[0, 246], decimal),
    row(&[6], |column, _| Mapping::text(column, "null")),
    // Two digits would be compared as a year of this century.
    row(&[13], |_, _| {
        Mapping::new(DataType::Int16, Compare::Unknown, "year", |t| {
            Scalar::<Int16Type, _>::boxed(t, |b| exact(b).map(i16::from_le_bytes))
        })
    }),
    row(&[10, 14], |_, _| {
        Mapping::new(DataType::Date32, Compare::Date, "date", |t| {
            Scalar::<Date32Type, _>::boxed(t, decode::date)
        })
    }),
    row(&[12], |column, _| {
        moment(None, Compare::Timestamp, column.timed("datetime"))
    }),
    row(&[7], |column, _| {
        moment(Some("UTC"), Compare::TimestampTz, column.timed("timestamp"))
    }),
    row(&[11], |column, _| {
        let data_type = DataType::Duration(TimeUnit::Microsecond);
        Mapping::new(data_type, Compare::Unknown, column.timed("time"), |t| {
            Scalar::<DurationMicrosecondType, _>::boxed(t, decode::time)
        })
    }),
    row(&[16], |column, _| match column.length {
        1 => Mapping::new(DataType::Boolean, Compare::Bool, "bit(1)", |_| {
            Box::new(Truth::default())
        }),
        length => Mapping::new(
            DataType::UInt64,
            Compare::Unknown,
            format!("bit({length})"),
            |t| Scalar::<UInt64Type, _>::boxed(t, decode::bits),
        ),
    }),
    row(&[245], |_, _| Mapping::json()),
    row(&[255], |_, _| Mapping::bytes("geometry")),
    row(&[242], |_, _| Mapping::bytes("vector")),
    row(&[15, 253, 254, 247, 248, 249, 250, 251, 252], string),
];

impl ColumnDef {
    fn timed(&self, name: &str) -> String {
        match self.decimals {
            digits @ 1..=6 => format!("{name}({digits})"),
            _ => name.to_owned(),
        }
    }
}

fn tiny(column: &ColumnDef, rules: Rules) -> Mapping {
    if column.is_unsigned() {
        return Mapping::new(DataType::UInt8, Compare::Int, "tinyint unsigned", |t| {
            Scalar::<UInt8Type, _>::boxed(t, |b| exact(b).map(u8::from_le_bytes))
        });
    }
    let name = if column.length == 1 {
        "tinyint(1)"
    } else {
        "tinyint"
    };
    if column.length == 1 && rules.tinyint1_is_bool {
        return Mapping::new(DataType::Boolean, Compare::Bool, name, |_| {
            Box::new(Truth::default())
        });
    }
    Mapping::new(DataType::Int8, Compare::Int, name, |t| {
        Scalar::<Int8Type, _>::boxed(t, |b| exact(b).map(i8::from_le_bytes))
    })
}

fn decimal(column: &ColumnDef, _: Rules) -> Mapping {
    let (precision, scale) = column.precision();
    let sign = if column.is_unsigned() {
        " unsigned"
    } else {
        ""
    };
    let native = format!("decimal({precision},{scale}){sign}");
    if precision <= 38 {
        let data_type = DataType::Decimal128(precision, scale);
        return Mapping::new(data_type, Compare::Decimal(scale), native, |t| {
            let scale = scale_of(t);
            Scalar::<Decimal128Type, _>::boxed(t, move |b| decode::decimal128(b, scale))
        });
    }
    let data_type = DataType::Decimal256(precision, scale);
    Mapping::new(data_type, Compare::Unknown, native, |t| {
        let scale = scale_of(t);
        Scalar::<Decimal256Type, _>::boxed(t, move |b| decode::decimal256(b, scale))
    })
}

fn scale_of(data_type: &DataType) -> usize {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            usize::try_from(*scale).unwrap_or_default()
        }
        _ => 0,
    }
}

fn moment(zone: Option<&str>, compare: Compare, native: String) -> Mapping {
    let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    Mapping::new(data_type, compare, native, |t| {
        Scalar::<TimestampMicrosecondType, _>::boxed(t, decode::timestamp)
    })
}

fn string(column: &ColumnDef, _: Rules) -> Mapping {
    let is_blob = (249..=252).contains(&column.kind);
    match (column.charset == BINARY, column.flags) {
        _ if column.is_json => Mapping::json(),
        (false, flags) if flags & ENUM != 0 => Mapping::text(column, "enum"),
        (false, flags) if flags & SET != 0 => Mapping::text(column, "set"),
        (true, _) if is_blob => Mapping::bytes("blob"),
        (true, _) => Mapping::bytes("binary"),
        (false, _) if is_blob => Mapping::text(column, "text"),
        (false, _) if column.kind == 254 => Mapping::text(column, "char"),
        (false, _) => Mapping::text(column, "varchar"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_stands_twice() {
        let mut kinds: Vec<u8> = TABLE.iter().flat_map(|row| row.kinds.to_vec()).collect();
        let all = kinds.len();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), all);
    }

    #[test]
    fn digits_are_those_declared() {
        let mut column = ColumnDef {
            name: String::new(),
            kind: 246,
            flags: 0,
            charset: BINARY,
            length: 12,
            decimals: 2,
            is_json: false,
        };
        assert_eq!(column.precision(), (10, 2));
        (column.length, column.decimals) = (5, 3);
        assert_eq!(column.precision(), (3, 3));
        (column.length, column.decimals, column.flags) = (65, 0, UNSIGNED);
        assert_eq!(column.precision(), (65, 0));
        assert!(ColumnDef::parse(&[1, 2], false).is_err());
    }
}
