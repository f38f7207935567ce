//! Runs of this instance: which there are, who may stop them, and the task
//! that writes the start and the end of each.
//!
//! The start is written while the source already works, and awaited before
//! headers leave; so a load costs no round trip more, and none is unrecorded.
//! The end is written by the task alone, whoever has gone by then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::digest;
use chrono::{DateTime, SubsecRound, Utc};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use weir_core::{Context, Deadline, Error, Kind, Read, Result, Target};
use weir_engine::steps::Report;
use weir_store::{NewRun, RunEnd, RunRow, RunStatus, SourceRow, Store, run_id_taken};
use weir_wire::Outcome;

use super::kept::{self, Kept};
use crate::auth::Caller;
use crate::state::App;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// All rows of something; recorded.
    Load,
    /// Rows into a source; recorded.
    Write,
    /// A few rows; not recorded.
    Preview,
    /// Rows of a body through steps; not recorded.
    Transform,
    /// What is in rows; not recorded.
    Profile,
}

impl RunKind {
    fn name(self) -> &'static str {
        match self {
            RunKind::Load => "load",
            RunKind::Write => "write",
            RunKind::Preview => "preview",
            RunKind::Transform => "transform",
            RunKind::Profile => "profile",
        }
    }

    fn is_recorded(self) -> bool {
        match self {
            RunKind::Load | RunKind::Write => true,
            RunKind::Preview | RunKind::Transform | RunKind::Profile => false,
        }
    }
}

/// The id of a run, and whether it may be that of another one.
#[derive(Debug, Clone, Copy)]
pub struct RunId {
    /// The id.
    pub id: Uuid,
    /// The caller chose it.
    pub chosen: bool,
}

impl RunId {
    /// The caller's own in the header `weir-run-id`, or a new one.
    pub fn of(headers: &http::HeaderMap) -> Result<Self> {
        let Some(given) = headers.get("weir-run-id") else {
            return Ok(RunId {
                id: Uuid::now_v7(),
                chosen: false,
            });
        };
        let id = given
            .to_str()
            .ok()
            .and_then(|text| Uuid::try_parse(text).ok())
            .ok_or_else(|| Error::new(Kind::Invalid, "the header weir-run-id is not a UUID"))?;
        Ok(RunId { id, chosen: true })
    }
}

/// A run to begin.
pub struct Begin<'a> {
    /// What it does.
    pub kind: RunKind,
    /// Its id.
    pub id: RunId,
    /// Whose it is.
    pub caller: &'a Caller,
    /// What it reads of which source, where it reads one.
    pub read: Option<(&'a SourceRow, &'a Read)>,
    /// The trace of the request.
    pub trace_id: Option<Uuid>,
}

/// The labels of the source of a run; none where it reads no source.
pub type Labels = Option<BTreeMap<String, String>>;

/// The runs of this instance that have not ended, or whose end is not written
/// yet, and for a while those that the store keeps nothing of.
#[derive(Default)]
pub struct Runs {
    active: Mutex<HashMap<Uuid, Active>>,
    ended: Mutex<Kept>,
    writers: TaskTracker,
}

struct Active {
    row: RunRow,
    labels: Labels,
    cancel: CancellationToken,
    asked: Asked,
}

/// Why a run was stopped from outside, once it was.
type Asked = Arc<OnceLock<Why>>;

/// Why a run is stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody asked for it.
    Asked,
    /// Its api key may read no more.
    KeyRevoked,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Why::Asked => "it was stopped by POST /v1/runs/{run}/cancel",
            Why::KeyRevoked => "its api key was revoked or has expired",
        }
    }
}

impl Active {
    fn is_running(&self) -> bool {
        self.row.status == RunStatus::Running.name()
    }

    /// Whether it moves all rows of a source: a load, a write, or a profile.
    fn is_load(&self) -> bool {
        let is_profile = self.row.kind == RunKind::Profile.name();
        let long = [RunKind::Load.name(), RunKind::Write.name()];
        long.contains(&self.row.kind.as_str()) || (is_profile && self.row.source_id.is_some())
    }

    fn stop(&self, why: Why) {
        // The first reason counts.
        let _ = self.asked.set(why);
        self.cancel.cancel();
    }
}

impl Runs {
    /// The run with this id, with the labels of its source.
    pub fn find(&self, id: Uuid) -> Option<(RunRow, Labels)> {
        let active = self.active.lock();
        let found = active.get(&id);
        let found = found.map(|run| (run.row.clone(), run.labels.clone()));
        found.or_else(|| self.ended.lock().find(id))
    }

    /// Stops a run of this instance; false when it is none.
    pub fn cancel(&self, id: Uuid) -> bool {
        let active = self.active.lock();
        let run = active.get(&id).filter(|run| run.is_running());
        run.map(|run| run.stop(Why::Asked)).is_some()
    }

    /// Stops all runs of a key.
    pub fn cancel_key(&self, key: Uuid) {
        let active = self.active.lock();
        let of_key = |run: &&Active| run.is_running() && run.row.key_id == Some(key);
        active
            .values()
            .filter(of_key)
            .for_each(|run| run.stop(Why::KeyRevoked));
    }

    /// The keys whose runs have not ended.
    pub fn keys(&self) -> BTreeSet<Uuid> {
        let active = self.active.lock();
        let running = active.values().filter(|run| run.is_running());
        running.filter_map(|run| run.row.key_id).collect()
    }

    /// How many runs have not ended, or have an end that is not written yet.
    pub fn active(&self) -> usize {
        self.active.lock().len()
    }

    /// How many loads run, and profiles of sources.
    pub fn loads(&self) -> usize {
        let active = self.active.lock();
        let is_load = |run: &&Active| run.is_running() && run.is_load();
        active.values().filter(is_load).count()
    }

    /// Ids of all that run.
    pub fn ids(&self) -> Vec<Uuid> {
        let active = self.active.lock();
        let running = active.iter().filter(|(_, run)| run.is_running());
        running.map(|(id, _)| *id).collect()
    }

    /// Waits until the ends of all runs are written, a bounded time.
    pub async fn settle(&self, limit: Duration) {
        self.writers.close();
        if tokio::time::timeout(limit, self.writers.wait())
            .await
            .is_err()
        {
            tracing::warn!("not every end of a run could be recorded before the service stopped");
        }
    }

    fn add(&self, id: Uuid, run: Active, most: usize) -> Result<()> {
        let mut active = self.active.lock();
        if active.contains_key(&id) || self.ended.lock().find(id).is_some() {
            return Err(run_id_taken());
        }
        let same = |other: &&Active| {
            other.is_load() && other.is_running() && other.row.key_id == run.row.key_id
        };
        if run.is_load() && active.values().filter(same).count() >= most {
            return Err(too_many(most));
        }
        active.insert(id, run);
        Ok(())
    }

    fn mark(&self, id: Uuid, end: &RunEnd) {
        if let Some(run) = self.active.lock().get_mut(&id) {
            end.status.name().clone_into(&mut run.row.status);
            run.row.finished_at = Some(end.finished_at);
            run.row.rows = i64::try_from(end.rows).ok();
            run.row.bytes = i64::try_from(end.bytes).ok();
            (run.row.error_code, run.row.error_message) = end.error.clone().unzip();
            run.row.report.clone_from(&end.report);
        }
    }

    fn remove(&self, id: Uuid) {
        self.active.lock().remove(&id);
    }

    /// Ends a run that is not recorded. Transforms and profiles stay for a while,
    /// and previews that have a report.
    fn keep(&self, id: Uuid, end: &RunEnd) {
        self.mark(id, end);
        // Under the lock, so that it can be found at any time.
        let mut active = self.active.lock();
        let Some(Active { row, labels, .. }) = active.remove(&id) else {
            return;
        };
        let is_kept =
            [RunKind::Transform.name(), RunKind::Profile.name()].contains(&row.kind.as_str());
        if is_kept || row.report.is_some() {
            self.ended.lock().add(row, labels);
        }
    }
}

fn too_many(most: usize) -> Error {
    Error::new(
        Kind::Busy,
        format!("your key has {most} loads and writes running, which is its limit"),
    )
    .code("too_many_loads")
    .hint("wait for one of them to end, or cancel it with POST /v1/runs/{run}/cancel")
    .retry_after(Duration::from_secs(1))
}

/// One run. Dropped without an end it counts as given up by its caller.
pub struct Run {
    id: Uuid,
    app: App,
    cancel: CancellationToken,
    asked: Asked,
    is_over: AtomicBool,
    report: OnceLock<Report>,
    ended: Mutex<Option<oneshot::Sender<RunEnd>>>,
}

/// The start of a run on its way into the store.
#[must_use]
pub struct Start {
    chosen: bool,
    written: Option<oneshot::Receiver<Result<()>>>,
}

impl Start {
    /// Waits only where the id may be taken: then nothing may start before.
    pub async fn before_query(&mut self) -> Result<()> {
        if self.chosen {
            self.wait().await
        } else {
            Ok(())
        }
    }

    /// Waits until the start is recorded; without a record there is no answer.
    pub async fn before_answer(mut self) -> Result<()> {
        self.wait().await
    }

    async fn wait(&mut self) -> Result<()> {
        match self.written.take() {
            None => Ok(()),
            Some(written) => written
                .await
                .map_err(|_| Error::internal("the writer of a run ended without a word"))?,
        }
    }
}

impl App {
    /// Begins a run. Refused when its id is taken or the key has too many.
    pub fn begin(&self, begin: &Begin<'_>) -> Result<(Arc<Run>, Start)> {
        let new = new_run(self, begin);
        let RunId { id, chosen } = begin.id;
        let (cancel, asked) = (self.shutdown.child_token(), Arc::default());
        let active = Active {
            row: shown(&new),
            labels: begin.read.map(|(source, _)| source.labels.clone()),
            cancel: cancel.clone(),
            asked: Arc::clone(&asked),
        };
        self.runs().add(id, active, self.limits.loads_per_key)?;
        let is_recorded = begin.kind.is_recorded();
        let (ended, end) = oneshot::channel();
        let run = Arc::new(Run {
            id,
            app: self.clone(),
            cancel,
            asked,
            is_over: AtomicBool::new(false),
            report: OnceLock::new(),
            ended: Mutex::new(is_recorded.then_some(ended)),
        });
        let mut start = Start {
            chosen,
            written: None,
        };
        if is_recorded || chosen {
            let (started, written) = oneshot::channel();
            start.written = Some(written);
            let token = self.runs().writers.token();
            let app = self.clone();
            let work = async move {
                match is_recorded {
                    true => write(&app, new, chosen, started, end).await,
                    false => drop(started.send(check(&app.store, id).await)),
                }
                drop(token);
            };
            self.store.tasks().spawn(work).detach();
        }
        Ok((run, start))
    }
}

async fn check(store: &Store, id: Uuid) -> Result<()> {
    if store.is_run(id).await? {
        return Err(run_id_taken());
    }
    Ok(())
}

/// Writes the start, waits for the end and writes that.
async fn write(
    app: &App,
    new: NewRun,
    chosen: bool,
    started: oneshot::Sender<Result<()>>,
    end: oneshot::Receiver<RunEnd>,
) {
    let (id, started_at) = (new.id, new.started_at);
    let outcome = match chosen {
        true => app.store.start_chosen_run(new).await,
        false => app.store.start_run(&new).await,
    };
    let is_recorded = outcome.is_ok();
    // Whoever is gone by now has dropped the run, which is an end like any other.
    let _ = started.send(outcome);
    if is_recorded && let Ok(end) = end.await {
        write_end(&app.store, id, started_at, &end).await;
    }
    app.runs().remove(id);
}

/// How often the end of a run is tried again: about ten minutes in all.
const END_ATTEMPTS: u32 = 65;

async fn write_end(store: &Store, id: Uuid, started_at: DateTime<Utc>, end: &RunEnd) {
    let mut pause = Duration::from_millis(100);
    for _ in 0..END_ATTEMPTS {
        match store.end_run(id, started_at, end).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(run = %id, detail = error.log_detail(), "the end of a run is not recorded yet: {error}");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    tracing::error!(run = %id, "the end of a run was never recorded");
}

impl Run {
    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What its work runs in: it ends when the run is cancelled.
    pub fn context(&self, limit: Duration) -> Context {
        Context {
            deadline: Deadline::after(limit),
            cancel: self.cancel.clone(),
            dialer: Arc::clone(&self.app.dialer),
            compute: self.app.compute.clone(),
            memory: self.app.memory.account(),
        }
    }

    /// It is over, in the way that the answer ended.
    pub fn end(&self, outcome: &Outcome) {
        crate::metrics::sent(outcome.rows, outcome.bytes);
        if let Some(error) = &outcome.error {
            crate::metrics::failed(error);
        }
        let (status, error) = self.verdict(outcome.error.as_ref(), outcome.cancelled);
        self.finish(status, error, outcome.rows, outcome.bytes);
    }

    /// What tells what its steps did.
    pub fn reports(&self, report: Report) {
        // A run has one list of steps.
        let _ = self.report.set(report);
    }

    /// It is over, and its answer a whole one that is sent as it is.
    pub fn answered(&self, rows: u64) {
        self.finish(RunStatus::Succeeded, None, rows, 0);
    }

    /// It is over, and `rows` of a body of `bytes` are written.
    pub fn wrote(&self, rows: u64, bytes: u64) {
        crate::metrics::received(rows, bytes);
        self.finish(RunStatus::Succeeded, None, rows, bytes);
    }

    /// It is over before the first byte.
    pub fn fail(&self, error: &Error) {
        self.failed_after(error, 0);
    }

    /// It is over, and nothing is written of the `bytes` that came.
    pub fn failed_after(&self, error: &Error, bytes: u64) {
        if bytes > 0 {
            crate::metrics::received(0, bytes);
            crate::metrics::failed(error);
        }
        let (status, error) = self.verdict(Some(error), false);
        self.finish(status, error, 0, bytes);
    }

    fn verdict(&self, error: Option<&Error>, left: bool) -> (RunStatus, Option<(String, String)>) {
        let said = |code: &str, text: &str| Some((code.to_owned(), text.to_owned()));
        match error {
            None if !left => (RunStatus::Succeeded, None),
            Some(error) if error.kind() != Kind::Cancelled => {
                let error = said(error.stable_code(), error.message());
                (RunStatus::Failed, error)
            }
            _ if let Some(why) = self.asked.get() => {
                (RunStatus::Cancelled, said("cancelled", why.text()))
            }
            Some(_) if self.app.shutdown.is_cancelled() => {
                let error = said("service_stopped", "the service stopped while it ran");
                (RunStatus::Failed, error)
            }
            _ => (
                RunStatus::Cancelled,
                said("cancelled", "the caller went away"),
            ),
        }
    }

    fn finish(&self, status: RunStatus, error: Option<(String, String)>, rows: u64, bytes: u64) {
        if self.is_over.swap(true, Ordering::SeqCst) {
            return;
        }
        let end = RunEnd {
            status,
            finished_at: now(),
            rows,
            bytes,
            error,
            report: self.report.get().map(kept::bounded),
        };
        match self.ended.lock().take() {
            Some(ended) => {
                self.app.runs().mark(self.id, &end);
                // Fails when the start could not be recorded; then there is no row to end.
                let _ = ended.send(end);
            }
            None => self.app.runs().keep(self.id, &end),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let (status, error) = self.verdict(None, true);
        self.finish(status, error, 0, 0);
    }
}

/// The store keeps microseconds, and finds a run by this time.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

fn new_run(app: &App, begin: &Begin<'_>) -> NewRun {
    let source = begin.read.map(|(source, _)| source);
    let (stream, text) = match begin.read.map(|(_, read)| &read.target) {
        Some(Target::Stream(stream)) => (Some(stream.to_string()), None),
        Some(Target::Query { text, .. }) => (None, Some(text)),
        None => (None, None),
    };
    NewRun {
        id: begin.id.id,
        started_at: now(),
        kind: begin.kind.name(),
        instance_id: app.instance_id,
        key_id: Some(begin.caller.key_id),
        source_id: source.map(|source| source.id),
        source_name: source.map(|source| source.name.clone()),
        trace_id: begin.trace_id,
        stream,
        columns: begin.read.and_then(|(_, read)| read.columns.clone()),
        query_hash: text.map(|text| hash(text)),
        query: text.filter(|_| app.log_queries).cloned(),
    }
}

fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

fn shown(new: &NewRun) -> RunRow {
    RunRow {
        id: new.id,
        started_at: new.started_at,
        finished_at: None,
        rows: None,
        bytes: None,
        instance_id: new.instance_id,
        key_id: new.key_id,
        source_id: new.source_id,
        trace_id: new.trace_id,
        kind: new.kind.to_owned(),
        status: RunStatus::Running.name().to_owned(),
        source_name: new.source_name.clone(),
        stream: new.stream.clone(),
        columns: new.columns.clone(),
        query_hash: new.query_hash.map(|hash| hash.to_vec()),
        query: new.query.clone(),
        error_code: None,
        error_message: None,
        report: None,
    }
}
