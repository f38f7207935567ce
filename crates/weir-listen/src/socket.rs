//! A socket that gives up on a peer that takes nothing, or that does not end
//! the head it began.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::exchange::Exchanges;

/// The first bytes of HTTP/2.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A guarded socket.
pub(crate) struct Socket<S> {
    inner: S,
    exchanges: Arc<Exchanges>,
    head_limit: Duration,
    write_limit: Duration,
    /// Runs while a head is being read, and how many had been read before it.
    head: Option<(Pin<Box<Sleep>>, usize)>,
    /// Runs while the peer takes nothing.
    write: Option<Pin<Box<Sleep>>>,
    /// How much of the preface has come; more than its length once it is known
    /// that the peer speaks HTTP/1.
    preface: usize,
}

impl<S> Socket<S> {
    /// `accepted` is when the connection began: the first head counts from it.
    pub(crate) fn new(
        inner: S,
        exchanges: Arc<Exchanges>,
        accepted: Instant,
        head_limit: Duration,
        write_limit: Duration,
    ) -> Self {
        let first = tokio::time::sleep_until(accepted + head_limit);
        Socket {
            inner,
            exchanges,
            head_limit,
            write_limit,
            head: Some((Box::pin(first), 0)),
            write: None,
            preface: 0,
        }
    }

    fn is_http2(&self) -> bool {
        self.preface == PREFACE.len()
    }

    /// Looks at what came, to tell the two protocols apart as the server does.
    fn sniff(&mut self, bytes: &[u8]) {
        if self.preface >= PREFACE.len() {
            return;
        }
        let expected = &PREFACE[self.preface..];
        let common = bytes.len().min(expected.len());
        if bytes[..common] == expected[..common] {
            self.preface += common;
        } else {
            self.preface = PREFACE.len() + 1;
        }
        if self.is_http2() {
            // Heads of HTTP/2 are bounded in bytes, the connection by its pings.
            self.head = None;
            self.exchanges.share();
        }
    }

    /// Bytes came while no request runs: a head has begun.
    fn begin_head(&mut self) {
        if self.head.is_none() && !self.is_http2() && self.exchanges.running() == 0 {
            let timer = tokio::time::sleep(self.head_limit);
            self.head = Some((Box::pin(timer), self.exchanges.answered()));
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let Some((timer, before)) = self.head.as_mut() else {
            return Poll::Pending;
        };
        if self.exchanges.answered() > *before {
            // It is complete; what comes now is its body or the next head.
            self.head = None;
            return Poll::Pending;
        }
        timer.as_mut().poll(cx).map(|()| {
            metrics::counter!("weir_connections_closed_total", "why" => "head_timeout")
                .increment(1);
            Error::new(
                ErrorKind::TimedOut,
                "the request's head did not come in time",
            )
        })
    }

    fn stalled<T>(&mut self, cx: &mut Context<'_>, polled: Poll<Result<T>>) -> Poll<Result<T>> {
        if polled.is_ready() {
            self.write = None;
            return polled;
        }
        let limit = self.write_limit;
        let timer = self
            .write
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        timer.as_mut().poll(cx).map(|()| {
            metrics::counter!("weir_connections_closed_total", "why" => "write_stall").increment(1);
            Err(Error::new(ErrorKind::TimedOut, "the peer takes nothing"))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(outcome) = Pin::new(&mut self.inner).poll_read(cx, buffer) {
            outcome?;
            let came = &buffer.filled()[before..];
            if !came.is_empty() {
                self.sniff(came);
                self.begin_head();
            }
            return Poll::Ready(Ok(()));
        }
        self.poll_head(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.stalled(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.stalled(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.stalled(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.stalled(cx, polled)
    }
}
