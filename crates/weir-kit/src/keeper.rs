//! A keeper of connections: bounded, reused when idle, and strict about what
//! comes back. A connection that is not handed back is gone, so whoever is
//! unsure about the state of one just drops it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_core::task::Compute;
use weir_core::{Error, Kind, Result};

/// The bounds of a keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperSettings {
    /// Connections at once.
    pub max: usize,
    /// How long a caller waits for a place.
    pub wait: Duration,
    /// An idle connection is closed after this long.
    pub idle: Duration,
    /// A connection is not reused when it is older.
    pub recycle: Duration,
}

impl Default for KeeperSettings {
    fn default() -> Self {
        KeeperSettings {
            max: 10,
            wait: Duration::from_secs(5),
            idle: Duration::from_secs(5 * 60),
            recycle: Duration::from_secs(30 * 60),
        }
    }
}

/// Keeps the connections of one source and one version of its credentials.
/// Dropping it closes what is idle; what is in use goes when it comes back.
pub struct Keeper<T>(Arc<Inner<T>>);

struct Inner<T> {
    settings: KeeperSettings,
    places: Arc<Semaphore>,
    idle: Mutex<Idle<T>>,
}

struct Idle<T> {
    /// The most recently used is last and is taken first.
    kept: Vec<Kept<T>>,
    reaping: bool,
}

/// A connection with its age.
pub struct Kept<T> {
    /// The connection.
    pub item: T,
    born: Instant,
    used: Instant,
}

impl<T> Kept<T> {
    /// A connection that was made just now.
    pub fn new(item: T) -> Self {
        let now = Instant::now();
        Kept {
            item,
            born: now,
            used: now,
        }
    }
}

impl<T: Send + 'static> Keeper<T> {
    /// A keeper without connections yet.
    pub fn new(settings: KeeperSettings) -> Self {
        let places = Arc::new(Semaphore::new(settings.max));
        let idle = Mutex::new(Idle {
            kept: Vec::new(),
            reaping: false,
        });
        Keeper(Arc::new(Inner {
            settings,
            places,
            idle,
        }))
    }

    /// Places that are taken, and how many there are.
    pub fn used(&self) -> (usize, usize) {
        let most = self.0.settings.max;
        (most.saturating_sub(self.0.places.available_permits()), most)
    }

    /// A place for one connection. Waits a bounded time when all are taken,
    /// then answers `source_busy`.
    pub async fn place(&self) -> Result<Place<T>> {
        let places = Arc::clone(&self.0.places);
        match tokio::time::timeout(self.0.settings.wait, places.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place {
                inner: Arc::clone(&self.0),
                _permit: permit,
            }),
            Ok(Err(closed)) => Err(Error::internal(closed)),
            Err(_) => Err(self.busy()),
        }
    }

    fn busy(&self) -> Error {
        let KeeperSettings { max, wait, .. } = &self.0.settings;
        let message = format!(
            "all {max} connections of this source were in use for {} s",
            wait.as_secs_f32()
        );
        Error::new(Kind::Busy, message)
            .code("source_busy")
            .hint("try again when other loads have ended, or raise pool.max of the source")
            .retry_after(Duration::from_secs(1).max(*wait))
    }
}

/// The right to have one connection. It is free again when this is dropped.
pub struct Place<T> {
    inner: Arc<Inner<T>>,
    _permit: OwnedSemaphorePermit,
}

impl<T: Send + 'static> Place<T> {
    /// A connection that was used before, if one is idle and young enough.
    /// The caller must still find out whether the other side is there.
    pub fn idle(&self) -> Option<Kept<T>> {
        let mut idle = self.inner.idle.lock();
        while let Some(kept) = idle.kept.pop() {
            if self.inner.is_fresh(&kept, Instant::now()) {
                return Some(kept);
            }
        }
        None
    }

    /// Hands a connection back after a clean end, for the next caller.
    pub fn hand_back(self, mut kept: Kept<T>, compute: &Compute) {
        kept.used = Instant::now();
        if !self.inner.is_fresh(&kept, kept.used) {
            return;
        }
        let mut idle = self.inner.idle.lock();
        idle.kept.push(kept);
        if !idle.reaping {
            idle.reaping = true;
            compute.spawn(reap(Arc::downgrade(&self.inner))).detach();
        }
    }
}

impl<T> Inner<T> {
    fn is_fresh(&self, kept: &Kept<T>, now: Instant) -> bool {
        now.duration_since(kept.born) < self.settings.recycle
            && now.duration_since(kept.used) < self.settings.idle
    }
}

/// Closes connections that nobody wanted for a while; ends when none is left.
async fn reap<T>(keeper: std::sync::Weak<Inner<T>>) {
    loop {
        let Some(pause) = keeper.upgrade().map(|inner| inner.settings.idle / 2) else {
            return;
        };
        tokio::time::sleep(pause.max(Duration::from_millis(10))).await;
        let Some(inner) = keeper.upgrade() else {
            return;
        };
        let mut idle = inner.idle.lock();
        let now = Instant::now();
        idle.kept.retain(|kept| inner.is_fresh(kept, now));
        if idle.kept.is_empty() {
            idle.reaping = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(max: usize) -> Keeper<u32> {
        Keeper::new(KeeperSettings {
            max,
            wait: Duration::from_millis(20),
            idle: Duration::from_millis(100),
            recycle: Duration::from_secs(60),
        })
    }

    #[tokio::test]
    async fn only_what_is_handed_back_is_reused() {
        let keeper = keeper(2);
        let compute = Compute::current();
        let place = keeper.place().await.unwrap();
        assert!(place.idle().is_none());
        place.hand_back(Kept::new(7), &compute);
        let place = keeper.place().await.unwrap();
        assert_eq!(place.idle().unwrap().item, 7);
        drop(place);
        assert!(keeper.place().await.unwrap().idle().is_none());
    }

    #[tokio::test]
    async fn a_full_keeper_says_busy_and_frees_places() {
        let keeper = keeper(1);
        let place = keeper.place().await.unwrap();
        let error = keeper.place().await.err().unwrap();
        assert_eq!(
            (error.kind(), error.stable_code()),
            (Kind::Busy, "source_busy")
        );
        assert!(error.retry_after_hint().is_some());
        drop(place);
        assert!(keeper.place().await.is_ok());
    }

    #[tokio::test]
    async fn idle_connections_are_closed_after_a_while() {
        let keeper = keeper(1);
        let compute = Compute::current();
        keeper
            .place()
            .await
            .unwrap()
            .hand_back(Kept::new(1), &compute);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let idle = keeper.0.idle.lock();
        assert!(idle.kept.is_empty() && !idle.reaping);
    }
}
