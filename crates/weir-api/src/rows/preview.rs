//! A few rows, bounded in number, bytes and time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use axum::response::Response;
use futures::StreamExt;
use http::HeaderValue;
use serde::Serialize;
use utoipa::ToSchema;
use weir_core::memory::Hold;
use weir_core::{Context, Result, config, memory_of};
use weir_engine::Answer;
use weir_engine::steps::Report;
use weir_wire::{Envelope, Format, Rows, preview_envelope, respond};

use super::others::Beside;
use super::request::{PreviewRequest, split_query};
use super::steps::{Place, Work, Worked};
use super::{
    Call, Nothing, access, answer, data_headers, delivery, format_options, recorded, timing_header,
    total, total_headers,
};
use crate::extract::Json;
use crate::problem::ApiResult;
use crate::runs::{Begin, Run, RunId, RunKind};
use crate::sources::find;

/// A few rows, as JSON. With `shape=arrays` each row is a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewAnswer {
    /// Names and types.
    pub columns: Vec<super::DryRunColumn>,
    /// Objects by column name.
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<serde_json::Value>,
    /// How many rows these are.
    pub row_count: u64,
    /// There were more.
    pub truncated: bool,
    /// How many rows there are in all, when asked for with `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_rows: Option<u64>,
    /// Whether `total_rows` is the source's own estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_is_estimate: Option<bool>,
    /// What each step did, where there were steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub report: Option<serde_json::Value>,
    /// From the request to the answer.
    pub elapsed_ms: f64,
}

pub(super) async fn preview(
    format: Option<Format>,
    call: Call,
    Json(mut asked): Json<PreviewRequest>,
) -> ApiResult<Response> {
    let start = Instant::now();
    let app = &call.app;
    let parts = split_query(&call.query);
    let _: Nothing = config::decode_query(&parts.rest)?;
    let options = format_options(format, &parts.format, &call.headers, call.version)?;
    let row = find(app, &call.caller, &call.source).await?;
    let id = RunId::of(&call.headers)?;
    let (wanted, count) = (asked.limit, asked.count);
    let work = Work::of(app, &call.caller, asked.asked(), Place::Body).await?;
    work.refuse_types("a source")?;
    let read = asked.read(&app.limits)?;
    let begin = Begin {
        kind: RunKind::Preview,
        id,
        caller: &call.caller,
        read: Some((&row, &read)),
        trace_id: call.trace_id,
    };
    let (run, start_record) = app.begin(&begin)?;
    start_record.before_answer().await?;
    let ctx = run.context(Duration::from_millis(app.limits.preview_ms));
    let _stop = ctx.cancel.clone().drop_guard();
    ctx.bounded(ctx.memory.admit(false)).await?;
    let counted = total(app, &row, &read, &ctx, count).await?;
    let access = access("preview", &row, &read, run.id());
    let opened = answer(app, &row, &read, &ctx);
    let answer = recorded(app, &call.caller, access, opened).await?;
    let prepared = start.elapsed();
    let first = First {
        wanted,
        most_bytes: app.limits.preview_bytes,
    };
    let mut shown = first.of(answer, &ctx).await?;
    let came = start.elapsed();
    if !work.is_empty() {
        shown = shown.through(&work, &call, &run, &ctx).await?;
    }
    let (taken, schema) = (shown.taken, shown.schema);
    let truncated = taken.truncated;
    let mut response = if options.format == Format::Json {
        let envelope = Envelope {
            schema: &schema,
            batches: &taken.batches,
            truncated,
            total: counted,
            report: shown.report.map(|report| report.to_json()),
            elapsed: start.elapsed(),
        };
        let response = preview_envelope(&envelope, &options)?;
        run.answered(taken.batches.iter().map(|b| b.num_rows() as u64).sum());
        response
    } else {
        // The rows are here: nothing is left to stop.
        let never = Box::pin(futures::future::pending());
        let delivery = delivery(&call, &row, &run, ctx.memory.clone(), never);
        respond(taken.rows(schema), options, delivery).await?
    };
    data_headers(&mut response, &row, &read, run.id(), work.is_empty());
    timing_header(&mut response, prepared, "first_batch", came);
    total_headers(&mut response, counted);
    let truncated = if truncated { "true" } else { "false" };
    response
        .headers_mut()
        .insert("weir-truncated", HeaderValue::from_static(truncated));
    Ok(response)
}

/// How much a preview shows.
struct First {
    wanted: u64,
    most_bytes: usize,
}

impl First {
    /// The first rows of the source.
    async fn of(&self, answer: Answer, ctx: &Context) -> Result<Shown> {
        let taking = take(
            answer.stream,
            self.wanted,
            self.most_bytes,
            ctx.memory.hold(),
        );
        Ok(Shown {
            schema: answer.schema,
            taken: ctx.compute.spawn(taking).await??,
            report: None,
        })
    }
}

/// What a preview shows.
struct Shown {
    schema: SchemaRef,
    taken: Taken,
    report: Option<Report>,
}

impl Shown {
    /// The rows behind the steps, which see these rows and no others.
    async fn through(
        self,
        work: &Work,
        call: &Call,
        run: &Arc<Run>,
        ctx: &Context,
    ) -> Result<Shown> {
        let limits = &call.app.limits;
        let others = Arc::new(Beside {
            app: call.app.clone(),
            caller: call.caller.clone(),
            ctx: ctx.clone(),
            run: run.id(),
        });
        let truncated = self.taken.truncated;
        let rows = self.taken.rows(self.schema);
        let Worked { rows, report, .. } = work.run(&call.app, rows, others, ctx).await?;
        limits.check_columns(rows.schema.fields().len(), None)?;
        let (most, bytes) = (limits.preview_rows, limits.preview_bytes);
        let taking = take(rows.batches, most, bytes, ctx.memory.hold());
        let mut taken = ctx.compute.spawn(taking).await??;
        taken.truncated |= truncated;
        if let Some(report) = &report {
            run.reports(report.clone());
        }
        Ok(Shown {
            schema: rows.schema,
            taken,
            report,
        })
    }
}

struct Taken {
    batches: Vec<RecordBatch>,
    truncated: bool,
    held: Hold,
}

impl Taken {
    fn rows(self, schema: SchemaRef) -> Rows {
        let held = self.held;
        let batches = futures::stream::iter(self.batches.into_iter().map(move |batch| {
            let _held = &held;
            Ok(batch)
        }));
        Rows {
            schema,
            batches: batches.boxed(),
        }
    }
}

/// The first rows, up to `rows` and about `bytes`; a first row larger than
/// `bytes` still comes, so that a preview is never empty for being too wide.
async fn take(
    mut stream: weir_core::BatchStream,
    rows: u64,
    bytes: usize,
    mut held: Hold,
) -> Result<Taken> {
    let (mut batches, mut seen, mut size) = (Vec::new(), 0_u64, 0_usize);
    while let Some(batch) = stream.next().await.transpose()? {
        let left = rows - seen;
        if batch.num_rows() as u64 > left {
            batches.push(batch.slice(0, left as usize));
            return Ok(Taken {
                batches,
                truncated: true,
                held,
            });
        }
        size += memory_of(&batch);
        // Once as rows, once as the text that is made of them.
        held.set(2 * size).await?;
        seen += batch.num_rows() as u64;
        let large = size > bytes;
        batches.push(batch);
        if large {
            let truncated = stream.next().await.transpose()?.is_some();
            return Ok(Taken {
                batches,
                truncated,
                held,
            });
        }
    }
    Ok(Taken {
        batches,
        truncated: false,
        held,
    })
}
