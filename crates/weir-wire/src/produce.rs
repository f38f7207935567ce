//! The compute task of an answer: batches in, encoded chunks out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use weir_core::memory::Hold;
use weir_core::{BatchStream, Error, Result, memory_of};
use weir_formats::{Encoder, Output};

use crate::Outcome;
use crate::compress::Compressor;
use crate::queue::{Item, Refused, Sender};

/// Batches above this are encoded in parts, so that a chunk stays small.
const BATCH_BYTES: usize = 4 << 20;

type OnEnd = Box<dyn FnOnce(Outcome) + Send>;

/// What was sent so far, and who hears of the end: once.
pub(crate) struct Ledger {
    rows: AtomicU64,
    bytes: AtomicU64,
    on_end: Mutex<Option<OnEnd>>,
}

impl Ledger {
    pub(crate) fn new(on_end: OnEnd) -> Arc<Self> {
        Arc::new(Ledger {
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            on_end: Mutex::new(Some(on_end)),
        })
    }

    /// The answer has ended; only the first call counts.
    pub(crate) fn close(&self, error: Option<Error>, cancelled: bool) {
        let on_end = self.on_end.lock().take();
        if let Some(on_end) = on_end {
            on_end(Outcome {
                rows: self.rows.load(Ordering::Relaxed),
                bytes: self.bytes.load(Ordering::Relaxed),
                error,
                cancelled,
            });
        }
    }

    /// The caller of `respond` gets the error; nobody else needs to hear.
    pub(crate) fn forget(&self) {
        self.on_end.lock().take();
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Nobody said how it ended: both sides were dropped half way.
        self.close(None, true);
    }
}

/// How a failed read ended.
enum Stop {
    Failed(Error),
    Gone,
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Gone => Stop::Gone,
            Refused::Memory(error) => Stop::Failed(error),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// Everything the task needs.
pub(crate) struct Producer {
    pub(crate) batches: BatchStream,
    pub(crate) encoder: Box<dyn Encoder>,
    pub(crate) compressor: Compressor,
    pub(crate) sender: Sender,
    /// What the encoder keeps inside.
    pub(crate) inside: Hold,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) problem: Problem,
    pub(crate) stop: BoxFuture<'static, Error>,
    /// Answered with the error when it fails before headers have left.
    pub(crate) early: Option<oneshot::Sender<Error>>,
}

type Problem = Box<dyn Fn(&Error) -> serde_json::Value + Send + Sync>;

impl Producer {
    pub(crate) async fn run(mut self) {
        match self.stream().await {
            // The body closes the ledger once the client has taken the end.
            Ok(()) => {}
            Err(Stop::Gone) => self.ledger.close(None, true),
            Err(Stop::Failed(error)) => self.fail(error).await,
        }
    }

    async fn stream(&mut self) -> Result<(), Stop> {
        let mut out = Output::default();
        // The first batch decides whether this is an answer or an error, so
        // nothing is sent before it.
        let mut next = self.batches.next().await.transpose()?;
        self.encoder.start(&mut out)?;
        while let Some(batch) = next {
            self.batch(batch, &mut out).await?;
            next = self.batches.next().await.transpose()?;
        }
        self.encoder.finish(&mut out)?;
        self.send(&mut out).await?;
        let compressor = std::mem::replace(&mut self.compressor, Compressor::Plain);
        for chunk in compressor.finish()? {
            self.chunk(chunk).await?;
        }
        Ok(self.sender.end(Item::End).await?)
    }

    async fn batch(&mut self, batch: RecordBatch, out: &mut Output) -> Result<(), Stop> {
        let rows = batch.num_rows();
        let parts = memory_of(&batch)
            .div_ceil(BATCH_BYTES)
            .clamp(1, rows.max(1));
        let step = rows.div_ceil(parts).max(1);
        for start in (0..rows).step_by(step) {
            let part = batch.slice(start, step.min(rows - start));
            self.encoder.batch(&part, out)?;
            if self.inside.try_set(self.encoder.held()).is_err() {
                // Smaller row groups rather than no memory.
                self.encoder.relieve(out)?;
                self.inside.set(self.encoder.held()).await?;
            }
            self.ledger
                .rows
                .fetch_add(part.num_rows() as u64, Ordering::Relaxed);
            self.send(out).await?;
        }
        Ok(())
    }

    async fn send(&mut self, out: &mut Output) -> Result<(), Stop> {
        for chunk in self.compressor.push(out.take())? {
            self.chunk(chunk).await?;
        }
        Ok(())
    }

    async fn chunk(&mut self, chunk: bytes::Bytes) -> Result<(), Stop> {
        self.early = None;
        self.ledger
            .bytes
            .fetch_add(chunk.len() as u64, Ordering::Relaxed);
        let stopped = tokio::select! {
            biased;
            sent = self.sender.chunk(chunk.clone()) => return Ok(sent?),
            error = &mut self.stop => error,
        };
        // Who waits here waits for the client. The source must not: its query
        // ends now, and what was cut for the client still goes out before the tail.
        self.batches = futures::stream::empty().boxed();
        self.stop = Box::pin(futures::future::pending());
        self.ledger.close(Some(copy(&stopped)), false);
        self.sender.chunk(chunk).await?;
        Err(Stop::Failed(stopped))
    }

    async fn fail(&mut self, error: Error) {
        let Some(error) = self.tell_early(error) else {
            return;
        };
        let problem = (self.problem)(&error);
        let mut out = Output::default();
        self.encoder.fail(&problem, &mut out);
        // Told before the tail is sent, which may take as long as the client likes.
        self.ledger.close(Some(error), false);
        // Whoever is gone by now needs no word of it.
        let _gone = self.last_words(&mut out).await;
    }

    async fn last_words(&mut self, out: &mut Output) -> Result<(), Stop> {
        let tail = out.take();
        let has_tail = !tail.is_empty();
        for chunk in self.compressor.push(tail)? {
            self.sender.tail(chunk).await?;
        }
        Ok(self.sender.end(Item::Failed { has_tail }).await?)
    }

    /// Hands the error to `respond` while that still waits; else gives it back.
    fn tell_early(&mut self, error: Error) -> Option<Error> {
        let Some(early) = self.early.take() else {
            return Some(error);
        };
        let unsent = early.send(error).err();
        if unsent.is_none() {
            self.ledger.forget();
        }
        unsent
    }
}

/// The half of an error that the ledger needs.
fn copy(error: &Error) -> Error {
    Error::new(error.kind(), error.message().to_owned()).code(error.stable_code())
}
