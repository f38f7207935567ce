//! What the sample decided: the schema, and which columns of the input it takes.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use weir_core::config::nearest;
use weir_core::types::unique_names;
use weir_core::{Error, Kind, Result, SourceFault};

use super::build::{Bad, Cells, build};
use super::cells::{NOT_JSON, Reader, Span};
use super::{DecodeLimits, DecodeOptions};

/// Cells of a batch at most: wide tables come in shorter batches.
const BATCH_CELLS: usize = 1 << 20;

/// Schema and projection.
pub(super) struct Plan {
    pub(super) schema: SchemaRef,
    /// For each column of the schema its place in the input.
    places: Vec<usize>,
    /// For each column whether its type was inferred.
    inferred: Vec<bool>,
    /// Columns of the input.
    pub(super) width: usize,
    pub(super) batch_rows: usize,
    max_depth: usize,
}

/// Cells of a batch, row by row, and where its rows are in the input.
pub(super) struct Batch<'a> {
    pub(super) text: &'a [u8],
    pub(super) spans: &'a [Span],
    pub(super) rows: usize,
}

impl Plan {
    /// `found` are the columns of the input with their inferred types.
    pub(super) fn new(found: Vec<Field>, options: &DecodeOptions) -> Result<Self> {
        let names = unique_names(found.iter().map(|field| field.name().as_str()));
        let mut fields: Vec<FieldRef> = found
            .into_iter()
            .zip(names)
            .map(|(field, name)| Arc::new(field.with_name(name)))
            .collect();
        let width = fields.len();
        let mut inferred = vec![true; width];
        for wanted in &options.types {
            let place = place_of(&fields, wanted.name(), "types")?;
            fields[place] = Arc::clone(wanted);
            inferred[place] = false;
        }
        let places = match &options.columns {
            None => (0..width).collect(),
            Some(names) => names
                .iter()
                .map(|name| place_of(&fields, name, "columns"))
                .collect::<Result<Vec<_>>>()?,
        };
        let pick = |place: &usize| Arc::clone(&fields[*place]);
        Ok(Plan {
            schema: Arc::new(Schema::new(places.iter().map(pick).collect::<Vec<_>>())),
            inferred: places.iter().map(|place| inferred[*place]).collect(),
            places,
            width,
            batch_rows: options
                .batch_rows
                .clamp(1, (BATCH_CELLS / width.max(1)).max(1)),
            max_depth: options.limits.max_depth,
        })
    }

    /// The batch of these cells; the failing row and column otherwise.
    pub(super) fn build<R: Reader>(
        &self,
        reader: &R,
        batch: &Batch<'_>,
    ) -> std::result::Result<RecordBatch, (usize, Error)> {
        let mut columns = Vec::with_capacity(self.places.len());
        for (index, field) in self.schema.fields().iter().enumerate() {
            let cells = Cells {
                text: batch.text,
                reader,
                spans: batch.spans,
                first: self.places[index],
                stride: self.width,
                rows: batch.rows,
                inferred: self.inferred[index],
                max_depth: self.max_depth,
            };
            let column = build(field, &cells).map_err(|Bad { row, what }| {
                let message = format!("column `{}`: the value {what}", field.name());
                (row, misfit(message, &what))
            })?;
            columns.push(column);
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
            .map_err(|error| (0, error.into()))
    }
}

const MISFIT_HINT: &str = "columns and types come from the first 10,000 rows or 8 MiB; give a column a \
    wider type such as string or json, or choose columns to leave others out";

/// What is wrong with a value or a row; text that is no JSON at all fits no type.
pub(super) fn misfit(message: String, what: &str) -> Error {
    let error = data_error(message);
    if what == NOT_JSON {
        return error.code("malformed");
    }
    if what.starts_with("nests deeper") {
        return error.as_kind(Kind::Malformed).code("too_deep");
    }
    error.hint(MISFIT_HINT)
}

/// The content is wrong.
pub(super) fn data_error(message: impl Into<String>) -> Error {
    Error::source(SourceFault::Data, message.into())
}

/// Puts where it was before what it was. Rows and lines count from 1, as an
/// editor shows them: a header is a row.
pub(super) fn at_row(error: Error, row: u64, line: Option<u64>) -> Error {
    let place = match line {
        Some(line) => format!("row {row} (line {line}), "),
        None => format!("row {row}, "),
    };
    error.prefixed(&place)
}

/// More columns than allowed.
pub(crate) fn too_many_columns(limits: &DecodeLimits) -> Error {
    let most = limits.max_columns;
    Error::new(
        Kind::Invalid,
        format!("the input has more than {most} columns"),
    )
    .code("too_many_columns")
    .hint("fields of nested objects count as columns, too")
}

fn place_of(fields: &[FieldRef], name: &str, what: &str) -> Result<usize> {
    if let Some(place) = fields.iter().position(|field| field.name() == name) {
        return Ok(place);
    }
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let message = match nearest(name, &names) {
        Some(near) => format!("`{what}` names a column `{name}`; did you mean `{near}`?"),
        None => format!("`{what}` names a column `{name}`, which the input does not have"),
    };
    Err(Error::invalid(format!("/{what}"), message).code("unknown_column"))
}

/// Holds what came out against what came in: the one place where what a decoder
/// makes is counted.
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes that came in.
    pub encoded: u64,
    decoded: u64,
}

impl Meter {
    /// `bytes` more came out.
    pub fn decoded(&mut self, bytes: u64, limits: &DecodeLimits) -> Result<()> {
        self.decoded = self.decoded.saturating_add(bytes);
        let refuse = |text: String| Err(Error::new(Kind::TooLarge, text).code("decoded_too_large"));
        if limits
            .max_decoded_bytes
            .is_some_and(|most| self.decoded > most)
        {
            return refuse("the input unpacks to more bytes than allowed".to_owned());
        }
        if self.decoded > limits.ratio.most(self.encoded) {
            let ratio = limits.ratio.times;
            return refuse(format!(
                "the input unpacks to more than {ratio} times its size"
            ));
        }
        Ok(())
    }
}
