//! The batches of one read as a stream, made one after the other on threads
//! that may wait for a disk. Dropping the stream ends the work with the batch
//! it is at.

use weir_core::task::Compute;
use weir_core::{BatchStream, Context, Result};
use weir_kit::ahead::{Ahead, ahead};

use crate::scan::{Job, Work};

/// The batches of `job`, which starts at the first poll.
pub fn stream(job: Job, ctx: &Context) -> BatchStream {
    let (compute, memory) = (ctx.compute.clone(), ctx.memory.clone());
    let threads = compute.clone();
    ahead(compute, memory, |ahead| {
        produce(Work::new(job), ahead, threads)
    })
}

async fn produce(mut work: Work, ahead: Ahead, threads: Compute) -> Result<()> {
    let mut inside = ahead.hold();
    loop {
        let step = threads.blocking(move || {
            let next = work.next_batch();
            (work, next)
        });
        let (same, next) = step.await?;
        work = same;
        inside.set(work.held()).await?;
        let Some(batch) = next? else {
            return Ok(());
        };
        if !ahead.send(batch).await? {
            return Ok(());
        }
    }
}
