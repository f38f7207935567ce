//! Chunks on their way from the compute task to the client, bounded in bytes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Chunks that may wait, whatever their size; bytes are the real bound.
const MAX_CHUNKS: usize = 1024;

/// What travels.
pub(crate) enum Item {
    /// Bytes, and the room they take until the client has taken them.
    Chunk(Bytes, OwnedSemaphorePermit),
    /// Everything came.
    End,
    /// It failed; the tail that says so has been sent.
    Failed,
}

/// The compute task's side.
pub(crate) struct Sender {
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
    capacity: u32,
}

/// The body's side.
pub(crate) type Receiver = mpsc::Receiver<Item>;

/// The other side is gone.
#[derive(Debug)]
pub(crate) struct Gone;

/// A queue that holds about `bytes`.
pub(crate) fn queue(bytes: usize) -> (Sender, Receiver) {
    let largest = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
    let capacity = bytes.clamp(1, largest);
    let (items, receiver) = mpsc::channel(MAX_CHUNKS);
    let sender = Sender {
        items,
        room: Arc::new(Semaphore::new(capacity)),
        capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
    };
    (sender, receiver)
}

impl Sender {
    /// Waits until there is room. A chunk larger than the queue waits until
    /// the queue is empty and then passes alone.
    pub(crate) async fn chunk(&self, bytes: Bytes) -> Result<(), Gone> {
        let size = u32::try_from(bytes.len())
            .unwrap_or(u32::MAX)
            .min(self.capacity);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(size)
            .await
            .map_err(|_| Gone)?;
        self.items
            .send(Item::Chunk(bytes, room))
            .await
            .map_err(|_| Gone)
    }

    pub(crate) async fn end(&self, item: Item) -> Result<(), Gone> {
        self.items.send(item).await.map_err(|_| Gone)
    }
}
