//! The body of an answer: gives the chunks, and notices how it ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::Frame;
use tokio::sync::mpsc;
use weir_core::Error;
use weir_core::task::Task;

use crate::produce::Ledger;
use crate::queue::{Item, Receiver, Room};

/// The error that makes the server abort the connection or reset the stream.
#[derive(Debug)]
pub(crate) struct Aborted;

impl std::fmt::Display for Aborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the rows broke off; the run says why")
    }
}

impl std::error::Error for Aborted {}

/// A chunk with a mark that the server lets go of together with the bytes: in
/// HTTP/1 once the socket has taken them, in HTTP/2 once they are framed, so that
/// a reset can only come behind them.
struct Marked {
    bytes: Bytes,
    _mark: mpsc::Sender<Infallible>,
}

impl AsRef<[u8]> for Marked {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Rows as a body. Dropping it aborts the task that makes them, which drops
/// the scan and so stops the query in the source.
pub(crate) struct RowsBody {
    pub(crate) receiver: Receiver,
    pub(crate) task: Option<Task<()>>,
    pub(crate) ledger: Arc<Ledger>,
    /// What was received before the headers left.
    pub(crate) first: Option<Item>,
    /// Marks the chunks that the server has.
    pub(crate) mark: Option<mpsc::Sender<Infallible>>,
    /// Ends when no chunk is marked any more.
    pub(crate) marks: Option<mpsc::Receiver<Infallible>>,
    /// Runs once the rows have failed.
    pub(crate) abort: Option<BoxFuture<'static, ()>>,
    /// Room of the chunk handed out last: it counts until the next is asked for.
    pub(crate) held: Option<Room>,
    pub(crate) is_done: bool,
    /// Dropped with the body.
    pub(crate) _kept: Box<dyn Send + Sync>,
}

/// How long the tail may take. Who is slower than this sees the cut alone. (A
/// reader who takes nothing at all is given up by the server, which drops the body.)
const TAIL: Duration = Duration::from_secs(60);

/// What is written may still lie in a buffer below the server: that of TLS.
const FLUSH: Duration = Duration::from_millis(50);

/// How long a client may take to read the tail once it is written. Clients of
/// HTTP/2 and every `fetch` throw away what waits to be read when the error comes,
/// and arrow-js takes that error for the end: it must have seen the tail before.
const READ: Duration = Duration::from_millis(500);

/// Ready when the server may drop what it was given: an error makes it drop
/// what it has not written yet, the tail included.
async fn written(marks: Option<mpsc::Receiver<Infallible>>, has_tail: bool) {
    if let Some(mut marks) = marks {
        let _all = tokio::time::timeout(TAIL, marks.recv()).await;
    }
    tokio::time::sleep(if has_tail { READ } else { FLUSH }).await;
}

impl RowsBody {
    fn marked(&self, bytes: Bytes) -> Bytes {
        match self.mark.clone() {
            Some(_mark) => Bytes::from_owner(Marked { bytes, _mark }),
            None => bytes,
        }
    }

    fn poll_abort(
        &mut self,
        cx: &mut Context<'_>,
        has_tail: bool,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        self.mark = None;
        let marks = &mut self.marks;
        let abort = self
            .abort
            .get_or_insert_with(|| written(marks.take(), has_tail).boxed());
        std::task::ready!(abort.as_mut().poll(cx));
        self.is_done = true;
        Poll::Ready(Some(Err(Aborted)))
    }
}

/// The task ended without a word. Never a short success.
pub(crate) fn panicked() -> Error {
    Error::internal("encoding rows panicked").code("panic")
}

impl http_body::Body for RowsBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        if self.abort.is_some() {
            return self.poll_abort(cx, false);
        }
        self.held = None;
        let item = match self.first.take() {
            Some(first) => Some(first),
            None => std::task::ready!(self.receiver.poll_recv(cx)),
        };
        match item {
            Some(Item::Chunk(bytes, room)) => {
                self.held = Some(room);
                Poll::Ready(Some(Ok(Frame::data(self.marked(bytes)))))
            }
            Some(Item::End) => {
                self.is_done = true;
                self.ledger.close(None, false);
                Poll::Ready(None)
            }
            Some(Item::Failed { has_tail }) => self.poll_abort(cx, has_tail),
            None => {
                self.ledger.close(Some(panicked()), false);
                self.poll_abort(cx, false)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_done
    }
}

impl Drop for RowsBody {
    fn drop(&mut self) {
        // Readers of Arrow go when they have read its end, not that of the body.
        let is_whole = self.first.is_none() && self.receiver.is_at_end();
        self.ledger.close(None, !is_whole);
        self.task.take();
    }
}
