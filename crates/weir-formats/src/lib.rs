//! Bytes ↔ batches. A format is one file here, one row in [`Format`] and one
//! arm in [`encoder`]; nothing else in Weir knows how rows look as bytes.

mod csv;
pub mod decode;
pub mod excel;
pub mod ipc;
pub mod json;
mod output;
pub mod parquet;
mod plain;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_core::Result;
pub use weir_core::types::unique_names;

pub use csv::CsvOut;
pub use output::Output;
pub use parquet::ParquetCodec;

/// A format rows can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Arrow IPC stream; read as a file, too.
    Arrow,
    /// Comma-separated values, RFC 4180.
    Csv,
    /// One Parquet file.
    Parquet,
}

struct Row {
    format: Format,
    suffix: &'static str,
    media_type: &'static str,
    aliases: &'static [&'static str],
    /// Media types that are taken, but not given.
    only_in: &'static [&'static str],
}

const ROWS: [Row; 5] = [
    Row {
        format: Format::Json,
        suffix: "json",
        media_type: "application/json",
        aliases: &[],
        only_in: &[],
    },
    Row {
        format: Format::Ndjson,
        suffix: "ndjson",
        media_type: "application/x-ndjson",
        aliases: &[
            "application/jsonl",
            "application/ndjson",
            "application/x-jsonlines",
        ],
        only_in: &[],
    },
    Row {
        format: Format::Arrow,
        suffix: "arrow",
        media_type: "application/vnd.apache.arrow.stream",
        aliases: &[],
        only_in: &["application/vnd.apache.arrow.file"],
    },
    Row {
        format: Format::Csv,
        suffix: "csv",
        media_type: "text/csv",
        aliases: &["application/csv"],
        only_in: &[],
    },
    Row {
        format: Format::Parquet,
        suffix: "parquet",
        media_type: "application/vnd.apache.parquet",
        aliases: &["application/parquet", "application/x-parquet"],
        only_in: &[],
    },
];

impl Format {
    /// Every format, the preferred one first.
    pub const ALL: [Format; 5] = [
        Format::Json,
        Format::Ndjson,
        Format::Arrow,
        Format::Csv,
        Format::Parquet,
    ];

    fn row(self) -> &'static Row {
        let index = ROWS.iter().position(|row| row.format == self).unwrap_or(0);
        &ROWS[index]
    }

    /// Its media type, without parameters.
    pub fn media_type(self) -> &'static str {
        self.row().media_type
    }

    /// Its name: path suffix, `?format=` and the header `weir-format`.
    pub fn suffix(self) -> &'static str {
        self.row().suffix
    }

    /// The format of a path suffix.
    pub fn from_suffix(suffix: &str) -> Option<Format> {
        ROWS.iter()
            .find(|row| row.suffix == suffix)
            .map(|row| row.format)
    }

    /// The format of a body with this media type, parameters ignored.
    pub fn from_media_type(media_type: &str) -> Option<Format> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let is_taken = |row: &&Row| {
            row.format.is_named(essence)
                || row
                    .only_in
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(essence))
        };
        ROWS.iter().find(is_taken).map(|row| row.format)
    }

    /// Whether `media_type`, without parameters, names this format.
    pub fn is_named(self, media_type: &str) -> bool {
        let row = self.row();
        row.media_type.eq_ignore_ascii_case(media_type)
            || row
                .aliases
                .iter()
                .any(|alias| alias.eq_ignore_ascii_case(media_type))
    }
}

/// How rows look in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// An object a row.
    #[default]
    Objects,
    /// An array a row; in a streamed array the names come as the first row.
    Arrays,
    /// One object with an array a column; previews only.
    Columns,
}

/// Compression of the buffers inside an Arrow stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrowCodec {
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl ArrowCodec {
    /// Its name in `codecs` and `?compression=`.
    pub fn name(self) -> &'static str {
        match self {
            ArrowCodec::Lz4 => "lz4",
            ArrowCodec::Zstd => "zstd",
        }
    }
}

/// What an encoder needs to know besides the schema.
#[derive(Debug, Clone, Default)]
pub struct EncodeOptions {
    /// How rows look in JSON.
    pub shape: Shape,
    /// Integers beyond ±(2^53−1) and decimals become JSON strings.
    pub js_safe: bool,
    /// NDJSON ends with a line that says how it ended.
    pub end_marker: bool,
    /// Compression of Arrow buffers.
    pub arrow_compression: Option<ArrowCodec>,
    /// Keep view, dictionary and run-end types of Arrow as they are.
    pub arrow_modern: bool,
    /// The dialect of CSV.
    pub csv: CsvOut,
    /// Compression of Parquet's pages.
    pub parquet_compression: ParquetCodec,
    /// Schema metadata of Arrow streams and Parquet files.
    pub metadata: Vec<(String, String)>,
}

/// Writes batches of one schema as bytes.
pub trait Encoder: Send {
    /// What comes before the first batch.
    fn start(&mut self, out: &mut Output) -> Result<()>;

    /// One batch.
    fn batch(&mut self, batch: &RecordBatch, out: &mut Output) -> Result<()>;

    /// What makes the bytes complete.
    fn finish(&mut self, out: &mut Output) -> Result<()>;

    /// Bytes that wait inside for more to come.
    fn held(&self) -> usize {
        0
    }

    /// Writes out early what waits inside, as far as the format allows it.
    fn relieve(&mut self, _: &mut Output) -> Result<()> {
        Ok(())
    }

    /// What makes the bytes visibly incomplete after `batch` calls that went
    /// out; `problem` is the error as the caller would have read it.
    fn fail(&mut self, problem: &serde_json::Value, out: &mut Output);
}

/// An encoder of `format` for batches of `schema`.
pub fn encoder(
    format: Format,
    schema: &SchemaRef,
    options: &EncodeOptions,
) -> Result<Box<dyn Encoder>> {
    Ok(match format {
        Format::Json => Box::new(json::JsonEncoder::new(schema, options)),
        Format::Ndjson => Box::new(json::NdjsonEncoder::new(schema, options)),
        Format::Arrow => Box::new(ipc::IpcEncoder::new(schema, options)?),
        Format::Csv => Box::new(csv::CsvEncoder::new(schema, options)),
        Format::Parquet => Box::new(parquet::ParquetEncoder::new(schema, options)?),
    })
}
