//! Reading rows: preview and load, in every format.
//!
//! Each format has a path of its own (`load.arrow`) beside the negotiated one
//! (`load`), because generators break on an operation with several media types.

mod body;
pub(crate) mod document;
mod load;
mod others;
mod preview;
pub(crate) mod profile;
mod recorded;
mod request;
pub(crate) mod steps;
mod transform;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use futures::future::BoxFuture;
use http::header::LINK;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};
use weir_core::{Account, Error, Kind, Read, Result, Target, config};
use weir_engine::Answer;
use weir_store::SourceRow;
use weir_wire::{Delivery, Format, FormatQuery, Outcome, RowsOptions, negotiate};

use crate::auth::{Caller, Reader};
use crate::extract::Json;
use crate::problem::{ApiError, ApiResult, Problem, loggable};
use crate::request::TraceId;
use crate::runs::{Run, RunId};
use crate::sources::find;
use crate::state::App;
use load::Load;
pub use load::{DryRun, DryRunColumn};
pub use preview::PreviewAnswer;
pub use profile::{
    ProfileAnswer, ProfilePart, ProfileRequest, ProfileSourceRequest, profile_route,
    source_profile_route,
};
use recorded::{access, recorded};
pub use request::{Count, LoadQuery, LoadRequest, PreviewRequest};
use steps::{Place, Work};
pub use transform::{TransformPart, TransformRequest, transform_route};
pub use write::{__path_write, write};

/// Formats with a path of their own.
pub const FORMATS: &[Format] = &Format::ALL;

/// What every request for rows has, beside its body.
struct Call {
    app: App,
    caller: Caller,
    source: String,
    query: String,
    method: Method,
    headers: HeaderMap,
    version: Version,
    trace_id: Option<uuid::Uuid>,
}

impl FromRequestParts<App> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let Reader(caller) = Reader::from_request_parts(parts, app).await?;
        let path = Path::<String>::from_request_parts(parts, app).await;
        let Path(source) =
            path.map_err(|_| Error::new(Kind::Malformed, "the path is not valid UTF-8"))?;
        Ok(Call {
            app: app.clone(),
            caller,
            source,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            version: parts.version,
            trace_id: parts.extensions.get().map(|TraceId(id)| *id),
        })
    }
}

/// `POST …/preview` for one format, or negotiated.
pub fn preview_route(format: Option<Format>) -> MethodRouter<App> {
    post(move |call: Call, body: Json<PreviewRequest>| preview::preview(format, call, body))
}

/// `POST …/load` and `GET …/load` for one format, or negotiated.
pub fn load_route(format: Option<Format>) -> MethodRouter<App> {
    get(move |call: Call| load_by_get(format, call))
        .post(move |call: Call, body: Json<LoadRequest>| load_by_post(format, call, body))
}

fn format_options(
    format: Option<Format>,
    query: &str,
    headers: &HeaderMap,
    version: Version,
) -> Result<RowsOptions> {
    let wanted: FormatQuery = config::decode_query(query)?;
    let options = negotiate(format, &wanted, headers)?;
    if version < Version::HTTP_11 && !has_end(&options) {
        return Err(cannot_end(options.format));
    }
    Ok(options)
}

/// Whether the rows themselves show that they are whole.
fn has_end(options: &RowsOptions) -> bool {
    match options.format {
        Format::Json | Format::Arrow | Format::Parquet => true,
        Format::Ndjson => options.end_marker,
        Format::Csv => false,
    }
}

/// In HTTP/1.0 a body ends where the connection does, however that comes about.
fn cannot_end(format: Format) -> Error {
    let message = format!(
        "rows as {} need HTTP/1.1: HTTP/1.0 cannot tell a whole answer from one that broke off",
        format.suffix()
    );
    Error::unsupported(message)
        .code("http_version")
        .hint("let the client or the proxy speak HTTP/1.1, or ask for json, arrow, parquet, or ndjson with end_marker=true")
}

async fn load_by_get(format: Option<Format>, call: Call) -> ApiResult<Response> {
    let parts = request::split_query(&call.query);
    let options = format_options(format, &parts.format, &call.headers, call.version)?;
    let mut asked: LoadQuery = config::decode_query(&parts.rest)?;
    let row = find(&call.app, &call.caller, &call.source).await?;
    let limit = call.app.limits.load_time(asked.timeout_ms, "?timeout_ms")?;
    let (dry_run, count) = (asked.dry_run, asked.count);
    let work = Work::of(&call.app, &call.caller, asked.asked()?, Place::Query).await?;
    work.refuse_types("a source")?;
    let read = asked.read(parts.params, &call.app.limits)?;
    if call.method == Method::HEAD {
        return Ok(head(&options, RunId::of(&call.headers)?));
    }
    Load {
        call,
        row,
        read,
        work,
        options,
        limit,
        dry_run,
        count,
    }
    .run()
    .await
}

async fn load_by_post(
    format: Option<Format>,
    call: Call,
    Json(mut asked): Json<LoadRequest>,
) -> ApiResult<Response> {
    let parts = request::split_query(&call.query);
    // Whatever is not about the format belongs into the body.
    let _: Nothing = config::decode_query(&parts.rest)?;
    let options = format_options(format, &parts.format, &call.headers, call.version)?;
    let row = find(&call.app, &call.caller, &call.source).await?;
    let limit = call.app.limits.load_time(asked.timeout_ms, "/timeout_ms")?;
    let (dry_run, count) = (asked.dry_run, asked.count);
    let work = Work::of(&call.app, &call.caller, asked.asked(), Place::Body).await?;
    work.refuse_types("a source")?;
    let read = asked.read(&call.app.limits)?;
    Load {
        call,
        row,
        read,
        work,
        options,
        limit,
        dry_run,
        count,
    }
    .run()
    .await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What HEAD answers: the headers of a load, and no query in the source.
fn head(options: &RowsOptions, id: RunId) -> Response {
    // A stream, so that no length is promised: nobody knows it yet.
    let nothing = futures::stream::empty::<Result<bytes::Bytes>>();
    let mut response = Response::new(Body::from_stream(nothing));
    *response.headers_mut() = weir_wire::data_headers(options);
    run_header(&mut response, id.id);
    response
}

/// Reads through the engine on the compute runtime, so that preparing a scan
/// never holds up the threads that serve HTTP.
async fn answer(
    app: &App,
    row: &SourceRow,
    read: &Read,
    ctx: &weir_core::Context,
) -> Result<Answer> {
    let source = app.open(row, ctx).await?;
    let (app, ctx, read) = (app.clone(), ctx.clone(), read.clone());
    let compute = ctx.compute.clone();
    let most = app.limits.clone();
    let answer = compute
        .spawn(async move { app.engine.read(&source, &ctx, &read).await })
        .await??;
    most.check_columns(answer.schema.fields().len(), None)?;
    Ok(answer)
}

/// Rows in all, as asked for, and whether that is an estimate.
async fn total(
    app: &App,
    row: &SourceRow,
    read: &Read,
    ctx: &weir_core::Context,
    count: Count,
) -> Result<Option<(u64, bool)>> {
    if count == Count::None {
        return Ok(None);
    }
    let source = app.open(row, ctx).await?;
    let (app, ctx, read) = (app.clone(), ctx.clone(), read.clone());
    let compute = ctx.compute.clone();
    let counting = async move {
        match count {
            Count::None => Ok(None),
            Count::Estimated => {
                let rows = app.engine.estimate(&source, &ctx, &read).await?;
                Ok(rows.map(|rows| (rows, true)))
            }
            Count::Exact => {
                let counted = ctx.bounded(app.engine.count(&source, &ctx, &read)).await?;
                Ok(Some((counted, false)))
            }
        }
    };
    compute.spawn(counting).await?
}

fn total_headers(response: &mut Response, total: Option<(u64, bool)>) {
    let Some((rows, is_estimate)) = total else {
        return;
    };
    let headers = response.headers_mut();
    headers.insert("weir-total-rows", HeaderValue::from(rows));
    if is_estimate {
        let yes = HeaderValue::from_static("true");
        headers.insert("weir-total-rows-estimated", yes);
    }
}

/// How rows of `run` are sent, and what is done when they have been. When
/// `stop` is ready they break off.
fn delivery(
    call: &Call,
    row: &SourceRow,
    run: &Arc<Run>,
    memory: Account,
    stop: BoxFuture<'static, Error>,
) -> Delivery {
    let source = row.name.clone();
    let span = tracing::Span::current();
    let request_id = call.caller.request_id.clone();
    let (id, run) = (run.id(), Arc::clone(run));
    let limits = &call.app.limits;
    Delivery {
        kept: Box::new(()),
        compute: call.app.compute.clone(),
        first_batch_wait: Duration::from_millis(limits.first_batch_ms),
        stop,
        memory,
        queue_bytes: limits.queue_bytes,
        metadata: vec![
            ("weir.run_id".to_owned(), id.to_string()),
            ("weir.source".to_owned(), row.name.clone()),
        ],
        report: None,
        problem: Box::new(move |error| {
            serde_json::to_value(Problem::of(error, &request_id)).unwrap_or_default()
        }),
        on_end: Box::new(move |outcome| {
            run.end(&outcome);
            span.in_scope(|| log_end(&outcome, id, &source));
        }),
    }
}

fn log_end(outcome: &Outcome, run: uuid::Uuid, source: &str) {
    let (rows, bytes) = (outcome.rows, outcome.bytes);
    match &outcome.error {
        None if outcome.cancelled => {
            tracing::info!(%run, source, rows, bytes, "load cancelled by the caller");
        }
        None => tracing::info!(%run, source, rows, bytes, "load finished"),
        Some(error) => {
            let (code, detail) = (error.stable_code(), error.log_detail());
            let message = loggable(error);
            tracing::warn!(%run, source, rows, bytes, code, detail, "load failed: {message}");
        }
    }
}

/// How long it took to prepare the read, and then until `what` was there.
fn timing_header(response: &mut Response, prepared: Duration, what: &str, all: Duration) {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let text = format!(
        "prepare;dur={:.1}, {what};dur={:.1}",
        millis(prepared),
        millis(all.saturating_sub(prepared))
    );
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert("server-timing", value);
    }
}

fn run_header(response: &mut Response, run: uuid::Uuid) {
    if let Ok(value) = HeaderValue::from_str(&run.to_string()) {
        response.headers_mut().insert("weir-run-id", value);
    }
}

/// `is_plain` where the columns are those of the stream.
fn data_headers(
    response: &mut Response,
    row: &SourceRow,
    read: &Read,
    run: uuid::Uuid,
    is_plain: bool,
) {
    run_header(response, run);
    let headers = response.headers_mut();
    if !is_plain {
        return;
    }
    if let Target::Stream(stream) = &read.target {
        let stream: String =
            form_urlencoded::byte_serialize(stream.to_string().as_bytes()).collect();
        let link = format!(
            "</v1/sources/{}/schema?stream={stream}>; rel=\"describedby\"",
            row.id
        );
        if let Ok(value) = HeaderValue::from_str(&link) {
            headers.insert(LINK, value);
        }
    }
}
