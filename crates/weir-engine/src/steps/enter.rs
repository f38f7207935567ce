//! The way in: names become unique, what is no number becomes null.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, GenericListArray, OffsetSizeTrait,
    PrimitiveArray, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float16Type, Float32Type, Float64Type, Schema, SchemaRef,
};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use weir_core::types::unique_names;
use weir_core::{BatchStream, Result};

use super::env::Env;
use super::operator::Operator;

/// Makes rows fit for steps.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Enter;

impl Operator for Enter {
    fn name(&self) -> &'static str {
        "weir_enter"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let names = unique_names(input.fields().iter().map(|field| field.name().as_str()));
        let fields = input.fields().iter().zip(names).map(|(field, name)| {
            let data_type = plain(field.data_type());
            Field::clone(field)
                .with_name(name)
                .with_data_type(data_type)
                .with_nullable(true)
        });
        let fields: Vec<Field> = fields.collect();
        Ok(Arc::new(Schema::new_with_metadata(
            fields,
            input.metadata().clone(),
        )))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, _: Env) -> BatchStream {
        let schema = self.schema(&schema);
        let rows = input.map(move |batch| {
            let batch = batch?;
            let schema = match &schema {
                Ok(schema) => Arc::clone(schema),
                Err(_) => batch.schema(),
            };
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| entered(column, field.data_type()));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = columns.collect::<Result<_>>()?;
            Ok(RecordBatch::try_new_with_options(
                schema, columns, &options,
            )?)
        });
        rows.boxed()
    }
}

/// Encodings that only save space are undone: steps see values.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other.clone(),
    }
}

fn entered(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if column.data_type() == wanted {
        return Ok(finite(column));
    }
    Ok(finite(&cast(column, wanted)?))
}

/// The values, with null for what is no finite number, inside of lists too.
pub(crate) fn finite(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => floats::<Float64Type>(column, |x| x.is_finite()),
        DataType::Float32 => floats::<Float32Type>(column, |x| x.is_finite()),
        DataType::Float16 => floats::<Float16Type>(column, |x| x.is_finite()),
        DataType::List(item) if has_floats(item.data_type()) => list::<i32>(column),
        DataType::LargeList(item) if has_floats(item.data_type()) => list::<i64>(column),
        DataType::FixedSizeList(item, size) if has_floats(item.data_type()) => {
            let array = column.as_fixed_size_list();
            let values = finite(array.values());
            let item = Arc::new(Field::clone(item).with_nullable(true));
            match FixedSizeListArray::try_new(item, *size, values, array.nulls().cloned()) {
                Ok(list) if list.data_type() == column.data_type() => Arc::new(list),
                _ => Arc::clone(column),
            }
        }
        DataType::Struct(fields) if fields.iter().any(|f| has_floats(f.data_type())) => {
            let array = column.as_struct();
            let columns = array.columns().iter().map(finite).collect();
            match StructArray::try_new(fields.clone(), columns, array.nulls().cloned()) {
                Ok(array) => Arc::new(array),
                Err(_) => Arc::clone(column),
            }
        }
        _ => Arc::clone(column),
    }
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_floats(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        other => other.is_floating(),
    }
}

fn floats<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    is_finite: impl Fn(T::Native) -> bool,
) -> ArrayRef {
    let array = column.as_primitive::<T>();
    // Slots under nulls may hold anything, and do no harm here.
    if array.values().iter().all(|value| is_finite(*value)) {
        return Arc::clone(column);
    }
    let fine = BooleanArray::from_unary(array, is_finite);
    let nulls = NullBuffer::union(array.nulls(), Some(&NullBuffer::new(fine.values().clone())));
    Arc::new(
        PrimitiveArray::<T>::new(array.values().clone(), nulls)
            .with_data_type(column.data_type().clone()),
    )
}

fn list<O: OffsetSizeTrait>(column: &ArrayRef) -> ArrayRef {
    let array: &GenericListArray<O> = column.as_list();
    let item = match column.data_type() {
        DataType::List(item) | DataType::LargeList(item) => Arc::clone(item),
        _ => return Arc::clone(column),
    };
    let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
    match GenericListArray::<O>::try_new(item, offsets, finite(array.values()), nulls) {
        Ok(list) => Arc::new(list),
        Err(_) => Arc::clone(column),
    }
}
