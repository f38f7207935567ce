//! The batches of one read as a stream. A task on the compute runtime asks for
//! one after the other on threads that may wait for a disk; one batch waits
//! while the next is made, so a slow reader slows the file down. Dropping the
//! stream ends the work with the batch it is at.

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tokio::sync::mpsc;
use weir_core::task::{Compute, Task};
use weir_core::{BatchStream, Result};

use crate::scan::{Job, Work};

enum State {
    Ready(Box<Job>, Compute),
    Running(mpsc::Receiver<Result<RecordBatch>>, Task<()>),
    Ended,
}

/// The batches of `job`, which starts at the first poll.
pub fn stream(job: Job, compute: Compute) -> BatchStream {
    futures::stream::unfold(State::Ready(Box::new(job), compute), |state| async {
        let (mut queue, task) = match state {
            State::Ready(job, compute) => {
                let (sender, queue) = mpsc::channel(1);
                let work = Work::new(*job);
                (queue, compute.spawn(run(work, sender, compute.clone())))
            }
            State::Running(queue, task) => (queue, task),
            State::Ended => return None,
        };
        match queue.recv().await {
            Some(Ok(batch)) => Some((Ok(batch), State::Running(queue, task))),
            Some(Err(error)) => Some((Err(error), State::Ended)),
            // The queue also ends when the task panicked.
            None => task.await.err().map(|error| (Err(error), State::Ended)),
        }
    })
    .boxed()
}

async fn run(mut work: Work, sender: mpsc::Sender<Result<RecordBatch>>, compute: Compute) {
    loop {
        let step = compute.blocking(move || {
            let next = work.next_batch();
            (work, next)
        });
        let outcome = match step.await {
            Ok((same, next)) => {
                work = same;
                next
            }
            Err(error) => {
                let _ = sender.send(Err(error)).await;
                return;
            }
        };
        match outcome {
            Ok(Some(batch)) => {
                if sender.send(Ok(batch)).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                // Nobody is there to hear it when the reader has gone.
                let _ = sender.send(Err(error)).await;
                return;
            }
        }
    }
}
