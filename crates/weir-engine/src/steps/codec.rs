//! Plans as bytes: operators and row functions are written by name and
//! arguments, tables by their schema, so that a plan can run in another process.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan, ScalarUDF};
use datafusion_proto::bytes::{
    logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::{Error, Result};

use super::function::{Udf, row_function};
use super::functions::function;
use super::operator::OperatorNode;
use super::operators::operator;
use crate::plan::{StreamTable, external, ours};

/// Writes and reads what is ours in a plan.
#[derive(Debug)]
pub(crate) struct Codec;

#[derive(Serialize, Deserialize)]
struct Written {
    name: String,
    args: Value,
}

fn json(error: serde_json::Error) -> DataFusionError {
    external(Error::internal(error))
}

impl LogicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[LogicalPlan],
        _: &TaskContext,
    ) -> PlanResult<Extension> {
        let written: Written = serde_json::from_slice(bytes).map_err(json)?;
        let operator = operator(&written.name, written.args).map_err(external)?;
        let input = inputs.first().ok_or_else(|| {
            external(Error::internal(
                "an operator without input in a written plan",
            ))
        })?;
        let schema = operator.schema(input.schema().inner()).map_err(external)?;
        let schema = super::frame::nullable(&schema);
        let node = OperatorNode::new(operator, inputs.to_vec(), &schema)?;
        Ok(Extension {
            node: Arc::new(node),
        })
    }

    fn try_encode(&self, node: &Extension, out: &mut Vec<u8>) -> PlanResult<()> {
        let node = node.node.as_any().downcast_ref::<OperatorNode>();
        let node = node.ok_or_else(|| external(Error::internal("an operator of strangers")))?;
        let written = Written {
            name: node.operator.name().to_owned(),
            args: node.operator.args(),
        };
        serde_json::to_writer(out, &written).map_err(json)
    }

    fn try_decode_table_provider(
        &self,
        _: &[u8],
        _: &TableReference,
        schema: SchemaRef,
        _: &TaskContext,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        Ok(StreamTable::once(schema, None))
    }

    fn try_encode_table_provider(
        &self,
        _: &TableReference,
        _: Arc<dyn TableProvider>,
        _: &mut Vec<u8>,
    ) -> PlanResult<()> {
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> PlanResult<Arc<ScalarUDF>> {
        let args = serde_json::from_slice(bytes).map_err(json)?;
        Ok(Udf::scalar(function(name, args).map_err(external)?))
    }

    fn try_encode_udf(&self, udf: &ScalarUDF, out: &mut Vec<u8>) -> PlanResult<()> {
        if let Some(ours) = row_function(udf) {
            out.extend_from_slice(ours.args().as_bytes());
        }
        Ok(())
    }
}

/// A plan as bytes.
pub fn plan_to_bytes(plan: &LogicalPlan) -> Result<Vec<u8>> {
    let bytes = logical_plan_to_bytes_with_extension_codec(plan, &Codec);
    Ok(bytes.map_err(ours)?.to_vec())
}

/// The plan that [`plan_to_bytes`] wrote.
pub fn plan_from_bytes(bytes: &[u8]) -> Result<LogicalPlan> {
    let task = TaskContext::default();
    logical_plan_from_bytes_with_extension_codec(bytes, &task, &Codec).map_err(ours)
}
