//! Payloads of Mage's data cleaner as steps: `action_type`, `action_arguments`,
//! `action_options`, `action_variables`, `axis`. What they say is translated;
//! the code they may hold is only ever read as a condition, never run.

use serde_json::{Map, Value, json};
use weir_core::config::nearest;
use weir_core::{Error, Result};
use weir_values::ColumnKind;

use super::at::At;

/// A payload as a step of ours.
pub(super) struct Mapped {
    pub(super) op: &'static str,
    pub(super) args: Map<String, Value>,
    /// What its variables say that columns mean.
    pub(super) kinds: Vec<(String, ColumnKind)>,
}

/// Whether `fields` are a payload.
pub(super) fn is_payload(fields: &Map<String, Value>) -> bool {
    fields.contains_key("action_type") && !fields.contains_key("op")
}

/// Members of a payload.
const MEMBERS: [&str; 8] = [
    "action_type",
    "action_arguments",
    "action_options",
    "action_variables",
    "action_code",
    "axis",
    "outputs",
    "uuid",
];

/// Actions and the steps that do the same.
const ACTIONS: &[(&str, &str)] = &[
    ("select", "select"),
    ("remove", "remove_column"),
    ("remove_column", "remove_column"),
    ("clean_column_name", "clean_column_names"),
    ("clean_column_names", "clean_column_names"),
    ("add", "add_column"),
    ("add_column", "add_column"),
    ("average", "average"),
    ("sum", "sum"),
    ("min", "min"),
    ("max", "max"),
    ("median", "median"),
    ("count", "count"),
    ("count_distinct", "count_distinct"),
    ("first", "first"),
    ("last", "last"),
    ("diff", "diff"),
    ("shift_down", "shift_down"),
    ("shift_up", "shift_up"),
    ("impute", "impute"),
    ("reformat", "reformat"),
    ("fix_syntax_errors", "fix_syntax_errors"),
    ("normalize", "normalize"),
    ("standardize", "standardize"),
    ("remove_outliers", "remove_outliers"),
    ("filter", "filter_rows"),
    ("sort", "sort_rows"),
    ("drop_duplicate", "drop_duplicates"),
    ("drop_duplicates", "drop_duplicates"),
    ("limit", "limit"),
];

/// The step that `fields` mean.
pub(super) fn mapped(fields: &Map<String, Value>, at: &At) -> Result<Mapped> {
    if let Some(name) = fields.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        let message = match nearest(name, &MEMBERS) {
            Some(near) => format!("unknown field `{name}`; did you mean `{near}`?"),
            None => format!("unknown field `{name}`"),
        };
        return Err(Error::invalid(at.field(name), message).code("unknown_field"));
    }
    let action = fields
        .get("action_type")
        .and_then(Value::as_str)
        .unwrap_or("");
    let found = ACTIONS.iter().find(|(known, _)| *known == action);
    let Some((_, op)) = found else {
        return Err(unknown(action, at));
    };
    let payload = Payload::read(fields, at)?;
    let op = match (*op, fields.get("axis").and_then(Value::as_str)) {
        ("remove_column", Some("row")) => "remove_row",
        (op, _) => op,
    };
    if payload.code.is_some() && !takes_condition(op) {
        return Err(code(at));
    }
    Ok(Mapped {
        op,
        args: payload.args(op, at)?,
        kinds: kinds(fields),
    })
}

/// Whether an action's code is a condition.
fn takes_condition(op: &str) -> bool {
    op == "filter_rows" || op == "add_column" || is_aggregate(op)
}

fn is_aggregate(op: &str) -> bool {
    [
        "average",
        "sum",
        "min",
        "max",
        "median",
        "count",
        "count_distinct",
        "first",
        "last",
    ]
    .contains(&op)
}

fn code(at: &At) -> Error {
    let message = "code of a payload is never run";
    Error::invalid(at.field("action_code"), message)
        .code("code_refused")
        .hint("write it as SQL: the step `sql` takes a SELECT over the table `input`, `add_column` an `expression`")
}

fn unknown(action: &str, at: &At) -> Error {
    if ["custom", "explode", "unnest", "union", "join", "group"].contains(&action) {
        let message = format!("the action `{action}` cannot be translated; its code is never run");
        return Error::invalid(at.field("action_type"), message)
            .code("code_refused")
            .hint("write it as a step: `sql` takes a SELECT over the table `input`, `add_column` an `expression`, `join` another table");
    }
    let known: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
    let shown: String = action.chars().take(64).collect();
    let near = nearest(action, &known);
    let message = match near {
        Some(near) => format!("there is no action `{shown}`; did you mean `{near}`?"),
        None => format!("there is no action `{shown}`"),
    };
    Error::invalid(at.field("action_type"), message)
        .code("unknown_step")
        .hint(match near {
            Some(near) => format!("the nearest is `{near}`; GET /v1/transforms lists the steps"),
            None => "GET /v1/transforms lists the steps".to_owned(),
        })
}

struct Payload {
    arguments: Vec<Value>,
    options: Map<String, Value>,
    code: Option<String>,
    outputs: Vec<(String, Option<String>)>,
}

impl Payload {
    fn read(fields: &Map<String, Value>, at: &At) -> Result<Self> {
        let wrong = |name: &str, what: &str| Error::invalid(at.field(name), what.to_owned());
        let arguments = match fields.get("action_arguments") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list.clone(),
            Some(_) => return Err(wrong("action_arguments", "`action_arguments` is a list")),
        };
        let options = match fields.get("action_options") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(options)) => options.clone(),
            Some(_) => return Err(wrong("action_options", "`action_options` is an object")),
        };
        let code = match fields.get("action_code") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.trim().is_empty() => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(wrong("action_code", "`action_code` is text")),
        };
        let outputs = fields.get("outputs").and_then(Value::as_array);
        let output = |output: &Value| {
            let text = |name: &str| output.get(name)?.as_str().map(str::to_owned);
            Some((text("uuid")?, text("column_type")))
        };
        Ok(Payload {
            arguments,
            options,
            code,
            outputs: outputs.into_iter().flatten().filter_map(output).collect(),
        })
    }

    /// The arguments of the step `op`.
    fn args(self, op: &str, at: &At) -> Result<Map<String, Value>> {
        let mut args = Map::new();
        match op {
            "remove_row" => self.option(&mut args, "rows", "rows"),
            "limit" => {
                self.option(&mut args, "rows", "rows");
                self.option(&mut args, "limit", "rows");
            }
            "filter_rows" => {
                args.insert("condition".to_owned(), json!(self.code.unwrap_or_default()));
            }
            "sort_rows" => {
                args.insert("by".to_owned(), self.order());
            }
            "drop_duplicates" => {
                if !self.arguments.is_empty() {
                    args.insert("columns".to_owned(), json!(self.arguments));
                }
                self.option(&mut args, "keep", "keep");
            }
            "add_column" => return self.added(at),
            "diff" | "shift_down" | "shift_up" => {
                args.insert("column".to_owned(), self.one(at)?);
                self.option(&mut args, "periods", "periods");
                self.option(&mut args, "groupby_columns", "group_by");
                if let Some((name, _)) = self.outputs.first() {
                    args.insert("name".to_owned(), json!(name));
                }
            }
            _ => {
                args.insert("columns".to_owned(), json!(self.arguments));
                self.of_columns(op, &mut args);
            }
        }
        Ok(args)
    }

    /// What a step over columns takes beside them.
    fn of_columns(&self, op: &str, args: &mut Map<String, Value>) {
        match op {
            "impute" => {
                self.option(args, "strategy", "strategy");
                let from_column = self.options.get("strategy") == Some(&json!("column"));
                let name = if from_column {
                    "source_column"
                } else {
                    "value"
                };
                self.option(args, "value", name);
                let order = self.options.get("timeseries_index");
                if let Some(order) = order.filter(|order| !order.is_null()) {
                    let list = match order {
                        Value::Array(_) => order.clone(),
                        one => json!([one]),
                    };
                    args.insert("order_by".to_owned(), list);
                }
            }
            "reformat" => {
                let word = |name: &str| self.options.get(name).and_then(Value::as_str);
                let mode = match word("reformat") {
                    Some("caps_standardization") => "caps",
                    Some("currency_to_num") => "currency",
                    Some("date_format_conversion") => "date",
                    Some("trim_whitespace") => "trim",
                    other => other.unwrap_or_default(),
                };
                args.insert("mode".to_owned(), json!(mode));
                match word("capitalization") {
                    Some("uppercase") => args.insert("case".to_owned(), json!("upper")),
                    Some("lowercase") => args.insert("case".to_owned(), json!("lower")),
                    _ => None,
                };
            }
            "remove_outliers" => {
                let method = self.options.get("method").and_then(Value::as_str);
                if let Some(method) = method {
                    let method = match method {
                        "itree" => "isolation_forest",
                        other => other,
                    };
                    args.insert("method".to_owned(), json!(method));
                }
            }
            _ if is_aggregate(op) => {
                self.option(args, "groupby_columns", "group_by");
                self.option(args, "timestamp_feature_a", "timestamp_a");
                self.option(args, "timestamp_feature_b", "timestamp_b");
                self.option(args, "window", "window_seconds");
                if let Some(condition) = &self.code {
                    args.insert("condition".to_owned(), json!(condition));
                }
                if self.outputs.len() == self.arguments.len() {
                    let names: Vec<&String> = self.outputs.iter().map(|(name, _)| name).collect();
                    args.insert("names".to_owned(), json!(names));
                }
            }
            _ => {}
        }
    }

    /// Puts the option `from` under the name `to`, if it is there.
    fn option(&self, args: &mut Map<String, Value>, from: &str, to: &str) {
        if let Some(value) = self.options.get(from).filter(|value| !value.is_null()) {
            args.insert(to.to_owned(), value.clone());
        }
    }

    fn one(&self, at: &At) -> Result<Value> {
        self.arguments.first().cloned().ok_or_else(|| {
            let message = "the action takes a column";
            Error::invalid(at.field("action_arguments"), message)
        })
    }

    fn order(&self) -> Value {
        let all = self.options.get("ascending").and_then(Value::as_bool);
        let each = self.options.get("ascendings").and_then(Value::as_array);
        let key = |(n, column): (usize, &Value)| {
            let own = each.and_then(|each| each.get(n)?.as_bool());
            json!({"column": column, "ascending": own.or(all).unwrap_or(true)})
        };
        self.arguments.iter().enumerate().map(key).collect()
    }

    fn added(self, at: &At) -> Result<Map<String, Value>> {
        let Some((name, column_type)) = self.outputs.first() else {
            let message = "`outputs` names the new column";
            return Err(Error::invalid(at.field("outputs"), message));
        };
        let udf = self.options.get("udf").and_then(Value::as_str);
        let Some(udf) = udf else {
            let message = "`udf` in `action_options` says how the column is made";
            return Err(Error::invalid(at.field("action_options"), message));
        };
        if self.code.is_some() && udf != "if_else" {
            return Err(code(at));
        }
        let mut args = Map::new();
        args.insert("name".to_owned(), json!(name));
        args.insert("udf".to_owned(), json!(udf));
        if let Some(shown) = column_type.as_deref().and_then(stored_as) {
            args.insert("type".to_owned(), json!(shown));
        }
        if udf == "if_else" {
            args.insert("condition".to_owned(), json!(self.code));
            for (n, (part, kind)) in [("then", "arg1_type"), ("else", "arg2_type")]
                .into_iter()
                .enumerate()
            {
                let given = self.arguments.get(n).cloned().unwrap_or(Value::Null);
                let is_column = self.options.get(kind) == Some(&json!("column"));
                let value = if is_column {
                    json!({"column": given})
                } else {
                    given
                };
                args.insert(part.to_owned(), value);
            }
            return Ok(args);
        }
        if udf != "constant" {
            args.insert("columns".to_owned(), json!(self.arguments));
        }
        for option in [
            "value",
            "time_unit",
            "date_part",
            "format",
            "pattern",
            "replacement",
            "regex",
            "separator",
            "part_index",
            "start",
            "stop",
        ] {
            self.option(&mut args, option, option);
        }
        Ok(args)
    }
}

/// The type that values of a kind are stored in.
fn stored_as(kind: &str) -> Option<&'static str> {
    match kind {
        "number" => Some("int64"),
        "number_with_decimals" => Some("float64"),
        "true_or_false" => Some("bool"),
        "datetime" => Some("timestamp"),
        "text"
        | "category"
        | "category_high_cardinality"
        | "email"
        | "phone_number"
        | "zip_code" => Some("string"),
        _ => None,
    }
}

/// `{"0": {"type": "feature", "feature": {"uuid", "column_type"}}}`
fn kinds(fields: &Map<String, Value>) -> Vec<(String, ColumnKind)> {
    let variables = fields.get("action_variables").and_then(Value::as_object);
    let kind = |variable: &Value| {
        let feature = variable.get("feature")?;
        let name = feature.get("uuid")?.as_str()?;
        let kind = serde_json::from_value(feature.get("column_type")?.clone()).ok()?;
        Some((name.to_owned(), kind))
    };
    variables
        .into_iter()
        .flat_map(Map::values)
        .filter_map(kind)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(payload: Value) -> Result<Mapped> {
        let fields = payload.as_object().unwrap();
        super::mapped(fields, &At::new("/steps", 0))
    }

    #[test]
    fn payloads_become_steps() {
        let step = mapped(json!({
            "action_type": "sum", "action_arguments": ["a"], "axis": "column",
            "action_options": {"groupby_columns": ["g"], "window": 90, "timestamp_feature_a": "x", "timestamp_feature_b": "y"},
            "action_code": "a > 1", "outputs": [{"uuid": "total", "column_type": "number"}],
            "action_variables": {"0": {"type": "feature", "feature": {"uuid": "a", "column_type": "number"}}}
        }))
        .unwrap();
        assert_eq!(step.op, "sum");
        assert_eq!(
            Value::Object(step.args),
            json!({"columns": ["a"], "group_by": ["g"], "timestamp_a": "x", "timestamp_b": "y", "window_seconds": 90, "condition": "a > 1", "names": ["total"]})
        );
        assert_eq!(step.kinds, [("a".to_owned(), ColumnKind::Number)]);
        let step = mapped(json!({
            "action_type": "add", "action_arguments": ["a", "b"],
            "action_options": {"udf": "if_else", "arg1_type": "column", "arg2_type": "value"},
            "action_code": "a > b", "outputs": [{"uuid": "c", "column_type": "number"}]
        }))
        .unwrap();
        assert_eq!(
            Value::Object(step.args),
            json!({"name": "c", "udf": "if_else", "type": "int64", "condition": "a > b", "then": {"column": "a"}, "else": "b"})
        );
    }

    #[test]
    fn code_is_refused_with_a_way_out() {
        for payload in [
            json!({"action_type": "custom", "action_code": "df"}),
            json!({"action_type": "select", "action_arguments": ["a"], "action_code": "import os"}),
            json!({"action_type": "add", "action_options": {"udf": "custom"}, "action_code": "x", "outputs": [{"uuid": "c"}]}),
        ] {
            let error = mapped(payload.clone()).err().unwrap();
            assert_eq!(error.stable_code(), "code_refused", "{payload}");
            assert!(error.hint_text().unwrap().contains("sql"));
        }
    }
}
