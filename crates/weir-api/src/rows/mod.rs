//! Reading rows: preview and load, in every format.
//!
//! Each format has a path of its own (`load.arrow`) beside the negotiated one
//! (`load`), because generators break on an operation with several media types.

mod preview;
mod request;

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::header::LINK;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use utoipa::ToSchema;
use weir_core::{Error, Kind, PushDown, Read, Result, Target, config};
use weir_engine::Answer;
use weir_store::SourceRow;
use weir_wire::{Delivery, Format, FormatQuery, Outcome, Rows, RowsOptions, negotiate, respond};

use crate::auth::{Caller, Reader};
use crate::extract::Json;
use crate::problem::{ApiError, ApiResult, Problem};
use crate::sources::find;
use crate::state::App;
pub use preview::PreviewAnswer;
pub use request::{LoadQuery, LoadRequest, PreviewRequest};

/// Formats with a path of their own.
pub const FORMATS: &[Format] = &[Format::Json, Format::Ndjson, Format::Arrow];

/// What every request for rows has, beside its body.
struct Call {
    app: App,
    caller: Caller,
    source: String,
    query: String,
    method: Method,
    headers: HeaderMap,
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

fn format_options(format: Option<Format>, query: &str, headers: &HeaderMap) -> Result<RowsOptions> {
    let wanted: FormatQuery = config::decode_query(query)?;
    negotiate(format, &wanted, headers)
}

async fn load_by_get(format: Option<Format>, call: Call) -> ApiResult<Response> {
    let parts = request::split_query(&call.query);
    let options = format_options(format, &parts.format, &call.headers)?;
    let asked: LoadQuery = config::decode_query(&parts.rest)?;
    let row = find(&call.app, &call.caller, &call.source).await?;
    let (dry_run, timeout_ms) = (asked.dry_run, asked.timeout_ms);
    let read = asked.read(parts.params)?;
    if call.method == Method::HEAD {
        return Ok(head(&options));
    }
    Load {
        call,
        row,
        read,
        options,
        timeout_ms,
        dry_run,
    }
    .run()
    .await
}

async fn load_by_post(
    format: Option<Format>,
    call: Call,
    Json(asked): Json<LoadRequest>,
) -> ApiResult<Response> {
    let parts = request::split_query(&call.query);
    // Whatever is not about the format belongs into the body.
    let _: Nothing = config::decode_query(&parts.rest)?;
    let options = format_options(format, &parts.format, &call.headers)?;
    let row = find(&call.app, &call.caller, &call.source).await?;
    let (dry_run, timeout_ms) = (asked.dry_run, asked.timeout_ms);
    let read = asked.read()?;
    Load {
        call,
        row,
        read,
        options,
        timeout_ms,
        dry_run,
    }
    .run()
    .await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What HEAD answers: the headers of a load, and no query in the source.
fn head(options: &RowsOptions) -> Response {
    // A stream, so that no length is promised: nobody knows it yet.
    let nothing = futures::stream::empty::<Result<bytes::Bytes>>();
    let mut response = Response::new(Body::from_stream(nothing));
    *response.headers_mut() = weir_wire::data_headers(options);
    response
}

/// The id of this run: the caller's, or a new one.
fn run_id(headers: &HeaderMap) -> Result<uuid::Uuid> {
    let Some(given) = headers.get("weir-run-id") else {
        return Ok(uuid::Uuid::now_v7());
    };
    given
        .to_str()
        .ok()
        .and_then(|text| uuid::Uuid::try_parse(text).ok())
        .ok_or_else(|| {
            Error::new(
                weir_core::Kind::Invalid,
                "the header weir-run-id is not a UUID",
            )
        })
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
    compute
        .spawn(async move { app.engine.read(&source, &ctx, &read).await })
        .await?
}

/// A load, understood.
struct Load {
    call: Call,
    row: SourceRow,
    read: Read,
    options: RowsOptions,
    timeout_ms: Option<u64>,
    dry_run: bool,
}

impl Load {
    async fn run(self) -> ApiResult<Response> {
        let app = &self.call.app;
        let run = run_id(&self.call.headers)?;
        let limit = self.timeout_ms.unwrap_or(app.limits.load_ms).max(1);
        let ctx = app.context(Duration::from_millis(limit));
        let stop = ctx.cancel.clone().drop_guard();
        let start = Instant::now();
        let answer = answer(app, &self.row, &self.read, &ctx).await?;
        if self.dry_run {
            return Ok(axum::Json(DryRun::of(&answer, &self.read)).into_response());
        }
        let prepared = start.elapsed();
        let rows = Rows {
            schema: answer.schema,
            batches: answer.stream,
        };
        let mut response =
            respond(rows, self.options, delivery(&self.call, &self.row, run)).await?;
        // From here on the body's own drop stops the query.
        stop.disarm();
        data_headers(&mut response, &self.row, &self.read, run);
        let timing = server_timing(prepared, start.elapsed().saturating_sub(prepared));
        response
            .headers_mut()
            .extend(timing.map(|value| (SERVER_TIMING, value)));
        Ok(response)
    }
}

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

fn server_timing(prepare: Duration, first_batch: Duration) -> Option<HeaderValue> {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let text = format!(
        "prepare;dur={:.1}, first_batch;dur={:.1}",
        millis(prepare),
        millis(first_batch)
    );
    HeaderValue::from_str(&text).ok()
}

fn delivery(call: &Call, row: &SourceRow, run: uuid::Uuid) -> Delivery {
    let source = row.name.clone();
    let span = tracing::Span::current();
    let request_id = call.caller.request_id.clone();
    let limits = &call.app.limits;
    Delivery {
        compute: call.app.compute.clone(),
        first_batch_wait: Duration::from_millis(limits.first_batch_ms),
        queue_bytes: limits.queue_bytes,
        metadata: vec![
            ("weir.run_id".to_owned(), run.to_string()),
            ("weir.source".to_owned(), row.name.clone()),
        ],
        problem: Box::new(move |error| {
            serde_json::to_value(Problem::of(error, &request_id)).unwrap_or_default()
        }),
        on_end: Box::new(move |outcome| span.in_scope(|| log_end(&outcome, run, &source))),
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
            tracing::warn!(%run, source, rows, bytes, code, detail, "load failed: {error}");
        }
    }
}

fn data_headers(response: &mut Response, row: &SourceRow, read: &Read, run: uuid::Uuid) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&run.to_string()) {
        headers.insert("weir-run-id", value);
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

/// What a load would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRun {
    /// Columns of the answer.
    pub columns: Vec<DryRunColumn>,
    /// What the source itself would do.
    pub pushed: DryRunPushed,
    /// What the engine would do after it.
    pub residue: Vec<String>,
    /// The source's own estimate of rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<u64>,
    /// The source's own estimate of bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_bytes: Option<u64>,
    /// The cost in the source's own unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_cost: Option<f64>,
}

/// A column of the answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRunColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_: String,
}

/// What the source itself would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRunPushed {
    /// For each part of the filter joined by `and`: `exact`, `inexact` or `no`.
    pub filter: Vec<String>,
    /// The order.
    pub order_by: bool,
    /// The limit.
    pub limit: bool,
    /// The choice of columns.
    pub columns: bool,
}

impl DryRun {
    fn of(answer: &Answer, read: &Read) -> Self {
        let pushed = &answer.pushed;
        let word = |push: &PushDown| match push {
            PushDown::Exact => "exact".to_owned(),
            PushDown::Inexact => "inexact".to_owned(),
            PushDown::No => "no".to_owned(),
        };
        let columns = answer.schema.fields().iter().map(|field| DryRunColumn {
            name: field.name().clone(),
            type_: weir_core::types::field_type_name(field),
        });
        DryRun {
            columns: columns.collect(),
            pushed: DryRunPushed {
                filter: pushed.filter.iter().map(word).collect(),
                order_by: pushed.order && !read.order.is_empty(),
                limit: pushed.limit && read.limit.is_some(),
                columns: pushed.columns && read.columns.is_some(),
            },
            residue: answer
                .residue
                .iter()
                .map(|part| (*part).to_owned())
                .collect(),
            estimated_rows: answer.estimate.and_then(|e| e.rows),
            estimated_bytes: answer.estimate.and_then(|e| e.bytes),
            estimated_cost: answer.estimate.and_then(|e| e.cost),
        }
    }
}
