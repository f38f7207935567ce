//! Operators over the ordered stream: what a step computes of many rows at once.
//! In the plan they are extension nodes, written down by name and arguments.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef, internal_err};
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{
    Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::{Value, json};
use weir_core::{BatchStream, Error, Result};

use super::env::{Env, Side};
use crate::plan::{external, ours};

/// What an operator is made again from; see [`super::operators`].
pub trait Arguments {
    /// The arguments, as JSON.
    fn args(&self) -> Value;
}

impl<T: Serialize> Arguments for T {
    fn args(&self) -> Value {
        json!(self)
    }
}

/// Makes a stream of another, in whatever way: two passes, groups, order.
pub trait Operator: Arguments + fmt::Debug + Send + Sync + 'static {
    /// The name it is registered by.
    fn name(&self) -> &'static str;

    /// The schema of what it gives, whose names are unique: that of its input
    /// unless it says otherwise.
    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        Ok(Arc::clone(input))
    }

    /// The rows. `schema` is that of `input`.
    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream;

    /// Whether the types that it gives for `input` depend on the rows.
    fn settles(&self, input: &SchemaRef) -> bool {
        let _ = input;
        false
    }

    /// As [`Operator::run`], but with the schema that the rows call for. What
    /// [`Operator::schema`] says holds where a plan has to be whole beforehand.
    fn settle(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> BoxFuture<'static, Result<(SchemaRef, BatchStream)>> {
        async move {
            let made = self.schema(&schema)?;
            Ok((made, self.run(input, schema, env)))
        }
        .boxed()
    }
}

/// The rows of an operator that has to read before it can give any.
pub(crate) fn later(
    rows: impl Future<Output = Result<BatchStream>> + Send + 'static,
) -> BatchStream {
    futures::stream::once(rows).try_flatten().boxed()
}

/// The rows of an operator that fails before it gives any.
pub(crate) fn failed(error: Error) -> BatchStream {
    later(std::future::ready(Err(error)))
}

/// An operator in a logical plan. A second input is its side.
#[derive(Debug, Clone)]
pub(crate) struct OperatorNode {
    pub(crate) operator: Arc<dyn Operator>,
    pub(crate) inputs: Vec<LogicalPlan>,
    args: String,
    schema: DFSchemaRef,
}

impl OperatorNode {
    pub(crate) fn new(
        operator: Arc<dyn Operator>,
        inputs: Vec<LogicalPlan>,
        schema: &SchemaRef,
    ) -> PlanResult<Self> {
        let fields = schema
            .fields()
            .iter()
            .map(|field| (None, Arc::clone(field)));
        let metadata = schema.metadata().clone();
        Ok(OperatorNode {
            args: operator.args().to_string(),
            operator,
            inputs,
            schema: Arc::new(DFSchema::new_with_metadata(fields.collect(), metadata)?),
        })
    }
}

impl PartialEq for OperatorNode {
    fn eq(&self, other: &Self) -> bool {
        self.operator.name() == other.operator.name()
            && self.args == other.args
            && self.inputs == other.inputs
    }
}

impl Eq for OperatorNode {}

impl Hash for OperatorNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operator.name().hash(state);
        self.args.hash(state);
        self.inputs.hash(state);
    }
}

impl PartialOrd for OperatorNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| (node.operator.name(), node.args.clone());
        key(self).partial_cmp(&key(other))
    }
}

impl UserDefinedLogicalNodeCore for OperatorNode {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.operator.name())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        Ok(OperatorNode {
            inputs,
            ..self.clone()
        })
    }
}

/// An operator in a physical plan.
#[derive(Debug)]
pub(crate) struct OperatorExec {
    operator: Arc<dyn Operator>,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

/// How every plan of ours runs: one partition, in order, to an end.
pub(crate) fn in_order(schema: &SchemaRef) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl DisplayAs for OperatorExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.operator.name())
    }
}

impl ExecutionPlan for OperatorExec {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        inputs: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(OperatorExec {
            operator: Arc::clone(&self.operator),
            inputs,
            schema: Arc::clone(&self.schema),
            properties: Arc::clone(&self.properties),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let Some(env) = task.session_config().get_extension::<Env>() else {
            return internal_err!("an operator runs outside of an engine");
        };
        let mut streams = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let stream = make_cooperative(input.execute(partition, Arc::clone(&task))?);
            let batches = stream.map(|batch| batch.map_err(ours)).boxed();
            streams.push((input.schema(), batches));
        }
        let mut streams = streams.into_iter();
        let Some((schema, input)) = streams.next() else {
            return internal_err!("an operator without input");
        };
        let side = streams
            .next()
            .map(|(schema, stream)| Side { schema, stream });
        let env = Env::clone(&env).beside(side);
        let rows = Arc::clone(&self.operator).run(input, schema, env);
        let rows = rows.map(|batch| batch.map_err(external));
        let schema = Arc::clone(&self.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Turns operators into physical ones.
#[derive(Debug)]
pub(crate) struct OperatorPlanner;

#[async_trait]
impl ExtensionPlanner for OperatorPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext,
    ) -> PlanResult<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<OperatorNode>() else {
            return Ok(None);
        };
        let schema = Arc::clone(node.schema.inner());
        Ok(Some(Arc::new(OperatorExec {
            operator: Arc::clone(&node.operator),
            inputs: inputs.to_vec(),
            properties: in_order(&schema),
            schema,
        })))
    }
}
