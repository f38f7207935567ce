//! Parquet out, streamed: a row group leaves as soon as it is full, the footer
//! only at the true end, so that a file that broke off opens nowhere.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value;
use weir_core::types::{EXTENSION_NAME, JSON_EXTENSION};
use weir_core::{Error, Result, memory_of};

use crate::json::cell::{Column, temporal};
use crate::plain::Plain;
use crate::{EncodeOptions, Encoder, Output};

/// Arrow bytes of a row group: what is held back before it leaves.
const GROUP_BYTES: usize = 32 << 20;

/// Rows of a row group, where rows are small.
const GROUP_ROWS: usize = 1 << 20;

/// The first bytes of every file. They leave at once, so that the answer's
/// headers need not wait for a whole row group.
const MAGIC: &[u8] = b"PAR1";

/// Compression of the pages of a Parquet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParquetCodec {
    /// None.
    None,
    /// Snappy: every reader knows it.
    #[default]
    Snappy,
    /// Zstandard.
    Zstd,
    /// LZ4 without frames.
    Lz4,
}

impl ParquetCodec {
    fn compression(self) -> Compression {
        match self {
            ParquetCodec::None => Compression::UNCOMPRESSED,
            ParquetCodec::Snappy => Compression::SNAPPY,
            ParquetCodec::Zstd => Compression::ZSTD(ZstdLevel::default()),
            ParquetCodec::Lz4 => Compression::LZ4_RAW,
        }
    }
}

/// Writes one Parquet file.
pub struct ParquetEncoder {
    plain: Plain,
    schema: SchemaRef,
    writer: Option<ArrowWriter<Vec<u8>>>,
    group_bytes: usize,
    skip: usize,
}

fn failed(error: parquet::errors::ParquetError) -> Error {
    Error::internal(format!("writing parquet failed: {error}"))
}

fn finished() -> Error {
    Error::internal("a parquet file was written to after its end")
}

impl ParquetEncoder {
    /// An encoder for batches of `schema`.
    pub fn new(schema: &SchemaRef, options: &EncodeOptions) -> Result<Self> {
        let plain = Plain::new(schema, false, &options.metadata);
        let fields: Vec<FieldRef> = plain.schema().fields().iter().map(storable).collect();
        let metadata = plain.schema().metadata().clone();
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let properties = WriterProperties::builder()
            .set_compression(options.parquet_compression.compression())
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))
            .map_err(|error| {
                Error::unsupported("a column has a type that parquet cannot hold")
                    .hint("leave the column out with `columns`, or ask for Arrow")
                    .detail(error)
            })?;
        Ok(ParquetEncoder {
            plain,
            schema,
            writer: Some(writer),
            group_bytes: 0,
            skip: MAGIC.len(),
        })
    }

    fn emit(&mut self, mut bytes: Vec<u8>, out: &mut Output) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        if skipped > 0 {
            bytes.drain(..skipped);
        }
        out.block(bytes.into());
    }

    fn storable(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let batch = self.plain.convert(batch)?;
        let fields = self
            .plain
            .schema()
            .fields()
            .iter()
            .zip(self.schema.fields());
        let columns = fields
            .zip(batch.columns())
            .map(|((from, to), array)| store(from, to, array))
            .collect::<Result<Vec<_>>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(schema, columns, &rows)?)
    }
}

impl Encoder for ParquetEncoder {
    fn start(&mut self, out: &mut Output) -> Result<()> {
        out.text().extend_from_slice(MAGIC);
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Output) -> Result<()> {
        let batch = self.storable(batch)?;
        let writer = self.writer.as_mut().ok_or_else(finished)?;
        writer.write(&batch).map_err(failed)?;
        self.group_bytes += memory_of(&batch);
        if self.group_bytes >= GROUP_BYTES {
            return self.relieve(out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<()> {
        let writer = self.writer.take().ok_or_else(finished)?;
        let bytes = writer.into_inner().map_err(failed)?;
        self.emit(bytes, out);
        Ok(())
    }

    /// Ends the row group.
    fn relieve(&mut self, out: &mut Output) -> Result<()> {
        let writer = self.writer.as_mut().ok_or_else(finished)?;
        writer.flush().map_err(failed)?;
        writer.sync().map_err(|error| failed(error.into()))?;
        let bytes = std::mem::take(writer.inner_mut());
        self.group_bytes = 0;
        self.emit(bytes, out);
        Ok(())
    }

    fn held(&self) -> usize {
        self.writer.as_ref().map_or(0, ArrowWriter::memory_size)
    }

    fn fail(&mut self, _: &Value, _: &mut Output) {
        // Without its footer no reader opens the file.
        self.writer = None;
    }
}

/// The field that Parquet, and readers other than Arrow's, can hold.
fn storable(field: &FieldRef) -> FieldRef {
    let data_type = field.data_type();
    let stored = match data_type {
        DataType::Interval(_) => DataType::Utf8,
        other if is_foreign(other) => {
            let metadata = [(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned())];
            let mut all = field.metadata().clone();
            all.extend(metadata);
            let field = Field::new(field.name(), DataType::Utf8, field.is_nullable());
            return Arc::new(field.with_metadata(all));
        }
        other => with_known_units(other),
    };
    if stored == *data_type {
        return Arc::clone(field);
    }
    Arc::new(Field::clone(field).with_data_type(stored))
}

/// Seconds have no place in Parquet: readers would see bare integers.
fn with_known_units(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Date64 => DataType::Date32,
        other => other.clone(),
    }
}

/// Whether a nested type holds something Parquet has no place for.
fn is_foreign(data_type: &DataType) -> bool {
    let inner = |field: &FieldRef| {
        is_foreign(field.data_type()) || matches!(field.data_type(), DataType::Interval(_))
    };
    match data_type {
        DataType::Union(_, _) => true,
        DataType::Struct(fields) => fields.is_empty() || fields.iter().any(inner),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            inner(item)
        }
        DataType::Map(entries, _) => inner(entries),
        _ => false,
    }
}

fn store(from: &FieldRef, to: &FieldRef, array: &ArrayRef) -> Result<ArrayRef> {
    if from.data_type() == to.data_type() {
        return Ok(Arc::clone(array));
    }
    match from.data_type() {
        DataType::Interval(_) => {
            let cell =
                temporal(array, false).ok_or_else(|| Error::internal("an interval has no text"))?;
            Ok(texts(array, |row, out| cell.write(row, out)))
        }
        other if is_foreign(other) => {
            let column = Column::new(from, array, false)?;
            Ok(texts(array, |row, out| column.write(row, out)))
        }
        _ => Ok(cast(array, to.data_type())?),
    }
}

fn texts(array: &ArrayRef, write: impl Fn(usize, &mut Vec<u8>)) -> ArrayRef {
    let nulls = array.logical_nulls();
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = Vec::new();
    for row in 0..array.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            builder.append_null();
            continue;
        }
        text.clear();
        write(row, &mut text);
        builder.append_value(String::from_utf8_lossy(&text));
    }
    Arc::new(builder.finish())
}
