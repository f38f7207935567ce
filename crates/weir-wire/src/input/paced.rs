//! A body that must keep coming, and end before it is too large. What a caller
//! does to us is told apart from what we do to him: time counts only while
//! somebody waits for the next bytes.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use weir_core::{Error, Kind};

use super::parts;

/// Bytes that must come within the time of a stall, or the end of the body. A
/// single byte now and then would hold a request open for ever.
const PROGRESS: u64 = 1024;

/// `body`, of at most `most` bytes, which stands still for at most `stall`.
pub fn paced(body: Body, most: u64, stall: Duration) -> Body {
    Body::new(Paced {
        body,
        most,
        seen: 0,
        stall,
        since: 0,
        waited: Duration::ZERO,
        waiting: None,
    })
}

/// What the error of a body means for its caller.
pub fn body_error(error: &(dyn std::error::Error + 'static)) -> Error {
    let causes = || std::iter::successors(Some(error), |error| error.source());
    if let Some(fault) = causes().find_map(|cause| cause.downcast_ref::<parts::Fault>()) {
        return fault.error();
    }
    match causes().find_map(|cause| cause.downcast_ref::<Fault>()) {
        Some(Fault::TooLarge(most)) => Error::new(
            Kind::TooLarge,
            format!("the body is larger than {most} bytes"),
        )
        .code("body_too_large")
        .hint("GET /v1/limits lists every limit"),
        Some(Fault::Stalled(limit)) => Error::new(
            Kind::Malformed,
            format!("the body stood still for {} s", limit.as_secs_f32()),
        )
        .code("body_stalled")
        .hint("send on without pauses, or send a smaller body"),
        None => Error::new(Kind::Malformed, "the body ended before it was complete")
            .detail(error.to_string()),
    }
}

#[derive(Debug)]
enum Fault {
    TooLarge(u64),
    Stalled(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::TooLarge(_) => "the body is too large",
            Fault::Stalled(_) => "the body stood still",
        })
    }
}

impl std::error::Error for Fault {}

struct Paced {
    body: Body,
    most: u64,
    seen: u64,
    stall: Duration,
    /// Bytes since the last progress, and how long they were waited for.
    since: u64,
    waited: Duration,
    /// Since when the next bytes are waited for, and until when.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Paced {
    fn came(&mut self, bytes: u64) -> Result<(), Fault> {
        self.seen += bytes;
        self.since += bytes;
        if let Some((began, _)) = self.waiting.take() {
            self.waited += began.elapsed();
        }
        if self.since >= PROGRESS {
            (self.since, self.waited) = (0, Duration::ZERO);
        }
        match self.seen > self.most {
            true => Err(Fault::TooLarge(self.most)),
            false => Ok(()),
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        let left = self.stall.saturating_sub(self.waited);
        let (_, timer) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Fault::Stalled(self.stall))
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(cx) else {
            let fault = ready!(self.poll_stalled(cx));
            return Poll::Ready(Some(Err(axum::Error::new(fault))));
        };
        let bytes = match &next {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Buf::remaining),
            _ => 0,
        };
        Poll::Ready(match self.came(bytes as u64) {
            Ok(()) => next,
            Err(fault) => Some(Err(axum::Error::new(fault))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use http_body_util::BodyExt;

    const STALL: Duration = Duration::from_millis(300);

    /// Chunks of `size` bytes, `pause` apart.
    fn dripping(chunks: usize, size: usize, pause: Duration) -> Body {
        let stream = futures::stream::iter(0..chunks).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; size]))
        });
        Body::from_stream(stream)
    }

    async fn code(body: Body) -> Option<&'static str> {
        let error = body.collect().await.err()?;
        Some(body_error(&error).stable_code())
    }

    #[tokio::test]
    async fn a_body_ends_when_it_stands_still_or_drips() {
        let endless = Body::from_stream(futures::stream::pending::<Result<Bytes, axum::Error>>());
        assert_eq!(
            code(paced(endless, 9_999, STALL)).await,
            Some("body_stalled")
        );
        let drops = dripping(1_000, 1, STALL / 10);
        let began = Instant::now();
        assert_eq!(code(paced(drops, 9_999, STALL)).await, Some("body_stalled"));
        assert!(began.elapsed() < 20 * STALL, "{:?}", began.elapsed());
        let slow = dripping(10, 2_000, STALL / 3);
        assert_eq!(code(paced(slow, 1 << 20, STALL)).await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_is_no_stall_of_the_body() {
        let mut body = paced(dripping(3, 10, STALL / 10), 9_999, STALL);
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().into_data().unwrap().len();
            tokio::time::sleep(2 * STALL).await;
        }
        assert_eq!(bytes, 30);
    }

    #[tokio::test]
    async fn a_body_ends_at_its_limit() {
        let body = |most| paced(Body::from(vec![b'x'; 100]), most, STALL);
        assert_eq!(code(body(99)).await, Some("body_too_large"));
        assert_eq!(code(body(100)).await, None);
    }
}
