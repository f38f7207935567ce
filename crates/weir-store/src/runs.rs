//! Runs: loads and writes, recorded when they start and again when they end.
//!
//! A run's row is found by its id and the time of its start together, which
//! names its partition; the end changes no indexed column.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};
use uuid::Uuid;
use weir_core::{Error, Kind, Page, Result};

use crate::connection::{Store, bounded};
use crate::failure::failed;
use crate::messages::{Message, tell};
use crate::named::{one_more, page};
use crate::scopes::Scopes;

/// A run that starts.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: Uuid,
    /// When it started, in whole microseconds.
    pub started_at: DateTime<Utc>,
    /// `load`, `write`.
    pub kind: &'static str,
    /// Where it runs.
    pub instance_id: Uuid,
    /// Whose it is.
    pub key_id: Option<Uuid>,
    /// What is read.
    pub source_id: Option<Uuid>,
    /// The source's name at that time.
    pub source_name: Option<String>,
    /// The trace of the request.
    pub trace_id: Option<Uuid>,
    /// The stream that is read.
    pub stream: Option<String>,
    /// The columns that were asked for.
    pub columns: Option<Vec<String>>,
    /// SHA-256 of the query's text.
    pub query_hash: Option<[u8; 32]>,
    /// The query's text, where a setting wants it kept.
    pub query: Option<String>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// Not at its end yet.
    Running,
    /// Every row was sent.
    Succeeded,
    /// It broke off.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [RunStatus; 4] = [
        RunStatus::Running,
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Cancelled,
    ];

    /// Its name in the store and in answers.
    pub fn name(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Anything but running.
    pub status: RunStatus,
    /// When.
    pub finished_at: DateTime<Utc>,
    /// Rows that were sent.
    pub rows: u64,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Code and scrubbed text of the error.
    pub error: Option<(String, String)>,
    /// What each step did.
    pub report: Option<Value>,
}

/// A recorded run.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RunRow {
    /// Its id.
    pub id: Uuid,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Rows that were sent.
    pub rows: Option<i64>,
    /// Bytes that were sent.
    pub bytes: Option<i64>,
    /// Where it runs or ran.
    pub instance_id: Uuid,
    /// Whose it is.
    pub key_id: Option<Uuid>,
    /// What was read.
    pub source_id: Option<Uuid>,
    /// The trace of the request.
    pub trace_id: Option<Uuid>,
    /// `load`, `write`.
    pub kind: String,
    /// See [`RunStatus::name`].
    pub status: String,
    /// The source's name at that time.
    pub source_name: Option<String>,
    /// The stream that was read.
    pub stream: Option<String>,
    /// The columns that were asked for.
    pub columns: Option<Vec<String>>,
    /// SHA-256 of the query's text.
    pub query_hash: Option<Vec<u8>>,
    /// The query's text, where it was kept.
    pub query: Option<String>,
    /// Code of the error.
    pub error_code: Option<String>,
    /// Scrubbed text of the error.
    pub error_message: Option<String>,
    /// What each step did.
    pub report: Option<Value>,
}

/// Which runs a caller may see.
#[derive(Debug, Clone, Default)]
pub struct RunSight {
    /// Only runs of this key; none for everybody's.
    pub key_id: Option<Uuid>,
    /// Only runs of sources inside.
    pub scopes: Scopes,
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// What the caller may see.
    pub sight: RunSight,
    /// Only of this source, by id or by the name it had.
    pub source: Option<String>,
    /// Only in this state.
    pub status: Option<RunStatus>,
    /// Only started at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// Only older than this one.
    pub before: Option<(DateTime<Utc>, Uuid)>,
    /// Items at most.
    pub limit: usize,
}

const INSERT: &str = "insert into runs (id, started_at, instance_id, key_id, source_id, trace_id, kind, status, \
    source_name, stream, columns, query_hash, query) \
    values ($1, $2, $3, $4, $5, $6, $7, 'running', $8, $9, $10, $11, $12)";

const END: &str = "update runs set status = $3, finished_at = $4, rows = $5, bytes = $6, \
    error_code = $7, error_message = $8, report = $9 where id = $1 and started_at = $2";

const SELECT: &str = "select r.id, r.started_at, r.finished_at, r.rows, r.bytes, r.instance_id, r.key_id, \
    r.source_id, r.trace_id, r.kind, r.status, r.source_name, r.stream, r.columns, r.query_hash, r.query, \
    r.error_code, r.error_message, r.report from runs r \
    where ($1::uuid is null or r.key_id = $1) and ($2::jsonb[] is null or exists \
    (select from sources s where s.id = r.source_id and s.labels @> any ($2)))";

/// Bytes of an error's text that are kept.
const ERROR_TEXT: usize = 1_000;

/// The one place where a statement is put together: `SELECT` and a constant ending.
fn select(ending: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("{SELECT} {ending}"))
}

impl Store {
    /// Records the start of a run whose id is new for certain.
    pub async fn start_run(&self, run: &NewRun) -> Result<()> {
        bounded(insert(&self.pool, run)).await
    }

    /// Records the start of a run whose id the caller chose; a conflict when
    /// any run has it already.
    pub async fn start_chosen_run(&self, run: NewRun) -> Result<()> {
        self.transact(move |connection| {
            Box::pin(async move {
                // Partitions have no unique index in common: one at a time for each id.
                sqlx::query("select pg_advisory_xact_lock(hashtextextended($1::text, 4004))")
                    .bind(run.id.to_string())
                    .execute(&mut *connection)
                    .await
                    .map_err(failed)?;
                if is_taken(connection, run.id).await? {
                    return Err(run_id_taken());
                }
                insert(connection, &run).await
            })
        })
        .await
    }

    /// Whether a recorded run has this id.
    pub async fn is_run(&self, id: Uuid) -> Result<bool> {
        bounded(async {
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            is_taken(&mut connection, id).await
        })
        .await
    }

    /// Records the end of a run.
    pub async fn end_run(&self, id: Uuid, started_at: DateTime<Utc>, end: &RunEnd) -> Result<()> {
        let (code, text) = end.error.clone().unzip();
        let written = sqlx::query(END)
            .bind(id)
            .bind(started_at)
            .bind(end.status.name())
            .bind(end.finished_at)
            .bind(i64::try_from(end.rows).unwrap_or(i64::MAX))
            .bind(i64::try_from(end.bytes).unwrap_or(i64::MAX))
            .bind(code)
            .bind(text.map(shortened))
            .bind(&end.report)
            .execute(&self.pool);
        bounded(async { written.await.map(drop).map_err(failed) }).await
    }

    /// The run with this id, if the caller may see it.
    pub async fn find_run(&self, id: Uuid, sight: &RunSight) -> Result<Option<RunRow>> {
        let found = sqlx::query_as(select("and r.id = $3"))
            .bind(sight.key_id)
            .bind(sight.scopes.documents())
            .bind(id)
            .fetch_optional(&self.pool);
        bounded(async { found.await.map_err(failed) }).await
    }

    /// A page of runs, newest first. The page's `next` is left to the caller,
    /// who has the last item: `Some` says that there are more.
    pub async fn list_runs(&self, filter: &RunFilter) -> Result<Page<RunRow>> {
        let (before, before_id) = filter.before.unzip();
        let query = sqlx::query_as(select(
            "and ($3::text is null or r.source_id::text = $3 or r.source_name = $3) \
             and ($4::text is null or r.status = $4) \
             and r.started_at >= coalesce($5, '-infinity') and r.started_at <= coalesce($6, 'infinity') \
             and ($7::uuid is null or (r.started_at, r.id) < ($6, $7)) \
             order by r.started_at desc, r.id desc limit $8",
        ))
        .bind(filter.sight.key_id)
        .bind(filter.sight.scopes.documents())
        .bind(&filter.source)
        .bind(filter.status.map(RunStatus::name))
        .bind(filter.since)
        .bind(before)
        .bind(before_id)
        .bind(one_more(filter.limit));
        let items = bounded(async { query.fetch_all(&self.pool).await.map_err(failed) }).await?;
        Ok(page(items, filter.limit, |run: &RunRow| run.id.to_string()))
    }

    /// Asks whoever runs it to stop a run: the wish is kept and told together.
    pub async fn ask_to_cancel(&self, id: Uuid, started_at: DateTime<Utc>) -> Result<()> {
        self.transact(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "update runs set cancel_at = now() where id = $1 and started_at = $2 and status = 'running'",
                )
                .bind(id)
                .bind(started_at)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
                tell(connection, &Message::CancelRun { id }).await
            })
        })
        .await
    }

    /// Those of `running` that somebody asked to stop; for an instance that may
    /// have missed it.
    pub async fn cancelled_runs(&self, running: &[Uuid]) -> Result<Vec<Uuid>> {
        let asked =
            sqlx::query_scalar("select id from runs where id = any ($1) and cancel_at is not null")
                .bind(running)
                .fetch_all(&self.pool);
        bounded(async { asked.await.map_err(failed) }).await
    }

    /// Marks as failed what instances left running that are gone; how many.
    /// Looks at the last days only: no run lasts longer.
    pub async fn lose_runs(&self) -> Result<u64> {
        let lost = sqlx::query(
            "update runs set status = 'failed', finished_at = now(), error_code = $1, \
             error_message = 'the instance that ran it ended without a word' \
             where status = 'running' and started_at > now() - interval '3 days' \
             and not exists (select from instances i where i.id = runs.instance_id)",
        )
        .bind("instance_lost")
        .execute(&self.pool);
        bounded(async { lost.await.map(|done| done.rows_affected()).map_err(failed) }).await
    }
}

async fn insert(executor: impl PgExecutor<'_>, run: &NewRun) -> Result<()> {
    sqlx::query(INSERT)
        .bind(run.id)
        .bind(run.started_at)
        .bind(run.instance_id)
        .bind(run.key_id)
        .bind(run.source_id)
        .bind(run.trace_id)
        .bind(run.kind)
        .bind(&run.source_name)
        .bind(&run.stream)
        .bind(&run.columns)
        .bind(run.query_hash.as_ref().map(|hash| &hash[..]))
        .bind(&run.query)
        .execute(executor)
        .await
        .map(drop)
        .map_err(failed)
}

async fn is_taken(connection: &mut PgConnection, id: Uuid) -> Result<bool> {
    sqlx::query_scalar("select exists (select from runs where id = $1)")
        .bind(id)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

/// The id is that of another run.
pub fn run_id_taken() -> Error {
    Error::new(Kind::Conflict, "another run has this id already")
        .code("run_id_taken")
        .hint("send a new UUID in weir-run-id, or leave the header out")
}

fn shortened(text: String) -> String {
    if text.len() <= ERROR_TEXT {
        return text;
    }
    text.chars().take(ERROR_TEXT).collect::<String>() + "…"
}
