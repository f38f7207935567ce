//! Rows in, rows out: from any format to any format, through steps.
//!
//! A JSON body holds `data` and `steps` and is read whole, up to its limit; the
//! other formats are streamed, with everything else in the query string or in a
//! part before them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use weir_core::{Context, Result, config};
use weir_engine::steps::Report;
use weir_wire::{Delivery, Format, Outcome, RowsOptions, respond};

use super::body::{Body, Given, TransformQuery};
use super::others::Beside;
use super::request::split_query;
use super::steps::{Asked, Worked};
use super::{format_options, run_header};
use crate::auth::{Caller, Reader};
use crate::problem::{ApiError, ApiResult, Problem, loggable};
use crate::request::TraceId;
use crate::runs::{Begin, Run, RunId, RunKind};
use crate::state::App;

/// Rows, and what to do with them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "only its schema is used: rows are never held as values"
)]
pub struct TransformRequest {
    /// An array of objects, or `{"columns": [{"name", "type"?}], "rows": [[…]] or [{…}]}`.
    pub data: Value,
    /// Steps in their order, after those of `recipe`; `GET /v1/transforms` lists what there is.
    #[schema(value_type = Option<Vec<Object>>)]
    pub steps: Option<Vec<Value>>,
    /// A saved recipe: `name`, or `name@3` for one of its versions.
    pub recipe: Option<String>,
    /// What columns mean (`number`, `datetime`, …), or are read as (`int64`, …), by name.
    #[schema(value_type = Option<Object>)]
    pub column_types: Option<Value>,
    /// `all`, or ids of suggestions: what a profile of the rows behind the steps suggests is applied to them.
    #[schema(value_type = Option<Value>)]
    pub suggestions: Option<Value>,
}

/// What to do with rows: the part `request` of a body of parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct TransformPart {
    /// Steps in their order, after those of `recipe`.
    #[schema(value_type = Option<Vec<Object>>)]
    pub steps: Option<Vec<Value>>,
    /// A saved recipe: `name`, or `name@3` for one of its versions.
    pub recipe: Option<String>,
    /// What columns mean, or are read as, by name.
    #[schema(value_type = Option<Object>)]
    pub column_types: Option<Value>,
    /// `all`, or ids of suggestions: what a profile of the rows behind the steps suggests is applied to them.
    #[schema(value_type = Option<Value>)]
    pub suggestions: Option<Value>,
}

/// `POST /v1/transform` for one format, or negotiated.
pub fn transform_route(format: Option<Format>) -> MethodRouter<App> {
    post(move |State(app): State<App>, request: Request| transform(format, app, request))
}

async fn transform(format: Option<Format>, app: App, request: Request) -> ApiResult<Response> {
    let (mut parts, body) = request.into_parts();
    let Reader(caller) = Reader::from_request_parts(&mut parts, &app).await?;
    let query = split_query(parts.uri.query().unwrap_or_default());
    let mut options = format_options(format, &query.format, &parts.headers, parts.version)?;
    options.envelope = true;
    let asked: TransformQuery = config::decode_query(&query.rest)?;
    let begin = Begin {
        kind: RunKind::Transform,
        id: RunId::of(&parts.headers)?,
        caller: &caller,
        read: None,
        trace_id: parts.extensions.get().map(|TraceId(id)| *id),
    };
    let (run, start) = app.begin(&begin)?;
    start.before_answer().await?;
    let body = Body {
        headers: parts.headers,
        asked,
        more: None,
        body,
    };
    let answered = through(&app, &caller, &run, body, options).await;
    let mut response = answered.unwrap_or_else(|error| {
        run.fail(&error);
        ApiError(error).into_response()
    });
    run_header(&mut response, run.id());
    Ok(response)
}

/// Rows of the body, through steps, into the answer.
async fn through(
    app: &App,
    caller: &Caller,
    run: &Arc<Run>,
    body: Body<Asked>,
    options: RowsOptions,
) -> Result<Response> {
    let mut ctx = run.context(Duration::from_millis(app.limits.load_ms));
    // The end of the body must not look like one who cancels the run.
    ctx.cancel = ctx.cancel.child_token();
    let stop = ctx.cancel.clone().drop_guard();
    ctx.bounded(ctx.memory.admit(true)).await?;
    let Given { work, rows, .. } = body.read(app, caller, &ctx).await?;
    let others = Arc::new(Beside {
        app: app.clone(),
        caller: caller.clone(),
        ctx: ctx.clone(),
        run: run.id(),
    });
    let Worked { rows, report, .. } = work.run(app, rows, others, &ctx).await?;
    app.limits.check_columns(rows.schema.fields().len(), None)?;
    if let Some(report) = &report {
        run.reports(report.clone());
    }
    let mut delivery = delivery(app, caller, run, &ctx, report);
    delivery.first_batch_wait = work.first_batch_wait(&app.limits, &ctx);
    delivery.kept = Box::new(stop);
    respond(rows, options, delivery).await
}

fn delivery(
    app: &App,
    caller: &Caller,
    run: &Arc<Run>,
    ctx: &Context,
    report: Option<Report>,
) -> Delivery {
    let span = tracing::Span::current();
    let request_id = caller.request_id.clone();
    let (id, run) = (run.id(), Arc::clone(run));
    Delivery {
        kept: Box::new(()),
        compute: app.compute.clone(),
        first_batch_wait: Duration::from_millis(app.limits.first_batch_ms),
        stop: Box::pin(ctx.clone().ended()),
        memory: ctx.memory.clone(),
        queue_bytes: app.limits.queue_bytes,
        metadata: vec![("weir.run_id".to_owned(), id.to_string())],
        report: report.map(|report| -> weir_wire::Report { Box::new(move || report.to_json()) }),
        problem: Box::new(move |error| {
            serde_json::to_value(Problem::of(error, &request_id)).unwrap_or_default()
        }),
        on_end: Box::new(move |outcome| {
            run.end(&outcome);
            span.in_scope(|| log_end(&outcome, id));
        }),
    }
}

fn log_end(outcome: &Outcome, run: uuid::Uuid) {
    let (rows, bytes) = (outcome.rows, outcome.bytes);
    match &outcome.error {
        None if outcome.cancelled => {
            tracing::info!(%run, rows, bytes, "transform cancelled by the caller")
        }
        None => tracing::info!(%run, rows, bytes, "transform finished"),
        Some(error) => {
            let (code, detail) = (error.stable_code(), error.log_detail());
            let message = loggable(error);
            tracing::warn!(%run, rows, bytes, code, detail, "transform failed: {message}");
        }
    }
}
