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
