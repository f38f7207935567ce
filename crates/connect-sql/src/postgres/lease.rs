//! A session on loan: taken from the keeper, inside a read-only transaction,
//! and handed back only when it is clean. In every other case its query is
//! cancelled and its connection closed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use postgres_types::Type;
use tokio_postgres::{CopyOutStream, Row, RowStream, Statement};
use weir_core::{Context, Error, Kind, Result, SourceFault};
use weir_kit::{Keeper, Kept, Place};

use super::bound::Bound;
use super::client::{Session, Way};
use super::types::TypeFacts;

/// How long cleaning a session may take before it is closed instead.
const CLEAN_LIMIT: Duration = Duration::from_secs(2);

/// Ends the transaction, which undoes every setting made inside it, then takes
/// away what outlives a transaction.
const CLEAN: &str = "ROLLBACK; RESET ALL; RESET ROLE; CLOSE ALL; UNLISTEN *; DISCARD SEQUENCES; \
     SELECT pg_catalog.pg_advisory_unlock_all()";

/// A longer wait than this means no limit for the server, whose own is 32 bits of milliseconds.
const MAX_TIMEOUT_MS: u128 = i32::MAX as u128;

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

/// A session on loan, inside a read-only transaction.
pub struct Lease {
    loan: Option<(Kept<Session>, Place<Session>)>,
    state: State,
    types: HashMap<u32, TypeFacts>,
    pool: Arc<Pool>,
    ctx: Context,
}

impl Lease {
    /// Takes a session, or makes one, and begins the transaction.
    pub async fn take(pool: &Arc<Pool>, ctx: &Context) -> Result<Self> {
        let place = pool.keeper.place().await?;
        let begin = begin(ctx);
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
    let left = ctx.deadline.left().as_millis();
    // Zero would mean no limit; a limit a little late lets our own deadline speak first.
    let timeout = if left > MAX_TIMEOUT_MS { 0 } else { left + 100 };
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {timeout}"
    )
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
