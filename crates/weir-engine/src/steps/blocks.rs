//! Batches of many tables in one file: each is found by where it begins. A table
//! that has a file of its own, or several, would need as many open files as there
//! are tables.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use datafusion::execution::{SpillFile, SpillWriter};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::Mutex;
use weir_core::{BatchStream, Error, Result};

use super::env::Env;
use crate::plan::{exhausted, ours};

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    at: u64,
    bytes: usize,
}

/// The file. Cheap to clone; it goes with the last one.
#[derive(Clone, Default)]
pub struct Blocks(Arc<Mutex<Option<Open>>>);

struct Open {
    writer: Box<dyn SpillWriter>,
    file: Arc<dyn SpillFile>,
    end: u64,
}

impl Blocks {
    /// Writes batches; of those without rows nothing. Beyond the quota of the disk:
    /// 413 `too_large_to_compute`.
    pub async fn keep(&self, batches: Vec<RecordBatch>, env: &Env) -> Result<Vec<Option<Block>>> {
        let mut open = self.0.lock().await;
        let mut file = match open.take() {
            Some(file) => file,
            None => Open::create(env)?,
        };
        let written = env.compute().blocking(move || {
            let blocks = batches.iter().map(|batch| file.write(batch));
            let blocks = blocks.collect::<Result<Vec<_>>>()?;
            file.writer.flush().map_err(exhausted)?;
            Ok::<_, Error>((blocks, file))
        });
        let (blocks, file) = written.await??;
        *open = Some(file);
        Ok(blocks)
    }

    /// The batches, in the order of `blocks`.
    pub fn read(&self, blocks: Vec<Block>, env: &Env) -> BatchStream {
        let (this, env) = (self.clone(), env.clone());
        let opened = async move {
            let path = match &*this.0.lock().await {
                Some(open) => open.file.path().map(std::path::Path::to_owned),
                None => None,
            };
            let path = path.ok_or_else(|| Error::internal("blocks without a file"))?;
            let file = Arc::new(File::open(path).map_err(Error::internal)?);
            // The file stays as long as it is read.
            Ok::<_, Error>(futures::stream::iter(blocks).then(move |block| {
                let (file, env, _kept) = (Arc::clone(&file), env.clone(), this.clone());
                async move { env.compute().blocking(move || block.read(&file)).await? }
            }))
        };
        futures::stream::once(opened).try_flatten().boxed()
    }
}

impl Open {
    fn create(env: &Env) -> Result<Self> {
        let disk = Arc::clone(&env.task().runtime_env().disk_manager);
        let file = disk.create_tmp_file("tables").map_err(ours)?;
        Ok(Open {
            writer: file.open_writer().map_err(ours)?,
            file,
            end: 0,
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<Option<Block>> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(batch)?;
        let bytes = writer.into_inner()?;
        self.writer.write_all(&bytes).map_err(exhausted)?;
        let block = Block {
            at: self.end,
            bytes: bytes.len(),
        };
        self.end += bytes.len() as u64;
        Ok(Some(block))
    }
}

impl Block {
    fn read(self, file: &File) -> Result<RecordBatch> {
        let mut bytes = vec![0; self.bytes];
        file.read_exact_at(&mut bytes, self.at)
            .map_err(Error::internal)?;
        let mut reader = StreamReader::try_new(bytes.as_slice(), None)?;
        let batch = reader.next().transpose()?;
        batch.ok_or_else(|| Error::internal("a block without rows"))
    }
}
