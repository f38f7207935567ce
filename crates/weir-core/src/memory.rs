//! One budget of memory for the service, and one for each request.
//!
//! What holds rows for a while says how many bytes it holds: batches on their
//! way, queues, decoders, encoders, sorts. A request that reads rows is admitted
//! with a floor of its own, enough for a stream of small pieces to go on; what
//! goes beyond it comes from what all requests share. Where that is used up, a
//! stream waits, which slows its source down, and in the end is refused.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Kind, Result};

/// What an admitted request may hold whatever the others do.
const FLOOR: usize = 4 << 20;

/// The part of the budget that long requests leave to short ones.
const SPARED: usize = 8;

/// How long a request waits to be admitted.
const ADMIT_WAIT: Duration = Duration::from_secs(5);

/// How long a stream that runs waits for others to give memory back.
const HOLD_WAIT: Duration = Duration::from_secs(30);

/// Of the memory that the process may have: above this no long request begins …
const LONG_PERCENT: usize = 85;

/// … and above this none at all.
const SHORT_PERCENT: usize = 95;

/// How large the process is, and may be.
#[derive(Clone, Copy)]
pub struct Resident {
    /// Bytes that the machine or the control group gives it.
    pub limit: usize,
    /// Bytes that it has now, where that can be told.
    pub now: fn() -> Option<usize>,
}

/// Bytes of memory that the process has, as the system counts them in pages.
pub fn resident_bytes() -> Option<usize> {
    const PAGE: usize = 4_096;
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(PAGE)
}

/// The budget of the service. Cheap to clone.
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    limit: usize,
    request_limit: usize,
    resident: Option<Resident>,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    used: usize,
    waiting: usize,
}

/// What the budget looks like now, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Held, or reserved as floors.
    pub used: usize,
    /// At most.
    pub limit: usize,
    /// How many wait for memory.
    pub waiting: usize,
}

impl Memory {
    /// A budget of `limit` bytes, of which a request may take `request_limit`.
    pub fn new(limit: usize, request_limit: usize) -> Self {
        Memory(Arc::new(Shared {
            limit,
            request_limit: request_limit.min(limit),
            resident: None,
            state: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// The same; nothing new is admitted while the process itself is too large,
    /// whatever the books say: not everything that libraries hold is in them.
    pub fn watching(limit: usize, request_limit: usize, resident: Resident) -> Self {
        Memory(Arc::new(Shared {
            limit,
            request_limit: request_limit.min(limit),
            resident: Some(resident),
            state: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// Whether the process is too large for another request.
    fn is_swollen(&self, long: bool) -> bool {
        let Some(resident) = &self.0.resident else {
            return false;
        };
        let percent = if long { LONG_PERCENT } else { SHORT_PERCENT };
        (resident.now)().is_some_and(|now| now > resident.limit / 100 * percent)
    }

    /// A budget without bounds, for tools and tests.
    pub fn unbounded() -> Self {
        Memory::new(usize::MAX, usize::MAX)
    }

    /// The account of one request.
    pub fn account(&self) -> Account {
        Account(Arc::new(Owner {
            memory: self.clone(),
            books: Mutex::default(),
        }))
    }

    /// What it looks like now.
    pub fn figures(&self) -> Figures {
        let state = self.0.state.lock();
        Figures {
            used: state.used,
            limit: self.0.limit,
            waiting: state.waiting,
        }
    }

    /// Takes `bytes` if `spared` ones are left then.
    fn take(&self, bytes: usize, spared: usize) -> bool {
        let mut state = self.0.state.lock();
        match state.used.checked_add(bytes) {
            Some(used) if used <= self.0.limit - spared => {
                state.used = used;
                true
            }
            _ => false,
        }
    }

    fn give_back(&self, bytes: usize) {
        let is_awaited = {
            let mut state = self.0.state.lock();
            state.used = state.used.saturating_sub(bytes);
            state.waiting > 0
        };
        if is_awaited {
            self.0.freed.notify_waiters();
        }
    }

    /// Tries until `attempt` succeeds, fails for good, or `wait` is over.
    async fn patiently<T>(
        &self,
        wait: Duration,
        mut attempt: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let waiting = Waiting::of(self);
        let end = Instant::now() + wait;
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            // From here on no notice is missed.
            freed.as_mut().enable();
            match attempt() {
                Err(error) if error.kind() == Kind::Busy => {
                    if timeout_at(end, freed).await.is_err() {
                        return Err(error);
                    }
                }
                outcome => {
                    drop(waiting);
                    return outcome;
                }
            }
        }
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a Memory);

impl<'a> Waiting<'a> {
    fn of(memory: &'a Memory) -> Self {
        memory.0.state.lock().waiting += 1;
        Waiting(memory)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.state.lock().waiting -= 1;
    }
}

/// The memory of one request. Cheap to clone; what it was admitted with goes
/// back when the last clone is dropped.
#[derive(Clone)]
pub struct Account(Arc<Owner>);

struct Owner {
    memory: Memory,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    floor: usize,
    used: usize,
}

impl Books {
    /// What the budget of the service is charged.
    fn charged(&self) -> usize {
        self.used.max(self.floor)
    }
}

impl Account {
    /// An account without bounds, for tools and tests.
    pub fn unbounded() -> Self {
        Memory::unbounded().account()
    }

    /// Reserves the floor; waits a little where the service has none to give,
    /// then it is refused: 429 `memory_busy`. What may take `long` leaves a part
    /// of the budget to what does not, so that slow loads keep nobody from looking.
    pub async fn admit(&self, long: bool) -> Result<()> {
        let memory = &self.0.memory;
        let floor = FLOOR.min(memory.0.request_limit);
        let spared = if long { memory.0.limit / SPARED } else { 0 };
        memory
            .patiently(ADMIT_WAIT, || {
                if memory.is_swollen(long) {
                    return Err(busy(memory));
                }
                let mut books = self.0.books.lock();
                let before = books.charged();
                let after = books.used.max(floor);
                if !memory.take(after - before, spared) {
                    return Err(busy(memory));
                }
                books.floor = floor;
                Ok(())
            })
            .await
    }

    /// Something that holds nothing yet.
    pub fn hold(&self) -> Hold {
        Hold {
            account: self.clone(),
            bytes: 0,
        }
    }

    /// Bytes that one request may hold.
    pub fn request_limit(&self) -> usize {
        self.0.memory.0.request_limit
    }

    fn change(&self, from: usize, to: usize) -> Result<()> {
        let memory = &self.0.memory;
        let mut books = self.0.books.lock();
        let used = (books.used - from).saturating_add(to);
        if to > from && used > memory.0.request_limit {
            return Err(too_much(memory.0.request_limit));
        }
        let (before, after) = (books.charged(), used.max(books.floor));
        if after > before && !memory.take(after - before, 0) {
            return Err(busy(memory));
        }
        books.used = used;
        drop(books);
        if after < before {
            memory.give_back(before - after);
        }
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let charged = self.books.get_mut().charged();
        self.memory.give_back(charged);
    }
}

/// Bytes that are held until this is dropped.
pub struct Hold {
    account: Account,
    bytes: usize,
}

impl Hold {
    /// What it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds `bytes` from now on, if they are to be had: beyond the limit of the
    /// request it is 413 `too_large_to_compute`, beyond that of the service 429
    /// `memory_busy`. Less than before always succeeds.
    pub fn try_set(&mut self, bytes: usize) -> Result<()> {
        self.account.change(self.bytes, bytes)?;
        self.bytes = bytes;
        Ok(())
    }

    /// The same, but waits for other requests to give memory back.
    pub async fn set(&mut self, bytes: usize) -> Result<()> {
        match self.try_set(bytes) {
            Err(error) if error.kind() == Kind::Busy => {}
            outcome => return outcome,
        }
        let memory = self.account.0.memory.clone();
        memory.patiently(HOLD_WAIT, || self.try_set(bytes)).await
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Giving back cannot fail.
        let _given = self.account.change(self.bytes, 0);
    }
}

fn busy(memory: &Memory) -> Error {
    let limit = memory.0.limit;
    Error::new(
        Kind::Busy,
        format!("the requests that run use all of the {limit} bytes of memory that there are"),
    )
    .code("memory_busy")
    .hint("try again when other requests have ended, or raise WEIR_MEMORY_BYTES of the service")
    .retry_after(Duration::from_secs(2))
}

fn too_much(limit: usize) -> Error {
    Error::new(
        Kind::TooLarge,
        format!("the request needs more than {limit} bytes of memory at once"),
    )
    .code("too_large_to_compute")
    .hint("ask for fewer columns or rows, or raise WEIR_MEMORY_REQUEST_BYTES of the service")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Compute;

    const MIB: usize = 1 << 20;

    #[test]
    fn what_is_dropped_is_given_back() {
        let memory = Memory::new(10 * MIB, 8 * MIB);
        let account = memory.account();
        let mut hold = account.hold();
        hold.try_set(6 * MIB).unwrap();
        let mut second = account.hold();
        assert_eq!(
            second.try_set(3 * MIB).unwrap_err().stable_code(),
            "too_large_to_compute"
        );
        let other = memory.account();
        let mut third = other.hold();
        let refused = third.try_set(5 * MIB).unwrap_err();
        assert_eq!(refused.stable_code(), "memory_busy");
        hold.try_set(MIB).unwrap();
        third.try_set(5 * MIB).unwrap();
        assert_eq!(memory.figures().used, 6 * MIB);
        drop((hold, second, third));
        assert_eq!(memory.figures().used, 0);
    }

    #[tokio::test]
    async fn nothing_begins_while_the_process_is_too_large() {
        let with = |now: fn() -> Option<usize>| {
            let limit = 100 * MIB;
            Memory::watching(MIB * 50, MIB * 20, Resident { limit, now })
        };
        let fine = with(|| Some(80 * MIB));
        assert!(!fine.is_swollen(true));
        fine.account().admit(true).await.unwrap();
        let large = with(|| Some(90 * MIB));
        assert!(large.is_swollen(true) && !large.is_swollen(false));
        large.account().admit(false).await.unwrap();
        let refused = large.account().admit(true).await.unwrap_err();
        assert_eq!(refused.stable_code(), "memory_busy");
        assert!(with(|| Some(99 * MIB)).is_swollen(false));
        assert!(!with(|| None).is_swollen(true));
    }

    #[tokio::test]
    async fn a_floor_is_there_whatever_others_take() {
        let memory = Memory::new(9 * MIB, 8 * MIB);
        let admitted = memory.account();
        admitted.admit(false).await.unwrap();
        assert_eq!(memory.figures().used, FLOOR);
        let greedy = memory.account();
        let mut most = greedy.hold();
        most.try_set(5 * MIB).unwrap();
        let mut own = admitted.hold();
        own.set(FLOOR).await.unwrap();
        assert!(own.try_set(FLOOR + 1).is_err());
        assert_eq!(own.bytes(), FLOOR);
        drop((own, admitted));
        assert_eq!(memory.figures().used, 5 * MIB);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_waits_goes_on_when_others_give_back() {
        let memory = Memory::new(4 * MIB, 4 * MIB);
        let compute = Compute::current();
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let memory = memory.clone();
                compute.spawn(async move {
                    let account = memory.account();
                    let mut hold = account.hold();
                    for round in 0..50 {
                        hold.set(MIB + (n * 7 + round) % 3 * MIB).await.unwrap();
                        tokio::task::yield_now().await;
                        hold.try_set(0).unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let figures = memory.figures();
        assert_eq!((figures.used, figures.waiting), (0, 0));
    }
}
