//! Rows into batches.

use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_core::{Error, Result, SourceFault};

use super::{Decoder, Misfit};

/// Collects rows until they make a batch.
pub struct RowBuilder {
    schema: SchemaRef,
    decoders: Vec<Box<dyn Decoder>>,
    lenient: bool,
    rows: usize,
    bytes: usize,
    finished: u64,
    nulled: u64,
}

impl RowBuilder {
    /// A builder with one decoder for each field of `schema`. When `lenient`,
    /// values that cannot be represented become null.
    pub fn new(schema: SchemaRef, decoders: Vec<Box<dyn Decoder>>, lenient: bool) -> Self {
        RowBuilder {
            schema,
            decoders,
            lenient,
            rows: 0,
            bytes: 0,
            finished: 0,
            nulled: 0,
        }
    }

    /// Rows collected since the last batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes collected since the last batch, as they came from the server.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many values became null because they cannot be represented.
    pub fn nulled(&self) -> u64 {
        self.nulled
    }

    /// How many columns a row has.
    pub fn width(&self) -> usize {
        self.decoders.len()
    }

    /// Ends a row of as many fields as there are columns, which took `bytes` on
    /// its way.
    #[inline]
    pub fn end_row(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.rows += 1;
    }

    /// Appends a field of the row that has begun.
    #[inline]
    pub fn push_field(&mut self, index: usize, value: Option<&[u8]>) -> Result<()> {
        let decoder = &mut self.decoders[index];
        let Some(value) = value else {
            decoder.push_null();
            return Ok(());
        };
        match decoder.push(value) {
            Ok(()) => Ok(()),
            Err(Misfit::Unrepresentable(_)) if self.lenient => {
                decoder.push_null();
                self.nulled += 1;
                Ok(())
            }
            Err(misfit) => {
                let row = self.finished + self.rows as u64 + 1;
                Err(misfit_error(
                    misfit,
                    self.schema.field(index).name(),
                    Some(row),
                ))
            }
        }
    }

    /// What was collected, as a batch.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.decoders.len());
        for (decoder, field) in self.decoders.iter_mut().zip(self.schema.fields()) {
            columns.push(
                decoder
                    .finish()
                    .map_err(|misfit| misfit_error(misfit, field.name(), None))?,
            );
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.finished += self.rows as u64;
        (self.rows, self.bytes) = (0, 0);
        Ok(batch)
    }
}

fn misfit_error(misfit: Misfit, column: &str, row: Option<u64>) -> Error {
    let place = match row {
        Some(row) => format!("column `{column}`, row {row}"),
        None => format!("column `{column}`"),
    };
    match misfit {
        Misfit::Unrepresentable(what) => {
            Error::source(SourceFault::Data, format!("{place}: {what} has no place in the column's type"))
                .code("unrepresentable")
                .hint("cast the column to text in a query, filter such rows out, or set unrepresentable to null")
        }
        Misfit::Dimensions => {
            let message = format!("{place}: an array of another number of dimensions than declared");
            Error::source(SourceFault::Data, message)
                .code("array_dimensions")
                .hint("cast the column to text, or to json with to_json, in a query")
        }
        Misfit::Malformed(what) => Error::source(SourceFault::Data, format!("{place}: {what}"))
            .hint("cast the column to text in a query"),
    }
}
