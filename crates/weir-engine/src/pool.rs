//! The memory of one request's plan, shared fairly by its operators and drawn
//! from the request's account: what does not fit spills.

use std::fmt;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};
use parking_lot::Mutex;
use weir_core::Account;
use weir_core::memory::Hold;

use crate::scratch::Scratch;

/// Operators of one request: those that can spill share a part of its memory
/// evenly, so that the rest is there for those that cannot.
pub(crate) struct RequestPool {
    limit: usize,
    /// Where they spill to: there as long as any of them.
    _scratch: Arc<Scratch>,
    state: Mutex<State>,
}

struct State {
    held: Hold,
    /// How many operators can spill.
    spilling: usize,
    /// Bytes of those that can spill.
    spillable: usize,
    /// Bytes of those that cannot.
    fixed: usize,
}

/// The part of a request's memory that is not for operators: what they could
/// take to the last byte would be missing for the batches that they work on.
const STREAM_PART: usize = 4;

/// The part of the operators' memory that is kept for those that cannot spill:
/// merges of what was spilled, tables of hashes.
const FIXED_PART: usize = 3;

impl RequestPool {
    pub(crate) fn new(account: &Account, scratch: Arc<Scratch>) -> Self {
        let limit = account.request_limit();
        RequestPool {
            limit: limit - limit / STREAM_PART,
            _scratch: scratch,
            state: Mutex::new(State {
                held: account.hold(),
                spilling: 0,
                spillable: 0,
                fixed: 0,
            }),
        }
    }

    fn short(
        &self,
        wanted: usize,
        left: usize,
        reservation: &MemoryReservation,
    ) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!(
            "{} more for {}, which has {}: {} of {} are left",
            human_readable_size(wanted),
            reservation.consumer().name(),
            human_readable_size(reservation.size()),
            human_readable_size(left),
            human_readable_size(self.limit)
        ))
    }
}

impl State {
    fn reserved(&self) -> usize {
        self.spillable + self.fixed
    }

    fn change(&mut self, can_spill: bool, change: impl Fn(usize) -> usize) {
        let part = if can_spill {
            &mut self.spillable
        } else {
            &mut self.fixed
        };
        *part = change(*part);
    }

    /// Accounts for what is reserved now.
    fn settle(&mut self) -> weir_core::Result<()> {
        let reserved = self.reserved();
        self.held.try_set(reserved)
    }
}

impl fmt::Debug for RequestPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestPool").finish_non_exhaustive()
    }
}

impl fmt::Display for RequestPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weir({} bytes reserved)", self.reserved())
    }
}

impl MemoryPool for RequestPool {
    fn name(&self) -> &str {
        "weir"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.state.lock().spilling += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut state = self.state.lock();
        state.spilling -= usize::from(consumer.can_spill());
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut state = self.state.lock();
        state.change(reservation.consumer().can_spill(), |n| n + additional);
        // It must succeed; what is missing shows at the next attempt to grow.
        let _missing = state.settle();
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut state = self.state.lock();
        state.change(reservation.consumer().can_spill(), |n| n - shrink);
        let _less = state.settle();
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.state.lock();
        let can_spill = reservation.consumer().can_spill();
        let left = if can_spill {
            let kept = state.fixed.max(self.limit / FIXED_PART);
            // Nobody gives back when another comes, so one share is kept for it.
            let share = self.limit.saturating_sub(kept) / (state.spilling + 1);
            share.saturating_sub(reservation.size())
        } else {
            self.limit.saturating_sub(state.reserved())
        };
        if additional > left {
            return Err(self.short(additional, left, reservation));
        }
        state.change(can_spill, |n| n + additional);
        state.settle().map_err(|refused| {
            state.change(can_spill, |n| n - additional);
            DataFusionError::ResourcesExhausted(refused.message().to_owned())
        })
    }

    fn reserved(&self) -> usize {
        self.state.lock().reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}
