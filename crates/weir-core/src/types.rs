//! One vocabulary of column types, used everywhere a type is shown or asked
//! for: `bool int8…int64 uint8…uint64 float16 float32 float64 decimal(p,s)
//! string binary date time timestamp(unit[, tz]) duration interval list<t>
//! struct<name: t, …> json`.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{DataType, Field, TimeUnit};

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

/// A nullable field of a type by its name in the vocabulary; `timestamp` alone
/// is `timestamp(us)`. Lists and structs have no form to be asked for.
pub fn field_of_type(name: &str, type_name: &str) -> Option<Field> {
    let text = type_name.trim();
    if text == "json" {
        let json = [(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned())];
        return Some(Field::new(name, DataType::Utf8, true).with_metadata(json.into()));
    }
    scalar_type(text).map(|data_type| Field::new(name, data_type, true))
}

fn scalar_type(text: &str) -> Option<DataType> {
    Some(match text {
        "bool" => DataType::Boolean,
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "int64" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "float32" => DataType::Float32,
        "float64" => DataType::Float64,
        "string" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        _ => return parametric_type(text),
    })
}

fn parametric_type(text: &str) -> Option<DataType> {
    let (name, rest) = text.split_once('(')?;
    let inner = rest.strip_suffix(')')?;
    let (first, second) = match inner.split_once(',') {
        Some((first, second)) => (first.trim(), Some(second.trim())),
        None => (inner.trim(), None),
    };
    match name.trim() {
        "decimal" => {
            let precision: u8 = first.parse().ok()?;
            let scale: i8 = second.unwrap_or("0").parse().ok()?;
            let fits = u8::try_from(scale).is_ok_and(|scale| scale <= precision);
            match precision {
                1..=38 if fits => Some(DataType::Decimal128(precision, scale)),
                39..=76 if fits => Some(DataType::Decimal256(precision, scale)),
                _ => None,
            }
        }
        "timestamp" => {
            let unit = match first {
                "s" => TimeUnit::Second,
                "ms" => TimeUnit::Millisecond,
                "us" => TimeUnit::Microsecond,
                "ns" => TimeUnit::Nanosecond,
                _ => return None,
            };
            Some(DataType::Timestamp(unit, second.map(Into::into)))
        }
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::{field_of_type, field_type_name, unique_names};

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
    fn repeated_names_are_numbered_past_those_taken() {
        assert_eq!(unique_names(["a", "b", "a", "a"]), ["a", "b", "a_2", "a_3"]);
        assert_eq!(
            unique_names(["a", "a_2", "a", "a"]),
            ["a", "a_2", "a_3", "a_4"]
        );
        assert_eq!(unique_names(["a", "a", "a_2"]), ["a", "a_3", "a_2"]);
    }
}
