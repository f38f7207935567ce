//! Rows of a body into a stream of a source, recorded as a run.
//!
//! The body is decoded while the source takes its rows, no faster than it does.
//! A body that does not end as it should ends the write before its commit, and
//! the source is left as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt};
use http::HeaderMap;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weir_core::config::decode_query;
use weir_core::{
    Context, Error, Kind, Read, Result, Rows, SchemaChange, StreamId, Target, Write, WriteMode,
    Written,
};
use weir_store::SourceRow;
use weir_wire::decode::DecodeOptions;
use weir_wire::{Format, Intake, Media, rows_in};

use super::body::types_text;
use super::{access, run_header};
use crate::auth::{Caller, Editor};
use crate::extract::whole;
use crate::problem::{ApiError, ApiResult};
use crate::request::TraceId;
use crate::runs::{Begin, Run, RunId, RunKind};
use crate::sources::find;
use crate::state::App;

/// What becomes of rows that are there already.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They stay, and the new ones come beside them.
    #[default]
    Append,
    /// They go, at once with the coming of the new ones.
    Replace,
    /// One with the same keys takes the values of the new one.
    Upsert,
    /// One with the same keys stays as it is.
    Ignore,
    /// Nothing is written where the stream exists.
    Fail,
}

/// What becomes of columns that the stream does not have.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// They are refused.
    #[default]
    Freeze,
    /// They are added.
    Evolve,
}

/// Where rows go, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WriteQuery {
    /// A stream's id; made when it is not there.
    pub stream: String,
    /// What becomes of rows that are there.
    #[serde(default)]
    #[param(inline)]
    pub mode: Mode,
    /// Columns that tell rows apart, joined by commas; for `upsert` and `ignore`.
    pub keys: Option<String>,
    /// What becomes of columns that the stream does not have.
    #[serde(default)]
    #[param(inline)]
    pub schema_change: Change,
    /// Types instead of inferred ones: `a:int64,b:decimal(10,2)`, or a JSON object.
    pub types: Option<String>,
    /// CSV whose bytes depend on nothing but the rows: sorted columns, `%Y-%m-%d %H:%M:%S`.
    #[serde(default)]
    #[param(default = false)]
    pub deterministic: bool,
    /// Wall time at most.
    #[param(minimum = 1, maximum = 3600000)]
    pub timeout_ms: Option<u64>,
}

impl WriteQuery {
    fn write(&self) -> Result<Write> {
        let mode = match self.mode {
            Mode::Append => WriteMode::Append,
            Mode::Replace => WriteMode::Replace,
            Mode::Upsert => WriteMode::Upsert,
            Mode::Ignore => WriteMode::Ignore,
            Mode::Fail => WriteMode::Fail,
        };
        let keys = self.keys.as_deref().unwrap_or_default();
        let keys: Vec<String> = match keys {
            "" => Vec::new(),
            names => names.split(',').map(str::to_owned).collect(),
        };
        mode.check_keys(&keys).map_err(Error::as_parameter)?;
        Ok(Write {
            keys,
            schema_change: match self.schema_change {
                Change::Freeze => SchemaChange::Freeze,
                Change::Evolve => SchemaChange::Evolve,
            },
            deterministic: self.deterministic,
            ..Write::new(StreamId::parse(&self.stream, "?stream")?, mode)
        })
    }
}

/// What was written.
#[derive(Debug, Serialize, ToSchema)]
pub struct WriteAnswer {
    /// Rows of the stream that are new or were changed.
    #[schema(example = 1200)]
    pub rows_written: u64,
    /// Rows of the body. More than were written, where `upsert` found a key twice
    /// and `ignore` found it there.
    #[schema(example = 1200)]
    pub rows_received: u64,
    /// Whether the stream was made.
    pub created: bool,
    /// Columns that were added to the stream.
    pub added_columns: Vec<String>,
    /// How long it took.
    #[schema(example = 41.7)]
    pub elapsed_ms: f64,
}

/// Write rows
///
/// The rows of the body go to a stream of the source: all of them, or none. They
/// come in any format, and may be packed with gzip or zstd. A row that cannot be
/// written is told with its number and column.
#[utoipa::path(post, path = "/v1/sources/{source}/write", operation_id = "write_rows", tag = "rows",
    params(("source" = String, Path, description = "Id, name or `@kind.name`"), WriteQuery,
        ("weir-run-id" = Option<uuid::Uuid>, Header, description = "Your own id for this run")),
    responses((status = 200, description = "All rows are written", body = WriteAnswer,
        headers(("weir-run-id" = uuid::Uuid, description = "Id of this run")))))]
pub async fn write(State(app): State<App>, request: Request) -> ApiResult<Response> {
    let (mut parts, body) = request.into_parts();
    let Editor(caller) = Editor::from_request_parts(&mut parts, &app).await?;
    let path = Path::<String>::from_request_parts(&mut parts, &app).await;
    let Path(source) =
        path.map_err(|_| Error::new(Kind::Malformed, "the path is not valid UTF-8"))?;
    let media = Media::from_headers(&parts.headers)?;
    let asked: WriteQuery = decode_query(parts.uri.query().unwrap_or_default())?;
    let row = find(&app, &caller, &source).await?;
    let writing = Writing {
        read: Read::all(Target::Stream(StreamId::parse(&asked.stream, "?stream")?)),
        media,
        headers: parts.headers,
        trace_id: parts.extensions.get().map(|TraceId(id)| *id),
        app,
        caller,
        row,
        asked,
    };
    writing.run(body).await
}

/// A write, understood.
struct Writing {
    app: App,
    caller: Caller,
    row: SourceRow,
    /// The stream, as runs and records name it.
    read: Read,
    asked: WriteQuery,
    media: Media,
    headers: HeaderMap,
    trace_id: Option<uuid::Uuid>,
}

/// What has come so far.
#[derive(Default, Clone)]
struct Count {
    rows: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Count {
    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The same body, counted.
    fn body(&self, body: Body) -> Body {
        let bytes = Arc::clone(&self.bytes);
        Body::new(body.map_frame(move |frame| {
            let length = frame.data_ref().map_or(0, bytes::Bytes::len);
            bytes.fetch_add(length as u64, Ordering::Relaxed);
            frame
        }))
    }

    /// The same rows, counted.
    fn rows(&self, rows: Rows) -> Rows {
        let count = Arc::clone(&self.rows);
        let counted = move |batch: &RecordBatch| {
            count.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        };
        Rows {
            schema: rows.schema,
            batches: rows.batches.inspect_ok(counted).boxed(),
        }
    }
}

impl Writing {
    async fn run(self, body: Body) -> ApiResult<Response> {
        let write = self.asked.write()?;
        let limits = &self.app.limits;
        let limit = limits.load_time(self.asked.timeout_ms, "?timeout_ms")?;
        let begin = Begin {
            kind: RunKind::Write,
            id: RunId::of(&self.headers)?,
            caller: &self.caller,
            read: Some((&self.row, &self.read)),
            trace_id: self.trace_id,
        };
        let (run, start) = self.app.begin(&begin)?;
        let (started, count) = (Instant::now(), Count::default());
        let written = async {
            // There is no write without its records.
            start.before_answer().await?;
            let access = access("write", &self.row, &self.read, run.id());
            self.app.access(&self.caller, access).await?;
            let ctx = run.context(limit);
            self.through(&ctx, write, &count, body).await
        };
        let written: Result<Written> = written.await;
        let mut response = match written {
            Ok(written) => {
                run.wrote(written.rows, count.bytes());
                log_end(&run, &self.row, &written, &count);
                Answer(WriteAnswer {
                    rows_written: written.rows,
                    rows_received: count.rows.load(Ordering::Relaxed),
                    created: written.created,
                    added_columns: written.added_columns,
                    elapsed_ms: started.elapsed().as_secs_f64() * 1e3,
                })
                .into_response()
            }
            Err(error) => {
                let error = in_query(error);
                run.failed_after(&error, count.bytes());
                let (code, detail) = (error.stable_code(), error.log_detail());
                tracing::warn!(run = %run.id(), source = self.row.name, code, detail, "write failed: {error}");
                if ["run_id_taken", "store_unavailable"].contains(&code) {
                    return Err(error.into());
                }
                ApiError(error).into_response()
            }
        };
        run_header(&mut response, run.id());
        Ok(response)
    }

    /// Opens the source first, so that a source that takes no rows costs no body.
    async fn through(
        &self,
        ctx: &Context,
        write: Write,
        count: &Count,
        body: Body,
    ) -> Result<Written> {
        ctx.bounded(ctx.memory.admit(true)).await?;
        let source = self.app.open(&self.row, ctx).await?;
        source.check_writable()?;
        let rows = self.rows(ctx, count.body(body)).await?;
        let columns = rows.schema.fields().len();
        self.app.limits.check_columns(columns, None)?;
        let rows = count.rows(rows);
        let (call, compute) = (ctx.clone(), ctx.compute.clone());
        let work = async move { source.write(&call, &write, rows).await };
        compute.spawn(work).await?
    }

    /// The rows of the body, once their schema is known.
    async fn rows(&self, ctx: &Context, body: Body) -> Result<Rows> {
        let options = DecodeOptions {
            types: types_text(self.asked.types.as_deref())?,
            ..self.app.decode_options()
        };
        let limits = &self.app.limits;
        let mut intake = Intake {
            ctx: ctx.clone(),
            body_bytes: limits.body_bytes,
            spool: self.app.spool.clone(),
        };
        let mut held = ctx.memory.hold();
        let body = if self.media.format == Format::Json {
            let text = whole(body, limits.json_body_bytes).await?;
            held.set(text.len()).await?;
            intake.body_bytes = limits.json_body_bytes as u64;
            Body::from(text)
        } else {
            body
        };
        let rows = rows_in(self.media.clone(), &self.headers, body, options, intake).await?;
        let batches = rows.batches.inspect(move |_| {
            // The text is there until its last row has been taken.
            let _held = &held;
        });
        Ok(Rows {
            batches: batches.boxed(),
            ..rows
        })
    }
}

/// What is said of a write stands in the query string; what is said of rows
/// stays in the body.
fn in_query(error: Error) -> Error {
    const ASKED: [&str; 5] = ["stream", "mode", "keys", "schema_change", "deterministic"];
    error.repointed(|pointer| match pointer.strip_prefix('/') {
        Some(name) if ASKED.contains(&name) => format!("?{name}"),
        _ => pointer.to_owned(),
    })
}

fn log_end(run: &Run, source: &SourceRow, written: &Written, count: &Count) {
    let (rows, bytes) = (written.rows, count.bytes());
    tracing::info!(run = %run.id(), source = source.name, rows, bytes, "write finished");
}
