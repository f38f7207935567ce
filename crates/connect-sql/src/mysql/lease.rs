//! A session on loan: taken from the keeper, inside a transaction of its own, and
//! handed back only when it is clean. In every other case its query is killed and
//! its connection closed.

use std::sync::Arc;
use std::time::Duration;

use weir_core::{Context, Error, Kind, Result, SourceFault};
use weir_kit::{Keeper, Kept, Place};

use super::bound::Bound;
use super::client::{Done, Row, Session, Statement, Way, row};
use super::types::{ColumnDef, SORTED_BYTES};
use super::wire::Wire;

/// How long cleaning a session may take before it is closed instead.
const CLEAN_LIMIT: Duration = Duration::from_secs(2);

/// How long a statement waits for a lock, in seconds.
const LOCK_SECONDS: u32 = 30;

/// Seconds for which one side may keep the other waiting: how long that really may
/// be is the deadline's to say.
const WAIT_SECONDS: u32 = 86_400;

/// What makes a value that does not fit an error, and text mean to the server what
/// it means to the guard: `"` and `\` are those of a string.
const SQL_MODE: &str = "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";

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
    is_writing: bool,
    pool: Arc<Pool>,
    ctx: Context,
}

impl Lease {
    /// Takes a session, or makes one, and begins a transaction that only reads.
    pub async fn take(pool: &Arc<Pool>, ctx: &Context) -> Result<Self> {
        let place = pool.keeper.place().await?;
        let mut lease = Lease::empty(pool, ctx, false);
        if let Some(kept) = place.idle() {
            lease.loan = Some((kept, place));
            // Beginning is the check that the other side is still there.
            match lease.begin().await {
                Ok(()) => return Ok(lease),
                Err(error) => {
                    tracing::debug!(%error, "an idle connection was gone; making another")
                }
            }
            let Some((_, place)) = lease.loan.take() else {
                return Err(taken());
            };
            return lease.fresh(place).await;
        }
        lease.fresh(place).await
    }

    /// Makes a session that may write, for one write alone: only such a one may
    /// send rows with `LOAD DATA LOCAL`.
    pub async fn take_to_write(pool: &Arc<Pool>, ctx: &Context) -> Result<Self> {
        let place = pool.keeper.place().await?;
        Lease::empty(pool, ctx, true).fresh(place).await
    }

    fn empty(pool: &Arc<Pool>, ctx: &Context, is_writing: bool) -> Self {
        Lease {
            loan: None,
            state: State::Busy,
            is_writing,
            pool: Arc::clone(pool),
            ctx: ctx.clone(),
        }
    }

    async fn fresh(mut self, place: Place<Session>) -> Result<Self> {
        let session = self.pool.way.connect(&self.ctx, self.is_writing).await?;
        self.loan = Some((Kept::new(session), place));
        self.begin().await?;
        Ok(self)
    }

    async fn begin(&mut self) -> Result<()> {
        let (is_writing, left) = (self.is_writing, self.ctx.deadline.left());
        let session = self.session()?;
        let settings = settings(session.greeting.is_mariadb(), is_writing, left);
        session.run(settings.as_bytes()).await?;
        if !is_writing {
            session
                .run(b"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                .await?;
        }
        self.state = State::Clean;
        Ok(())
    }

    fn session(&mut self) -> Result<&mut Session> {
        self.loan
            .as_mut()
            .map(|(kept, _)| &mut kept.item)
            .ok_or_else(taken)
    }

    /// Whether the server is MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.loan
            .as_ref()
            .is_some_and(|(kept, _)| kept.item.greeting.is_mariadb())
    }

    /// The packets, while a stream is read.
    pub fn wire(&mut self) -> Result<&mut Wire> {
        self.session().map(|session| &mut session.wire)
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

    /// Runs a statement of ours to its end; for small answers.
    pub async fn rows(&mut self, sql: &str, params: &[Bound]) -> Result<Vec<Row>> {
        self.state = State::Busy;
        let outcome = self.session()?.rows(sql, params).await;
        self.settle(outcome)
    }

    /// Prepares a statement. The server proves that it is exactly one.
    pub async fn prepare(&mut self, sql: &str) -> Result<Statement> {
        self.state = State::Busy;
        let outcome = self.session()?.prepare(sql).await;
        self.settle(outcome)
    }

    /// Runs one statement that gives no rows.
    pub async fn run(&mut self, sql: &str) -> Result<Done> {
        self.run_bytes(sql.as_bytes()).await
    }

    /// The same, with content that is not text throughout.
    pub async fn run_bytes(&mut self, sql: &[u8]) -> Result<Done> {
        self.state = State::Busy;
        let outcome = self.session()?.run(sql).await;
        self.settle(outcome)
    }

    /// Starts a prepared statement whose rows are streamed. Until
    /// [`Lease::ended`], dropping the lease kills it.
    pub async fn stream(
        &mut self,
        statement: &Statement,
        params: &[Bound],
    ) -> Result<Vec<ColumnDef>> {
        self.state = State::Busy;
        let outcome = self.session()?.execute(statement, params).await;
        self.started(outcome)
    }

    /// The columns of a statement that gives no rows, with the types that its bound
    /// values give them.
    pub async fn columns(&mut self, sql: &str, params: &[Bound]) -> Result<Vec<ColumnDef>> {
        let statement = self.prepare(sql).await?;
        let columns = self.stream(&statement, params).await?;
        while row(self.wire()?.read().await?)?.is_some() {}
        self.ended();
        Ok(columns)
    }

    /// The stream was read to its end: the session is in step again.
    pub fn ended(&mut self) {
        self.state = State::Clean;
    }

    /// Starts `LOAD DATA LOCAL`. Until [`Lease::loaded`], dropping the lease kills it.
    pub async fn load(&mut self, sql: &str, name: &str) -> Result<()> {
        self.state = State::Busy;
        let outcome = self.session()?.load(sql, name).await;
        self.started(outcome)
    }

    /// Sends a piece of what is loaded.
    pub async fn feed(&mut self, piece: &[u8]) -> Result<()> {
        self.session()?.feed(piece).await
    }

    /// Ends what is loaded.
    pub async fn loaded(&mut self) -> Result<Done> {
        let outcome = self.session()?.loaded().await;
        self.settle(outcome)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((kept, place)) = self.loan.take() else {
            return;
        };
        let (pool, ctx) = (Arc::clone(&self.pool), self.ctx.clone());
        match self.state {
            State::Broken => {}
            // It closes, and what it has not committed is undone.
            State::Clean if self.is_writing => {}
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
    match tokio::time::timeout(CLEAN_LIMIT, kept.item.reset()).await {
        Ok(Ok(())) => place.hand_back(kept, &ctx.compute),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a session could not be cleaned; its connection is closed")
        }
        Err(_) => tracing::debug!("cleaning a session took too long; its connection is closed"),
    }
}

/// Settings of every session, so that no default of a user or server changes what
/// is read or written.
fn settings(is_mariadb: bool, is_writing: bool, left: Duration) -> String {
    // A limit a little late lets our own deadline speak first.
    let left =
        (left + Duration::from_millis(100)).min(Duration::from_secs(u64::from(WAIT_SECONDS) * 30));
    let (read_only, isolation, limit) = match is_mariadb {
        true => (
            "tx_read_only",
            "tx_isolation",
            format!("max_statement_time = {:.3}", left.as_secs_f64()),
        ),
        // It bounds SELECT only; other statements end with their connection.
        false => (
            "transaction_read_only",
            "transaction_isolation",
            format!("max_execution_time = {}", left.as_millis()),
        ),
    };
    let level = if is_writing {
        "READ-COMMITTED"
    } else {
        "REPEATABLE-READ"
    };
    format!(
        "SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', \
         character_set_client = utf8mb4, character_set_connection = utf8mb4, character_set_results = utf8mb4, \
         autocommit = 1, max_error_count = 64, sql_auto_is_null = 0, sql_safe_updates = 0, sql_select_limit = 18446744073709551615, \
         foreign_key_checks = 1, unique_checks = 1, max_sort_length = {SORTED_BYTES}, \
         net_write_timeout = {WAIT_SECONDS}, net_read_timeout = {WAIT_SECONDS}, \
         lock_wait_timeout = {LOCK_SECONDS}, innodb_lock_wait_timeout = {LOCK_SECONDS}, \
         {isolation} = '{level}', {read_only} = {}, {limit}",
        u8::from(!is_writing)
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
