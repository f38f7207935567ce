//! The memory of one request's plan, shared fairly by its operators and drawn
//! from the request's account: what does not fit spills.

use std::fmt;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use parking_lot::Mutex;
use weir_core::Account;
use weir_core::memory::Hold;

/// Operators of one request.
pub(crate) struct RequestPool {
    fair: FairSpillPool,
    held: Mutex<Hold>,
}

/// The part of a request's memory that is not for operators: what they could
/// take to the last byte would be missing for the batches that they work on.
const STREAM_PART: usize = 4;

impl RequestPool {
    pub(crate) fn new(account: &Account) -> Self {
        let limit = account.request_limit();
        RequestPool {
            fair: FairSpillPool::new(limit - limit / STREAM_PART),
            held: Mutex::new(account.hold()),
        }
    }

    /// Accounts for what is reserved now.
    fn settle(&self) -> weir_core::Result<()> {
        self.held.lock().try_set(self.fair.reserved())
    }
}

impl fmt::Debug for RequestPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestPool").finish_non_exhaustive()
    }
}

impl fmt::Display for RequestPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weir({} bytes reserved)", self.fair.reserved())
    }
}

impl MemoryPool for RequestPool {
    fn name(&self) -> &str {
        "weir"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.fair.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.fair.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.fair.grow(reservation, additional);
        // It must succeed; what is missing shows at the next attempt to grow.
        let _missing = self.settle();
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.fair.shrink(reservation, shrink);
        let _less = self.settle();
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.fair.try_grow(reservation, additional)?;
        self.settle().map_err(|refused| {
            self.fair.shrink(reservation, additional);
            DataFusionError::ResourcesExhausted(refused.message().to_owned())
        })
    }

    fn reserved(&self) -> usize {
        self.fair.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.fair.memory_limit()
    }
}
