//! A few rows, bounded in number, bytes and time.

use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use axum::response::Response;
use futures::StreamExt;
use http::HeaderValue;
use serde::Serialize;
use utoipa::ToSchema;
use weir_core::memory::Hold;
use weir_core::{Result, config};
use weir_wire::{Envelope, Format, Rows, preview_envelope, respond};

use super::request::{PreviewRequest, split_query};
use super::{
    Call, Nothing, access, answer, data_headers, delivery, format_options, recorded, timing_header,
    total, total_headers,
};
use crate::extract::Json;
use crate::problem::ApiResult;
use crate::runs::{Begin, RunId, RunKind};
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
    /// From the request to the answer.
    pub elapsed_ms: f64,
}

pub(super) async fn preview(
    format: Option<Format>,
    call: Call,
    Json(asked): Json<PreviewRequest>,
) -> ApiResult<Response> {
    let start = Instant::now();
    let app = &call.app;
    let parts = split_query(&call.query);
    let _: Nothing = config::decode_query(&parts.rest)?;
    let options = format_options(format, &parts.format, &call.headers, call.version)?;
    let row = find(app, &call.caller, &call.source).await?;
    let id = RunId::of(&call.headers)?;
    let (wanted, count) = (asked.limit, asked.count);
    let read = asked.read(&app.limits)?;
    let begin = Begin {
        kind: RunKind::Preview,
        id,
        caller: &call.caller,
        source: &row,
        read: &read,
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
    let schema = answer.schema.clone();
    let prepared = start.elapsed();
    let most_bytes = app.limits.preview_bytes;
    let taken = ctx
        .compute
        .spawn(take(answer.stream, wanted, most_bytes, ctx.memory.hold()))
        .await??;
    let came = start.elapsed();
    let mut response = if options.format == Format::Json {
        preview_envelope(
            &Envelope {
                schema: &schema,
                batches: &taken.batches,
                truncated: taken.truncated,
                total: counted,
                report: None,
                elapsed: start.elapsed(),
            },
            &options,
        )?
    } else {
        let held = taken.held;
        let batches = futures::stream::iter(taken.batches.into_iter().map(move |batch| {
            let _held = &held;
            Ok(batch)
        }));
        let batches = batches.boxed();
        respond(
            Rows { schema, batches },
            options,
            // The rows are here: nothing is left to stop.
            delivery(
                &call,
                &row,
                &run,
                ctx.memory.clone(),
                Box::pin(futures::future::pending()),
            ),
        )
        .await?
    };
    data_headers(&mut response, &row, &read, run.id());
    timing_header(&mut response, prepared, came);
    total_headers(&mut response, counted);
    let truncated = if taken.truncated { "true" } else { "false" };
    response
        .headers_mut()
        .insert("weir-truncated", HeaderValue::from_static(truncated));
    Ok(response)
}

struct Taken {
    batches: Vec<RecordBatch>,
    truncated: bool,
    held: Hold,
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
        size += batch.get_array_memory_size();
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
