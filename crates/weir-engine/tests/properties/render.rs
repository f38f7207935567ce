//! Predicates written down in both forms.

use serde_json::{Value as Json, json};
use weir_core::{Comparison, Operand, Predicate, Value};

pub const OPS: [Comparison; 6] = [
    Comparison::Eq,
    Comparison::Ne,
    Comparison::Lt,
    Comparison::Le,
    Comparison::Gt,
    Comparison::Ge,
];
const NAMES: [&str; 6] = ["eq", "ne", "lt", "le", "gt", "ge"];
const SYMBOLS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

fn name_of(op: Comparison, names: [&'static str; 6]) -> &'static str {
    names[OPS.iter().position(|known| *known == op).unwrap()]
}

fn literal(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Number(text) => serde_json::from_str(text).unwrap(),
        Value::Text(text) => json!(text),
    }
}

fn leaf(column: &str, operator: &str, value: Json) -> Json {
    json!({ "column": column, "operator": operator, "value": value })
}

/// The predicate as a tree.
pub fn tree(predicate: &Predicate) -> Json {
    match predicate {
        Predicate::And(parts) => json!({ "and": parts.iter().map(tree).collect::<Vec<_>>() }),
        Predicate::Or(parts) => json!({ "or": parts.iter().map(tree).collect::<Vec<_>>() }),
        Predicate::Not(part) => json!({ "not": tree(part) }),
        Predicate::Compare { column, op, right } => match right {
            Operand::Value(value) => leaf(column, name_of(*op, NAMES), literal(value)),
            Operand::Column(other) | Operand::Word(other) => json!({
                "column": column, "operator": name_of(*op, NAMES), "value_column": other,
            }),
        },
        Predicate::In { column, values } => {
            leaf(column, "in", values.iter().map(literal).collect())
        }
        Predicate::Between { column, low, high } => {
            leaf(column, "between", json!([literal(low), literal(high)]))
        }
        Predicate::Contains {
            column,
            pattern,
            negated,
        } => leaf(
            column,
            if *negated { "not_contains" } else { "contains" },
            json!(pattern),
        ),
        Predicate::StartsWith { column, prefix } => leaf(column, "starts_with", json!(prefix)),
        Predicate::IsNull(column) => json!({ "column": column, "operator": "is_null" }),
        Predicate::IsNotNull(column) => json!({ "column": column, "operator": "is_not_null" }),
        Predicate::IsBlank(column) => json!({ "column": column, "operator": "is_blank" }),
        Predicate::IsNullOrEmpty(column) => leaf(column, "eq", Json::Null),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The predicate as condition text, as far as that form can say it.
pub fn condition(predicate: &Predicate) -> Option<String> {
    let joined = |parts: &[Predicate], word: &str| {
        let texts: Option<Vec<String>> = parts.iter().map(condition).collect();
        texts
            .filter(|texts| texts.len() > 1)
            .map(|texts| format!("({})", texts.join(word)))
    };
    match predicate {
        Predicate::And(parts) => joined(parts, " and "),
        Predicate::Or(parts) => joined(parts, " OR "),
        Predicate::Compare {
            column,
            op,
            right: Operand::Value(value),
        } => {
            let value = match value {
                Value::Text(text) => quoted(text),
                other => literal(other).to_string(),
            };
            Some(format!("{column}{}{value}", name_of(*op, SYMBOLS)))
        }
        Predicate::Contains {
            column,
            pattern,
            negated,
        } => {
            let word = if *negated { "not contains" } else { "contains" };
            Some(format!("\"{column}\" {word} {}", quoted(pattern)))
        }
        Predicate::IsNullOrEmpty(column) => Some(format!("{column} == NULL")),
        Predicate::Not(part) => match &**part {
            Predicate::IsNullOrEmpty(column) => Some(format!("{column} != null")),
            _ => None,
        },
        _ => None,
    }
}
