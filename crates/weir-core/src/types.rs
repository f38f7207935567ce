//! One vocabulary of column types, used everywhere a type is shown or asked
//! for: `bool int8…int64 uint8…uint64 float16 float32 float64 decimal(p,s)
//! string binary date time timestamp(unit[, tz]) duration interval list<t>
//! struct<name: t, …> json`.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::error::{Error, Result};

/// Field metadata key naming the type in the source.
pub const NATIVE_TYPE: &str = "weir.native_type";

/// Arrow's name for JSON text, set as the field's extension.
pub const JSON_EXTENSION: &str = "arrow.json";

/// Field metadata key of Arrow's extension names.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";

/// Whether the field holds JSON documents as text.
pub fn is_json(field: &Field) -> bool {
    field
        .metadata()
        .get(EXTENSION_NAME)
        .is_some_and(|name| name == JSON_EXTENSION)
}

/// Names in which every one is unique: the second `a` becomes `a_2`, the third
/// `a_3`, past any name that is there already.
pub fn unique_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut taken: HashSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut seen: HashMap<&str, usize> = HashMap::with_capacity(names.len());
    let mut unique = Vec::with_capacity(names.len());
    for name in names {
        let count = seen.entry(name).or_insert(0);
        *count += 1;
        if *count == 1 {
            unique.push(name.to_owned());
            continue;
        }
        let mut candidate = format!("{name}_{count}");
        while !taken.insert(candidate.clone()) {
            *count += 1;
            candidate = format!("{name}_{count}");
        }
        unique.push(candidate);
    }
    unique
}

/// The name of a field's type.
pub fn field_type_name(field: &Field) -> String {
    if is_json(field) {
        "json".to_owned()
    } else {
        type_name(field.data_type())
    }
}

/// The name of an Arrow type.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".into(),
        DataType::Boolean => "bool".into(),
        DataType::Int8 => "int8".into(),
        DataType::Int16 => "int16".into(),
        DataType::Int32 => "int32".into(),
        DataType::Int64 => "int64".into(),
        DataType::UInt8 => "uint8".into(),
        DataType::UInt16 => "uint16".into(),
        DataType::UInt32 => "uint32".into(),
        DataType::UInt64 => "uint64".into(),
        DataType::Float16 => "float16".into(),
        DataType::Float32 => "float32".into(),
        DataType::Float64 => "float64".into(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "binary".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time".into(),
        DataType::Timestamp(unit, None) => format!("timestamp({})", unit_name(unit)),
        DataType::Timestamp(unit, Some(tz)) => format!("timestamp({}, {tz})", unit_name(unit)),
        DataType::Duration(_) => "duration".into(),
        DataType::Interval(_) => "interval".into(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("list<{}>", field_type_name(item)),
        DataType::Struct(fields) => {
            let inner: Vec<String> = fields
                .iter()
                .map(|f| format!("{}: {}", f.name(), field_type_name(f)))
                .collect();
            format!("struct<{}>", inner.join(", "))
        }
        DataType::Dictionary(_, value) => type_name(value),
        DataType::Map(entries, _) => format!("map<{}>", field_type_name(entries)),
        DataType::RunEndEncoded(_, values) => field_type_name(values),
        DataType::Union(_, _) => "union".into(),
    }
}

fn unit_name(unit: &TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

/// A nullable field of a type by its name in the vocabulary; `timestamp` alone
/// is `timestamp(us)`.
pub fn field_of_type(name: &str, type_name: &str) -> Option<Field> {
    let mut rest = type_name.trim();
    parse(name, &mut rest, 0).filter(|_| rest.is_empty())
}

/// As [`field_of_type`]; the error says what can be asked for.
pub fn parse_field(name: &str, text: &str) -> Result<Field> {
    field_of_type(name, text).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        Error::invalid("", format!("`{shown}` is no type"))
            .code("unknown_type")
            .hint(format!("types are {VOCABULARY}"))
    })
}

const VOCABULARY: &str = "bool, int8 to int64, uint8 to uint64, float32, float64, decimal(p,s), \
    string, binary, date, time, timestamp, timestamp(unit[, zone]), duration, interval, list<t>, \
    struct<name: t, …>, json";

/// Types nest no deeper.
const MAX_DEPTH: usize = 32;

/// Takes one type off the front of `rest`.
fn parse(name: &str, rest: &mut &str, depth: usize) -> Option<Field> {
    if depth > MAX_DEPTH {
        return None;
    }
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(rest.len());
    let word;
    (word, *rest) = rest.split_at(end);
    let data_type = match word {
        "bool" => DataType::Boolean,
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "int64" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "float16" => DataType::Float16,
        "float32" => DataType::Float32,
        "float64" => DataType::Float64,
        "decimal" => parse_decimal(parenthesized(rest)?)?,
        "string" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => parse_timestamp(parenthesized(rest).unwrap_or("us"))?,
        "duration" => DataType::Duration(TimeUnit::Microsecond),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "json" => {
            let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned())]);
            return Some(Field::new(name, DataType::Utf8, true).with_metadata(metadata));
        }
        "list" => {
            *rest = rest.strip_prefix('<')?.trim_start();
            let item = parse("item", rest, depth + 1)?;
            *rest = rest.trim_start().strip_prefix('>')?;
            DataType::List(item.into())
        }
        "struct" => DataType::Struct(parse_fields(rest, depth)?.into()),
        _ => return None,
    };
    Some(Field::new(name, data_type, true))
}

/// `<name: type, …>`
fn parse_fields(rest: &mut &str, depth: usize) -> Option<Vec<Field>> {
    *rest = rest.strip_prefix('<')?.trim_start();
    let mut fields: Vec<Field> = Vec::new();
    loop {
        let (name, after) = rest.split_once(':')?;
        *rest = after.trim_start();
        let field = parse(name.trim(), rest, depth + 1)?;
        if field.name().is_empty() || fields.iter().any(|known| known.name() == field.name()) {
            return None;
        }
        fields.push(field);
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            *rest = after;
            return Some(fields);
        }
        *rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// What stands between the parentheses at the front of `rest`, if they do.
fn parenthesized<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (inner, after) = rest.strip_prefix('(')?.split_once(')')?;
    *rest = after;
    Some(inner)
}

fn parse_decimal(inner: &str) -> Option<DataType> {
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    if i16::from(scale).unsigned_abs() > u16::from(precision) {
        return None;
    }
    match precision {
        1..=38 => Some(DataType::Decimal128(precision, scale)),
        39..=76 => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

fn parse_timestamp(inner: &str) -> Option<DataType> {
    let (unit, zone) = match inner.split_once(',') {
        Some((unit, zone)) => (unit, Some(zone.trim())),
        None => (inner, None),
    };
    let unit = match unit.trim() {
        "s" => TimeUnit::Second,
        "ms" => TimeUnit::Millisecond,
        "us" => TimeUnit::Microsecond,
        "ns" => TimeUnit::Nanosecond,
        _ => return None,
    };
    let is_name = |zone: &&str| {
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b"/_+-:".contains(&b);
        (1..=64).contains(&zone.len()) && zone.bytes().all(is_part)
    };
    if zone.is_some_and(|zone| !is_name(&zone)) {
        return None;
    }
    Some(DataType::Timestamp(unit, zone.map(Into::into)))
}

#[cfg(test)]
mod tests {
    use super::{field_of_type, field_type_name, parse_field, unique_names};

    #[test]
    fn types_read_back_by_their_names() {
        for name in [
            "bool",
            "int8",
            "int64",
            "uint64",
            "float32",
            "string",
            "binary",
            "date",
            "time",
            "decimal(10,2)",
            "decimal(76,0)",
            "timestamp(us)",
            "timestamp(ns, UTC)",
            "timestamp(s, +01:00)",
            "json",
        ] {
            let field = field_of_type("a", name).unwrap();
            assert_eq!(field_type_name(&field), name);
        }
        assert_eq!(
            field_of_type("a", "timestamp"),
            field_of_type("a", "timestamp(us)")
        );
        for bad in [
            "",
            "int",
            "decimal",
            "decimal(0,0)",
            "decimal(77,1)",
            "decimal(2,3)",
            "timestamp(d)",
            "decimal(1,2",
        ] {
            assert_eq!(field_of_type("a", bad), None, "{bad}");
        }
    }

    #[test]
    fn types_are_read_as_they_are_shown() {
        for text in [
            "bool",
            "uint64",
            "decimal(38,-2)",
            "decimal(76,10)",
            "timestamp(ns, Europe/Berlin)",
            "timestamp(s)",
            "list<struct<a: int8, b c: list<json>>>",
            "interval",
        ] {
            assert_eq!(field_type_name(&parse_field("x", text).unwrap()), text);
        }
        let shown = |text| field_type_name(&parse_field("x", text).unwrap());
        assert_eq!(shown("timestamp"), "timestamp(us)");
        assert_eq!(shown("timestamp(us,UTC)"), "timestamp(us, UTC)");
        assert_eq!(shown("decimal(5)"), "decimal(5,0)");
        let deep = format!("{}int8{}", "list<".repeat(40), ">".repeat(40));
        for bad in [
            "",
            "int",
            "int64x",
            "decimal(77,1)",
            "decimal",
            "list<>",
            "struct<a int8>",
            "struct<>",
            &deep,
        ] {
            assert!(parse_field("x", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn repeated_names_are_numbered_past_those_taken() {
        assert_eq!(unique_names(["a", "b", "a", "a"]), ["a", "b", "a_2", "a_3"]);
        assert_eq!(
            unique_names(["a", "a_2", "a", "a"]),
            ["a", "a_2", "a_3", "a_4"]
        );
        assert_eq!(unique_names(["a", "a", "a_2"]), ["a", "a_3", "a_2"]);
    }
}
