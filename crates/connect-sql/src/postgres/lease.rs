//! A session on loan: taken from the keeper, inside a transaction of its own,
//! and handed back only when it is clean. In every other case its query is
//! cancelled and its connection closed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postgres_types::Type;
use tokio_postgres::{CopyOutStream, Row, RowStream, Statement};
use weir_core::{Context, Error, Kind, Result, SourceFault};
use weir_kit::{Keeper, Kept, Place};

use super::bound::Bound;
use super::client::{CopyIn, Session, Way};
use super::types::TypeFacts;

/// How long cleaning a session may take before it is closed instead.
const CLEAN_LIMIT: Duration = Duration::from_secs(2);

/// Ends the transaction, which undoes every setting made inside it, then takes
/// away what outlives a transaction.
const CLEAN: &str = "ROLLBACK; RESET ALL; RESET ROLE; CLOSE ALL; UNLISTEN *; DISCARD SEQUENCES; \
     SELECT pg_catalog.pg_advisory_unlock_all()";

/// A longer wait than this means no limit for the server, whose own is 32 bits of milliseconds.
const MAX_TIMEOUT_MS: u128 = i32::MAX as u128;

/// How long a write waits for a lock, in milliseconds.
const LOCK_MS: u32 = 30_000;

/// The connections of one source.
pub struct Pool {
    /// How to make one.
    pub way: Way,
    /// Those that are there.
    pub keeper: Keeper<Session>,
}

/// What may become of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In step with the server: it may be cleaned and reused.
    Clean,
    /// The server is at work, or may be.
    Busy,
    /// Of no use any more.
    Broken,
}

/// A session on loan, inside a transaction.
pub struct Lease {
    loan: Option<(Kept<Session>, Place<Session>)>,
    state: State,
    types: HashMap<u32, TypeFacts>,
    pool: Arc<Pool>,
    ctx: Context,
}

impl Lease {
    /// Takes a session, or makes one, and begins a transaction that only reads.
    pub async fn take(pool: &Arc<Pool>, ctx: &Context) -> Result<Self> {
        Lease::take_in(pool, ctx, begin(ctx)).await
    }

    /// The same, with a transaction that may write.
    pub async fn take_to_write(pool: &Arc<Pool>, ctx: &Context) -> Result<Self> {
        Lease::take_in(pool, ctx, begin_to_write(ctx)).await
    }

    async fn take_in(pool: &Arc<Pool>, ctx: &Context, begin: String) -> Result<Self> {
        let place = pool.keeper.place().await?;
        let mut lease = Lease {
            loan: None,
            state: State::Busy,
            types: HashMap::new(),
            pool: Arc::clone(pool),
            ctx: ctx.clone(),
        };
        if let Some(mut kept) = place.idle() {
            let host = pool.way.host().to_owned();
            lease.types = std::mem::take(&mut kept.item.types);
            lease.loan = Some((kept, place));
            // Beginning is the check that the other side is still there.
            match lease.session()?.batch(&begin).await {
                Ok(()) => {
                    lease.state = State::Clean;
                    return Ok(lease);
                }
                Err(error) => {
                    tracing::debug!(%error, host, "an idle connection was gone; making another")
                }
            }
            lease.types.clear();
            let Some((_, place)) = lease.loan.take() else {
                return Err(taken());
            };
            return lease.fresh(place, &begin).await;
        }
        lease.fresh(place, &begin).await
    }

    async fn fresh(mut self, place: Place<Session>, begin: &str) -> Result<Self> {
        let session = self.pool.way.connect(&self.ctx).await?;
        self.loan = Some((Kept::new(session), place));
        self.session()?.batch(begin).await?;
        self.state = State::Clean;
        Ok(self)
    }

    fn session(&mut self) -> Result<&mut Session> {
        self.loan
            .as_mut()
            .map(|(kept, _)| &mut kept.item)
            .ok_or_else(taken)
    }

    /// Types that are not built in, as far as they are known.
    pub fn types(&mut self) -> &mut HashMap<u32, TypeFacts> {
        &mut self.types
    }

    /// Host, for messages.
    pub fn host(&self) -> &str {
        self.pool.way.host()
    }

    /// A value that the server reported.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.loan
            .as_ref()
            .and_then(|(kept, _)| kept.item.parameter(name))
    }

    /// Notes what an answer means for the session. An error that the server
    /// reported for a statement leaves both sides in step.
    fn settle<T>(&mut self, outcome: Result<T>) -> Result<T> {
        self.state = match &outcome {
            Ok(_) => State::Clean,
            Err(error) if in_step(error) => State::Clean,
            Err(_) => State::Broken,
        };
        outcome
    }

    /// Notes whether a stream has started: then the server is at work.
    fn started<T>(&mut self, outcome: Result<T>) -> Result<T> {
        let outcome = self.settle(outcome);
        if outcome.is_ok() {
            self.state = State::Busy;
        }
        outcome
    }

    /// Runs a statement of ours; it stays prepared.
    pub async fn rows(&mut self, sql: &'static str, params: &[Bound]) -> Result<Vec<Row>> {
        self.state = State::Busy;
        let outcome = self.session()?.rows(sql, params).await;
        self.settle(outcome)
    }

    /// Prepares a statement. The server proves that it is exactly one.
    pub async fn prepare(&mut self, sql: &str, types: &[Type]) -> Result<Statement> {
        self.state = State::Busy;
        let outcome = self.session()?.prepare(sql, types).await;
        self.settle(outcome)
    }

    /// Runs a prepared statement to its end; for small answers.
    pub async fn all(&mut self, statement: &Statement, params: &[Bound]) -> Result<Vec<Row>> {
        self.state = State::Busy;
        let outcome = self.session()?.all(statement, params).await;
        self.settle(outcome)
    }

    /// Runs statements that return nothing.
    pub async fn batch(&mut self, sql: &str) -> Result<()> {
        self.state = State::Busy;
        let outcome = self.session()?.batch(sql).await;
        self.settle(outcome)
    }

    /// Runs one statement; gives how many rows it changed.
    pub async fn run(&mut self, sql: &str) -> Result<u64> {
        self.state = State::Busy;
        let outcome = self.session()?.run(sql).await;
        self.settle(outcome)
    }

    /// Starts a binary `COPY … FROM STDIN`. Until [`Lease::copied`], dropping the
    /// lease cancels it.
    pub async fn copy_in(&mut self, sql: &str) -> Result<CopyIn> {
        self.state = State::Busy;
        let outcome = self.session()?.copy_in(sql).await;
        self.started(outcome)
    }

    /// Sends a piece of what is copied in.
    pub async fn feed(&mut self, sink: &mut CopyIn, piece: Bytes) -> Result<()> {
        self.session()?.feed(sink, piece).await
    }

    /// Ends what is copied in; gives how many rows the server took.
    pub async fn copied(&mut self, sink: CopyIn) -> Result<u64> {
        let outcome = self.session()?.copied(sink).await;
        self.settle(outcome)
    }

    /// Starts a binary `COPY … TO STDOUT`. Until [`Lease::ended`], dropping the
    /// lease cancels it.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOutStream> {
        self.state = State::Busy;
        let outcome = self.session()?.copy_out(sql).await;
        self.started(outcome)
    }

    /// Starts a prepared statement whose rows are streamed. Until
    /// [`Lease::ended`], dropping the lease cancels it.
    pub async fn row_stream(
        &mut self,
        statement: &Statement,
        params: &[Bound],
    ) -> Result<RowStream> {
        self.state = State::Busy;
        let outcome = self.session()?.row_stream(statement, params).await;
        self.started(outcome)
    }

    /// Moves the connection on while a stream is read. Ready when it has ended.
    pub fn poll_connection(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Error> {
        match self.loan.as_mut() {
            Some((kept, _)) => kept.item.poll_connection(cx),
            None => std::task::Poll::Ready(taken()),
        }
    }

    /// The stream was read to its end: the session is in step again.
    pub fn ended(&mut self) {
        self.state = State::Clean;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((mut kept, place)) = self.loan.take() else {
            return;
        };
        kept.item.types = std::mem::take(&mut self.types);
        let (pool, ctx) = (Arc::clone(&self.pool), self.ctx.clone());
        match self.state {
            State::Broken => {}
            State::Clean => ctx
                .compute
                .clone()
                .spawn(hand_back(kept, place, ctx))
                .detach(),
            State::Busy => {
                let end = async move {
                    pool.way.abandon(kept.item, &ctx).await;
                    // The place is free when the connection is gone, not before.
                    drop(place);
                };
                self.ctx.compute.spawn(end).detach();
            }
        }
    }
}

async fn hand_back(mut kept: Kept<Session>, place: Place<Session>, ctx: Context) {
    match tokio::time::timeout(CLEAN_LIMIT, kept.item.batch(CLEAN)).await {
        Ok(Ok(())) => place.hand_back(kept, &ctx.compute),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a session could not be cleaned; its connection is closed")
        }
        Err(_) => tracing::debug!("cleaning a session took too long; its connection is closed"),
    }
}

/// Begins a transaction that reads one state of the database and cannot write,
/// each of its statements bounded by the deadline.
fn begin(ctx: &Context) -> String {
    let timeout = timeout(ctx);
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {timeout}"
    )
}

/// Begins a transaction that may write, and waits only so long for who else does.
fn begin_to_write(ctx: &Context) -> String {
    let timeout = timeout(ctx);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = {timeout}; \
         SET LOCAL lock_timeout = {LOCK_MS}"
    )
}

fn timeout(ctx: &Context) -> u128 {
    let left = ctx.deadline.left().as_millis();
    // Zero would mean no limit; a limit a little late lets our own deadline speak first.
    if left > MAX_TIMEOUT_MS { 0 } else { left + 100 }
}

fn in_step(error: &Error) -> bool {
    let lost = matches!(
        error.kind(),
        Kind::Source(SourceFault::Unavailable) | Kind::Internal
    );
    error.source_message().is_some() && !lost
}

fn taken() -> Error {
    Error::internal("the session of a lease was used after it was given up")
}
