//! The batches of one read. A task on the compute runtime moves the connection
//! on and decodes what it brings, one batch ahead of its reader. Dropping the
//! stream aborts the task, which drops the lease, which cancels the query.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use futures::Stream;
use postgres_types::Type;
use tokio::time::{Instant, Sleep, sleep};
use tokio_postgres::{CopyOutStream, RowStream};
use weir_core::{BatchStream, Context, Error, Result, SourceFault};
use weir_kit::ahead::{Ahead, ahead};

use super::bound::Bound;
use super::decode::{CopyReader, RowBuilder, push_row};
use super::failure;
use super::lease::Lease;

/// Rows of a batch at most; its bytes follow the reader.
const BATCH_ROWS: usize = 65_536;

/// The first batch leaves early, so that the reader sees rows at once.
const FIRST_ROWS: usize = 1_024;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Later, rows of a slow query wait this long for company.
const LATER_WAIT: Duration = Duration::from_secs(1);

/// A read that is ready to start.
pub struct Job {
    /// The session, in its transaction.
    pub lease: Lease,
    /// The statement.
    pub sql: String,
    /// What is bound to it.
    pub params: Vec<Bound>,
    /// Types of the first of them.
    pub types: Vec<Type>,
    /// Where rows are collected.
    pub rows: RowBuilder,
    /// Rows in a batch at most, if the caller said so.
    pub batch_rows: Option<usize>,
}

/// The batches of `job`, which starts at the first poll.
pub fn stream(job: Job, ctx: &Context) -> BatchStream {
    let (compute, memory) = (ctx.compute.clone(), ctx.memory.clone());
    ahead(compute, memory, |ahead| produce(job, ahead))
}

async fn produce(job: Job, ahead: Ahead) -> Result<()> {
    let Job {
        mut lease,
        sql,
        params,
        types,
        mut rows,
        batch_rows,
    } = job;
    let feed = if params.is_empty() {
        let copy = lease
            .copy_out(&format!("COPY ({sql}) TO STDOUT (FORMAT binary)"))
            .await?;
        Feed::Copy(Box::pin(copy), CopyReader::default())
    } else {
        let statement = lease.prepare(&sql, &types).await?;
        Feed::Rows(Box::pin(lease.row_stream(&statement, &params).await?))
    };
    let most = batch_rows.unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS);
    let mut collector = Collector {
        feed,
        timer: Box::pin(sleep(FIRST_WAIT)),
        armed: false,
    };
    let mut bounds = Bounds {
        rows: most.min(FIRST_ROWS),
        bytes: ahead.batch_bytes(),
        wait: FIRST_WAIT,
    };
    loop {
        let more = poll_fn(|cx| collector.poll(cx, &mut lease, &mut rows, &bounds)).await?;
        if rows.rows() > 0 && !ahead.send(rows.finish()?).await? {
            return Ok(());
        }
        if !more {
            break;
        }
        bounds = Bounds {
            rows: most,
            bytes: ahead.batch_bytes(),
            wait: LATER_WAIT,
        };
    }
    // Whatever is left of the answer belongs to nobody before the session is reused.
    drop(collector);
    lease.ended();
    if rows.nulled() > 0 {
        tracing::warn!(
            values = rows.nulled(),
            "values that their type cannot represent became null"
        );
    }
    Ok(())
}

/// When a batch is full.
struct Bounds {
    rows: usize,
    bytes: usize,
    wait: Duration,
}

/// Where rows come from.
enum Feed {
    Copy(Pin<Box<CopyOutStream>>, CopyReader),
    Rows(Pin<Box<RowStream>>),
}

impl Feed {
    /// Takes the next piece into `rows`; false at the end.
    fn poll(
        &mut self,
        cx: &mut TaskContext<'_>,
        rows: &mut RowBuilder,
        host: &str,
    ) -> Poll<Result<bool>> {
        match self {
            Feed::Copy(copy, reader) => match ready!(copy.as_mut().poll_next(cx)) {
                Some(Ok(piece)) => Poll::Ready(reader.feed(&piece, rows).map(|()| true)),
                Some(Err(error)) => Poll::Ready(Err(failure::of(error, host))),
                None if reader.is_complete() => Poll::Ready(Ok(false)),
                None => Poll::Ready(Err(cut_short())),
            },
            Feed::Rows(stream) => match ready!(stream.as_mut().poll_next(cx)) {
                Some(Ok(row)) => Poll::Ready(push_row(rows, &row).map(|()| true)),
                Some(Err(error)) => Poll::Ready(Err(failure::of(error, host))),
                None => Poll::Ready(Ok(false)),
            },
        }
    }
}

/// Collects rows until a batch is full, or has waited long enough.
struct Collector {
    feed: Feed,
    timer: Pin<Box<Sleep>>,
    armed: bool,
}

impl Collector {
    /// Ready when there is a batch; false when it is the last.
    fn poll(
        &mut self,
        cx: &mut TaskContext<'_>,
        lease: &mut Lease,
        rows: &mut RowBuilder,
        bounds: &Bounds,
    ) -> Poll<Result<bool>> {
        loop {
            if self.drain(cx, lease.host(), rows, bounds)?.is_ready() {
                self.armed = false;
                return Poll::Ready(Ok(
                    rows.rows() >= bounds.rows || rows.bytes() >= bounds.bytes
                ));
            }
            let ended = lease.poll_connection(cx);
            // What the connection brought is waiting now, also before its end.
            match self.feed.poll(cx, rows, lease.host())? {
                Poll::Ready(true) => continue,
                Poll::Ready(false) => {
                    self.armed = false;
                    return Poll::Ready(Ok(false));
                }
                Poll::Pending => {}
            }
            if let Poll::Ready(error) = ended {
                return Poll::Ready(Err(error));
            }
            return self.poll_timer(cx, rows, bounds);
        }
    }

    /// Takes what is there already. Ready when the batch is full or the end came.
    fn drain(
        &mut self,
        cx: &mut TaskContext<'_>,
        host: &str,
        rows: &mut RowBuilder,
        bounds: &Bounds,
    ) -> Result<Poll<()>> {
        while rows.rows() < bounds.rows && rows.bytes() < bounds.bytes {
            match self.feed.poll(cx, rows, host)? {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Ok(Poll::Ready(())),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        Ok(Poll::Ready(()))
    }

    fn poll_timer(
        &mut self,
        cx: &mut TaskContext<'_>,
        rows: &RowBuilder,
        bounds: &Bounds,
    ) -> Poll<Result<bool>> {
        if rows.rows() == 0 {
            return Poll::Pending;
        }
        if !self.armed {
            self.timer.as_mut().reset(Instant::now() + bounds.wait);
            self.armed = true;
        }
        ready!(self.timer.as_mut().poll(cx));
        self.armed = false;
        Poll::Ready(Ok(true))
    }
}

fn cut_short() -> Error {
    Error::source(
        SourceFault::Unavailable,
        "the rows ended before their end mark",
    )
    .code("protocol")
    .hint("a proxy in between may have cut the connection")
}
