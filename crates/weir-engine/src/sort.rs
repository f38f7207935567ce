//! Sorting that spills: stable, text by code point, nulls where they are
//! wanted. NaN sorts as null and −0.0 as 0.0.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use futures::StreamExt;
use weir_core::evaluate::{comparable, index_of};
use weir_core::{BatchStream, Error, Nulls, Order, Result};

use crate::plan::{Once, ours, scan_of};

/// Sorts `input` by `order` and keeps the first `limit` rows.
pub(crate) fn sort(
    input: BatchStream,
    schema: &SchemaRef,
    order: &[Order],
    limit: Option<u64>,
    task: Arc<TaskContext>,
) -> Result<BatchStream> {
    let (keys, floats) = keys(schema, order)?;
    let numbered = numbered_schema(schema, floats.len());
    let rows = numbered_rows(input, Arc::clone(&numbered), floats);
    let scan = scan_of(Arc::new(Once::new(numbered, Some(rows))), None).map_err(ours)?;
    let limit = limit.and_then(|rows| usize::try_from(rows).ok());
    let plan = SortExec::new(keys, scan).with_fetch(limit);
    let width = schema.fields().len();
    let columns: Vec<usize> = (0..width).collect();
    let sorted = plan.execute(0, task).map_err(ours)?;
    Ok(sorted
        .map(move |batch| Ok(batch.map_err(ours)?.project(&columns)?))
        .boxed())
}

/// The keys, and last the row number: that makes the order stable. Floats are
/// compared in columns of their own behind it; their places come back too.
fn keys(schema: &Schema, order: &[Order]) -> Result<(LexOrdering, Vec<usize>)> {
    let row = schema.fields().len();
    let mut floats = Vec::new();
    let mut keys = Vec::with_capacity(order.len() + 1);
    for (place, key) in order.iter().enumerate() {
        let pointer = format!("/order_by/{place}");
        let index = index_of(schema, &key.column).map_err(|error| {
            let message = error.message().to_owned();
            Error::invalid(&pointer, message).code("unknown_column")
        })?;
        let field = schema.field(index);
        if field.data_type().is_nested() {
            let message = format!(
                "rows cannot be ordered by `{}`, a {}",
                key.column,
                weir_core::types::field_type_name(field)
            );
            return Err(Error::invalid(pointer, message));
        }
        let options = SortOptions {
            descending: !key.ascending,
            nulls_first: key.nulls == Nulls::First,
        };
        let column = if field.data_type().is_floating() {
            floats.push(index);
            Column::new(FLOAT, row + floats.len())
        } else {
            Column::new(field.name(), index)
        };
        keys.push(PhysicalSortExpr::new(Arc::new(column), options));
    }
    let row = Arc::new(Column::new(ROW, row));
    keys.push(PhysicalSortExpr::new(row, SortOptions::default()));
    let keys = LexOrdering::new(keys).ok_or_else(|| Error::internal("an order without keys"))?;
    Ok((keys, floats))
}

const ROW: &str = "weir.row";
const FLOAT: &str = "weir.float";

fn numbered_schema(schema: &SchemaRef, floats: usize) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(ROW, DataType::UInt64, false)));
    let float = Arc::new(Field::new(FLOAT, DataType::Float64, true));
    fields.extend(std::iter::repeat_n(float, floats));
    Arc::new(Schema::new(fields))
}

fn numbered_rows(input: BatchStream, schema: SchemaRef, floats: Vec<usize>) -> BatchStream {
    let mut next = 0_u64;
    input
        .map(move |batch| {
            let batch = batch?;
            let rows = batch.num_rows() as u64;
            let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(next..next + rows));
            next += rows;
            let mut columns = batch.columns().to_vec();
            columns.push(numbers);
            for place in &floats {
                columns.push(comparable(batch.column(*place), &DataType::Float64)?);
            }
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        })
        .boxed()
}
