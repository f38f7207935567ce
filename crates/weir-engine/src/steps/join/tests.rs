//! Both ways to join give the same rows in the same order.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use weir_core::{Memory, Result};

use crate::steps::testing::{context, engine, schema};
use crate::steps::{Ask, At, Others, Pipeline, Side, TransformOptions};

struct Table(arrow::datatypes::SchemaRef, Vec<RecordBatch>);

#[async_trait]
impl Others for Table {
    async fn open(&self, _: &Ask, _: &At) -> Result<Side> {
        Ok(side(&self.0, &self.1))
    }
}

fn side(schema: &arrow::datatypes::SchemaRef, batches: &[RecordBatch]) -> Side {
    let batches: Vec<_> = batches.iter().cloned().map(Ok).collect();
    Side {
        schema: Arc::clone(schema),
        stream: futures::stream::iter(batches).boxed(),
    }
}

/// Rows `k, v` with `k = n % modulo`, every seventh null.
fn table(value: &str, rows: i64, modulo: i64) -> (arrow::datatypes::SchemaRef, Vec<RecordBatch>) {
    let schema = schema(&[("k", "int64"), (value, "string")]);
    let batch = |from: i64| {
        let numbers = from..(from + 500).min(rows);
        let keys: Int64Array = numbers
            .clone()
            .map(|n| (n % 7 != 3).then_some(n * 31 % modulo))
            .collect();
        let values: StringArray = numbers
            .map(|n| Some(format!("{value} {n} {}", "x".repeat(100))))
            .collect();
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(keys), Arc::new(values)]).unwrap()
    };
    let batches = (0..rows).step_by(500).map(batch).collect();
    (schema, batches)
}

async fn join(how: &str, bytes: usize) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (schema, batches) = table("v", 6000, 900);
    let (other, others) = table("w", 30000, 5000);
    let steps: Value =
        json!([{"op": "join", "source": "s", "stream": "t", "left_on": ["k"], "how": how}]);
    let pipeline = Pipeline::parse(steps.as_array().unwrap(), "/steps").unwrap();
    let options = TransformOptions {
        others: Some(Arc::new(Table(other, others))),
        ..TransformOptions::default()
    };
    let mut ctx = context(bytes);
    ctx.memory = Memory::new(1 << 30, bytes).account();
    let out = engine
        .transform(side(&schema, &batches), &pipeline, &options, &ctx)
        .await
        .unwrap();
    let batches: Vec<RecordBatch> = out.stream.try_collect().await.unwrap();
    let shown = |batch: &RecordBatch| {
        let text = |column: &dyn arrow::array::Array, row| {
            arrow::util::display::array_value_to_string(column, row).unwrap()
        };
        (0..batch.num_rows())
            .map(|row| {
                batch
                    .columns()
                    .iter()
                    .map(|c| text(c, row))
                    .collect::<Vec<_>>()
                    .join("|")
            })
            .collect::<Vec<_>>()
    };
    batches.iter().flat_map(shown).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashed_and_merged_give_the_same_rows() {
    for how in ["left", "inner", "semi", "anti", "full"] {
        let mut hashed = join(how, 512 << 20).await;
        let mut merged = join(how, 16 << 20).await;
        assert!(!hashed.is_empty());
        if how == "full" {
            // Rows of the other table alone come last, in any order.
            hashed.sort();
            merged.sort();
        }
        assert_eq!(hashed.len(), merged.len(), "{how}");
        assert!(hashed == merged, "{how}");
    }
}
