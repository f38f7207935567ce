//! Rows through steps.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use weir_core::{BatchStream, Context, Result};
use weir_values::ColumnKind;

use super::enter::Enter;
use super::env::{Env, Side};
use super::frame::Frame;
use super::lower;
use super::pipeline::{Others, Pipeline, no_others};
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
        let mut report = Report::default();
        let (plan, schema) = planned(rows, pipeline, options, &mut report).await?;
        let stream = self.run(&plan, &schema, ctx).await?;
        Ok(Transformed {
            schema,
            stream,
            report,
        })
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

/// The plan of `pipeline` over `rows`, and the schema of what it gives.
pub(super) async fn planned(
    rows: Side,
    pipeline: &Pipeline,
    options: &TransformOptions,
    report: &mut Report,
) -> Result<(LogicalPlan, SchemaRef)> {
    let others = options.others.clone().unwrap_or_else(no_others);
    let mut frame = entered(rows)?;
    let at = options.kinds_at.as_deref().unwrap_or("/column_types");
    frame.mean(&options.kinds, at)?;
    for step in &pipeline.steps {
        if step.pushed {
            report.begin(step.kind.op).set("pushed_down", true);
            continue;
        }
        let side = match &step.ask {
            None => None,
            Some(ask) => Some(others.open(ask, &step.at).await?),
        };
        frame = frame.step(report.begin(step.kind.op), side)?;
        frame = (step.kind.plan)(step.args.clone(), frame, &step.at)?;
    }
    Ok(frame.into_plan())
}

fn entered(rows: Side) -> Result<Frame> {
    let table = StreamTable::once(Arc::clone(&rows.schema), Some(rows.stream));
    let scan = lower::table("input", table)?;
    Frame::new(scan, rows.schema).operate(Arc::new(Enter))
}
