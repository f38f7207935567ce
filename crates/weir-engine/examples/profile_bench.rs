//! Times a profile of a Parquet file that is in memory before, and prints
//! `weir profile seconds`. The request may hold 8 GiB, or as many MiB as the
//! second argument says; `approximate` as the third asks for estimates, and
//! `print` for the answer.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio_util::sync::CancellationToken;
use weir_core::context::Deadline;
use weir_core::task::Compute;
use weir_core::{Context, Dial, Dialed, Endpoint, Error, Memory, Result};
use weir_engine::profile::ProfileOptions;
use weir_engine::steps::Side;
use weir_engine::{Engine, EngineLimits};

/// As in the service.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rows of a batch.
const ROWS: usize = 8_192;

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

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = args
        .first()
        .ok_or_else(|| anyhow::anyhow!("usage: profile_bench FILE [MIB [approximate] [print]]"))?;
    let memory = args
        .get(1)
        .map_or(Ok(8 << 10), |text| text.parse::<usize>())?
        << 20;
    let is_asked = |word: &str| args.iter().any(|one| one == word);
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let schema = Arc::clone(builder.schema());
    let reader = builder.with_batch_size(ROWS).build()?;
    let rows = reader.collect::<std::result::Result<Vec<RecordBatch>, _>>()?;
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let options = ProfileOptions {
        approximate: is_asked("approximate"),
        ..ProfileOptions::default()
    };
    let profile = runtime.block_on(async {
        let engine = Engine::new(EngineLimits {
            spill_dir: folder.path().to_owned(),
            spill_bytes: 40 << 30,
        })
        .map_err(|error| anyhow::anyhow!("{error}"))?;
        let ctx = Context {
            deadline: Deadline::after(Duration::from_secs(3600)),
            cancel: CancellationToken::new(),
            dialer: Arc::new(Nowhere),
            compute: Compute::current(),
            memory: Memory::new(memory, memory).account(),
        };
        let side = Side {
            schema,
            stream: futures::stream::iter(rows.into_iter().map(Ok)).boxed(),
        };
        let start = Instant::now();
        let profile = engine.profile(side, &options, &ctx).await;
        let profile = profile.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        println!("weir profile {:.3}", start.elapsed().as_secs_f64());
        Ok::<_, anyhow::Error>(profile)
    })?;
    if is_asked("print") {
        println!("{}", serde_json::to_string_pretty(&profile)?);
    }
    Ok(())
}
