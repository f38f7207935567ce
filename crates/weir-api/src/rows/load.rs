//! A load: all rows, streamed, recorded as a run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use weir_core::{BatchStream, Context, Error, Kind, PushDown, Read, Result, memory_of};
use weir_engine::Answer;
use weir_store::SourceRow;
use weir_wire::{Rows, RowsOptions, respond};

use super::others::Beside;
use super::steps::{Work, Worked};
use super::{
    Call, Count, access, answer, data_headers, delivery, recorded, timing_header, total,
    total_headers,
};
use crate::auth::Caller;
use crate::problem::{ApiError, ApiResult};
use crate::runs::{Begin, Run, RunId, RunKind};
use crate::state::{App, Limits};

/// A load, understood.
pub(super) struct Load {
    pub(super) call: Call,
    pub(super) row: SourceRow,
    pub(super) read: Read,
    /// What is done with the rows that were read.
    pub(super) work: Work,
    pub(super) options: RowsOptions,
    /// Wall time at most.
    pub(super) limit: Duration,
    pub(super) dry_run: bool,
    pub(super) count: Count,
}

impl Load {
    pub(super) async fn run(self) -> ApiResult<Response> {
        let id = RunId::of(&self.call.headers)?;
        if self.dry_run {
            return Ok(self.only_say(id).await?);
        }
        let begin = Begin {
            kind: RunKind::Load,
            id,
            caller: &self.call.caller,
            read: Some((&self.row, &self.read)),
            trace_id: self.call.trace_id,
        };
        let (run, mut start) = self.call.app.begin(&begin)?;
        let answered = async {
            start.before_query().await?;
            let response = self.stream(&run).await?;
            start.before_answer().await?;
            Ok(response)
        };
        let answered: Result<Response> = answered.await;
        answered.or_else(|error| {
            run.fail(&error);
            // That of another run, and one that no record could be made of, help nobody.
            if ["run_id_taken", "store_unavailable"].contains(&error.stable_code()) {
                return Err(error.into());
            }
            let mut response = ApiError(error).into_response();
            super::run_header(&mut response, run.id());
            Ok(response)
        })
    }

    async fn stream(&self, run: &Arc<Run>) -> Result<Response> {
        let mut ctx = run.context(self.limit);
        let mut gone = None;
        if !self.work.is_empty() {
            // What steps compute hears of nobody; it is told when the caller is gone.
            ctx.cancel = ctx.cancel.child_token();
            gone = Some(ctx.cancel.clone().drop_guard());
        }
        let start = Instant::now();
        ctx.bounded(ctx.memory.admit(true)).await?;
        let total = total(&self.call.app, &self.row, &self.read, &ctx, self.count).await?;
        let access = access("load", &self.row, &self.read, run.id());
        let Call { app, caller, .. } = &self.call;
        let opened = self.opening(run.id(), &ctx).open(false);
        let Opened { worked, .. } = recorded(app, caller, access, opened).await?;
        if let Some(report) = worked.report {
            run.reports(report);
        }
        let prepared = start.elapsed();
        let rows = within(worked.rows, &app.limits);
        let memory = ctx.memory.clone();
        let ended = Box::pin(ctx.clone().ended());
        let mut delivery = delivery(&self.call, &self.row, run, memory, ended);
        delivery.first_batch_wait = self.work.first_batch_wait(&app.limits, &ctx);
        delivery.kept = Box::new(gone);
        let mut response = respond(rows, self.options.clone(), delivery).await?;
        let is_plain = self.work.is_empty();
        data_headers(&mut response, &self.row, &self.read, run.id(), is_plain);
        total_headers(&mut response, total);
        timing_header(&mut response, prepared, "first_batch", start.elapsed());
        Ok(response)
    }

    fn opening<'a>(&'a self, run: Uuid, ctx: &'a Context) -> Opening<'a> {
        Opening {
            app: &self.call.app,
            caller: &self.call.caller,
            row: &self.row,
            read: &self.read,
            work: &self.work,
            run,
            ctx,
        }
    }

    async fn only_say(&self, id: RunId) -> Result<Response> {
        let ctx = self.call.app.context(self.limit);
        let _stop = ctx.cancel.clone().drop_guard();
        let access = access("dry_run", &self.row, &self.read, id.id);
        let Call { app, caller, .. } = &self.call;
        let opened = self.opening(id.id, &ctx).open(true);
        let Opened { worked, mut told } = recorded(app, caller, access, opened).await?;
        told.columns = columns(&worked.rows.schema);
        let mut response = axum::Json(told).into_response();
        super::run_header(&mut response, id.id);
        Ok(response)
    }
}

/// What is to be read of a source, and what is done with it.
pub(super) struct Opening<'a> {
    pub(super) app: &'a App,
    pub(super) caller: &'a Caller,
    pub(super) row: &'a SourceRow,
    pub(super) read: &'a Read,
    pub(super) work: &'a Work,
    /// The run that reads it.
    pub(super) run: Uuid,
    pub(super) ctx: &'a Context,
}

/// Rows behind the steps, and how they come about.
pub(super) struct Opened {
    pub(super) worked: Worked,
    told: DryRun,
}

impl Opening<'_> {
    /// The rows of the source, through the steps that the read does not do. Without
    /// any rows where it is only told what would be done.
    pub(super) async fn open(self, is_dry: bool) -> Result<Opened> {
        let Opening { app, row, ctx, .. } = self;
        let (mut work, mut read, mut pushed) = (self.work.clone(), self.read.clone(), 0);
        if work.may_push_down() {
            let whole = Read::all(read.target.clone());
            let whole = answer(app, row, &whole, ctx).await?;
            pushed = work.push_down(&mut read, &whole.schema);
        }
        let answer = answer(app, row, &read, ctx).await?;
        let others = Arc::new(Beside {
            app: app.clone(),
            caller: self.caller.clone(),
            ctx: ctx.clone(),
            run: self.run,
        });
        let mut told = DryRun::of(&answer, &read);
        told.pushed.steps = pushed;
        let rows = Rows {
            schema: answer.schema,
            batches: match is_dry {
                true => futures::stream::empty().boxed(),
                false => answer.stream,
            },
        };
        let worked = work.run(app, rows, others, ctx).await?;
        Ok(Opened { worked, told })
    }
}

/// The rows, up to the limits of a load; beyond them they end as a failure.
pub(super) fn within(rows: Rows, limits: &Limits) -> Rows {
    let (most_rows, most_bytes) = (limits.load_rows, limits.load_bytes);
    if most_rows.is_none() && most_bytes.is_none() {
        return rows;
    }
    let batches = bounded(rows.batches, most_rows, most_bytes);
    Rows { batches, ..rows }
}

fn bounded(batches: BatchStream, most_rows: Option<u64>, most_bytes: Option<u64>) -> BatchStream {
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    let check = move |batch: RecordBatch| {
        rows += batch.num_rows() as u64;
        bytes += memory_of(&batch) as u64;
        let over = |most: Option<u64>, is: u64, code, what| match most {
            Some(most) if is > most => Err(Error::new(
                Kind::TooLarge,
                format!("the load has more than {most} {what}"),
            )
            .code(code)
            .hint("narrow it with columns, filter or limit, or load it in parts")),
            _ => Ok(()),
        };
        let fine = over(most_rows, rows, "load_rows", "rows")
            .and_then(|()| over(most_bytes, bytes, "load_bytes", "bytes in memory"));
        futures::future::ready(fine.map(|()| batch))
    };
    batches.and_then(check).boxed()
}

/// What a load would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRun {
    /// Columns of the answer, behind every step.
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
    /// For each part of the filter joined by `and`, and of the steps that the
    /// read does: `exact`, `inexact` or `no`.
    pub filter: Vec<String>,
    /// The order.
    pub order_by: bool,
    /// The limit.
    pub limit: bool,
    /// The choice of columns.
    pub columns: bool,
    /// How many of the first steps are done as a part of the read.
    pub steps: usize,
}

/// The columns of a schema.
pub(super) fn columns(schema: &Schema) -> Vec<DryRunColumn> {
    let column = |field: &FieldRef| DryRunColumn {
        name: field.name().clone(),
        type_: weir_core::types::field_type_name(field),
    };
    schema.fields().iter().map(column).collect()
}

impl DryRun {
    fn of(answer: &Answer, read: &Read) -> Self {
        let pushed = &answer.pushed;
        let word = |push: &PushDown| match push {
            PushDown::Exact => "exact".to_owned(),
            PushDown::Inexact => "inexact".to_owned(),
            PushDown::No => "no".to_owned(),
        };
        DryRun {
            columns: columns(&answer.schema),
            pushed: DryRunPushed {
                filter: pushed.filter.iter().map(word).collect(),
                order_by: pushed.order && !read.order.is_empty(),
                limit: pushed.limit && read.limit.is_some(),
                columns: pushed.columns && read.columns.is_some(),
                steps: 0,
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
