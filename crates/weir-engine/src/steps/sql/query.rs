//! A SELECT over the stream.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr,
    PlanProperties,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};
use weir_core::types::unique_names;
use weir_core::{BatchStream, Result, memory_of};

use super::looking::Looking;
use super::sandbox::{Sandbox, deep, refused, session, statement};
use crate::plan::{Once, StreamTable, external};
use crate::steps::enter::finite;
use crate::steps::env::Env;
use crate::steps::operator::{Operator, later};
use crate::steps::spool::Spooled;

/// A SELECT.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    query: String,
    pointer: String,
}

impl Query {
    pub(super) fn new(query: String, pointer: String) -> Self {
        Query { query, pointer }
    }

    fn logical(&self, table: Arc<StreamTable>) -> Result<LogicalPlan> {
        let sandbox = Sandbox::new(Some(provider_as_source(table)));
        sandbox.plan(statement(&self.query, &self.pointer)?, &self.pointer)
    }

    async fn rows(
        self: Arc<Self>,
        mut input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let wanted = self.schema(&schema)?;
        let empty = StreamTable::once(Arc::clone(&schema), None);
        let table: Arc<dyn PartitionStream> = match scans(&self.logical(empty)?) {
            0 | 1 => Arc::new(Once::new(schema, Some(input))),
            // Read more than once, so it must be kept.
            _ => {
                let mut spool = env.spool(&schema);
                while let Some(batch) = input.next().await.transpose()? {
                    spool.push(batch).await?;
                }
                Arc::new(Again(schema, spool.done().await?))
            }
        };
        let logical = self.logical(StreamTable::new(table))?;
        let planner = DefaultPhysicalPlanner::default();
        let mut planning = planner.create_physical_plan(&logical, session());
        let physical = futures::future::poll_fn(|cx| deep(|| planning.poll_unpin(cx))).await;
        let physical = physical.and_then(|plan| deep(|| watched(plan, &env)));
        let refuse = {
            let pointer = self.pointer.clone();
            move |error| refused(error, &pointer)
        };
        let physical = physical.map_err(&refuse)?;
        let task = Arc::clone(env.task());
        let rows = deep(|| datafusion::physical_plan::execute_stream(physical, task));
        let mut rows = rows.map_err(&refuse)?;
        let rows = futures::stream::poll_fn(move |cx| deep(|| rows.poll_next_unpin(cx)));
        let rows = rows.map(move |batch| {
            let batch = batch.map_err(&refuse)?;
            let columns = batch.columns().iter().map(finite).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let schema = Arc::clone(&wanted);
            Ok(RecordBatch::try_new_with_options(
                schema, columns, &options,
            )?)
        });
        Ok(rows.boxed())
    }
}

impl Operator for Query {
    fn name(&self) -> &'static str {
        "weir_sql"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let plan = self.logical(StreamTable::once(Arc::clone(input), None))?;
        let fields = plan.schema().fields();
        let names = unique_names(fields.iter().map(|field| field.name().as_str()));
        let named = fields
            .iter()
            .zip(names)
            .map(|(field, name)| Field::clone(field).with_name(name).with_nullable(true));
        Ok(Arc::new(Schema::new_with_metadata(
            named.collect::<Vec<_>>(),
            input.metadata().clone(),
        )))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(self.rows(input, schema, env))
    }
}

/// How often a plan reads its table.
fn scans(plan: &LogicalPlan) -> usize {
    let mut found = 0;
    // Never fails: the closure does not.
    let _walked = plan.apply_with_subqueries(|node| {
        found += usize::from(matches!(node, LogicalPlan::TableScan(_)));
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// Rows that are kept, as a table.
struct Again(SchemaRef, Spooled);

impl std::fmt::Debug for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Again").finish_non_exhaustive()
    }
}

impl PartitionStream for Again {
    fn schema(&self) -> &SchemaRef {
        &self.0
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.1.read().map(|batch| batch.map_err(external));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0), rows))
    }
}

/// Makes a plan one that can be stopped and whose memory is told. Every operator
/// pauses now and then: a join makes millions of rows of two, and whoever counts
/// them asks for the next at once. One that makes none of them never pauses, so
/// its filter looks whether it must end. And window functions over everything
/// keep it in memory and tell nobody: what goes into them is counted here.
fn watched(plan: Arc<dyn ExecutionPlan>, env: &Env) -> PlanResult<Arc<dyn ExecutionPlan>> {
    let changed = plan.transform_up(|node| {
        let node = if node.is::<WindowAggExec>() {
            counted(node, env)?
        } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            looking(join, env)?
        } else {
            node
        };
        let pausing: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(node));
        Ok(Transformed::yes(pausing))
    });
    changed.map(|changed| changed.data)
}

fn counted(node: Arc<dyn ExecutionPlan>, env: &Env) -> PlanResult<Arc<dyn ExecutionPlan>> {
    let children = node.children().into_iter().map(|child| {
        let counted: Arc<dyn ExecutionPlan> = Arc::new(CountedExec {
            properties: Arc::clone(child.properties()),
            input: Arc::clone(child),
            env: env.clone(),
        });
        counted
    });
    let children = children.collect();
    datafusion::physical_plan::replace_children_if_necessary(node, children)
}

fn looking(join: &NestedLoopJoinExec, env: &Env) -> PlanResult<Arc<dyn ExecutionPlan>> {
    let filter = join.filter().map(|filter| {
        let expression = Arc::new(Looking {
            inner: Arc::clone(filter.expression()),
            env: env.clone(),
        });
        let indices = filter.column_indices().to_vec();
        JoinFilter::new(expression, indices, Arc::clone(filter.schema()))
    });
    let join = NestedLoopJoinExecBuilder::from(join).with_filter(filter);
    Ok(Arc::new(join.build()?))
}

/// Counts what passes as held until the end.
#[derive(Debug)]
struct CountedExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    env: Env,
}

impl DisplayAs for CountedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "CountedExec")
    }
}

impl ExecutionPlan for CountedExec {
    fn name(&self) -> &str {
        "CountedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let input = children
            .into_iter()
            .next()
            .unwrap_or_else(|| Arc::clone(&self.input));
        debug_assert_eq!(input.output_partitioning().partition_count(), 1);
        Ok(Arc::new(CountedExec {
            properties: Arc::clone(input.properties()),
            input,
            env: self.env.clone(),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let (mut hold, mut bytes) = (self.env.hold(), 0);
        let rows = self.input.execute(partition, task)?.map(move |batch| {
            let batch = batch?;
            // The rows, and as much again for what is computed beside them.
            bytes += 2 * memory_of(&batch);
            hold.try_set(bytes).map_err(external)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.input.schema(),
            rows,
        )))
    }
}
