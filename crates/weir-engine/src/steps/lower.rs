//! From a logical plan to running rows: DataFusion's planner, no optimizer (the
//! order of rows is ours to keep), and chains of row-by-row work on every
//! processor, in order.

use std::fmt;
use std::sync::Arc;

use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as PlanResult;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use weir_core::{Error, Result};

use super::env::Env;
use super::operator::{OperatorPlanner, in_order};
use crate::plan::{StreamTable, external, ours};

/// A scan of `table` under `name`.
pub(crate) fn table(name: &str, table: Arc<StreamTable>) -> Result<LogicalPlan> {
    LogicalPlanBuilder::scan(name, provider_as_source(table), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(ours)
}

/// What plans are made with.
pub(crate) fn session() -> SessionState {
    SessionStateBuilder::new()
        .with_config(SessionConfig::new().with_target_partitions(1))
        .with_optimizer_rules(Vec::new())
        .with_physical_optimizer_rules(Vec::new())
        .build()
}

/// The plan that runs.
pub(crate) async fn physical(
    plan: &LogicalPlan,
    session: &SessionState,
) -> Result<Arc<dyn ExecutionPlan>> {
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OperatorPlanner)]);
    let plan = planner.create_physical_plan(plan, session).await;
    side_by_side(plan.map_err(ours)?).map_err(ours)
}

/// Puts each chain of projections and filters into one node that works on
/// several batches at once.
fn side_by_side(plan: Arc<dyn ExecutionPlan>) -> PlanResult<Arc<dyn ExecutionPlan>> {
    let children = plan.children().into_iter().map(Arc::clone);
    let children = children.map(side_by_side).collect::<PlanResult<Vec<_>>>()?;
    let Some(map) = Map::of(&plan) else {
        if children.is_empty() {
            return Ok(plan);
        }
        return datafusion::physical_plan::replace_children_if_necessary(plan, children);
    };
    let Some(child) = children.into_iter().next() else {
        return internal_err!("a projection of nothing");
    };
    let (input, mut chain) = match child.downcast_ref::<MapsExec>() {
        Some(maps) => (Arc::clone(&maps.input), maps.chain.to_vec()),
        None => (child, Vec::new()),
    };
    chain.push(map);
    Ok(Arc::new(MapsExec {
        input,
        chain: chain.into(),
        properties: in_order(&plan.schema()),
    }))
}

/// What is done to a batch.
#[derive(Debug, Clone)]
enum Map {
    Project(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
    Filter(Arc<dyn PhysicalExpr>),
}

impl Map {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Map> {
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let exprs = projection.expr().iter().map(|e| Arc::clone(&e.expr));
            return Some(Map::Project(exprs.collect(), projection.schema()));
        }
        let filter = plan.downcast_ref::<FilterExec>()?;
        let whole = filter.projection().is_none();
        whole.then(|| Map::Filter(Arc::clone(filter.predicate())))
    }

    fn apply(&self, batch: &RecordBatch) -> PlanResult<RecordBatch> {
        let rows = batch.num_rows();
        match self {
            Map::Project(exprs, schema) => {
                let value = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
                let columns = exprs.iter().map(value).collect::<PlanResult<_>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let schema = Arc::clone(schema);
                Ok(RecordBatch::try_new_with_options(
                    schema, columns, &options,
                )?)
            }
            Map::Filter(predicate) => {
                let kept = predicate.evaluate(batch)?.into_array(rows)?;
                Ok(filter_record_batch(batch, as_boolean_array(&kept)?)?)
            }
        }
    }
}

/// A chain of row-by-row work, on several batches at once; they leave in order.
#[derive(Debug)]
struct MapsExec {
    input: Arc<dyn ExecutionPlan>,
    chain: Arc<[Map]>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for MapsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "MapsExec: {} in a row", self.chain.len())
    }
}

impl ExecutionPlan for MapsExec {
    fn name(&self) -> &str {
        "MapsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        for map in self.chain.iter() {
            let exprs = match map {
                Map::Project(exprs, _) => exprs.as_slice(),
                Map::Filter(expr) => std::slice::from_ref(expr),
            };
            for expr in exprs {
                f(expr)?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.into_iter().next() else {
            return internal_err!("a chain of nothing");
        };
        Ok(Arc::new(MapsExec {
            input,
            chain: Arc::clone(&self.chain),
            properties: Arc::clone(&self.properties),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let Some(env) = task.session_config().get_extension::<Env>() else {
            return internal_err!("a plan of ours runs outside of an engine");
        };
        let ahead = std::thread::available_parallelism().map_or(2, usize::from);
        let chain = Arc::clone(&self.chain);
        let compute = env.compute().clone();
        let mapped = self.input.execute(partition, task)?.map(move |batch| {
            let chain = Arc::clone(&chain);
            compute.spawn(async move { chained(batch?, &chain) })
        });
        let mapped = mapped.buffered(ahead).filter_map(|batch| {
            let batch = batch.unwrap_or_else(|error: Error| Err(external(error)));
            let some = !matches!(&batch, Ok(batch) if batch.num_rows() == 0);
            futures::future::ready(some.then_some(batch))
        });
        let schema = self.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, mapped)))
    }
}

fn chained(batch: RecordBatch, chain: &[Map]) -> PlanResult<RecordBatch> {
    chain.iter().try_fold(batch, |batch, map| map.apply(&batch))
}
