//! A naive reading of the rules of filters and orders, row by row.

use std::cmp::Ordering;

use weir_core::{Comparison, Nulls, Operand, Order, Predicate, Value};

/// A row as the naive side sees it. `d` counts hundredths.
#[derive(Debug, Clone)]
pub struct Row {
    pub i: Option<i64>,
    pub j: Option<i64>,
    pub f: Option<f64>,
    pub d: Option<i128>,
    pub s: Option<String>,
    pub b: Option<bool>,
}

/// A number without loss, in thousandths: all that the literals here need.
fn thousandths(value: &Value) -> i128 {
    let written = match value {
        Value::Int(value) => return i128::from(*value) * 1_000,
        Value::Number(text) => text,
        other => panic!("not a number: {other:?}"),
    };
    let (sign, digits) = match written.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, written.as_str()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{fraction:0<3}");
    sign * (whole.parse::<i128>().unwrap() * 1_000 + padded.parse::<i128>().unwrap())
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Number(text) => text.parse().unwrap(),
        other => panic!("not a number: {other:?}"),
    }
}

fn is_null(row: &Row, column: &str) -> bool {
    match column {
        "i" => row.i.is_none(),
        "f" => row.f.is_none_or(f64::is_nan),
        "d" => row.d.is_none(),
        "s" => row.s.is_none(),
        _ => row.b.is_none(),
    }
}

fn ordering(row: &Row, column: &str, right: &Operand) -> Option<Ordering> {
    let value = match right {
        Operand::Value(value) => value,
        Operand::Column(_) | Operand::Word(_) => return Some(row.i?.cmp(&row.j?)),
    };
    match (column, value) {
        ("i", value) => Some((i128::from(row.i?) * 1_000).cmp(&thousandths(value))),
        ("d", value) => Some((row.d? * 10).cmp(&thousandths(value))),
        ("f", value) => row.f?.partial_cmp(&as_float(value)),
        ("s", Value::Text(text)) => Some(row.s.as_deref()?.cmp(text.as_str())),
        (_, Value::Bool(value)) => Some(row.b?.cmp(value)),
        other => panic!("not made here: {other:?}"),
    }
}

fn holds(row: &Row, column: &str, op: Comparison, right: &Operand) -> bool {
    let Some(ordering) = ordering(row, column, right) else {
        return op == Comparison::Ne;
    };
    match op {
        Comparison::Eq => ordering.is_eq(),
        Comparison::Ne => ordering.is_ne(),
        Comparison::Lt => ordering.is_lt(),
        Comparison::Le => ordering.is_le(),
        Comparison::Gt => ordering.is_gt(),
        Comparison::Ge => ordering.is_ge(),
    }
}

/// The few patterns that the generators know.
fn matches(text: &str, pattern: &str) -> bool {
    match pattern {
        "^a" => text.starts_with('a'),
        "b$" => text.ends_with('b'),
        "é" => text.contains('é'),
        _ => text
            .chars()
            .collect::<Vec<_>>()
            .windows(3)
            .any(|w| w[0] == 'a' && w[2] == 'b'),
    }
}

/// Whether the row stays.
pub fn keeps(predicate: &Predicate, row: &Row) -> bool {
    let value = |value: &Value| Operand::Value(value.clone());
    match predicate {
        Predicate::And(parts) => parts.iter().all(|part| keeps(part, row)),
        Predicate::Or(parts) => parts.iter().any(|part| keeps(part, row)),
        Predicate::Not(part) => !keeps(part, row),
        Predicate::Compare { column, op, right } => holds(row, column, *op, right),
        Predicate::In { column, values } => values
            .iter()
            .any(|v| holds(row, column, Comparison::Eq, &value(v))),
        Predicate::Between { column, low, high } => {
            holds(row, column, Comparison::Ge, &value(low))
                && holds(row, column, Comparison::Le, &value(high))
        }
        Predicate::Contains {
            pattern, negated, ..
        } => row
            .s
            .as_ref()
            .map_or(*negated, |text| matches(text, pattern) != *negated),
        Predicate::StartsWith { prefix, .. } => row
            .s
            .as_ref()
            .is_some_and(|text| text.starts_with(prefix.as_str())),
        Predicate::IsNull(column) => is_null(row, column),
        Predicate::IsNotNull(column) => !is_null(row, column),
        Predicate::IsNullOrEmpty(column) => {
            is_null(row, column) || (column == "s" && row.s.as_deref() == Some(""))
        }
        Predicate::IsBlank(column) => {
            let is_blank = || row.s.as_ref().is_some_and(|text| text.trim().is_empty());
            is_null(row, column) || (column == "s" && is_blank())
        }
    }
}

fn by_key(a: &Row, b: &Row, key: &Order) -> Ordering {
    let values = match key.column.as_str() {
        "i" => a.i.cmp(&b.i),
        "f" => a.f.partial_cmp(&b.f).unwrap_or(Ordering::Equal),
        "d" => a.d.cmp(&b.d),
        "s" => a.s.cmp(&b.s),
        _ => a.b.cmp(&b.b),
    };
    let nulls_first = key.nulls == Nulls::First;
    match (is_null(a, &key.column), is_null(b, &key.column)) {
        (true, true) => Ordering::Equal,
        (true, false) => {
            if nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (false, true) => {
            if nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (false, false) => {
            if key.ascending {
                values
            } else {
                values.reverse()
            }
        }
    }
}

/// How two rows stand: NaN is null and −0.0 is 0.0.
pub fn order_of(a: &Row, b: &Row, keys: &[Order]) -> Ordering {
    let orderings = keys.iter().map(|key| by_key(a, b, key));
    orderings.fold(Ordering::Equal, Ordering::then)
}
