//! What a connection knows of its requests: how many run, when the last one
//! moved, and whether one of them has been left standing by its peer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

/// Shared between a connection and the bodies of its answers.
pub(crate) struct Exchanges {
    running: AtomicUsize,
    answered: AtomicUsize,
    moved: Mutex<Instant>,
    /// The peer speaks HTTP/2, where an answer may stand still while others move.
    is_shared: AtomicBool,
    /// When each answer that its peer could take now was last asked for.
    ready_since: Mutex<Vec<(usize, Instant)>>,
}

impl Exchanges {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Exchanges {
            running: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            moved: Mutex::new(Instant::now()),
            is_shared: AtomicBool::new(false),
            ready_since: Mutex::default(),
        })
    }

    /// A request's head is complete.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        let id = self.answered.fetch_add(1, Ordering::SeqCst);
        self.touch();
        Running {
            exchanges: Arc::clone(self),
            id,
        }
    }

    /// Requests that are being answered.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// How long no request began or ended.
    pub(crate) fn quiet(&self) -> Duration {
        self.moved.lock().elapsed()
    }

    /// The peer speaks HTTP/2.
    pub(crate) fn share(&self) {
        self.is_shared.store(true, Ordering::SeqCst);
    }

    fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::SeqCst)
    }

    /// Whether the peer has left an answer of HTTP/2 standing for longer than
    /// `limit`. In HTTP/1 the socket knows it.
    pub(crate) fn has_stalled(&self, limit: Duration) -> bool {
        let ready = self.ready_since.lock();
        ready.iter().any(|(_, since)| since.elapsed() > limit)
    }

    fn touch(&self) {
        *self.moved.lock() = Instant::now();
    }

    /// The answer `id` gave a chunk: until it is asked for the next one, the
    /// peer is who waits.
    fn gave(&self, id: usize) {
        let mut ready = self.ready_since.lock();
        match ready.iter_mut().find(|(other, _)| *other == id) {
            Some((_, since)) => *since = Instant::now(),
            None => ready.push((id, Instant::now())),
        }
    }

    /// The answer `id` was asked for more and has nothing yet.
    fn waits(&self, id: usize) {
        self.ready_since.lock().retain(|(other, _)| *other != id);
    }
}

/// One request, from the end of its head to the end of its answer.
pub(crate) struct Running {
    exchanges: Arc<Exchanges>,
    id: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.exchanges.waits(self.id);
        self.exchanges.running.fetch_sub(1, Ordering::SeqCst);
        self.exchanges.touch();
    }
}

/// Work for an answer panicked; the answer is aborted.
#[derive(Debug)]
pub(crate) struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("work for this answer panicked")
    }
}

impl std::error::Error for Panicked {}

/// The body of an answer that tells its connection how it moves.
pub(crate) struct Watched {
    body: axum::body::Body,
    running: Running,
    is_broken: bool,
    /// What is left of a chunk that goes out in pieces.
    rest: Bytes,
}

/// Bytes that a peer of HTTP/2 must take within the time of a stall.
const PIECE: usize = 64 << 10;

impl Watched {
    pub(crate) fn new(body: axum::body::Body, running: Running) -> Self {
        Watched {
            body,
            running,
            is_broken: false,
            rest: Bytes::new(),
        }
    }

    /// The first part of a frame. A large chunk handed over whole would look like
    /// a stall of a slow peer that takes it steadily.
    fn piece(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut bytes) if bytes.len() > PIECE => {
                self.rest = bytes.split_off(PIECE);
                Frame::data(bytes)
            }
            Ok(bytes) => Frame::data(bytes),
            Err(other) => other,
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_broken {
            return Poll::Ready(None);
        }
        if !self.rest.is_empty() {
            let rest = Frame::data(std::mem::take(&mut self.rest));
            let piece = self.piece(rest);
            self.running.exchanges.gave(self.running.id);
            return Poll::Ready(Some(Ok(piece)));
        }
        let polling = AssertUnwindSafe(|| Pin::new(&mut self.body).poll_frame(cx));
        let polled = match catch_unwind(polling) {
            Ok(polled) => polled,
            Err(_) => {
                self.is_broken = true;
                Poll::Ready(Some(Err(axum::Error::new(Panicked))))
            }
        };
        let shared = self.running.exchanges.is_shared();
        let polled = match polled {
            Poll::Ready(Some(Ok(frame))) if shared => Poll::Ready(Some(Ok(self.piece(frame)))),
            other => other,
        };
        let Running { exchanges, id } = &self.running;
        match &polled {
            Poll::Ready(Some(Ok(_))) if shared => exchanges.gave(*id),
            _ => exchanges.waits(*id),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_broken || (self.rest.is_empty() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
