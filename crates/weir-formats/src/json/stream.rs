//! Rows as JSON: one array, one object a line, or the body of a preview.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use serde_json::{Value, json};
use weir_core::Result;

use super::cell::Cell;
use super::nested::{Record, keys};
use crate::{EncodeOptions, Encoder, Output, Shape};

/// What is the same for every batch.
struct Writer {
    schema: SchemaRef,
    keys: Vec<Vec<u8>>,
    js_safe: bool,
}

impl Writer {
    fn new(schema: &SchemaRef, js_safe: bool) -> Self {
        Writer {
            keys: keys(schema.fields()),
            schema: schema.clone(),
            js_safe,
        }
    }

    fn record(&self, batch: &RecordBatch) -> Result<Record> {
        let arrays = batch.columns().iter().map(|column| column as &dyn Array);
        Record::of(&self.keys, self.schema.fields(), arrays, self.js_safe)
    }

    /// The names as a row.
    fn write_names(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for key in &self.keys {
            out.extend_from_slice(&key[..key.len() - 1]);
        }
        out.push(b']');
    }
}

fn write_row(record: &Record, shape: Shape, row: usize, out: &mut Vec<u8>) {
    match shape {
        Shape::Arrays => record.write_list(row, out),
        Shape::Objects | Shape::Columns => record.write(row, out),
    }
}

/// One array of all rows.
pub struct JsonEncoder {
    writer: Writer,
    shape: Shape,
    is_first: bool,
    has_names: bool,
}

impl JsonEncoder {
    /// An encoder for batches of `schema`.
    pub fn new(schema: &SchemaRef, options: &EncodeOptions) -> Self {
        JsonEncoder {
            writer: Writer::new(schema, options.js_safe),
            shape: options.shape,
            is_first: true,
            has_names: options.shape == Shape::Arrays,
        }
    }

    /// Rows that are lists come without the names before them.
    pub fn without_names(schema: &SchemaRef, options: &EncodeOptions) -> Self {
        JsonEncoder {
            has_names: false,
            ..JsonEncoder::new(schema, options)
        }
    }
}

impl Encoder for JsonEncoder {
    fn start(&mut self, out: &mut Output) -> Result<()> {
        out.text().push(b'[');
        if self.has_names {
            self.writer.write_names(out.text());
            self.is_first = false;
        }
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Output) -> Result<()> {
        let record = self.writer.record(batch)?;
        for row in 0..batch.num_rows() {
            if !self.is_first {
                out.text().extend_from_slice(b",\n");
            }
            self.is_first = false;
            write_row(&record, self.shape, row, out.text());
            out.row_done();
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<()> {
        out.text().extend_from_slice(b"]\n");
        Ok(())
    }

    fn fail(&mut self, _: &Value, _: &mut Output) {
        // The missing bracket says it: no reader takes the array for complete.
    }
}

/// One object a line.
pub struct NdjsonEncoder {
    writer: Writer,
    end_marker: bool,
    rows: u64,
}

impl NdjsonEncoder {
    /// An encoder for batches of `schema`.
    pub fn new(schema: &SchemaRef, options: &EncodeOptions) -> Self {
        NdjsonEncoder {
            writer: Writer::new(schema, options.js_safe),
            end_marker: options.end_marker,
            rows: 0,
        }
    }

    fn mark(&self, end: &Value, out: &mut Output) {
        if self.end_marker {
            let line = json!({ "$weir": end }).to_string();
            out.text().extend_from_slice(line.as_bytes());
            out.text().push(b'\n');
        }
    }
}

impl Encoder for NdjsonEncoder {
    fn start(&mut self, _: &mut Output) -> Result<()> {
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Output) -> Result<()> {
        let record = self.writer.record(batch)?;
        for row in 0..batch.num_rows() {
            record.write(row, out.text());
            out.text().push(b'\n');
            out.row_done();
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<()> {
        self.mark(&json!({ "status": "succeeded", "rows": self.rows }), out);
        Ok(())
    }

    fn fail(&mut self, problem: &Value, out: &mut Output) {
        let end = json!({ "status": "failed", "rows": self.rows, "problem": problem });
        self.mark(&end, out);
    }
}

/// The rows of `batches` as one array, without a row of names.
pub fn write_rows(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    shape: Shape,
    js_safe: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    let writer = Writer::new(schema, js_safe);
    out.push(b'[');
    let mut is_first = true;
    for batch in batches {
        let record = writer.record(batch)?;
        for row in 0..batch.num_rows() {
            if !is_first {
                out.extend_from_slice(b",\n");
            }
            is_first = false;
            write_row(&record, shape, row, out);
        }
    }
    out.push(b']');
    Ok(())
}

/// The rows of `batches` as one object with a list a column.
pub fn write_columns(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    js_safe: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    let writer = Writer::new(schema, js_safe);
    let records = batches
        .iter()
        .map(|batch| writer.record(batch))
        .collect::<Result<Vec<_>>>()?;
    out.push(b'{');
    for (index, key) in writer.keys.iter().enumerate() {
        out.extend_from_slice(key);
        out.push(b'[');
        let mut is_first = true;
        for (record, batch) in records.iter().zip(batches) {
            let Some(column) = record.column(index) else {
                continue;
            };
            for row in 0..batch.num_rows() {
                if !is_first {
                    out.push(b',');
                }
                is_first = false;
                column.write(row, out);
            }
        }
        out.push(b']');
    }
    out.push(b'}');
    Ok(())
}
