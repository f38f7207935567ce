//! The one home of spawned work: a compute runtime apart from the one that
//! serves HTTP, so that decoding never delays a health check. And of the guard
//! behind which libraries read what strangers wrote.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// A handle to the compute runtime.
#[derive(Debug, Clone)]
pub struct Compute {
    handle: tokio::runtime::Handle,
    /// Threads that may block at once. Most of what blocks decodes files as well,
    /// and a hundred of them would leave no processor for anybody else.
    slots: Arc<Semaphore>,
}

/// Threads that may block at once, for each processor.
const BLOCKING_PER_PROCESSOR: usize = 2;

impl Compute {
    /// Work goes to the runtime behind `handle`.
    pub fn new(handle: tokio::runtime::Handle) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Compute {
            handle,
            slots: Arc::new(Semaphore::new(processors * BLOCKING_PER_PROCESSOR)),
        }
    }

    /// Work goes to the runtime this is called in.
    pub fn current() -> Self {
        Compute::new(tokio::runtime::Handle::current())
    }

    /// Tasks of the runtime that have not ended.
    pub fn tasks_alive(&self) -> usize {
        self.handle.metrics().num_alive_tasks()
    }

    /// Spawns `work`; dropping the task aborts it.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of spawn")]
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        Task(Some(self.handle.spawn(work)))
    }

    /// Runs blocking `work` on a thread of its own kind, once one is free; what
    /// has begun cannot be aborted. It must not wait for other blocking work.
    pub fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T> {
        self.blocking_with(|_| work())
    }

    /// As [`Compute::blocking`], for work that waits for others between its steps,
    /// such as for the reader of what it makes: through its [`Slot`], which somebody
    /// else has meanwhile.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of spawn")]
    pub fn blocking_with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Slot) -> T + Send + 'static,
    ) -> Task<T> {
        let (handle, slots) = (self.handle.clone(), Arc::clone(&self.slots));
        self.spawn(async move {
            // Never closed; without a slot it would only run less politely.
            let permit = Arc::clone(&slots).acquire_owned().await.ok();
            let mut slot = Slot {
                handle: handle.clone(),
                slots,
                permit,
            };
            let begun = handle.spawn_blocking(move || work(&mut slot));
            match begun.await {
                Ok(value) => value,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    // The runtime stops, and this task with it.
                    Err(_) => std::future::pending().await,
                },
            }
        })
    }
}

/// The slot of blocking work that also waits for others; see
/// [`Compute::blocking_with`].
#[derive(Debug)]
pub struct Slot {
    handle: tokio::runtime::Handle,
    slots: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Slot {
    /// Waits for `future` without keeping anybody else from blocking meanwhile.
    pub fn wait<F: Future>(&mut self, future: F) -> F::Output {
        self.permit = None;
        let value = self.handle.block_on(future);
        let again = Arc::clone(&self.slots).acquire_owned();
        self.permit = self.handle.block_on(again).ok();
        value
    }
}

/// Spawned work. Awaiting it gives its value, or an error when it panicked;
/// dropping it aborts it.
#[derive(Debug)]
pub struct Task<T>(Option<tokio::task::JoinHandle<T>>);

impl<T> Task<T> {
    /// Lets the work run on its own to its end.
    pub fn detach(mut self) {
        self.0.take();
    }

    /// Aborts the work.
    pub fn abort(&self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }

    /// Whether the work has ended.
    pub fn is_finished(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(tokio::task::JoinHandle::is_finished)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Some(handle) = self.0.as_mut() else {
            return Poll::Ready(Err(Error::internal("task polled after it was detached")));
        };
        Pin::new(handle).poll(cx).map_err(|error| {
            if error.is_cancelled() {
                crate::context::cancelled()
            } else {
                Error::internal(format!("a task panicked: {error}")).code("panic")
            }
        })
    }
}

thread_local! {
    /// Guards within guards that this thread is in.
    static GUARDS: Cell<u32> = const { Cell::new(0) };
}

/// Work behind a guard panicked. What the panic said is not kept: it may quote
/// the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

struct Within;

impl Within {
    fn enter() -> Self {
        GUARDS.set(GUARDS.get().saturating_add(1));
        Within
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        GUARDS.set(GUARDS.get().saturating_sub(1));
    }
}

/// Runs `work`, mostly a library's on bytes of strangers, whose panic is the
/// content's fault and ends nothing else. What `work` has changed by then is in
/// no known state and must not be used again.
pub fn guarded<T>(work: impl FnOnce() -> T) -> std::result::Result<T, Panicked> {
    let within = Within::enter();
    let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked);
    drop(within);
    outcome
}

/// Whether this thread is behind a guard: how a panic hook tells a panic that
/// is expected of hostile content from one of ours.
pub fn is_guarded() -> bool {
    GUARDS.get() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn few_threads_block_at_once_and_a_panic_is_told() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let compute = Compute::current();
        let most = compute.slots.available_permits();
        let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..most * 5)
            .map(|_| {
                let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
                compute.blocking(move || {
                    peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(peak.load(Ordering::SeqCst) <= most);
        let panics = |here: bool| assert!(!here, "on purpose");
        let error = compute.blocking(move || panics(true)).await.unwrap_err();
        assert_eq!(error.stable_code(), "panic");
        assert_eq!(compute.slots.available_permits(), most);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_that_waits_gives_its_slot_to_others() {
        let compute = Compute::current();
        let most = compute.slots.available_permits();
        let (open, opened) = tokio::sync::watch::channel(false);
        let waiting: Vec<_> = (0..most)
            .map(|_| {
                let mut opened = opened.clone();
                compute.blocking_with(move |slot| {
                    slot.wait(async { opened.wait_for(|open| *open).await.is_ok() })
                })
            })
            .collect();
        // Would never begin if those kept their slots.
        assert_eq!(compute.blocking(|| 7).await.unwrap(), 7);
        open.send(true).unwrap();
        for task in waiting {
            assert!(task.await.unwrap());
        }
        assert_eq!(compute.slots.available_permits(), most);
    }

    #[test]
    fn a_panic_behind_a_guard_is_a_value_and_the_hook_can_tell() {
        assert_eq!(guarded(|| (is_guarded(), 5)), Ok((true, 5)));
        let outer = guarded(|| {
            let inner = guarded(|| panic!("of a library"));
            (inner, is_guarded())
        });
        assert_eq!(outer, Ok((Err::<(), _>(Panicked), true)));
        assert!(!is_guarded());
    }
}
