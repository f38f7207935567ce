//! Running steps in tests: JSON rows in, JSON rows out.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::ReaderBuilder;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use weir_core::context::Deadline;
use weir_core::task::Compute;
use weir_core::{Context, Dial, Dialed, Endpoint, Error, Memory, Result};
use weir_values::ColumnKind;

use super::{Pipeline, Side, TransformOptions};
use crate::{Engine, EngineLimits};

struct Nowhere;

#[async_trait::async_trait]
impl Dial for Nowhere {
    async fn resolve(&self, _: &Endpoint) -> Result<Vec<std::net::SocketAddr>> {
        Err(Error::internal("there is no network"))
    }

    async fn connect(&self, _: &Endpoint, _: &[std::net::SocketAddr]) -> Result<Box<dyn Dialed>> {
        Err(Error::internal("there is no network"))
    }
}

/// A context in which a request may hold `bytes`.
pub(crate) fn context(bytes: usize) -> Context {
    Context {
        deadline: Deadline::after(Duration::from_secs(120)),
        cancel: CancellationToken::new(),
        dialer: Arc::new(Nowhere),
        compute: Compute::current(),
        memory: Memory::new(bytes.saturating_mul(2), bytes).account(),
    }
}

/// An engine that spills below `dir`.
pub(crate) fn engine(dir: &Path) -> Engine {
    Engine::new(EngineLimits {
        spill_dir: dir.to_owned(),
        spill_bytes: 10 << 30,
    })
    .unwrap()
}

/// What came out of steps.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) report: Value,
}

impl Outcome {
    /// The rows as objects; nulls are there.
    pub(crate) fn rows(&self) -> Value {
        let mut text = Vec::new();
        let mut writer = arrow::json::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, arrow::json::writer::JsonArray>(&mut text);
        for batch in &self.batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
        drop(writer);
        if text.is_empty() {
            return Value::Array(Vec::new());
        }
        serde_json::from_slice(&text).unwrap()
    }

    /// `name: type` of every column.
    pub(crate) fn types(&self) -> Vec<String> {
        let shown = |field: &arrow::datatypes::FieldRef| {
            format!(
                "{}: {}",
                field.name(),
                weir_core::types::field_type_name(field)
            )
        };
        self.schema.fields().iter().map(shown).collect()
    }
}

/// Rows of `schema` from a JSON list of objects, in batches of two.
pub(crate) fn batches(schema: &SchemaRef, rows: &Value) -> Vec<RecordBatch> {
    let list = rows.as_array().unwrap();
    let mut decoder = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(2)
        .build_decoder()
        .unwrap();
    let mut made = Vec::new();
    for pair in list.chunks(2) {
        // As text, so that every digit comes through.
        for row in pair {
            decoder.decode(row.to_string().as_bytes()).unwrap();
        }
        made.extend(decoder.flush().unwrap());
    }
    made
}

/// Passes batches through `steps` in an engine whose requests hold `bytes`.
pub(crate) async fn through(
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    steps: &Value,
    kinds: &[(&str, ColumnKind)],
    bytes: usize,
) -> Result<Outcome> {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let pipeline = Pipeline::parse(steps.as_array().unwrap(), "/steps")?;
    let options = TransformOptions {
        kinds: kinds
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind))
            .collect(),
        ..TransformOptions::default()
    };
    let side = Side {
        schema,
        stream: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
    };
    let ctx = context(bytes);
    let out = engine.transform(side, &pipeline, &options, &ctx).await?;
    let batches: Vec<RecordBatch> = out.stream.try_collect().await?;
    Ok(Outcome {
        schema: out.schema,
        batches,
        report: out.report.to_json(),
    })
}

/// A schema from `name: type` in the vocabulary.
pub(crate) fn schema(columns: &[(&str, &str)]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|(name, shown)| weir_core::types::parse_field(name, shown).unwrap());
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

/// JSON rows through `steps`, with memory enough.
pub(crate) async fn run(columns: &[(&str, &str)], rows: Value, steps: Value) -> Result<Outcome> {
    let schema = schema(columns);
    let batches = batches(&schema, &rows);
    through(schema, batches, &steps, &[], 256 << 20).await
}

/// Runs the cases of `tests/golden/transforms/{name}.json`; says which fail.
pub(crate) async fn golden(name: &str) {
    let path = format!(
        "{}/../../tests/golden/transforms/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let cases: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut failures = Vec::new();
    for case in cases.as_array().unwrap() {
        if let Err(why) = golden_case(case).await {
            failures.push(format!("{}: {why}", case["name"]));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

async fn golden_case(case: &Value) -> std::result::Result<(), String> {
    let Some(columns) = case["data"]["columns"].as_array() else {
        return Ok(());
    };
    let types: Vec<(&str, &str)> = columns
        .iter()
        .map(|column| (column["name"].as_str(), column["type"].as_str()))
        .map(|(name, shown)| (name.unwrap(), shown.unwrap_or("string")))
        .collect();
    let table = schema(&types);
    let object = |row: &Value| -> Value {
        let cells = row.as_array().unwrap().iter();
        let named = types.iter().map(|(name, _)| (*name).to_owned());
        Value::Object(named.zip(cells.cloned()).collect())
    };
    let rows: Value = case["data"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(object)
        .collect();
    let kinds = case["column_types"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let kinds: Vec<(&str, ColumnKind)> = kinds
        .iter()
        .map(|(name, kind)| {
            (
                name.as_str(),
                ColumnKind::from_name(kind.as_str().unwrap()).unwrap(),
            )
        })
        .collect();
    let given = batches(&table, &rows);
    let outcome = through(table, given, &case["steps"], &kinds, 256 << 20).await;
    let expect = &case["expect"];
    match outcome {
        Err(error) => refused(expect, &error),
        Ok(_) if expect["status"].is_number() => Err("it is not refused".to_owned()),
        Ok(out) => answered(expect, &out),
    }
}

fn refused(expect: &Value, error: &Error) -> std::result::Result<(), String> {
    if !expect["status"].is_number() {
        return Err(format!("{error:?}"));
    }
    let pointer = error.fields().first().map(|field| field.pointer.as_str());
    if expect["pointer"].is_string() && expect["pointer"].as_str() != pointer {
        return Err(format!("pointer {pointer:?}"));
    }
    if expect["code"].is_string() && expect["code"] != error.stable_code() {
        return Err(format!("code {}", error.stable_code()));
    }
    let said = format!("{} {:?}", error.message(), error.hint_text());
    match expect["hint_contains"].as_str() {
        Some(words) if !said.contains(words) => Err(said),
        _ => Ok(()),
    }
}

fn answered(expect: &Value, out: &Outcome) -> std::result::Result<(), String> {
    let tolerance = expect["tolerance"].as_f64().unwrap_or(0.0);
    let names = out.schema.fields().iter().map(|field| field.name().clone());
    let names: Vec<String> = names.collect();
    if let Some(columns) = expect["columns"].as_array() {
        let wanted: Vec<&str> = columns.iter().filter_map(|c| c["name"].as_str()).collect();
        if wanted != names {
            return Err(format!("columns {names:?}"));
        }
        for (column, shown) in columns.iter().zip(out.types()) {
            if let Some(wanted) = column["type"].as_str()
                && shown != format!("{}: {wanted}", column["name"].as_str().unwrap())
            {
                return Err(shown);
            }
        }
    }
    if let Some(rows) = expect["rows"].as_array() {
        let given = out.rows();
        let list = |row: &Value| match row {
            Value::Object(row) => names
                .iter()
                .map(|n| row.get(n).cloned().unwrap_or_default())
                .collect(),
            other => other.clone(),
        };
        let wanted: Vec<Value> = rows.iter().map(list).collect();
        let given: Vec<Value> = given.as_array().unwrap().iter().map(list).collect();
        if !same(&Value::from(wanted), &Value::from(given.clone()), tolerance) {
            return Err(format!("rows {}", Value::from(given)));
        }
    }
    for (n, step) in expect["report"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        if !within(step, &out.report[n], tolerance) {
            return Err(format!("report {}", out.report));
        }
    }
    Ok(())
}

/// Whether everything in `wanted` is in `given`.
fn within(wanted: &Value, given: &Value, tolerance: f64) -> bool {
    match (wanted, given) {
        (Value::Object(wanted), Value::Object(given)) => wanted.iter().all(|(key, value)| {
            given
                .get(key)
                .is_some_and(|given| within(value, given, tolerance))
        }),
        // That there are some is all that such a case says.
        (Value::Array(wanted), Value::Array(_)) if wanted.is_empty() => true,
        _ => same(wanted, given, tolerance),
    }
}

fn same(wanted: &Value, given: &Value, tolerance: f64) -> bool {
    match (wanted, given) {
        (Value::Number(a), Value::Number(b)) => {
            let (x, y) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a == b,
                _ => x == y || (x - y).abs() <= tolerance * x.abs().max(1.0),
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, tolerance))
        }
        // Times differ in how many zeros they show.
        (Value::String(a), Value::String(b)) => {
            a == b || a.trim_end_matches('Z') == b.trim_end_matches('Z')
        }
        _ => wanted == given,
    }
}
