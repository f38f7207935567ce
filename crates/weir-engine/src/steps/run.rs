//! Rows through steps.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use weir_core::{BatchStream, Context, Error, Result};
use weir_values::ColumnKind;

use super::enter::Enter;
use super::env::{Env, Side};
use super::frame::{Frame, Late};
use super::lower;
use super::pipeline::{Others, Pipeline, Planned};
use super::report::Report;
use crate::plan::{StreamTable, ours};
use crate::read::Engine;

/// What steps need beside the rows.
#[derive(Clone, Default)]
pub struct TransformOptions {
    /// What columns mean, by name.
    pub kinds: Vec<(String, ColumnKind)>,
    /// Where the caller said so: `/column_types` unless set.
    pub kinds_at: Option<String>,
    /// Opens the tables that joins ask for.
    pub others: Option<Arc<dyn Others>>,
}

/// Rows that went through steps.
pub struct Transformed {
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// The rows, made as they are asked for.
    pub stream: BatchStream,
    /// What each step did; complete once the rows have ended.
    pub report: Report,
    /// What columns mean of which the caller said so, by the names that they have now.
    pub kinds: Vec<(String, ColumnKind)>,
}

impl Engine {
    /// Passes `rows` through `pipeline`, within the memory of `ctx`. What is
    /// wrong with the steps is told before a row flows.
    pub async fn transform(
        &self,
        rows: Side,
        pipeline: &Pipeline,
        options: &TransformOptions,
        ctx: &Context,
    ) -> Result<Transformed> {
        let report = Report::default();
        self.passed(rows, pipeline, options, report, ctx).await
    }

    /// The same, behind steps that have reported already.
    pub(crate) async fn passed(
        &self,
        rows: Side,
        pipeline: &Pipeline,
        options: &TransformOptions,
        mut report: Report,
        ctx: &Context,
    ) -> Result<Transformed> {
        let mut frame = entered(rows, options)?;
        for (n, step) in pipeline.steps.iter().enumerate() {
            frame = put(frame, step, options, &mut report).await?;
            if let Some(late) = frame.late() {
                // What is wrong with the steps behind is told before rows flow.
                let looked_at = Frame::behind(&late, frame.schema(), None)?;
                look(looked_at, &pipeline.steps[n + 1..])?;
                frame = self.settled(late, ctx).await?;
            }
        }
        let kinds = frame.meant();
        let (plan, schema) = frame.into_plan();
        let stream = self.run(&plan, &schema, ctx).await?;
        Ok(Transformed {
            schema,
            stream,
            report,
            kinds,
        })
    }

    /// Runs the plan as far as types depend on the rows; the rest is planned over
    /// what it gives.
    async fn settled(&self, late: Late, ctx: &Context) -> Result<Frame> {
        let rows = self.run(&late.plan, &late.schema, ctx).await?;
        let env = Env::new(self.task(&ctx.memory), ctx);
        let operator = Arc::clone(&late.operator);
        let settled = operator.settle(rows, Arc::clone(&late.schema), env);
        // Not on the threads that serve requests.
        let settled = ctx.compute.spawn(settled);
        let (schema, rows) = ctx.bounded(async { settled.await? }).await?;
        Frame::behind(&late, &schema, Some(rows))
    }

    async fn run(
        &self,
        plan: &LogicalPlan,
        schema: &SchemaRef,
        ctx: &Context,
    ) -> Result<BatchStream> {
        let physical = lower::physical(plan, self.session()).await?;
        let task = self.task(&ctx.memory);
        let runtime = task.runtime_env();
        let config = SessionConfig::new().with_extension(Arc::new(Env::new(task, ctx)));
        let task = TaskContext::default()
            .with_session_config(config)
            .with_runtime(runtime);
        let rows = physical.execute(0, Arc::new(task)).map_err(ours)?;
        let schema = Arc::clone(schema);
        let rows = rows.map(move |batch| {
            let batch = batch.map_err(ours)?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            let schema = Arc::clone(&schema);
            Ok(RecordBatch::try_new_with_options(
                schema, columns, &options,
            )?)
        });
        Ok(rows.boxed())
    }
}

/// The plan of `pipeline` over `rows` as a whole, and the schema of what it gives:
/// types that depend on the rows are those that hold whatever comes.
#[cfg(test)]
pub(super) async fn planned(
    rows: Side,
    pipeline: &Pipeline,
    options: &TransformOptions,
    report: &mut Report,
) -> Result<(LogicalPlan, SchemaRef)> {
    let mut frame = entered(rows, options)?;
    for step in &pipeline.steps {
        frame = put(frame, step, options, report).await?;
    }
    Ok(frame.into_plan())
}

async fn put(
    frame: Frame,
    step: &Planned,
    options: &TransformOptions,
    report: &mut Report,
) -> Result<Frame> {
    if step.pushed {
        report.begin(step.kind.op).set("pushed_down", true);
        return Ok(frame);
    }
    let tally = report.begin(step.kind.op);
    if let Some(suggested) = step.suggested {
        tally.set("suggestion", suggested.id);
        if !suggested.is_needed {
            tally.set("is_needed", false);
            return Ok(frame);
        }
    }
    let side = match &step.ask {
        None => None,
        Some(ask) => {
            let Some(others) = &options.others else {
                let message = "other tables cannot be read here";
                return Err(Error::unsupported(message).at(step.at.step(), message));
            };
            Some(others.open(ask, &step.at).await?)
        }
    };
    let mut frame = frame.step(tally, side)?;
    frame.mean_where_known(&step.kinds);
    (step.kind.plan)(step.args.clone(), frame, &step.at)
}

/// Plans `steps`, as far as they need no other table, to see what is wrong.
fn look(mut frame: Frame, steps: &[Planned]) -> Result<()> {
    for step in steps.iter().take_while(|step| step.ask.is_none()) {
        frame = frame.step(Arc::default(), None)?;
        frame.mean_where_known(&step.kinds);
        frame = (step.kind.plan)(step.args.clone(), frame, &step.at)?;
    }
    Ok(())
}

fn entered(rows: Side, options: &TransformOptions) -> Result<Frame> {
    let table = StreamTable::once(Arc::clone(&rows.schema), Some(rows.stream));
    let scan = lower::table("input", table)?;
    let mut frame = Frame::new(scan, rows.schema).operate(Arc::new(Enter))?;
    let at = options.kinds_at.as_deref().unwrap_or("/column_types");
    frame.mean(&options.kinds, at)?;
    Ok(frame)
}
