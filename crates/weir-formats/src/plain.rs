//! Schemas and batches that every Arrow reader understands: unique names, no
//! views, no dictionaries, no run-end encoding.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use weir_core::Result;
use weir_core::types::unique_names;

/// Turns batches of one schema into plain ones.
pub(crate) struct Plain {
    schema: SchemaRef,
}

impl Plain {
    pub(crate) fn new(schema: &SchemaRef, modern: bool, metadata: &[(String, String)]) -> Self {
        let names = unique_names(schema.fields().iter().map(|f| f.name().as_str()));
        let fields: Vec<FieldRef> = schema
            .fields()
            .iter()
            .zip(names)
            .map(|(field, name)| {
                let field = if modern {
                    Arc::clone(field)
                } else {
                    plain_field(field)
                };
                if *field.name() == name {
                    field
                } else {
                    Arc::new(Field::clone(&field).with_name(name))
                }
            })
            .collect();
        let mut all = schema.metadata().clone();
        all.extend(metadata.iter().cloned());
        Plain {
            schema: Arc::new(Schema::new_with_metadata(fields, all)),
        }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| plain_array(column, field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &rows,
        )?)
    }
}

fn plain_array(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if column.data_type() == wanted {
        return Ok(Arc::clone(column));
    }
    Ok(cast(column, wanted)?)
}

/// `array` without views, dictionaries and run ends.
pub(crate) fn flatten(array: &dyn Array) -> Result<Option<ArrayRef>> {
    let wanted = plain_type(array.data_type());
    if wanted == *array.data_type() {
        return Ok(None);
    }
    Ok(Some(cast(array, &wanted)?))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let wanted = plain_type(field.data_type());
    if wanted == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::clone(field).with_data_type(wanted))
}

pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => {
            DataType::LargeList(plain_field(item))
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}
