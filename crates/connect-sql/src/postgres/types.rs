//! Native types to Arrow types, by table. A type that is not in it, and is
//! neither a domain, an enum nor an array of one that is, is read as the text
//! that the server itself writes.
//!
//! | native | Arrow | rule |
//! |---|---|---|
//! | `numeric(p,s)` | decimal | 128 bits up to 38 digits, 256 up to 76; `NaN` cannot be represented |
//! | `numeric` | string | without a precision, or above 76 digits: the server's text, every digit kept |
//! | `date`, `timestamp`, `timestamptz` | date, timestamp(us) | infinity cannot be represented, nor timestamps after 294246 |
//! | `time` | time(us) | `24:00:00` cannot be represented |
//! | `interval` | interval | months, days and nanoseconds; hours beyond 292 years cannot be represented |
//! | `char(n)` | string | with its padding, as stored |
//! | `uuid`, `inet`, `cidr`, enums | string | the server's text |
//! | `json`, `jsonb` | json | text marked with the extension `arrow.json` |
//! | arrays | list | nested by the declared dimensions; lower bounds are dropped |
//!
//! "Cannot be represented" is answered by the setting `unrepresentable`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use weir_core::types::{EXTENSION_NAME, JSON_EXTENSION};

use super::decode::{self, Decoder, Fixed, Text};

/// What the catalogue says of a type that is not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeFacts {
    /// `b` base, `c` composite, `d` domain, `e` enum, `r` range …
    pub kind: u8,
    /// The type below a domain, else 0.
    pub base: u32,
    /// The modifier that a domain gives its base, or -1.
    pub base_modifier: i32,
    /// Dimensions of a domain over an array, else 0.
    pub dimensions: i32,
    /// The item type of an array, else 0.
    pub item: u32,
}

/// How values of a column compare, where the server and the engine agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Not known to agree, but for null.
    Unknown,
    /// Not even null agrees, as some values become null when they are read.
    Never,
    /// `bool`.
    Bool,
    /// Whole numbers.
    Int,
    /// Binary floating point.
    Float,
    /// Decimals of a scale, with `NaN` as null.
    Decimal(i8),
    /// Text compared by bytes.
    Text,
    /// Text padded to this many characters.
    Padded(i32),
    /// `uuid`, shown as text.
    Uuid,
    /// `date`, with infinity as null.
    Date,
    /// `timestamp`, with infinity as null.
    Timestamp,
    /// `timestamptz`, with infinity as null.
    TimestampTz,
}

/// How a column is asked for and read.
#[derive(Clone)]
pub struct Mapping {
    /// Its Arrow type.
    pub data_type: DataType,
    /// JSON documents as text.
    pub json: bool,
    /// The type it is cast to in the statement, where it has no decoder.
    pub cast: Option<&'static str>,
    /// How it compares.
    pub compare: Compare,
    decoder: Make,
    dimensions: usize,
}

type Make = fn(&DataType) -> Box<dyn Decoder>;

impl Mapping {
    fn new(data_type: DataType, compare: Compare, decoder: Make) -> Self {
        Mapping {
            data_type,
            json: false,
            cast: None,
            compare,
            decoder,
            dimensions: 0,
        }
    }

    fn text(compare: Compare, write: Make) -> Self {
        Mapping::new(DataType::Utf8, compare, write)
    }

    /// Read as the server's own text.
    fn as_text() -> Self {
        Mapping {
            cast: Some("text"),
            ..Mapping::text(Compare::Unknown, plain_text)
        }
    }

    fn list_of(item: Mapping, dimensions: usize) -> Self {
        let mut data_type = item.data_type.clone();
        for level in 0..dimensions {
            let field = Field::new("item", data_type, true);
            data_type = DataType::List(if level == 0 && item.json {
                marked_json(field)
            } else {
                Arc::new(field)
            });
        }
        let cast = item.cast.map(|_| "text[]");
        Mapping {
            data_type,
            json: false,
            cast,
            compare: Compare::Unknown,
            dimensions,
            decoder: item.decoder,
        }
    }

    /// A decoder for the column.
    pub fn decoder(&self, lenient: bool) -> Box<dyn Decoder> {
        if self.dimensions == 0 {
            return (self.decoder)(&self.data_type);
        }
        let mut item = &self.data_type;
        for _ in 0..self.dimensions {
            if let DataType::List(field) = item {
                item = field.data_type();
            }
        }
        decode::List::boxed(
            &self.data_type,
            self.dimensions,
            (self.decoder)(item),
            lenient,
        )
    }

    /// The field of a column. Every field may be null: what cannot be
    /// represented becomes null even where the table has none.
    pub fn field(&self, name: &str, native: &str) -> Field {
        let mut metadata =
            HashMap::from([(weir_core::types::NATIVE_TYPE.to_owned(), native.to_owned())]);
        if self.json {
            metadata.insert(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned());
        }
        Field::new(name, self.data_type.clone(), true).with_metadata(metadata)
    }
}

fn marked_json(field: Field) -> FieldRef {
    let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned())]);
    Arc::new(field.with_metadata(metadata))
}

/// Days from 1970 to 2000, where the server counts from.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

fn plain_text(_: &DataType) -> Box<dyn Decoder> {
    Text::boxed(decode::plain)
}

fn date(bytes: [u8; 4]) -> Option<i32> {
    let days = i32::from_be_bytes(bytes);
    if days == i32::MAX || days == i32::MIN {
        None
    } else {
        days.checked_add(EPOCH_DAYS)
    }
}

fn timestamp(bytes: [u8; 8]) -> Option<i64> {
    let micros = i64::from_be_bytes(bytes);
    if micros == i64::MAX || micros == i64::MIN {
        None
    } else {
        micros.checked_add(EPOCH_MICROS)
    }
}

fn time(bytes: [u8; 8]) -> Option<i64> {
    let micros = i64::from_be_bytes(bytes);
    (0..DAY_MICROS).contains(&micros).then_some(micros)
}

/// One NaN: the engine orders NaN by its sign bit, the server does not.
fn float4(bytes: [u8; 4]) -> Option<f32> {
    let value = f32::from_be_bytes(bytes);
    Some(if value.is_nan() { f32::NAN } else { value })
}

fn float8(bytes: [u8; 8]) -> Option<f64> {
    let value = f64::from_be_bytes(bytes);
    Some(if value.is_nan() { f64::NAN } else { value })
}

/// `numeric` by its modifier.
fn numeric(modifier: i32) -> Mapping {
    let as_text = Mapping {
        cast: Some("text"),
        ..Mapping::text(Compare::Unknown, plain_text)
    };
    let Some((precision, scale)) = precision_and_scale(modifier) else {
        return as_text;
    };
    let compare = Compare::Decimal(scale);
    match precision {
        1..=38 => Mapping::new(DataType::Decimal128(precision, scale), compare, decimal),
        39..=76 => Mapping::new(DataType::Decimal256(precision, scale), compare, decimal),
        _ => as_text,
    }
}

/// Precision and scale as Arrow wants them: the scale neither negative nor
/// above the precision, both of which the server allows.
fn precision_and_scale(modifier: i32) -> Option<(u8, i8)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let precision = (packed >> 16) & 0xffff;
    // Eleven bits, signed.
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    let (precision, scale) = if scale < 0 {
        (precision - scale, 0)
    } else {
        (precision.max(scale), scale)
    };
    Some((
        u8::try_from(precision).ok().filter(|p| *p <= 76)?,
        i8::try_from(scale).ok()?,
    ))
}

fn decimal(data_type: &DataType) -> Box<dyn Decoder> {
    match data_type {
        DataType::Decimal128(precision, scale) => decode::Decimal128::boxed(*precision, *scale),
        DataType::Decimal256(precision, scale) => decode::Decimal256::boxed(*precision, *scale),
        _ => plain_text(data_type),
    }
}

/// One row of the table: oid, oid of its array, and its mapping by modifier.
struct Native {
    oid: u32,
    array: u32,
    map: fn(i32) -> Mapping,
}

const fn native(oid: u32, array: u32, map: fn(i32) -> Mapping) -> Native {
    Native { oid, array, map }
}

const INFINITE: &str = "infinity, or a date beyond the range,";

static TABLE: [Native; 25] = [
    native(16, 1000, |_| {
        Mapping::new(DataType::Boolean, Compare::Bool, |_| decode::boolean())
    }),
    native(17, 1001, |_| {
        Mapping::new(DataType::Binary, Compare::Unknown, |_| {
            decode::Bytes::boxed()
        })
    }),
    // name
    native(19, 1003, |_| Mapping::text(Compare::Text, plain_text)),
    native(20, 1016, |_| {
        Mapping::new(DataType::Int64, Compare::Int, |t| {
            Fixed::<Int64Type, _, 8>::boxed(t, "", |b| Some(i64::from_be_bytes(b)))
        })
    }),
    native(21, 1005, |_| {
        Mapping::new(DataType::Int16, Compare::Int, |t| {
            Fixed::<Int16Type, _, 2>::boxed(t, "", |b| Some(i16::from_be_bytes(b)))
        })
    }),
    native(23, 1007, |_| {
        Mapping::new(DataType::Int32, Compare::Int, |t| {
            Fixed::<Int32Type, _, 4>::boxed(t, "", |b| Some(i32::from_be_bytes(b)))
        })
    }),
    // text, then oid, which has no sign
    native(25, 1009, |_| Mapping::text(Compare::Text, plain_text)),
    native(26, 1028, |_| {
        Mapping::new(DataType::Int64, Compare::Int, |t| {
            Fixed::<Int64Type, _, 4>::boxed(t, "", |b| Some(u32::from_be_bytes(b).into()))
        })
    }),
    native(114, 199, |_| Mapping {
        json: true,
        ..Mapping::text(Compare::Unknown, plain_text)
    }),
    native(3802, 3807, |_| Mapping {
        json: true,
        ..Mapping::text(Compare::Unknown, |_| Text::boxed(decode::jsonb))
    }),
    native(700, 1021, |_| {
        Mapping::new(DataType::Float32, Compare::Float, |t| {
            Fixed::<Float32Type, _, 4>::boxed(t, "", float4)
        })
    }),
    native(701, 1022, |_| {
        Mapping::new(DataType::Float64, Compare::Float, |t| {
            Fixed::<Float64Type, _, 8>::boxed(t, "", float8)
        })
    }),
    // unknown
    native(705, 0, |_| Mapping::text(Compare::Unknown, plain_text)),
    native(1042, 1014, |modifier| {
        let compare = if modifier > 4 {
            Compare::Padded(modifier - 4)
        } else {
            Compare::Unknown
        };
        Mapping::text(compare, plain_text)
    }),
    native(1043, 1015, |_| Mapping::text(Compare::Text, plain_text)),
    native(1082, 1182, |_| {
        Mapping::new(DataType::Date32, Compare::Date, |t| {
            Fixed::<Date32Type, _, 4>::boxed(t, INFINITE, date)
        })
    }),
    native(1083, 1183, |_| {
        Mapping::new(
            DataType::Time64(TimeUnit::Microsecond),
            Compare::Never,
            |t| Fixed::<Time64MicrosecondType, _, 8>::boxed(t, "the time 24:00:00", time),
        )
    }),
    native(1114, 1115, |_| {
        Mapping::new(
            DataType::Timestamp(TimeUnit::Microsecond, None),
            Compare::Timestamp,
            |t| Fixed::<TimestampMicrosecondType, _, 8>::boxed(t, INFINITE, timestamp),
        )
    }),
    native(1184, 1185, |_| {
        let utc = Some("UTC".into());
        Mapping::new(
            DataType::Timestamp(TimeUnit::Microsecond, utc),
            Compare::TimestampTz,
            |t| Fixed::<TimestampMicrosecondType, _, 8>::boxed(t, INFINITE, timestamp),
        )
    }),
    native(1186, 1187, |_| {
        Mapping::new(
            DataType::Interval(IntervalUnit::MonthDayNano),
            Compare::Never,
            |t| {
                Fixed::<IntervalMonthDayNanoType, _, 16>::boxed(
                    t,
                    "hours beyond 292 years",
                    decode::interval,
                )
            },
        )
    }),
    native(1700, 1231, numeric),
    native(2950, 2951, |_| {
        Mapping::text(Compare::Uuid, |_| Text::boxed(decode::uuid))
    }),
    native(869, 1041, |_| {
        Mapping::text(Compare::Unknown, |_| Text::boxed(decode::inet))
    }),
    native(650, 651, |_| {
        Mapping::text(Compare::Unknown, |_| Text::boxed(decode::inet))
    }),
    // void: functions called for their effect
    native(2278, 0, |_| Mapping::text(Compare::Unknown, plain_text)),
];

/// The oid whose facts are needed, and not known yet, to map `oid`.
pub fn unknown_part(oid: u32, facts: &HashMap<u32, TypeFacts>) -> Option<u32> {
    let mut current = oid;
    // Domains over domains over arrays of domains end long before this.
    for _ in 0..64 {
        if current == 0
            || TABLE
                .iter()
                .any(|row| row.oid == current || row.array == current)
        {
            return None;
        }
        let Some(found) = facts.get(&current) else {
            return Some(current);
        };
        current = if found.kind == b'd' {
            found.base
        } else {
            found.item
        };
    }
    None
}

/// How a column of a type is read. `dimensions` is what the table declares.
pub fn mapping(
    oid: u32,
    modifier: i32,
    dimensions: i32,
    facts: &HashMap<u32, TypeFacts>,
) -> Mapping {
    resolve(oid, modifier, dimensions, facts, 0)
}

fn resolve(
    oid: u32,
    modifier: i32,
    dimensions: i32,
    facts: &HashMap<u32, TypeFacts>,
    depth: usize,
) -> Mapping {
    if let Some(row) = TABLE.iter().find(|row| row.oid == oid) {
        return (row.map)(modifier);
    }
    let levels = usize::try_from(dimensions).unwrap_or_default().clamp(1, 6);
    if let Some(row) = TABLE.iter().find(|row| row.array == oid && oid != 0) {
        return Mapping::list_of((row.map)(modifier), levels);
    }
    let Some(found) = facts.get(&oid).filter(|_| depth < 64) else {
        return Mapping::as_text();
    };
    match found.kind {
        b'd' => {
            let modifier = if found.base_modifier == -1 {
                modifier
            } else {
                found.base_modifier
            };
            resolve(
                found.base,
                modifier,
                dimensions.max(found.dimensions),
                facts,
                depth + 1,
            )
        }
        // The binary form of an enum is its label.
        b'e' => Mapping::text(Compare::Unknown, plain_text),
        _ if found.item != 0 => {
            let item = resolve(found.item, modifier, 0, facts, depth + 1);
            // An array of a domain over an array.
            let item = if item.dimensions > 0 {
                Mapping::as_text()
            } else {
                item
            };
            Mapping::list_of(item, levels)
        }
        _ => Mapping::as_text(),
    }
}

#[cfg(test)]
mod tests;
