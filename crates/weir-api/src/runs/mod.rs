//! `/v1/runs`: what was loaded, how it ended, and how to stop it.

mod active;
mod kept;
mod view;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;
use weir_core::{Error, Kind, Result};
use weir_store::{Message, RunFilter, RunRow, RunSight, RunStatus};

pub use active::{Begin, Run, RunId, RunKind, Runs};
pub use view::{RunPage, RunView};

use crate::auth::{Caller, Reader, Role};
use crate::extract::Query;
use crate::paging;
use crate::problem::ApiResult;
use crate::state::App;

/// Which runs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunsQuery {
    /// Only of this source: its id, its name, or `@kind.name`.
    pub source: Option<String>,
    /// `running`, `succeeded`, `failed` or `cancelled`.
    #[param(pattern = "^(running|succeeded|failed|cancelled)$")]
    pub status: Option<String>,
    /// Only those that started at this time or later, RFC 3339.
    pub since: Option<DateTime<Utc>>,
    /// Items in the page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// List runs, the newest first
#[utoipa::path(get, path = "/v1/runs", operation_id = "list_runs", tag = "runs", params(RunsQuery),
    responses((status = 200, description = "A page of runs", body = RunPage)))]
pub async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    Query(asked): Query<RunsQuery>,
) -> ApiResult<Answer<RunPage>> {
    let filter = RunFilter {
        sight: sight(&caller),
        source: asked.source.as_deref().map(bare_name),
        status: asked.status.as_deref().map(status).transpose()?,
        since: asked.since,
        before: paging::place(asked.cursor.as_deref())?
            .map(|text| place(&text))
            .transpose()?,
        limit: paging::size(asked.limit, app.limits.page_items)?,
    };
    let page = app.store.list_runs(&filter).await?;
    let last = page.items.last().filter(|_| page.next.is_some());
    let next_cursor = last
        .map(|run| paging::cursor(&format!("{} {}", run.started_at.timestamp_micros(), run.id)));
    // How a run of this instance ended may not be in the store yet.
    let newest = |row: RunRow| match app.runs().find(row.id) {
        Some((own, _)) => own,
        None => row,
    };
    let is_asked = |run: &RunRow| filter.status.is_none_or(|asked| asked.name() == run.status);
    let items = page.items.into_iter().map(newest).filter(is_asked);
    let items = items.map(RunView::of);
    Ok(Answer(RunPage {
        items: items.collect(),
        next_cursor,
    }))
}

/// Read a run
#[utoipa::path(get, path = "/v1/runs/{run}", operation_id = "get_run", tag = "runs",
    params(("run" = Uuid, Path, description = "Id of the run, as in the header weir-run-id")),
    responses((status = 200, description = "The run", body = RunView)))]
pub async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(run): Path<String>,
) -> ApiResult<Answer<RunView>> {
    Ok(Answer(RunView::of(look(&app, &caller, &run).await?)))
}

/// Stop a run
///
/// The query is stopped in the source, and an answer under way breaks off visibly.
#[utoipa::path(post, path = "/v1/runs/{run}/cancel", operation_id = "cancel_run", tag = "runs",
    params(("run" = Uuid, Path, description = "Id of the run, as in the header weir-run-id")),
    responses((status = 202, description = "It will stop", body = RunView)))]
pub async fn cancel(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(run): Path<String>,
) -> ApiResult<Response> {
    let row = look(&app, &caller, &run).await?;
    if row.status != RunStatus::Running.name() {
        let message = format!("the run has ended already: it {}", ended(&row.status));
        return Err(Error::new(Kind::Conflict, message)
            .code("run_finished")
            .hint("GET /v1/runs/{run} says how it ended")
            .into());
    }
    if !app.runs().cancel(row.id) {
        app.store.ask_to_cancel(row.id, row.started_at).await?;
    }
    Ok((StatusCode::ACCEPTED, Answer(RunView::of(row))).into_response())
}

fn ended(status: &str) -> &str {
    match status {
        "cancelled" => "was cancelled",
        other => other,
    }
}

/// The run, if the caller may see it: what this instance knows, then the store.
async fn look(app: &App, caller: &Caller, given: &str) -> Result<RunRow> {
    let missing = || {
        Error::new(Kind::NotFound, format!("no run `{given}`"))
            .hint("GET /v1/runs lists the runs your key may see; previews, transforms and profiles are known for an hour at most")
    };
    let id = Uuid::try_parse(given).map_err(|_| missing())?;
    let sight = sight(caller);
    if let Some((row, labels)) = app.runs().find(id) {
        let is_own = row.key_id == Some(caller.key_id);
        let is_seen = match labels {
            // Rows of a body carry no labels: they are their key's alone.
            None => is_own || (sight.key_id.is_none() && caller.scopes.is_all()),
            Some(labels) => (is_own || sight.key_id.is_none()) && caller.scopes.contains(&labels),
        };
        return is_seen.then_some(row).ok_or_else(missing);
    }
    let found = app.store.find_run(id, &sight).await?;
    found.ok_or_else(missing)
}

/// Admins see everybody's runs, others their own; all of them inside their scopes.
fn sight(caller: &Caller) -> RunSight {
    RunSight {
        key_id: (caller.role < Role::Admin).then_some(caller.key_id),
        scopes: caller.scopes.clone(),
    }
}

fn bare_name(given: &str) -> String {
    let named = given
        .strip_prefix('@')
        .and_then(|rest| rest.split_once('.'));
    named.map_or(given, |(_, name)| name).to_owned()
}

fn status(text: &str) -> Result<RunStatus> {
    let known = RunStatus::ALL
        .into_iter()
        .find(|known| known.name() == text);
    known.ok_or_else(|| {
        let names = RunStatus::ALL.map(RunStatus::name).join(", ");
        Error::invalid("?status", format!("`{text}` is none of {names}"))
    })
}

fn place(text: &str) -> Result<(DateTime<Utc>, Uuid)> {
    let parsed = text.split_once(' ').and_then(|(micros, id)| {
        let at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some((at, Uuid::try_parse(id).ok()?))
    });
    parsed
        .ok_or_else(|| Error::invalid("?cursor", "the cursor is not one that a list of runs gave"))
}

/// Does what another instance asked of the runs of this one.
pub async fn hear(app: &App, message: &Message) {
    match message {
        Message::CancelRun { id } => {
            app.runs().cancel(*id);
        }
        // What was asked while the line was broken stands in the store.
        Message::Resync => {
            for key in app.runs().keys() {
                stop_without_key(app, key).await;
            }
            let running = app.runs().ids();
            if running.is_empty() {
                return;
            }
            match app.store.cancelled_runs(&running).await {
                Ok(asked) => asked.into_iter().for_each(|id| {
                    app.runs().cancel(id);
                }),
                Err(error) => {
                    tracing::warn!(
                        detail = error.log_detail(),
                        "runs to cancel not read: {error}"
                    );
                }
            }
        }
        Message::KeyChanged { id } if app.runs().keys().contains(id) => {
            stop_without_key(app, *id).await;
        }
        Message::SourceChanged { .. }
        | Message::CredentialChanged { .. }
        | Message::KeyChanged { .. } => {}
    }
}

/// Stops the runs of a key that is gone or has expired: rows must not go on to
/// somebody whose key was taken away.
async fn stop_without_key(app: &App, id: Uuid) {
    match app.store.api_key(Some(id), "").await {
        Ok(Some(key)) if key.expires_at.is_none_or(|end| end > Utc::now()) => {}
        Ok(_) => app.runs().cancel_key(id),
        Err(error) => tracing::warn!(
            detail = error.log_detail(),
            "whether runs may go on was not read: {error}"
        ),
    }
}
