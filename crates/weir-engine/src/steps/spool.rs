//! Rows kept for a second pass: in memory while they fit a share of what the
//! request may hold, else in a file under the service's quota.

use std::fs::File;
use std::io::{BufReader, Write};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use datafusion::execution::{SpillFile, SpillWriter};
use futures::{StreamExt, TryStreamExt};
use weir_core::memory::Hold;
use weir_core::task::{Compute, Task};
use weir_core::{BatchStream, Error, Result, memory_of};

use super::env::Env;
use crate::plan::{exhausted, ours};

/// The share of a request's memory that one spool fills: several steps in a row
/// may each have one.
const SHARE: usize = 3;

/// Bytes read from a file at once.
const READ_BUFFER: usize = 1 << 20;

/// Takes rows.
pub struct Spool {
    env: Env,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    bytes: usize,
    hold: Hold,
    share: usize,
    file: Option<Writing>,
}

struct Writing {
    writer: StreamWriter<Box<dyn Sink>>,
    file: Arc<dyn SpillFile>,
}

/// A spill file's writer under a name that it can be boxed by.
trait Sink: Write + Send {}

struct SpillSink(Box<dyn SpillWriter>);

impl Write for SpillSink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Sink for SpillSink {}

impl Spool {
    pub(crate) fn new(schema: &SchemaRef, env: &Env) -> Self {
        Spool {
            schema: Arc::clone(schema),
            batches: Vec::new(),
            bytes: 0,
            hold: env.hold(),
            share: env.request_limit() / SHARE,
            file: None,
            env: env.clone(),
        }
    }

    /// Keeps no row in memory.
    #[must_use]
    pub fn on_disk(mut self) -> Self {
        self.share = 0;
        self
    }

    /// Adds rows. Beyond the quota of the disk: 413 `too_large_to_compute`.
    pub async fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if self.file.is_none() {
            let bytes = self.bytes + memory_of(&batch);
            let fits = bytes <= self.share;
            if fits && self.hold.try_set(bytes).is_ok() {
                self.bytes = bytes;
                self.batches.push(batch);
                return Ok(());
            }
            self.spill().await?;
        }
        self.write(vec![batch]).await
    }

    async fn spill(&mut self) -> Result<()> {
        let disk = Arc::clone(&self.env.task().runtime_env().disk_manager);
        let file = disk.create_tmp_file("rows of a step").map_err(ours)?;
        let sink: Box<dyn Sink> = Box::new(SpillSink(file.open_writer().map_err(ours)?));
        let writer = StreamWriter::try_new(sink, &self.schema)?;
        self.file = Some(Writing { writer, file });
        let batches = std::mem::take(&mut self.batches);
        self.write(batches).await?;
        self.bytes = 0;
        self.hold.try_set(0)
    }

    async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        let Some(mut writing) = self.file.take() else {
            return Err(Error::internal("a spool without a file"));
        };
        let written = self.env.compute().blocking(move || {
            for batch in &batches {
                writing.writer.write(batch).map_err(full)?;
            }
            Ok::<_, Error>(writing)
        });
        self.file = Some(written.await??);
        Ok(())
    }

    /// All rows are there.
    pub async fn done(mut self) -> Result<Spooled> {
        let file = match self.file.take() {
            None => None,
            Some(mut writing) => {
                let finished = self.env.compute().blocking(move || {
                    writing.writer.finish().map_err(full)?;
                    Ok::<_, Error>(writing.file)
                });
                Some(finished.await??)
            }
        };
        Ok(Spooled(Arc::new(Inner {
            batches: self.batches,
            file,
            compute: self.env.compute().clone(),
            hold: self.hold,
        })))
    }
}

/// The disk or its quota has no room: what that looks like inside of Arrow.
fn full(error: arrow::error::ArrowError) -> Error {
    exhausted(error)
}

/// Rows that can be read any number of times. Cheap to clone; memory and file
/// are given back with the last one.
#[derive(Clone)]
pub struct Spooled(Arc<Inner>);

struct Inner {
    batches: Vec<RecordBatch>,
    file: Option<Arc<dyn SpillFile>>,
    compute: Compute,
    hold: Hold,
}

type Reader = StreamReader<BufReader<File>>;

/// The next batch, read while the one before it is worked on.
type Ahead = Task<Result<Option<(RecordBatch, Reader)>>>;

impl Spooled {
    /// Bytes of the rows, if they are in memory.
    pub fn in_memory(&self) -> Option<usize> {
        self.0.file.is_none().then(|| self.0.hold.bytes())
    }

    /// The rows, in their order.
    pub fn read(&self) -> BatchStream {
        let inner = Arc::clone(&self.0);
        if inner.file.is_none() {
            let batches = (0..inner.batches.len()).map(move |at| Ok(inner.batches[at].clone()));
            return futures::stream::iter(batches).boxed();
        }
        let opened = async move {
            let first = open(&inner)?;
            let rows = futures::stream::try_unfold(Some(first), move |ahead: Option<Ahead>| {
                let inner = Arc::clone(&inner);
                async move {
                    let Some(ahead) = ahead else {
                        return Ok(None);
                    };
                    let Some((batch, reader)) = ahead.await?? else {
                        return Ok(None);
                    };
                    Ok(Some((batch, Some(next(&inner.compute, reader)))))
                }
            });
            Ok::<_, Error>(rows)
        };
        futures::stream::once(opened).try_flatten().boxed()
    }
}

fn open(inner: &Inner) -> Result<Ahead> {
    let path = inner.file.as_ref().and_then(|file| file.path());
    let path = path.ok_or_else(|| Error::internal("a spool that is no file"))?;
    let file = File::open(path).map_err(Error::internal)?;
    Ok(inner.compute.blocking(move || {
        let reader = BufReader::with_capacity(READ_BUFFER, file);
        read(StreamReader::try_new(reader, None)?)
    }))
}

fn next(compute: &Compute, reader: Reader) -> Ahead {
    compute.blocking(move || read(reader))
}

fn read(mut reader: Reader) -> Result<Option<(RecordBatch, Reader)>> {
    match reader.next() {
        None => Ok(None),
        Some(batch) => Ok(Some((batch?, reader))),
    }
}
