//! Times steps over a Parquet file of TPC-H lineitem that is in memory before,
//! one row a line: `weir operation seconds`. See `scripts/bench-transform`.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use weir_core::context::Deadline;
use weir_core::task::Compute;
use weir_core::{Context, Dial, Dialed, Endpoint, Error, Memory, Result};
use weir_engine::steps::{Pipeline, Side, TransformOptions};
use weir_engine::{Engine, EngineLimits};

const COLUMNS: [&str; 8] = [
    "l_orderkey",
    "l_quantity",
    "l_extendedprice",
    "l_discount",
    "l_returnflag",
    "l_shipmode",
    "l_shipdate",
    "l_comment",
];

/// As in the service.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rows of a batch.
const ROWS: usize = 32_768;

struct Nowhere;

#[async_trait]
impl Dial for Nowhere {
    async fn resolve(&self, _: &Endpoint) -> Result<Vec<std::net::SocketAddr>> {
        Err(Error::internal("there is no network"))
    }

    async fn connect(&self, _: &Endpoint, _: &[std::net::SocketAddr]) -> Result<Box<dyn Dialed>> {
        Err(Error::internal("there is no network"))
    }
}

/// The table, with prices as floats and every tenth quantity missing.
fn table(path: &str) -> anyhow::Result<(SchemaRef, Vec<RecordBatch>)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(ROWS)
        .build()?;
    let mut batches = Vec::new();
    let mut row = 0_usize;
    for batch in reader {
        let batch = batch?;
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut fields = Vec::new();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let name = field.name().as_str();
            let column = match name {
                "l_quantity" | "l_extendedprice" | "l_discount" => {
                    cast(column, &DataType::Float64)?
                }
                _ if *column.data_type() == DataType::Utf8View => cast(column, &DataType::Utf8)?,
                _ => Arc::clone(column),
            };
            let column: ArrayRef = if name == "l_quantity" {
                let floats: &Float64Array = column.as_primitive::<Float64Type>();
                let gone = (0..floats.len())
                    .map(|n| Some((row + n).is_multiple_of(10)))
                    .collect();
                Arc::new(nullif(floats, &gone)?.as_primitive::<Float64Type>().clone())
            } else {
                column
            };
            fields.push(Field::new(name, column.data_type().clone(), true));
            columns.push(column);
        }
        row += batch.num_rows();
        batches.push(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?);
    }
    let schema = batches.first().map(RecordBatch::schema);
    Ok((schema.ok_or_else(|| anyhow::anyhow!("no rows"))?, batches))
}

/// The operations that are compared.
fn operations() -> Vec<(&'static str, Value)> {
    vec![
        (
            "impute_median",
            json!([{"op": "fill_nulls", "columns": ["l_quantity"], "method": "median"}]),
        ),
        (
            "impute_mode",
            json!([{"op": "fill_nulls", "columns": ["l_shipmode"], "method": "mode"}]),
        ),
        (
            "standardize",
            json!([{"op": "standardize", "columns": ["l_extendedprice"]}]),
        ),
        (
            "normalize",
            json!([{"op": "normalize", "columns": ["l_extendedprice"]}]),
        ),
        (
            "group_sum",
            json!([{"op": "aggregate", "group_by": ["l_returnflag", "l_shipmode"], "aggregations": [{"function": "sum", "column": "l_extendedprice"}]}]),
        ),
        (
            "filter",
            json!([{"op": "filter_rows", "condition": "l_quantity > 30 and l_shipmode == 'AIR'"}]),
        ),
        (
            "sort",
            json!([{"op": "sort_rows", "by": [{"column": "l_shipdate"}, {"column": "l_extendedprice"}]}]),
        ),
        (
            "dedup",
            json!([{"op": "drop_duplicates", "columns": ["l_orderkey"], "keep": "first"}]),
        ),
        (
            "outlier_iqr",
            json!([{"op": "remove_outliers", "columns": ["l_extendedprice"], "method": "iqr"}]),
        ),
        (
            "upper",
            json!([{"op": "uppercase", "columns": ["l_comment"]}]),
        ),
        (
            "shift",
            json!([{"op": "shift_down", "column": "l_extendedprice", "periods": 1}]),
        ),
    ]
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args
        .next()
        .ok_or_else(|| anyhow::anyhow!("usage: transform_bench FILE [operation…]"))?;
    let only: Vec<String> = args.collect();
    let (schema, batches) = table(&path)?;
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let engine = Engine::new(EngineLimits {
            spill_dir: folder.path().to_owned(),
            spill_bytes: 20 << 30,
        })
        .map_err(|error| anyhow::anyhow!("{error}"))?;
        for (name, steps) in operations() {
            if !only.is_empty() && !only.iter().any(|one| one == name) {
                continue;
            }
            let seconds = timed(&engine, &schema, &batches, &steps).await;
            let seconds = seconds.map_err(|error| anyhow::anyhow!("{name}: {error:?}"))?;
            println!("weir {name} {seconds:.3}");
        }
        Ok::<_, anyhow::Error>(())
    })?;
    println!("weir peak_rss_mib {}", peak_mib());
    Ok(())
}

async fn timed(
    engine: &Engine,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    steps: &Value,
) -> Result<f64> {
    let ctx = Context {
        deadline: Deadline::after(Duration::from_secs(600)),
        cancel: CancellationToken::new(),
        dialer: Arc::new(Nowhere),
        compute: Compute::current(),
        memory: Memory::new(8 << 30, 8 << 30).account(),
    };
    let rows: Vec<_> = batches.iter().cloned().map(Ok).collect();
    let list = steps.as_array().cloned().unwrap_or_default();
    let start = Instant::now();
    let side = Side {
        schema: Arc::clone(schema),
        stream: futures::stream::iter(rows).boxed(),
    };
    let pipeline = Pipeline::parse(&list, "/steps")?;
    let out = engine
        .transform(side, &pipeline, &TransformOptions::default(), &ctx)
        .await?;
    let compute = ctx.compute.clone();
    let mut stream = out.stream;
    let kept = compute.spawn(async move {
        let mut kept = Vec::new();
        while let Some(batch) = stream.next().await.transpose()? {
            kept.push(batch);
        }
        Ok::<_, Error>(kept)
    });
    let kept = kept.await??;
    let seconds = start.elapsed().as_secs_f64();
    drop(kept);
    Ok(seconds)
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    kib.unwrap_or(0) / 1024
}
