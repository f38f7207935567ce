//! Rows from bytes that are pushed in as they come: bodies of requests, and
//! files. Decoders block no thread on input and hold no more than the sample
//! their types come from, one batch, and the row that is not complete yet.
//!
//! What is wrong with the content is `SourceFault::Data`, what is larger than
//! a limit `Kind::TooLarge`; texts name row and column, never a value.

mod build;
mod cells;
mod charset;
mod csv;
mod guess;
mod ipc;
mod json;
mod plan;
mod scalar;

use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::record_batch::RecordBatch;
use weir_core::{Error, Result};

use crate::Format;
pub use plan::Meter;
pub(crate) use plan::too_many_columns;

/// Rows from bytes that are pushed in as they come. Pushing is work for the
/// processor: call it on the compute runtime.
pub trait Decoder: Send {
    /// Takes the next bytes; complete batches are appended to `out`. None comes
    /// until the schema is known, which may take the whole sample.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<RecordBatch>) -> Result<()>;

    /// The input is complete; an input that breaks off is an error.
    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<()>;

    /// Bytes that wait inside for more to come.
    fn held(&self) -> usize {
        0
    }

    /// Schema of every batch: known before the first batch, and after `finish`.
    fn schema(&self) -> Option<SchemaRef>;
}

/// What untrusted bytes may ask for.
#[derive(Debug, Clone)]
pub struct DecodeLimits {
    /// Columns of a table, fields of structs included.
    pub max_columns: usize,
    /// How deep values may nest.
    pub max_depth: usize,
    /// Bytes of one cell, and of one row.
    pub max_cell_bytes: usize,
    /// What a byte of input may become.
    pub ratio: Ratio,
    /// Decoded bytes at most.
    pub max_decoded_bytes: Option<u64>,
}

/// How much larger than its encoded form something may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// Decoded bytes for each encoded one.
    pub times: u64,
    /// Decoded bytes up to which it is not held against an input.
    pub above: u64,
}

impl Default for Ratio {
    fn default() -> Self {
        Ratio {
            times: 200,
            above: 10 << 20,
        }
    }
}

impl Ratio {
    /// Decoded bytes that `encoded` ones may become.
    pub fn most(self, encoded: u64) -> u64 {
        encoded.saturating_mul(self.times).max(self.above)
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        DecodeLimits {
            max_columns: 10_000,
            max_depth: 128,
            max_cell_bytes: 64 << 20,
            ratio: Ratio::default(),
            max_decoded_bytes: None,
        }
    }
}

/// Rows and bytes that inferred types come from.
pub const SAMPLE_ROWS: usize = 10_000;
/// See [`SAMPLE_ROWS`]; whichever is reached first.
pub const SAMPLE_BYTES: usize = 8 << 20;

/// The dialect of CSV text. What is `None` is found out from the text.
#[derive(Debug, Clone, Default)]
pub struct CsvIn {
    /// Between fields.
    pub delimiter: Option<u8>,
    /// Around fields that hold delimiters; a doubled one stands for itself.
    pub quote: Option<u8>,
    /// Before a character that stands for itself.
    pub escape: Option<u8>,
    /// Whether the first row holds the names.
    pub header: Option<bool>,
    /// Lines that start with it are skipped.
    pub comment: Option<u8>,
    /// The text's encoding by its WHATWG label. A byte order mark wins; without
    /// either it is UTF-8.
    pub encoding: Option<String>,
    /// Texts that mean null, beside the empty one.
    pub null_values: Vec<String>,
    /// Lines to skip at the start.
    pub skip_rows: usize,
}

/// How to read.
#[derive(Debug, Clone)]
pub struct DecodeOptions {
    /// The dialect of CSV.
    pub csv: CsvIn,
    /// Types by column name, instead of inferred ones. Not for Arrow.
    pub types: Vec<FieldRef>,
    /// Columns to give, in this order; one that does not exist is an error.
    pub columns: Option<Vec<String>>,
    /// Rows of a batch at most.
    pub batch_rows: usize,
    /// Limits.
    pub limits: DecodeLimits,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions {
            csv: CsvIn::default(),
            types: Vec::new(),
            columns: None,
            batch_rows: 8192,
            limits: DecodeLimits::default(),
        }
    }
}

/// Text that has grown to this is a row of unusual size.
const LARGE_TEXT: usize = 16 << 20;

/// Room in `text` for `more`: the one place where the text that a decoder holds
/// grows. A large row gets room for the largest at once, since growing by
/// doubling would leave as much again behind.
fn room(text: &mut Vec<u8>, more: usize, limits: &DecodeLimits) {
    let is_short = text.capacity() - text.len() < more;
    if is_short && text.len() >= LARGE_TEXT {
        let most = limits.max_cell_bytes.saturating_add(LARGE_TEXT / 4);
        // Beyond that, as ever: exact steps would copy all of it each time.
        text.reserve_exact(
            most.saturating_sub(text.len())
                .max(text.len() / 2)
                .max(more),
        );
    }
}

/// A decoder of `format`: CSV, JSON, NDJSON, and Arrow as stream or file.
/// Parquet needs its footer first and is read from a file instead.
pub fn decoder(format: Format, mut options: DecodeOptions) -> Result<Box<dyn Decoder>> {
    let most = cells::MAX_BUFFER / 2;
    options.limits.max_cell_bytes = options.limits.max_cell_bytes.min(most);
    Ok(match format {
        Format::Csv => Box::new(csv::CsvDecoder::new(options)?),
        Format::Json => Box::new(json::JsonDecoder::new(options, false)),
        Format::Ndjson => Box::new(json::JsonDecoder::new(options, true)),
        Format::Arrow => Box::new(ipc::IpcDecoder::new(options)),
        Format::Parquet => {
            return Err(Error::unsupported(
                "parquet is read from its end and cannot be pushed in",
            ));
        }
    })
}

/// The members of the JSON object that `text` is, each with the place of its
/// value, which is not looked into; `None` when it is no such object.
pub fn json_members(text: &[u8]) -> Option<Vec<(String, std::ops::Range<usize>)>> {
    if text.len() > cells::MAX_BUFFER {
        return None;
    }
    json::members(text, DecodeLimits::default().max_depth)
}
