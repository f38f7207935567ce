//! The body of an answer: gives the chunks, and notices how it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use weir_core::Error;
use weir_core::task::Task;

use crate::produce::Ledger;
use crate::queue::{Item, Receiver};

/// The error that makes the server abort the connection or reset the stream.
#[derive(Debug)]
pub(crate) struct Aborted;

impl std::fmt::Display for Aborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the rows broke off; the run says why")
    }
}

impl std::error::Error for Aborted {}

/// Rows as a body. Dropping it aborts the task that makes them, which drops
/// the scan and so stops the query in the source.
pub(crate) struct RowsBody {
    pub(crate) receiver: Receiver,
    pub(crate) task: Option<Task<()>>,
    pub(crate) ledger: Arc<Ledger>,
    /// What was received before the headers left.
    pub(crate) first: Option<Item>,
    /// Runs once the rows have failed: until then the server may flush the tail.
    pub(crate) abort: Option<Pin<Box<Sleep>>>,
    /// Room of the chunk handed out last: it counts until the next is asked for.
    pub(crate) held: Option<OwnedSemaphorePermit>,
    pub(crate) is_done: bool,
}

/// An error drops what the server has not written yet, the tail included. A
/// body that waits lets it write first.
const FLUSH: Duration = Duration::from_millis(50);

impl RowsBody {
    fn poll_abort(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let abort = self
            .abort
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(FLUSH)));
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
            return self.poll_abort(cx);
        }
        self.held = None;
        let item = match self.first.take() {
            Some(first) => Some(first),
            None => std::task::ready!(self.receiver.poll_recv(cx)),
        };
        match item {
            Some(Item::Chunk(bytes, room)) => {
                self.held = Some(room);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Item::End) => {
                self.is_done = true;
                self.ledger.close(None, false);
                Poll::Ready(None)
            }
            Some(Item::Failed) => self.poll_abort(cx),
            None => {
                self.ledger.close(Some(panicked()), false);
                self.poll_abort(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_done
    }
}

impl Drop for RowsBody {
    fn drop(&mut self) {
        self.ledger.close(None, true);
        self.task.take();
    }
}
