//! Native types to Arrow types, by table. A type that is not in it is read as the
//! text that DuckDB itself writes. See `docs.md` for the table as users read it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use libduckdb::{Logical, Type};
use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::types::{EXTENSION_NAME, JSON_EXTENSION, NATIVE_TYPE};
use weir_kit::Dialect;

use super::failure::UNREPRESENTABLE;
use crate::shared::compare::Compare;

/// What becomes of a value that the column's Arrow type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lossy {
    /// It becomes null.
    #[default]
    Null,
    /// The read ends with an error that names the column.
    Error,
}

/// How a column is asked for and read.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// Its Arrow type.
    pub data_type: DataType,
    /// JSON documents as text.
    pub json: bool,
    /// How it compares.
    pub compare: Compare,
    rule: Rule,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
struct Rule {
    kind: Type,
    data_type: fn(&Logical) -> DataType,
    compare: fn(&Logical) -> Compare,
    /// What it is turned into in the statement, where Arrow has no such type.
    cast: Option<&'static str>,
    /// The condition, over `{}`, of a value that becomes null.
    lossy: Option<&'static str>,
    /// The condition of one that compares as null.
    special: Option<&'static str>,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

const fn rule(
    kind: Type,
    data_type: fn(&Logical) -> DataType,
    compare: fn(&Logical) -> Compare,
) -> Rule {
    Rule {
        kind,
        data_type,
        compare,
        cast: None,
        lossy: None,
        special: None,
    }
}

const fn finite(
    kind: Type,
    data_type: fn(&Logical) -> DataType,
    compare: fn(&Logical) -> Compare,
) -> Rule {
    Rule {
        lossy: Some("NOT isfinite({})"),
        special: Some("NOT isfinite({})"),
        ..rule(kind, data_type, compare)
    }
}

/// A number of 128 bits as a decimal, where it has no more than 38 digits.
const fn huge(kind: Type) -> Rule {
    const BEYOND: &str = "{} NOT BETWEEN -99999999999999999999999999999999999999 \
        AND 99999999999999999999999999999999999999";
    Rule {
        cast: Some("DECIMAL(38, 0)"),
        lossy: Some(BEYOND),
        special: Some(BEYOND),
        ..rule(kind, |_| DataType::Decimal128(38, 0), unknown)
    }
}

const fn text(kind: Type, compare: fn(&Logical) -> Compare) -> Rule {
    Rule {
        cast: Some("VARCHAR"),
        ..rule(kind, |_| DataType::Utf8, compare)
    }
}

fn unknown(_: &Logical) -> Compare {
    Compare::Unknown
}

fn int(_: &Logical) -> Compare {
    Compare::Int
}

fn by_text(_: &Logical) -> Compare {
    Compare::Text
}

/// Places up to which a bound decimal and the column have a common type.
const MOST_PLACES: u8 = 18;

fn by_decimal(logical: &Logical) -> Compare {
    match logical.decimal {
        (_, scale @ 0..=MOST_PLACES) => Compare::Decimal(scale.cast_signed()),
        _ => Compare::Unknown,
    }
}

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

static TABLE: [Rule; 28] = [
    rule(Type::Boolean, |_| DataType::Boolean, |_| Compare::Bool),
    rule(Type::TinyInt, |_| DataType::Int8, int),
    rule(Type::SmallInt, |_| DataType::Int16, int),
    rule(Type::Integer, |_| DataType::Int32, int),
    rule(Type::BigInt, |_| DataType::Int64, int),
    rule(Type::UTinyInt, |_| DataType::UInt8, int),
    rule(Type::USmallInt, |_| DataType::UInt16, int),
    rule(Type::UInteger, |_| DataType::UInt32, int),
    rule(Type::UBigInt, |_| DataType::UInt64, int),
    huge(Type::HugeInt),
    huge(Type::UHugeInt),
    Rule {
        special: Some("isnan({})"),
        ..rule(Type::Float, |_| DataType::Float32, |_| Compare::Float)
    },
    Rule {
        special: Some("isnan({})"),
        ..rule(Type::Double, |_| DataType::Float64, |_| Compare::Float)
    },
    rule(
        Type::Decimal,
        |logical| DataType::Decimal128(logical.decimal.0, logical.decimal.1.cast_signed()),
        by_decimal,
    ),
    rule(Type::Varchar, |_| DataType::Utf8, by_text),
    rule(Type::Blob, |_| DataType::Binary, unknown),
    finite(Type::Date, |_| DataType::Date32, |_| Compare::Date),
    Rule {
        lossy: Some("{} >= TIME '24:00:00'"),
        special: Some("{} >= TIME '24:00:00'"),
        ..rule(
            Type::Time,
            |_| DataType::Time64(TimeUnit::Microsecond),
            unknown,
        )
    },
    rule(
        Type::TimeNs,
        |_| DataType::Time64(TimeUnit::Nanosecond),
        unknown,
    ),
    finite(Type::Timestamp, |_| MICROS, |_| Compare::Timestamp),
    finite(
        Type::TimestampS,
        |_| DataType::Timestamp(TimeUnit::Second, None),
        unknown,
    ),
    finite(
        Type::TimestampMs,
        |_| DataType::Timestamp(TimeUnit::Millisecond, None),
        unknown,
    ),
    finite(
        Type::TimestampNs,
        |_| DataType::Timestamp(TimeUnit::Nanosecond, None),
        unknown,
    ),
    finite(
        Type::TimestampTz,
        |_| DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        |_| Compare::TimestampTz,
    ),
    Rule {
        // Nanoseconds of hours beyond 292 years have no room.
        lossy: Some("abs(datepart('hour', {})) >= 2562047"),
        special: Some("abs(datepart('hour', {})) >= 2562047"),
        ..rule(
            Type::Interval,
            |_| DataType::Interval(IntervalUnit::MonthDayNano),
            unknown,
        )
    },
    text(Type::Uuid, by_text),
    text(Type::Enum, by_text),
    // BIT, BIGNUM, TIME WITH TIME ZONE, and whatever else there may be.
    text(Type::Other, unknown),
];

const LAST: usize = TABLE.len() - 1;

/// What is turned into a JSON document.
const JSON: Rule = rule(Type::Map, |_| DataType::Utf8, unknown);
/// What has parts of its own.
const NESTED: Rule = rule(Type::Struct, |_| DataType::Utf8, unknown);

/// How a column of this type is read.
pub fn mapping(logical: &Logical) -> Mapping {
    let is_json = |logical: &Logical| logical.alias.as_deref() == Some("JSON");
    if is_json(logical) || (is_nested(logical) && !has_arrow(logical)) {
        return Mapping {
            data_type: DataType::Utf8,
            json: true,
            compare: Compare::Unknown,
            rule: JSON,
        };
    }
    if is_nested(logical) {
        return Mapping {
            data_type: nested(logical),
            json: false,
            compare: Compare::Unknown,
            rule: NESTED,
        };
    }
    let found = TABLE.iter().find(|rule| rule.kind == logical.kind);
    let rule = *found.unwrap_or(&TABLE[LAST]);
    Mapping {
        data_type: (rule.data_type)(logical),
        json: false,
        compare: (rule.compare)(logical),
        rule,
    }
}

fn is_nested(logical: &Logical) -> bool {
    matches!(
        logical.kind,
        Type::List | Type::Array | Type::Struct | Type::Map | Type::Union
    )
}

/// Whether a nested type has an Arrow type that formats take; others are JSON.
fn has_arrow(logical: &Logical) -> bool {
    match logical.kind {
        Type::Map | Type::Union => false,
        Type::Struct if logical.children.iter().any(|(name, _)| name.is_empty()) => false,
        _ => logical.children.iter().all(|(_, child)| has_arrow(child)),
    }
}

fn nested(logical: &Logical) -> DataType {
    let field = |(name, child): &(String, Logical)| {
        let inner = mapping(child);
        Arc::new(marked(Field::new(name, inner.data_type, true), inner.json))
    };
    match (logical.kind, logical.children.as_slice()) {
        (Type::List | Type::Array, [item]) => DataType::List(field(item)),
        (_, fields) => DataType::Struct(fields.iter().map(field).collect::<Fields>()),
    }
}

fn marked(field: Field, json: bool) -> Field {
    if json {
        let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned())]);
        return field.with_metadata(metadata);
    }
    field
}

impl Mapping {
    /// The field of a column. Every field may be null: what cannot be represented
    /// becomes null even where the table has none.
    pub fn field(&self, name: &str, native: &str) -> Field {
        let field = marked(Field::new(name, self.data_type.clone(), true), self.json);
        let mut metadata = field.metadata().clone();
        metadata.insert(NATIVE_TYPE.to_owned(), native.to_owned());
        field.with_metadata(metadata)
    }

    /// Whether it is read as text.
    pub fn is_text(&self) -> bool {
        self.data_type == DataType::Utf8
    }

    /// What is compared: text forms are, where they are what is read.
    pub fn compared(&self, sql: &str) -> String {
        match (self.compare, self.rule.cast) {
            (Compare::Text, Some(cast)) => format!("CAST({sql} AS {cast})"),
            _ => sql.to_owned(),
        }
    }

    /// The condition under which a value that is not null compares as null.
    /// Values that cannot be represented do so only where they become null.
    pub fn special(&self, sql: &str, lossy: Lossy) -> Option<String> {
        if self.rule.lossy.is_some() && lossy == Lossy::Error {
            return None;
        }
        Some(self.rule.special?.replace("{}", sql))
    }
}

/// The expression that reads the column `name`, which `sql` refers to.
pub fn read(logical: &Logical, sql: &str, name: &str, lossy: Lossy) -> String {
    let reading = Reading { name, lossy };
    reading
        .of(logical, sql, 0)
        .unwrap_or_else(|| sql.to_owned())
}

struct Reading<'a> {
    name: &'a str,
    lossy: Lossy,
}

impl Reading<'_> {
    /// The expression; none where the value is taken as it is.
    fn of(&self, logical: &Logical, sql: &str, depth: usize) -> Option<String> {
        let mapping = mapping(logical);
        if mapping.rule == JSON {
            let is_text = logical.kind == Type::Varchar;
            return (!is_text).then(|| format!("CAST(to_json({sql}) AS VARCHAR)"));
        }
        if mapping.rule == NESTED {
            return self.of_nested(logical, sql, depth);
        }
        let rule = mapping.rule;
        let value = rule.cast.map(|cast| format!("CAST({sql} AS {cast})"));
        let Some(lossy) = rule.lossy else {
            return value;
        };
        let lossy = lossy.replace("{}", sql);
        let value = value.unwrap_or_else(|| sql.to_owned());
        Some(match self.lossy {
            Lossy::Null => format!("CASE WHEN NOT ({lossy}) THEN {value} END"),
            Lossy::Error => {
                let shown: String = self.name.chars().take(100).collect();
                let said = format!("column {shown} {UNREPRESENTABLE}");
                let said = said.replace('\'', "''");
                format!("CASE WHEN {lossy} THEN error('{said}') ELSE {value} END")
            }
        })
    }

    fn of_nested(&self, logical: &Logical, sql: &str, depth: usize) -> Option<String> {
        if let (Type::List | Type::Array, [(_, item)]) = (logical.kind, logical.children.as_slice())
        {
            let each = format!("weir_{depth}");
            let inner = self.of(item, &each, depth + 1);
            // An array becomes a list on the way.
            let is_same = inner.is_none() && logical.kind == Type::List;
            let inner = inner.unwrap_or_else(|| each.clone());
            return (!is_same).then(|| {
                format!(
                    "list_transform({}, lambda {each}: {inner})",
                    as_list(logical, sql)
                )
            });
        }
        let mut parts = Vec::with_capacity(logical.children.len());
        let mut is_same = true;
        for (name, child) in &logical.children {
            let part = format!("struct_extract({sql}, '{}')", name.replace('\'', "''"));
            let inner = self.of(child, &part, depth);
            is_same &= inner.is_none();
            let value = inner.unwrap_or(part);
            parts.push(format!("{} := {value}", Dialect::Standard.quote(name)));
        }
        let packed = parts.join(", ");
        (!is_same).then(|| format!("CASE WHEN {sql} IS NOT NULL THEN struct_pack({packed}) END"))
    }
}

/// `list_transform` takes lists only.
fn as_list(logical: &Logical, sql: &str) -> String {
    match (logical.kind, logical.children.as_slice()) {
        (Type::Array, [(_, item)]) => format!("CAST({sql} AS {}[])", native(item)),
        _ => sql.to_owned(),
    }
}

/// Names of types without parts.
const NAMES: [(Type, &str); 34] = [
    (Type::Boolean, "BOOLEAN"),
    (Type::TinyInt, "TINYINT"),
    (Type::SmallInt, "SMALLINT"),
    (Type::Integer, "INTEGER"),
    (Type::BigInt, "BIGINT"),
    (Type::UTinyInt, "UTINYINT"),
    (Type::USmallInt, "USMALLINT"),
    (Type::UInteger, "UINTEGER"),
    (Type::UBigInt, "UBIGINT"),
    (Type::HugeInt, "HUGEINT"),
    (Type::UHugeInt, "UHUGEINT"),
    (Type::Float, "FLOAT"),
    (Type::Double, "DOUBLE"),
    (Type::Varchar, "VARCHAR"),
    (Type::Blob, "BLOB"),
    (Type::Bit, "BIT"),
    (Type::Date, "DATE"),
    (Type::Time, "TIME"),
    (Type::TimeNs, "TIME_NS"),
    (Type::TimeTz, "TIME WITH TIME ZONE"),
    (Type::Timestamp, "TIMESTAMP"),
    (Type::TimestampS, "TIMESTAMP_S"),
    (Type::TimestampMs, "TIMESTAMP_MS"),
    (Type::TimestampNs, "TIMESTAMP_NS"),
    (Type::TimestampTz, "TIMESTAMP WITH TIME ZONE"),
    (Type::Interval, "INTERVAL"),
    (Type::Uuid, "UUID"),
    (Type::Enum, "ENUM"),
    (Type::Map, "MAP"),
    (Type::Union, "UNION"),
    (Type::BigNum, "BIGNUM"),
    (Type::Null, "\"NULL\""),
    (Type::Other, "OTHER"),
    (Type::Decimal, "DECIMAL"),
];

/// The type as DuckDB writes it. What enums, maps and unions are made of is not told.
pub fn native(logical: &Logical) -> String {
    if let Some(alias) = &logical.alias {
        return alias.clone();
    }
    match (logical.kind, logical.children.as_slice()) {
        (Type::Decimal, _) => format!("DECIMAL({},{})", logical.decimal.0, logical.decimal.1),
        (Type::List, [(_, item)]) => format!("{}[]", native(item)),
        (Type::Array, [(_, item)]) => format!("{}[{}]", native(item), logical.size),
        (Type::Struct, parts) => {
            let part = |(name, child): &(String, Logical)| {
                format!("{} {}", Dialect::Standard.quote(name), native(child))
            };
            format!(
                "STRUCT({})",
                parts.iter().map(part).collect::<Vec<_>>().join(", ")
            )
        }
        (kind, _) => {
            let found = NAMES.iter().find(|(known, _)| *known == kind);
            found.map_or("OTHER", |(_, name)| name).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(item: Logical) -> Logical {
        Logical {
            children: vec![("item".into(), item)],
            ..Logical::plain(Type::List)
        }
    }

    #[test]
    fn expressions_follow_the_type_down() {
        let read = |logical: &Logical| read(logical, "t.x", "x", Lossy::Null);
        assert_eq!(read(&Logical::plain(Type::Integer)), "t.x");
        assert_eq!(read(&list(Logical::plain(Type::Integer))), "t.x");
        assert_eq!(read(&Logical::plain(Type::Uuid)), "CAST(t.x AS VARCHAR)");
        assert_eq!(
            read(&list(list(Logical::plain(Type::Date)))),
            "list_transform(t.x, lambda weir_0: list_transform(weir_0, lambda weir_1: \
             CASE WHEN NOT (NOT isfinite(weir_1)) THEN weir_1 END))"
        );
        let map = list(Logical::plain(Type::Map));
        assert!(mapping(&map).json);
        assert_eq!(read(&map), "CAST(to_json(t.x) AS VARCHAR)");
        let part = Logical {
            children: vec![("a\"'b".into(), Logical::plain(Type::Enum))],
            ..Logical::plain(Type::Struct)
        };
        assert_eq!(
            read(&part),
            "CASE WHEN t.x IS NOT NULL THEN struct_pack(\"a\"\"'b\" := \
             CAST(struct_extract(t.x, 'a\"''b') AS VARCHAR)) END"
        );
        assert_eq!(native(&list(part)), "STRUCT(\"a\"\"'b\" ENUM)[]");
    }

    #[test]
    fn what_cannot_be_represented_may_be_an_error() {
        let date = Logical::plain(Type::Date);
        let sql = read(&date, "d", "it's", Lossy::Error);
        assert!(sql.contains("error('column it''s has"), "{sql}");
        assert_eq!(mapping(&date).special("d", Lossy::Error), None);
        assert!(mapping(&date).special("d", Lossy::Null).is_some());
        assert!(
            mapping(&Logical::plain(Type::Float))
                .special("d", Lossy::Error)
                .is_some()
        );
    }
}
