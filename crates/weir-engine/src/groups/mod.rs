//! Steps over groups of rows and over the order of rows.
//!
//! Each works in memory first: a table of keys, and what the groups amount to.
//! When that outgrows its room, the same is done over rows sorted by their key
//! (`external`), with the same answer.

mod accumulate;
mod aggregate;
mod broadcast;
mod difference;
mod duplicates;
mod external;
mod fill;
mod keys;
pub(crate) mod lanes;
mod line;
mod merge;
mod reading;
mod rings;
mod sequence;
mod shift;
mod steps;
mod table;

pub(crate) use accumulate::Function;
pub(crate) use aggregate::AggregateRows;
pub(crate) use broadcast::BroadcastRows;
pub(crate) use duplicates::DropRows;
pub(crate) use reading::Reading;
pub(crate) use shift::ShiftRows;
pub use steps::*;

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use weir_core::Result;
use weir_core::memory::Hold;

use crate::steps::Env;

/// Does `work` to several batches at once; what comes of them keeps their order.
pub(crate) fn side_by_side<T: Send + 'static, U: Send + 'static>(
    env: &Env,
    input: impl Stream<Item = Result<T>> + Send + 'static,
    work: impl Fn(T) -> Result<U> + Send + Sync + 'static,
) -> BoxStream<'static, Result<U>> {
    let (work, compute) = (Arc::new(work), env.compute().clone());
    let ahead = std::thread::available_parallelism().map_or(2, usize::from);
    let worked = input.map(move |item| {
        let work = Arc::clone(&work);
        compute.spawn(async move { work(item?) })
    });
    let worked = worked.buffered(ahead);
    worked.map(|done| done.and_then(|made| made)).boxed()
}

/// The share of a request's memory that one table of groups may fill.
const SHARE: usize = 4;

/// Bytes that one table may fill where the request may hold `limit`.
fn most_of(limit: usize) -> usize {
    #[cfg(test)]
    if let Some(room) = limit.checked_sub(naive_tests::LIMIT)
        && (1..=naive_tests::MOST_ROOM).contains(&room)
    {
        return room - 1;
    }
    limit / SHARE
}

/// The memory that a table of groups may fill.
pub(crate) struct Room {
    hold: Hold,
    most: usize,
}

impl Room {
    pub(crate) fn of(env: &Env) -> Self {
        Room {
            hold: env.hold(),
            most: most_of(env.request_limit()),
        }
    }

    /// Holds `bytes` from now on, if there is room for them.
    pub(crate) fn fits(&mut self, bytes: usize) -> bool {
        bytes <= self.most && self.hold.try_set(bytes).is_ok()
    }

    /// Holds `bytes` from now on, beyond the share of a table: what does not
    /// fit then is 413 `too_large_to_compute`.
    pub(crate) fn must_fit(&mut self, bytes: usize) -> Result<()> {
        self.hold.try_set(bytes)
    }

    /// Holds nothing any more.
    pub(crate) fn leave(&mut self) {
        // Less than before always succeeds.
        let _freed = self.hold.try_set(0);
    }
}

#[cfg(test)]
mod naive_tests;
#[cfg(test)]
mod tests;
