//! Sorting, in memory while the rows fit, then with runs on disk: stable, text by
//! code point, nulls where they are wanted. NaN sorts as null and −0.0 as 0.0.

mod held;

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
use futures::{StreamExt, TryStreamExt};
use weir_core::evaluate::{comparable, index_of};
use weir_core::task::Compute;
use weir_core::{BatchStream, Error, Nulls, Order, Result};

use self::held::Held;
use crate::plan::{Once, ours, scan_of};

#[cfg(test)]
mod tests;

/// Rows that are wanted of a sorted whole up to which a heap of them is kept.
const FEW: usize = 100_000;

/// Sorts `input` by `order` and keeps the first `limit` rows.
pub(crate) fn sort(
    input: BatchStream,
    schema: &SchemaRef,
    order: &[Order],
    limit: Option<u64>,
    task: Arc<TaskContext>,
    compute: &Compute,
) -> Result<BatchStream> {
    let keys = keys(schema, order)?;
    let limit = limit.and_then(|rows| usize::try_from(rows).ok());
    if limit.is_some_and(|rows| rows <= FEW) {
        return spilling(input, schema, &keys, limit, task);
    }
    let (schema, compute) = (Arc::clone(schema), compute.clone());
    let rows = async move { in_memory(input, schema, keys, limit, task, compute).await };
    Ok(futures::stream::once(rows).try_flatten().boxed())
}

/// Sorts in memory, as long as the rows fit.
async fn in_memory(
    mut input: BatchStream,
    schema: SchemaRef,
    keys: Vec<SortKey>,
    limit: Option<usize>,
    task: Arc<TaskContext>,
    compute: Compute,
) -> Result<BatchStream> {
    let mut held = Held::new(keys.clone(), &schema, &task);
    while let Some(batch) = input.next().await.transpose()? {
        if !held.take(&batch) {
            let batches = held.give_up().into_iter().chain([batch]);
            let rows = futures::stream::iter(batches.map(Ok)).chain(input);
            return spilling(rows.boxed(), &schema, &keys, limit, task);
        }
    }
    let batch_rows = task.session_config().batch_size();
    held.sorted(limit, batch_rows, &compute).await
}

/// Sorts with runs on disk where memory does not do.
fn spilling(
    input: BatchStream,
    schema: &SchemaRef,
    keys: &[SortKey],
    limit: Option<usize>,
    task: Arc<TaskContext>,
) -> Result<BatchStream> {
    let (keys, floats) = ordering(schema, keys)?;
    let numbered = numbered_schema(schema, floats.len());
    let rows = numbered_rows(input, Arc::clone(&numbered), floats);
    let scan = scan_of(Arc::new(Once::new(numbered, Some(rows))), None).map_err(ours)?;
    let plan = SortExec::new(keys, scan).with_fetch(limit);
    let width = schema.fields().len();
    let columns: Vec<usize> = (0..width).collect();
    let sorted = plan.execute(0, task).map_err(ours)?;
    Ok(sorted
        .map(move |batch| Ok(batch.map_err(ours)?.project(&columns)?))
        .boxed())
}

/// A column that rows are ordered by.
#[derive(Debug, Clone)]
struct SortKey {
    index: usize,
    options: SortOptions,
    is_float: bool,
}

impl SortKey {
    /// Its values as they are compared.
    fn values(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let column = batch.column(self.index);
        if self.is_float {
            return comparable(column, &DataType::Float64);
        }
        Ok(Arc::clone(column))
    }

    fn data_type(&self, schema: &Schema) -> DataType {
        if self.is_float {
            return DataType::Float64;
        }
        schema.field(self.index).data_type().clone()
    }
}

fn keys(schema: &Schema, order: &[Order]) -> Result<Vec<SortKey>> {
    let mut keys = Vec::with_capacity(order.len());
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
        keys.push(SortKey {
            index,
            options: SortOptions {
                descending: !key.ascending,
                nulls_first: key.nulls == Nulls::First,
            },
            is_float: field.data_type().is_floating(),
        });
    }
    Ok(keys)
}

/// The keys, and last the row number: that makes the order stable. Floats are
/// compared in columns of their own behind it; their places come back too.
fn ordering(schema: &Schema, keys: &[SortKey]) -> Result<(LexOrdering, Vec<usize>)> {
    let row = schema.fields().len();
    let mut floats = Vec::new();
    let mut exprs = Vec::with_capacity(keys.len() + 1);
    for key in keys {
        let column = if key.is_float {
            floats.push(key.index);
            Column::new(FLOAT, row + floats.len())
        } else {
            Column::new(schema.field(key.index).name(), key.index)
        };
        exprs.push(PhysicalSortExpr::new(Arc::new(column), key.options));
    }
    let row = Arc::new(Column::new(ROW, row));
    exprs.push(PhysicalSortExpr::new(row, SortOptions::default()));
    let exprs = LexOrdering::new(exprs).ok_or_else(|| Error::internal("an order without keys"))?;
    Ok((exprs, floats))
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
