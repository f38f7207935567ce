//! What is in rows: those of a body, or those of a source, profiled.
//!
//! The answer comes when the last row was seen, so there is nothing to stream:
//! one JSON object, small whatever the rows are.

mod answer;
pub(super) mod document;
mod request;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use weir_core::{Context, Error, Kind, Result, config};
use weir_engine::profile::{Profile, ProfileOptions};
use weir_engine::steps::Side;

pub use answer::ProfileAnswer;
pub use request::{ProfilePart, ProfileQuery, ProfileRequest, ProfileSourceRequest};

use super::body::Body;
use super::load::{Opening, within};
use super::others::Beside;
use super::steps::{Place, Work, Worked};
use super::{Call, Nothing, access, recorded, run_header, timing_header};
use crate::auth::{Caller, Reader};
use crate::extract::Json;
use crate::problem::{ApiError, ApiResult};
use crate::request::TraceId;
use crate::runs::{Begin, Run, RunId, RunKind};
use crate::sources::find;
use crate::state::App;
use request::Counting;

/// `POST /v1/profile`.
pub fn profile_route() -> MethodRouter<App> {
    post(|State(app): State<App>, request: Request| of_body(app, request))
}

/// `POST …/profile` of a source.
pub fn source_profile_route() -> MethodRouter<App> {
    post(|call: Call, body: Json<ProfileSourceRequest>| of_source(call, body))
}

/// What was found in rows.
struct Found {
    profile: Profile,
    /// From the start of the run to the first rows.
    prepared: Duration,
}

async fn of_body(app: App, request: Request) -> ApiResult<Response> {
    let start = Instant::now();
    let (mut parts, body) = request.into_parts();
    let Reader(caller) = Reader::from_request_parts(&mut parts, &app).await?;
    let query: ProfileQuery = config::decode_query(parts.uri.query().unwrap_or_default())?;
    let begin = Begin {
        kind: RunKind::Profile,
        id: RunId::of(&parts.headers)?,
        caller: &caller,
        read: None,
        trace_id: parts.extensions.get().map(|TraceId(id)| *id),
    };
    let (run, begun) = app.begin(&begin)?;
    begun.before_answer().await?;
    let (asked, more) = query.split();
    let body = Body {
        headers: parts.headers,
        asked,
        more,
        body,
    };
    let found = in_body(&app, &caller, &run, body).await;
    Ok(answered(&run, found, start))
}

async fn in_body(
    app: &App,
    caller: &Caller,
    run: &Arc<Run>,
    body: Body<ProfilePart>,
) -> Result<Found> {
    let start = Instant::now();
    let mut ctx = run.context(Duration::from_millis(app.limits.load_ms));
    // Whatever computes hears of nobody; it is told when the caller is gone.
    ctx.cancel = ctx.cancel.child_token();
    let _stop = ctx.cancel.clone().drop_guard();
    ctx.bounded(ctx.memory.admit(true)).await?;
    let given = body.read(app, caller, &ctx).await?;
    let others = Arc::new(Beside {
        app: app.clone(),
        caller: caller.clone(),
        ctx: ctx.clone(),
        run: run.id(),
    });
    let worked = given.work.run(app, given.rows, others, &ctx).await?;
    let prepared = start.elapsed();
    let profile = profiled(app, run, worked, &given.work, given.more, &ctx).await?;
    Ok(Found { profile, prepared })
}

async fn of_source(call: Call, Json(asked): Json<ProfileSourceRequest>) -> ApiResult<Response> {
    let start = Instant::now();
    let (app, caller) = (&call.app, &call.caller);
    let _: Nothing = config::decode_query(&call.query)?;
    let row = find(app, caller, &call.source).await?;
    let (mut load, counting) = asked.split();
    let limit = app.limits.load_time(load.timeout_ms, "/timeout_ms")?;
    let work = Work::of(app, caller, load.asked(), Place::Body).await?;
    work.refuse_types("a source")?;
    let read = load.read(&app.limits)?;
    let begin = Begin {
        kind: RunKind::Profile,
        id: RunId::of(&call.headers)?,
        caller,
        read: Some((&row, &read)),
        trace_id: call.trace_id,
    };
    let (run, begun) = app.begin(&begin)?;
    begun.before_answer().await?;
    let found = async {
        let mut ctx = run.context(limit);
        ctx.cancel = ctx.cancel.child_token();
        let _stop = ctx.cancel.clone().drop_guard();
        ctx.bounded(ctx.memory.admit(true)).await?;
        let opening = Opening {
            app,
            caller,
            row: &row,
            read: &read,
            work: &work,
            run: run.id(),
            ctx: &ctx,
        };
        let access = access("profile", &row, &read, run.id());
        let opened = recorded(app, caller, access, opening.open(false)).await?;
        let worked = Worked {
            rows: within(opened.worked.rows, &app.limits),
            ..opened.worked
        };
        let prepared = start.elapsed();
        let profile = profiled(app, &run, worked, &work, counting, &ctx).await?;
        Ok(Found { profile, prepared })
    };
    let found: Result<Found> = found.await;
    Ok(answered(&run, found, start))
}

/// What is in the rows behind the steps.
async fn profiled(
    app: &App,
    run: &Arc<Run>,
    worked: Worked,
    work: &Work,
    counting: Counting,
    ctx: &Context,
) -> Result<Profile> {
    let Worked {
        rows,
        report,
        kinds,
    } = worked;
    app.limits.check_columns(rows.schema.fields().len(), None)?;
    if let Some(report) = report {
        run.reports(report);
    }
    let options = ProfileOptions {
        kinds,
        clean: counting.clean,
        approximate: counting.approximate,
        ..ProfileOptions::default()
    };
    let (app, inner) = (app.clone(), ctx.clone());
    let finding = async move {
        let side = Side {
            schema: rows.schema,
            stream: rows.batches,
        };
        app.engine.profile(side, &options, &inner).await
    };
    let found = ctx.bounded(async { ctx.compute.spawn(finding).await? });
    found.await.map_err(|error| work.tell(error))
}

/// The answer, and the end of the run.
fn answered(run: &Arc<Run>, found: Result<Found>, start: Instant) -> Response {
    let id = run.id();
    let mut response = match found {
        Ok(Found { profile, prepared }) => {
            let rows = profile.dataset.get("row_count");
            let rows = rows.and_then(serde_json::Value::as_u64).unwrap_or_default();
            run.answered(rows);
            tracing::info!(run = %id, rows, "profile finished");
            let mut response = axum::Json(profile).into_response();
            timing_header(&mut response, prepared, "profile", start.elapsed());
            response
        }
        Err(error) => {
            run.fail(&error);
            log_failure(&error, id);
            ApiError(error).into_response()
        }
    };
    run_header(&mut response, id);
    response
}

fn log_failure(error: &Error, run: uuid::Uuid) {
    if error.kind() == Kind::Cancelled {
        tracing::info!(%run, "profile cancelled");
        return;
    }
    let (code, detail) = (error.stable_code(), error.log_detail());
    tracing::warn!(%run, code, detail, "profile failed: {error}");
}
