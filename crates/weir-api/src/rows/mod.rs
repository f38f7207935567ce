//! Reading rows: preview and load, in every format.
//!
//! Each format has a path of its own (`load.arrow`) beside the negotiated one
//! (`load`), because generators break on an operation with several media types.

mod preview;
mod request;

use std::time::{Duration, Instant};

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use http::header::{ACCEPT_RANGES, CONTENT_TYPE, LINK};
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use utoipa::ToSchema;
use weir_core::{Error, PushDown, Read, Result, Target};
use weir_engine::Answer;
use weir_store::SourceRow;
use weir_wire::{Delivery, Format, FormatQuery, Outcome, Rows, RowsOptions, negotiate, respond};

use crate::auth::Reader;
use crate::extract::Json;
use crate::problem::ApiResult;
use crate::sources::find;
use crate::state::App;
pub use preview::PreviewAnswer;
pub use request::{LoadQuery, LoadRequest, NullsAt, OrderBy, PreviewRequest};

/// Formats with a path of their own.
pub const FORMATS: &[Format] = &[Format::Json, Format::Ndjson, Format::Arrow];

/// `POST …/preview` for one format, or negotiated.
pub fn preview_route(format: Option<Format>) -> MethodRouter<App> {
    let handler = move |state: State<App>,
                        reader: Reader,
                        path: Path<String>,
                        query: RawQuery,
                        headers: HeaderMap,
                        body: Json<PreviewRequest>| {
        preview::preview(format, state, reader, path, query, headers, body)
    };
    on(MethodFilter::POST, handler)
}

/// `POST …/load` and `GET …/load` for one format, or negotiated.
pub fn load_route(format: Option<Format>) -> MethodRouter<App> {
    let by_get = move |state: State<App>,
                       reader: Reader,
                       path: Path<String>,
                       query: RawQuery,
                       method: Method,
                       headers: HeaderMap| {
        load_by_get(format, state, reader, path, query, method, headers)
    };
    let by_post = move |state: State<App>,
                        reader: Reader,
                        path: Path<String>,
                        query: RawQuery,
                        headers: HeaderMap,
                        body: Json<LoadRequest>| {
        load_by_post(format, state, reader, path, query, headers, body)
    };
    get(by_get).post(by_post)
}

fn format_options(format: Option<Format>, query: &str, headers: &HeaderMap) -> Result<RowsOptions> {
    let wanted: FormatQuery = crate::extract::decode_query(query)?;
    negotiate(format, &wanted, headers)
}

async fn load_by_get(
    format: Option<Format>,
    State(app): State<App>,
    _: Reader,
    Path(source): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let query = query.unwrap_or_default();
    let parts = request::split_query(&query);
    let options = format_options(format, &parts.format, &headers)?;
    let asked: LoadQuery = crate::extract::decode_query(&parts.rest)?;
    let row = find(&app, &source).await?;
    let (dry_run, timeout_ms) = (asked.dry_run, asked.timeout_ms);
    let read = asked.read(parts.params)?;
    if method == Method::HEAD {
        return Ok(head(&options));
    }
    load(
        &app,
        &row,
        read,
        options,
        timeout_ms,
        dry_run,
        run_id(&headers)?,
    )
    .await
}

async fn load_by_post(
    format: Option<Format>,
    State(app): State<App>,
    _: Reader,
    Path(source): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Json(asked): Json<LoadRequest>,
) -> ApiResult<Response> {
    let parts = request::split_query(&query.unwrap_or_default());
    // Whatever is not about the format belongs into the body.
    let _: Nothing = crate::extract::decode_query(&parts.rest)?;
    let options = format_options(format, &parts.format, &headers)?;
    let row = find(&app, &source).await?;
    let (dry_run, timeout_ms) = (asked.dry_run, asked.timeout_ms);
    load(
        &app,
        &row,
        asked.read()?,
        options,
        timeout_ms,
        dry_run,
        run_id(&headers)?,
    )
    .await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What HEAD answers: the headers of a load, and no query in the source.
fn head(options: &RowsOptions) -> Response {
    let mut response = ().into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(options.format.media_type()),
    );
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
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

async fn load(
    app: &App,
    row: &SourceRow,
    read: Read,
    options: RowsOptions,
    timeout_ms: Option<u64>,
    dry_run: bool,
    run: uuid::Uuid,
) -> ApiResult<Response> {
    let limit = Duration::from_millis(timeout_ms.unwrap_or(app.limits.load_ms).max(1));
    let ctx = app.context(limit);
    let stop = ctx.cancel.clone().drop_guard();
    let start = Instant::now();
    let answer = answer(app, row, &read, &ctx).await?;
    if dry_run {
        return Ok(axum::Json(DryRun::of(&answer, &read)).into_response());
    }
    let prepared = start.elapsed();
    let rows = Rows {
        schema: answer.schema,
        batches: answer.stream,
    };
    let mut response = respond(rows, options, delivery(app, row, run)).await?;
    // From here on the body's own drop stops the query.
    stop.disarm();
    let waited = start.elapsed();
    data_headers(&mut response, row, &read, run);
    let timing = format!(
        "prepare;dur={:.1}, first_batch;dur={:.1}",
        prepared.as_secs_f64() * 1e3,
        waited.saturating_sub(prepared).as_secs_f64() * 1e3
    );
    if let Ok(value) = HeaderValue::from_str(&timing) {
        response.headers_mut().insert("server-timing", value);
    }
    Ok(response)
}

fn delivery(app: &App, row: &SourceRow, run: uuid::Uuid) -> Delivery {
    let source = row.name.clone();
    let span = tracing::Span::current();
    Delivery {
        compute: app.compute.clone(),
        first_batch_wait: Duration::from_millis(app.limits.first_batch_ms),
        queue_bytes: app.limits.queue_bytes,
        metadata: vec![
            ("weir.run_id".to_owned(), run.to_string()),
            ("weir.source".to_owned(), row.name.clone()),
        ],
        on_end: Box::new(move |outcome: Outcome| {
            let _in_request = span.enter();
            let (rows, bytes) = (outcome.rows, outcome.bytes);
            match outcome.error {
                None if outcome.cancelled => {
                    tracing::info!(%run, source, rows, bytes, "load cancelled by the caller")
                }
                None => tracing::info!(%run, source, rows, bytes, "load finished"),
                Some(error) => {
                    tracing::warn!(%run, source, rows, bytes, code = error.stable_code(), detail = error.log_detail(), "load failed: {error}")
                }
            }
        }),
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
