//! Batches made ahead of their reader: one waits while the next is made, so a
//! slow reader slows the source down. Dropping the stream ends the work.
//!
//! Batches start small and grow while the reader is the one who waits; a reader
//! that is slower than its source gets small ones, so that a thousand slow
//! readers cost little memory.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tokio::sync::mpsc;
use weir_core::memory::Hold;
use weir_core::task::{Compute, Task};
use weir_core::{Account, BatchStream, Result, memory_of};

/// Bytes of the first batches, and of those for a slow reader.
const LEAST_BYTES: usize = 512 << 10;
/// Bytes of a batch for a reader that waits for it.
const MOST_BYTES: usize = 4 << 20;
/// How many times its size must have been read before a batch may be that large:
/// what lies in the buffers of sockets says nothing about a reader.
const PROVEN: u64 = 8;

type Item = Result<(RecordBatch, Hold)>;

/// The side that makes batches.
pub struct Ahead {
    sender: mpsc::Sender<Item>,
    memory: Account,
    bytes: AtomicUsize,
    sent: AtomicU64,
}

impl Ahead {
    /// How many bytes the next batch should have.
    pub fn batch_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What the work itself keeps counts against the same memory.
    pub fn hold(&self) -> Hold {
        self.memory.hold()
    }

    /// Hands a batch over; waits while the one before has not been taken, or
    /// there is no memory for it. False when the reader has gone.
    pub async fn send(&self, batch: RecordBatch) -> Result<bool> {
        let size = memory_of(&batch);
        self.adapt(size as u64);
        let mut held = self.memory.hold();
        held.set(size).await?;
        Ok(self.sender.send(Ok((batch, held))).await.is_ok())
    }

    /// Larger batches for a reader that waits, smaller ones for one that does not.
    fn adapt(&self, size: u64) {
        let sent = self.sent.fetch_add(size, Ordering::Relaxed) + size;
        let bytes = self.batch_bytes();
        let is_awaited = self.sender.capacity() > 0;
        let next = match is_awaited {
            true if sent < PROVEN * 2 * bytes as u64 => bytes,
            true => bytes * 2,
            false => bytes / 2,
        };
        let next = next.clamp(LEAST_BYTES, MOST_BYTES);
        self.bytes.store(next, Ordering::Relaxed);
    }
}

enum State<W> {
    Ready(Box<W>, Compute, Account),
    Running(mpsc::Receiver<Item>, Task<()>),
    Ended,
}

/// The batches that `work` makes; it starts at the first poll.
pub fn ahead<W, F>(compute: Compute, memory: Account, work: W) -> BatchStream
where
    W: FnOnce(Ahead) -> F + Send + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let state = State::Ready(Box::new(work), compute, memory);
    futures::stream::unfold(state, |state| async {
        let (mut queue, task) = match state {
            State::Ready(work, compute, memory) => start(*work, &compute, memory),
            State::Running(queue, task) => (queue, task),
            State::Ended => return None,
        };
        match queue.recv().await {
            // From here on whoever asked for it accounts for it.
            Some(Ok((batch, _held))) => Some((Ok(batch), State::Running(queue, task))),
            Some(Err(error)) => Some((Err(error), State::Ended)),
            // The queue also ends when the task panicked.
            None => task.await.err().map(|error| (Err(error), State::Ended)),
        }
    })
    .boxed()
}

fn start<W, F>(work: W, compute: &Compute, memory: Account) -> (mpsc::Receiver<Item>, Task<()>)
where
    W: FnOnce(Ahead) -> F,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, queue) = mpsc::channel(1);
    let failed = sender.clone();
    let made = work(Ahead {
        sender,
        memory,
        bytes: AtomicUsize::new(LEAST_BYTES),
        sent: AtomicU64::new(0),
    });
    let task = compute.spawn(async move {
        if let Err(error) = made.await {
            // Nobody is there to hear it when the reader has gone.
            let _ = failed.send(Err(error)).await;
        }
    });
    (queue, task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use futures::TryStreamExt;
    use std::sync::Arc;
    use weir_core::{Error, Memory};

    fn batch(rows: usize) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![7; rows]));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    #[tokio::test]
    async fn all_batches_come_and_then_the_error() {
        let memory = Memory::new(1 << 20, 1 << 20);
        let rows = ahead(Compute::current(), memory.account(), async |ahead| {
            for _ in 0..3 {
                assert!(ahead.send(batch(10)).await?);
            }
            Err(Error::internal("on purpose"))
        });
        let seen: Vec<_> = rows.collect().await;
        assert_eq!(seen.len(), 4);
        assert!(seen[3].is_err() && seen[2].is_ok());
        assert_eq!(memory.figures().used, 0);
    }

    #[tokio::test]
    async fn a_batch_beyond_the_memory_of_a_request_is_refused() {
        let memory = Memory::new(1 << 20, 1 << 20);
        let rows = ahead(Compute::current(), memory.account(), async |ahead| {
            ahead.send(batch(1 << 20)).await.map(drop)
        });
        let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.stable_code(), "too_large_to_compute");
    }

    #[tokio::test]
    async fn a_reader_that_waits_gets_larger_batches_and_a_slow_one_smaller() {
        let (report, mut sizes) = mpsc::channel(80);
        let work = async move |ahead: Ahead| {
            for _ in 0..80 {
                let _gone = report.send(ahead.batch_bytes()).await;
                ahead.send(batch(64 << 10)).await?;
                // Lets the reader take it.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        let mut rows = ahead(Compute::current(), Account::unbounded(), work);
        while rows.next().await.is_some() {}
        let mut last = 0;
        while let Some(size) = sizes.recv().await {
            last = size;
        }
        assert_eq!(last, MOST_BYTES);
    }
}
