//! The golden cases of steps over cells, run in process.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use weir_core::Error;
use weir_values::ColumnKind;

use super::testing::{Outcome, batches, schema, through};

/// Files whose steps are of this kind.
const FILES: &[&str] = &[
    "add_column",
    "aggregate",
    "broadcast",
    "clean_column_names",
    "convert_type",
    "diff",
    "drop_duplicates",
    "fix_syntax_errors",
    "lowercase",
    "names",
    "reformat",
    "replace",
    "shift_down",
    "shift_up",
    "trim_whitespace",
    "uppercase",
];

fn cases(file: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/transforms");
    let text = std::fs::read_to_string(folder.join(format!("{file}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// `name: type` of every column of the data, and its rows as objects.
fn table(data: &Value) -> Option<(Vec<(String, String)>, Value)> {
    let columns = data.get("columns")?.as_array()?.iter().map(|column| {
        let type_ = column.get("type")?.as_str()?;
        Some((column["name"].as_str()?.to_owned(), type_.to_owned()))
    });
    let columns: Vec<(String, String)> = columns.collect::<Option<_>>()?;
    let row = |row: &Value| {
        let cells = columns.iter().zip(row.as_array().unwrap());
        let cells = cells.map(|((name, type_), cell)| match type_.as_str() {
            "json" if !cell.is_null() => (name.clone(), Value::String(cell.to_string())),
            _ => (name.clone(), cell.clone()),
        });
        Value::Object(cells.collect::<Map<_, _>>())
    };
    let rows = data["rows"].as_array()?.iter().map(row).collect();
    Some((columns, rows))
}

fn same(made: &Value, expected: &Value, tolerance: f64) -> bool {
    match (made, expected) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.to_string(), b.to_string());
            let (x, y): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
            let is_whole = |text: &str| text.parse::<i128>().is_ok();
            match is_whole(&a) && is_whole(&b) {
                true => a == b,
                false => (x - y).abs() <= tolerance * y.abs().max(1.0),
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, tolerance))
        }
        (a, b) => a == b,
    }
}

fn rows_of(outcome: &Outcome) -> Value {
    let fields = outcome.schema.fields();
    let cell = |row: &Value, field: &Arc<arrow::datatypes::Field>| {
        let cell = row[field.name()].clone();
        match &cell {
            Value::String(text) if weir_core::types::is_json(field) => {
                serde_json::from_str(text).unwrap()
            }
            Value::String(text) if field.data_type().is_decimal() => {
                serde_json::from_str(text).unwrap()
            }
            _ => cell,
        }
    };
    let rows = outcome.rows();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| Value::Array(fields.iter().map(|field| cell(row, field)).collect()))
        .collect()
}

fn judged(expect: &Value, outcome: &Outcome) -> Result<(), String> {
    let made = outcome.types();
    if let Some(columns) = expect["columns"].as_array() {
        let wanted = columns.iter().zip(&made).all(|(column, made)| {
            let name = column["name"].as_str().unwrap();
            match column["type"].as_str() {
                Some(type_) => *made == format!("{name}: {type_}"),
                None => made.starts_with(&format!("{name}: ")),
            }
        });
        if !wanted || columns.len() != made.len() {
            return Err(format!("columns {made:?}"));
        }
    }
    let tolerance = expect["tolerance"].as_f64().unwrap_or(0.0);
    if let Some(rows) = expect.get("rows") {
        let made = rows_of(outcome);
        if !same(&made, rows, tolerance) {
            return Err(format!("rows {made}"));
        }
    }
    let report = expect["report"].as_array().into_iter().flatten();
    for (step, made) in report.zip(outcome.report.as_array().unwrap()) {
        for (key, value) in step.as_object().unwrap() {
            if &made[key] != value {
                return Err(format!("report {made}"));
            }
        }
    }
    Ok(())
}

fn refused(expect: &Value, error: &Error) -> Result<(), String> {
    let shown = format!("{error:?}");
    let is_known = error.kind() == weir_core::Kind::Invalid && expect["status"] == json!(422);
    let at = error.fields().first().map(|field| field.pointer.as_str());
    let is_there = expect["pointer"]
        .as_str()
        .is_none_or(|wanted| at == Some(wanted));
    let is_coded = expect["code"]
        .as_str()
        .is_none_or(|code| code == error.stable_code());
    let said = expect["hint_contains"].as_str();
    let is_said = said.is_none_or(|said| {
        error.message().contains(said) || error.hint_text().is_some_and(|hint| hint.contains(said))
    });
    match is_known && is_there && is_coded && is_said {
        true => Ok(()),
        false => Err(shown),
    }
}

async fn run(case: &Value) -> Result<(), String> {
    let Some((columns, rows)) = table(&case["data"]) else {
        return Ok(());
    };
    let columns: Vec<(&str, &str)> = columns
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let kinds = case["column_types"].as_object().into_iter().flatten();
    let kinds = kinds.map(|(name, kind)| {
        let kind = ColumnKind::from_name(kind.as_str().unwrap()).unwrap();
        (name.as_str(), kind)
    });
    let kinds: Vec<(&str, ColumnKind)> = kinds.collect();
    let schema = schema(&columns);
    let given = batches(&schema, &rows);
    let outcome = through(schema, given, &case["steps"], &kinds, 256 << 20).await;
    let expect = &case["expect"];
    match (outcome, expect.get("status")) {
        (Ok(outcome), None) => judged(expect, &outcome),
        (Err(error), Some(_)) => refused(expect, &error),
        (Ok(outcome), Some(_)) => Err(format!("no refusal but {:?}", outcome.rows())),
        (Err(error), None) => Err(format!("refused: {error:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_cases_of_cells_hold() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for file in FILES {
        for case in cases(file) {
            count += 1;
            if let Err(told) = run(&case).await {
                wrong.push(format!("{file}: {}: {told}", case["name"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 200, "{count}");
}
