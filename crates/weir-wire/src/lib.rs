//! Rows on the wire: one negotiation, streamed bodies with back-pressure, and
//! tails that tell the truth when a read fails after its first byte.

mod body;
mod compress;
mod download;
mod envelope;
mod input;
mod negotiate;
mod produce;
mod queue;
mod respond;

use std::time::Duration;

use futures::future::BoxFuture;
use weir_core::task::Compute;
use weir_core::{Account, Error};

pub use envelope::{Envelope, preview_envelope};
pub use input::{Intake, Media, Part, Parts, Spool, accepted, body_error, paced, rows_in, rows_of};
pub use negotiate::{FormatQuery, negotiate};
pub use respond::{data_headers, respond};
pub use weir_core::Rows;
pub use weir_formats::decode;
pub use weir_formats::{ArrowCodec, CsvOut, Format, ParquetCodec, Shape, unique_names};

/// How rows leave, as negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsOptions {
    /// The format.
    pub format: Format,
    /// How rows look in JSON.
    pub shape: Shape,
    /// Integers beyond ±(2^53−1) and decimals become JSON strings.
    pub js_safe: bool,
    /// NDJSON ends with a line that says how it ended.
    pub end_marker: bool,
    /// Compression of Arrow buffers; never together with `content_encoding`.
    pub arrow_compression: Option<ArrowCodec>,
    /// Keep view and dictionary types of Arrow as they are.
    pub arrow_modern: bool,
    /// The dialect of CSV.
    pub csv: CsvOut,
    /// Compression of Parquet's pages.
    pub parquet_compression: ParquetCodec,
    /// Compression of the whole body; never of Parquet.
    pub content_encoding: Option<ContentEncoding>,
    /// The name a browser saves the answer under.
    pub download: Option<String>,
    /// JSON rows stand in an envelope with their columns; streamed all the same.
    pub envelope: bool,
}

impl RowsOptions {
    /// Plain rows of `format`.
    pub fn new(format: Format) -> Self {
        RowsOptions {
            format,
            shape: Shape::Objects,
            js_safe: false,
            end_marker: false,
            arrow_compression: None,
            arrow_modern: false,
            csv: CsvOut::default(),
            parquet_compression: ParquetCodec::default(),
            content_encoding: None,
            download: None,
            envelope: false,
        }
    }

    /// The `Content-Type` of the answer.
    pub fn content_type(&self) -> &'static str {
        match (self.format, self.arrow_compression) {
            (Format::Arrow, Some(ArrowCodec::Lz4)) => {
                "application/vnd.apache.arrow.stream; codecs=lz4"
            }
            (Format::Arrow, Some(ArrowCodec::Zstd)) => {
                "application/vnd.apache.arrow.stream; codecs=zstd"
            }
            // Without it, clients take text for Latin-1.
            (Format::Csv, _) => "text/csv; charset=utf-8",
            (format, _) => format.media_type(),
        }
    }
}

/// Compression of a whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentEncoding {
    /// `gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
}

impl ContentEncoding {
    /// Its name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            ContentEncoding::Gzip => "gzip",
            ContentEncoding::Zstd => "zstd",
        }
    }
}

/// How rows are sent, and who hears of the end.
pub struct Delivery {
    /// Where decoding and encoding run.
    pub compute: Compute,
    /// How long the headers wait for the first batch; then there is an error
    /// instead of an answer. A failure within it has its own status.
    pub first_batch_wait: Duration,
    /// Ready with the reason when the rows must stop although nobody asks for
    /// more of them: a caller who does not read must not keep a query running.
    pub stop: BoxFuture<'static, Error>,
    /// Dropped with the body, however far the rows came: what must end when the
    /// caller is gone, even while the rows compute and hear of nothing.
    pub kept: Box<dyn Send + Sync>,
    /// The memory that encoding and waiting bytes count against.
    pub memory: Account,
    /// Encoded bytes that may wait for the client. A larger chunk passes alone.
    pub queue_bytes: usize,
    /// Schema metadata of Arrow answers.
    pub metadata: Vec<(String, String)>,
    /// What was done with the rows, for an envelope; asked for once they are all there.
    pub report: Option<Report>,
    /// Renders an error as the caller would have read it, for `end_marker`.
    pub problem: Box<dyn Fn(&Error) -> serde_json::Value + Send + Sync>,
    /// Called once when the answer has ended, however it ended. Not called
    /// when [`respond`] itself gives the error.
    pub on_end: Box<dyn FnOnce(Outcome) + Send>,
}

/// Tells what was done with rows, as JSON.
pub type Report = Box<dyn Fn() -> serde_json::Value + Send + Sync>;

/// How an answer ended.
#[derive(Debug)]
pub struct Outcome {
    /// Rows that were encoded.
    pub rows: u64,
    /// Bytes that were encoded, as they went on the wire.
    pub bytes: u64,
    /// Why it failed.
    pub error: Option<Error>,
    /// The caller went away before the end.
    pub cancelled: bool,
}
