//! The predicate tree: `{"and": […]}`, `{"or": […]}`, `{"not": …}` and leaves
//! `{"column", "operator", "value" | "value_column"}`.

use serde_json::{Map, Value as Json};
use weir_core::config::nearest;
use weir_core::{Comparison, Conjuncts, Error, Operand, Predicate, Result, Value};

use crate::MAX_DEPTH;
use crate::condition::parse_condition;

/// Parses a filter: condition text, a predicate tree, or either in an object
/// under `condition` or `predicate`.
pub fn parse_filter(json: &Json, pointer: &str) -> Result<Conjuncts> {
    let predicate = match json {
        Json::String(text) => parse_condition(text, pointer)?,
        Json::Object(fields) if fields.len() == 1 && fields.contains_key("condition") => {
            let pointer = format!("{pointer}/condition");
            let text = fields["condition"].as_str();
            parse_condition(
                text.ok_or_else(|| wrong(&pointer, "a condition is text"))?,
                &pointer,
            )?
        }
        Json::Object(fields) if fields.len() == 1 && fields.contains_key("predicate") => {
            parse_predicate(&fields["predicate"], &format!("{pointer}/predicate"))?
        }
        Json::Null => return Ok(Vec::new()),
        other => parse_predicate(other, pointer)?,
    };
    Ok(predicate.conjuncts())
}

/// Parses a predicate tree.
pub fn parse_predicate(json: &Json, pointer: &str) -> Result<Predicate> {
    node(json, pointer, 0)
}

fn wrong(pointer: &str, message: impl Into<String>) -> Error {
    Error::invalid(pointer, message.into()).code("invalid_filter").hint(
        "a filter is condition text, or a tree of {\"and\": […]}, {\"or\": […]}, {\"not\": …} and {\"column\", \"operator\", \"value\"}",
    )
}

fn node(json: &Json, pointer: &str, depth: usize) -> Result<Predicate> {
    if depth >= MAX_DEPTH {
        return Err(wrong(pointer, format!("nested deeper than {MAX_DEPTH}")));
    }
    let fields = json
        .as_object()
        .ok_or_else(|| wrong(pointer, "a predicate is an object"))?;
    if fields.contains_key("column") || fields.contains_key("operator") {
        return leaf(fields, pointer);
    }
    let (Some((name, inner)), 1) = (fields.iter().next(), fields.len()) else {
        return Err(wrong(
            pointer,
            "a predicate has exactly one of `and`, `or`, `not`, or is a leaf",
        ));
    };
    let inner_pointer = format!("{pointer}/{name}");
    match name.as_str() {
        "and" => list(inner, &inner_pointer, depth).map(Predicate::And),
        "or" => list(inner, &inner_pointer, depth).map(Predicate::Or),
        "not" => Ok(Predicate::Not(Box::new(node(
            inner,
            &inner_pointer,
            depth + 1,
        )?))),
        other => Err(unknown(
            other,
            &[
                "and",
                "or",
                "not",
                "column",
                "operator",
                "value",
                "value_column",
            ],
            &inner_pointer,
        )),
    }
}

fn list(json: &Json, pointer: &str, depth: usize) -> Result<Vec<Predicate>> {
    let parts = json
        .as_array()
        .ok_or_else(|| wrong(pointer, "this is a list of predicates"))?;
    parts
        .iter()
        .enumerate()
        .map(|(index, part)| node(part, &format!("{pointer}/{index}"), depth + 1))
        .collect()
}

fn unknown(name: &str, known: &[&str], pointer: &str) -> Error {
    match nearest(name, known) {
        Some(near) => wrong(
            pointer,
            format!("unknown field `{name}`; did you mean `{near}`?"),
        ),
        None => wrong(pointer, format!("unknown field `{name}`")),
    }
}

const OPERATORS: [&str; 14] = [
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "in",
    "between",
    "contains",
    "not_contains",
    "starts_with",
    "is_null",
    "is_not_null",
    "is_blank",
];

fn leaf(fields: &Map<String, Json>, pointer: &str) -> Result<Predicate> {
    let known = ["column", "operator", "value", "value_column"];
    if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(unknown(name, &known, &format!("{pointer}/{name}")));
    }
    let text = |name: &str| {
        let given = fields.get(name).and_then(Json::as_str).map(str::to_owned);
        given.ok_or_else(|| {
            wrong(
                &format!("{pointer}/{name}"),
                format!("`{name}` is missing or not text"),
            )
        })
    };
    let (column, operator) = (text("column")?, text("operator")?);
    let at = format!("{pointer}/value");
    let value = || {
        fields
            .get("value")
            .ok_or_else(|| wrong(&at, "`value` is missing"))
    };
    let comparison = |op| match (fields.get("value"), fields.get("value_column")) {
        (None, Some(_)) => Ok(Predicate::Compare {
            column: column.clone(),
            op,
            right: Operand::Column(text("value_column")?),
        }),
        (Some(json), None) => compare(column.clone(), op, json, &at),
        _ => Err(wrong(&at, "give either `value` or `value_column`")),
    };
    match operator.as_str() {
        "eq" => comparison(Comparison::Eq),
        "ne" => comparison(Comparison::Ne),
        "lt" => comparison(Comparison::Lt),
        "le" => comparison(Comparison::Le),
        "gt" => comparison(Comparison::Gt),
        "ge" => comparison(Comparison::Ge),
        "in" => Ok(Predicate::In {
            column,
            values: values(value()?, &at)?,
        }),
        "between" => match <[Value; 2]>::try_from(values(value()?, &at)?) {
            Ok([low, high]) => Ok(Predicate::Between { column, low, high }),
            Err(_) => Err(wrong(&at, "`between` takes a list of two values")),
        },
        "contains" | "not_contains" => {
            let negated = operator == "not_contains";
            Ok(Predicate::Contains {
                column,
                pattern: text("value")?,
                negated,
            })
        }
        "starts_with" => Ok(Predicate::StartsWith {
            column,
            prefix: text("value")?,
        }),
        "is_null" => Ok(Predicate::IsNull(column)),
        "is_not_null" => Ok(Predicate::IsNotNull(column)),
        "is_blank" => Ok(Predicate::IsBlank(column)),
        other => {
            let message = match nearest(other, &OPERATORS) {
                Some(near) => format!("unknown operator `{other}`; did you mean `{near}`?"),
                None => format!(
                    "unknown operator `{other}`; there are {}",
                    OPERATORS.join(", ")
                ),
            };
            Err(wrong(&format!("{pointer}/operator"), message))
        }
    }
}

fn compare(column: String, op: Comparison, json: &Json, at: &str) -> Result<Predicate> {
    let value = Value::from_json(json)
        .ok_or_else(|| wrong(at, "a value is a number, text, true, false or null"))?;
    match (value, op) {
        // The rules of a condition; `is_null` is null only.
        (Value::Null, Comparison::Eq) => Ok(Predicate::IsNullOrEmpty(column)),
        (Value::Null, Comparison::Ne) => {
            Ok(Predicate::Not(Box::new(Predicate::IsNullOrEmpty(column))))
        }
        (Value::Null, _) => Err(wrong(at, "null is only compared with `eq` and `ne`")),
        (value, op) => Ok(Predicate::Compare {
            column,
            op,
            right: Operand::Value(value),
        }),
    }
}

fn values(json: &Json, at: &str) -> Result<Vec<Value>> {
    let items = json
        .as_array()
        .ok_or_else(|| wrong(at, "this operator takes a list of values"))?;
    let one = |(index, item)| {
        let value = Value::from_json(item).filter(|value| *value != Value::Null);
        value.ok_or_else(|| {
            wrong(
                &format!("{at}/{index}"),
                "a value is a number, text, true or false",
            )
        })
    };
    items.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn trees() {
        let tree = parse_filter(&json!({"and": [{"column": "a", "operator": "ge", "value": 1}, {"not": {"column": "b", "operator": "in", "value": ["x"]}}]}), "/filter").unwrap();
        assert_eq!(tree.len(), 2);
        assert_eq!(
            parse_filter(&json!("a == 1 and b == 2"), "/filter")
                .unwrap()
                .len(),
            2
        );
        assert_eq!(
            parse_filter(&json!({"condition": "a == 1"}), "/filter")
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn faults_have_pointers() {
        for (json, pointer) in [
            (
                json!({"and": [{"column": "a", "operator": "eqq", "value": 1}]}),
                "/filter/and/0/operator",
            ),
            (json!({"column": "a", "operator": "eq"}), "/filter/value"),
            (
                json!({"column": "a", "operator": "eq", "value": [1]}),
                "/filter/value",
            ),
            (
                json!({"column": "a", "operator": "in", "value": [1, null]}),
                "/filter/value/1",
            ),
            (json!({"nand": []}), "/filter/nand"),
            (json!(5), "/filter"),
            (
                json!({"column": "a", "operator": "eq", "valeu": 1}),
                "/filter/valeu",
            ),
        ] {
            let error = parse_filter(&json, "/filter").unwrap_err();
            assert_eq!(error.fields()[0].pointer, pointer, "{error}");
        }
    }
}
