//! The JSON envelope of a preview.

use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use axum::body::Body;
use axum::response::Response;
use serde_json::Value;
use weir_core::Result;
use weir_core::types::{field_type_name, unique_names};
use weir_formats::json::{JsonEncoder, write_columns, write_rows, write_text};
use weir_formats::{EncodeOptions, Encoder, Output, Shape};

use crate::compress::Compressor;
use crate::respond::data_headers;
use crate::{Report, RowsOptions};

/// A few rows with what is known about them.
pub struct Envelope<'a> {
    /// Schema of every batch.
    pub schema: &'a SchemaRef,
    /// The rows.
    pub batches: &'a [RecordBatch],
    /// There were more.
    pub truncated: bool,
    /// Rows in all, and whether that is only an estimate.
    pub total: Option<(u64, bool)>,
    /// What steps did with the rows.
    pub report: Option<Value>,
    /// From the request to the answer.
    pub elapsed: Duration,
}

/// The answer of a preview, its keys in their documented order.
pub fn preview_envelope(envelope: &Envelope<'_>, options: &RowsOptions) -> Result<Response> {
    let mut compressor = Compressor::new(options.content_encoding)?;
    let body = envelope_bytes(envelope, options)?;
    let mut chunks = compressor.push(vec![body.into()])?;
    chunks.extend(compressor.finish()?);
    let mut response = Response::new(Body::from(chunks.concat()));
    *response.headers_mut() = data_headers(options);
    Ok(response)
}

fn envelope_bytes(envelope: &Envelope<'_>, options: &RowsOptions) -> Result<Vec<u8>> {
    let mut out = b"{\"columns\":".to_vec();
    write_schema(envelope.schema, &mut out);
    out.extend_from_slice(b",\n\"rows\":");
    let (schema, batches) = (envelope.schema, envelope.batches);
    if options.shape == Shape::Columns {
        write_columns(schema, batches, options.js_safe, &mut out)?;
    } else {
        write_rows(schema, batches, options.shape, options.js_safe, &mut out)?;
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let total = envelope
        .total
        .map_or_else(String::new, |(rows, is_estimate)| {
            format!(",\"total_rows\":{rows},\"total_is_estimate\":{is_estimate}")
        });
    let tail = format!(
        ",\n\"row_count\":{rows},\"truncated\":{}{total}{},\"elapsed_ms\":{}}}\n",
        envelope.truncated,
        reported(envelope.report.as_ref()),
        envelope.elapsed.as_micros() as f64 / 1e3,
    );
    out.extend_from_slice(tail.as_bytes());
    Ok(out)
}

/// The member of the envelope, where there is a report.
fn reported(report: Option<&Value>) -> String {
    report.map_or_else(String::new, |report| format!(",\n\"report\":{report}"))
}

/// The envelope of rows that are still coming: columns first, what only the
/// end knows last.
pub(crate) struct EnvelopeEncoder {
    schema: SchemaRef,
    rows: JsonEncoder,
    count: u64,
    report: Option<Report>,
    start: Instant,
}

impl EnvelopeEncoder {
    pub(crate) fn new(schema: &SchemaRef, options: &EncodeOptions, report: Option<Report>) -> Self {
        EnvelopeEncoder {
            schema: schema.clone(),
            rows: JsonEncoder::without_names(schema, options),
            count: 0,
            report,
            start: Instant::now(),
        }
    }
}

impl Encoder for EnvelopeEncoder {
    fn start(&mut self, out: &mut Output) -> Result<()> {
        out.text().extend_from_slice(b"{\"columns\":");
        write_schema(&self.schema, out.text());
        out.text().extend_from_slice(b",\n\"rows\":");
        self.rows.start(out)
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Output) -> Result<()> {
        self.count += batch.num_rows() as u64;
        self.rows.batch(batch, out)
    }

    fn finish(&mut self, out: &mut Output) -> Result<()> {
        let report = self.report.as_ref().map(|report| report());
        let tail = format!(
            "],\n\"row_count\":{},\"truncated\":false{},\"elapsed_ms\":{}}}\n",
            self.count,
            reported(report.as_ref()),
            self.start.elapsed().as_micros() as f64 / 1e3,
        );
        out.text().extend_from_slice(tail.as_bytes());
        Ok(())
    }

    fn fail(&mut self, problem: &serde_json::Value, out: &mut Output) {
        self.rows.fail(problem, out);
    }
}

/// `[{"name": …, "type": …}, …]`.
fn write_schema(schema: &SchemaRef, out: &mut Vec<u8>) {
    let names = unique_names(schema.fields().iter().map(|field| field.name().as_str()));
    out.push(b'[');
    for (index, (field, name)) in schema.fields().iter().zip(&names).enumerate() {
        out.extend_from_slice(if index > 0 {
            b",{\"name\":"
        } else {
            b"{\"name\":"
        });
        write_text(name, out);
        out.extend_from_slice(b",\"type\":");
        write_text(&field_type_name(field), out);
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    fn shown(shape: Shape) -> String {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("a", DataType::Utf8, true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(StringArray::from(vec![None, Some("x")])),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let envelope = Envelope {
            schema: &schema,
            batches: &[batch],
            truncated: true,
            total: Some((7, true)),
            report: Some(serde_json::json!([{"op": "limit"}])),
            elapsed: Duration::from_micros(1_500),
        };
        let options = RowsOptions {
            shape,
            ..RowsOptions::new(Format::Json)
        };
        String::from_utf8(envelope_bytes(&envelope, &options).unwrap()).unwrap()
    }

    #[test]
    fn keys_come_in_their_order_and_names_are_unique() {
        let head = "{\"columns\":[{\"name\":\"a\",\"type\":\"int64\"},{\"name\":\"a_2\",\"type\":\"string\"}],\n\"rows\":";
        let tail = ",\n\"row_count\":2,\"truncated\":true,\"total_rows\":7,\"total_is_estimate\":true,\n\"report\":[{\"op\":\"limit\"}],\"elapsed_ms\":1.5}\n";
        let rows = [
            (
                Shape::Objects,
                "[{\"a\":1,\"a_2\":null},\n{\"a\":null,\"a_2\":\"x\"}]",
            ),
            (Shape::Arrays, "[[1,null],\n[null,\"x\"]]"),
            (Shape::Columns, "{\"a\":[1,null],\"a_2\":[null,\"x\"]}"),
        ];
        for (shape, rows) in rows {
            assert_eq!(shown(shape), format!("{head}{rows}{tail}"));
        }
    }
}
