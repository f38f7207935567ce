//! Chunks on their way from the compute task to the client, bounded in bytes.
//!
//! The window is small at first and widens while the client is the one who
//! waits: a fast client gets a deep queue, a slow one costs little memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use weir_core::memory::Hold;
use weir_core::{Account, Error};

/// Chunks that may wait, whatever their size; bytes are the real bound.
const MAX_CHUNKS: usize = 1024;

/// Bytes of a window at first.
const FIRST_WINDOW: u32 = 512 << 10;

/// How many times its size a client must have taken before a window may be that
/// wide: what lies in the buffers of sockets says nothing about a client.
const PROVEN: u64 = 8;

/// What travels.
pub(crate) enum Item {
    /// Bytes, and the room they take until the client has taken them.
    Chunk(Bytes, Room),
    /// Everything came.
    End,
    /// It failed; where the format has a tail that says so, it has been sent.
    Failed { has_tail: bool },
}

/// What a chunk takes while it is on its way.
pub(crate) struct Room {
    _place: OwnedSemaphorePermit,
    _held: Option<Hold>,
}

/// Why a chunk cannot go out.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The other side is gone.
    Gone,
    /// There is no memory for it.
    Memory(Error),
}

struct Window {
    room: Arc<Semaphore>,
    size: AtomicU32,
    most: u32,
}

/// The compute task's side.
pub(crate) struct Sender {
    items: mpsc::Sender<Item>,
    window: Arc<Window>,
    memory: Account,
}

/// The body's side.
pub(crate) struct Receiver {
    items: mpsc::Receiver<Item>,
    window: Arc<Window>,
    taken: u64,
}

/// A queue that holds about `bytes` once its reader is fast.
pub(crate) fn queue(bytes: usize, memory: Account) -> (Sender, Receiver) {
    let most = bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let size = most.min(FIRST_WINDOW);
    let (items, receiver) = mpsc::channel(MAX_CHUNKS);
    let window = Arc::new(Window {
        room: Arc::new(Semaphore::new(size as usize)),
        size: AtomicU32::new(size),
        most,
    });
    let sender = Sender {
        items,
        window: Arc::clone(&window),
        memory,
    };
    let receiver = Receiver {
        items: receiver,
        window,
        taken: 0,
    };
    (sender, receiver)
}

impl Sender {
    /// Waits until there is room, and memory. A chunk larger than the window
    /// waits until the queue is empty and then passes alone.
    pub(crate) async fn chunk(&self, bytes: Bytes) -> Result<(), Refused> {
        let mut held = self.memory.hold();
        held.set(bytes.len()).await.map_err(Refused::Memory)?;
        self.pass(bytes, Some(held)).await
    }

    /// A last word, which goes out whatever memory there is.
    pub(crate) async fn tail(&self, bytes: Bytes) -> Result<(), Refused> {
        self.pass(bytes, None).await
    }

    async fn pass(&self, bytes: Bytes, held: Option<Hold>) -> Result<(), Refused> {
        let size = u32::try_from(bytes.len())
            .unwrap_or(u32::MAX)
            .min(self.window.size.load(Ordering::Relaxed));
        let place = Arc::clone(&self.window.room)
            .acquire_many_owned(size)
            .await
            .map_err(|_| Refused::Gone)?;
        let room = Room {
            _place: place,
            _held: held,
        };
        let sent = self.items.send(Item::Chunk(bytes, room)).await;
        sent.map_err(|_| Refused::Gone)
    }

    pub(crate) async fn end(&self, item: Item) -> Result<(), Refused> {
        self.items.send(item).await.map_err(|_| Refused::Gone)
    }
}

impl Receiver {
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let polled = self.items.poll_recv(cx);
        match &polled {
            Poll::Ready(Some(Item::Chunk(bytes, _))) => self.taken += bytes.len() as u64,
            Poll::Ready(_) => {}
            // The client has taken all there was and could take more.
            Poll::Pending => self.window.widen(self.taken),
        }
        polled
    }

    /// Whether every chunk was taken and nothing is left but the end. Looks only
    /// once: what it takes is gone.
    pub(crate) fn is_at_end(&mut self) -> bool {
        matches!(self.items.try_recv(), Ok(Item::End))
    }

    pub(crate) async fn recv(&mut self) -> Option<Item> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }
}

impl Window {
    /// Doubles, as far as it may. Only the receiver calls it.
    fn widen(&self, taken: u64) {
        let size = self.size.load(Ordering::Relaxed);
        let more = size.min(self.most - size);
        if more > 0 && taken >= PROVEN * 2 * u64::from(size) {
            self.size.store(size + more, Ordering::Relaxed);
            self.room.add_permits(more as usize);
        }
    }
}
