//! Arrow IPC streams.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamEncoder};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use serde_json::Value;
use weir_core::{Error, Result};

use crate::plain::Plain;
use crate::{ArrowCodec, EncodeOptions, Encoder, Output};

/// A continuation marker and a length that no message follows: every reader
/// fails on it, while a stream that merely stops reads as a shorter table.
pub const POISON: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x01, 0x00, 0x00];

/// Writes an Arrow IPC stream.
pub struct IpcEncoder {
    plain: Plain,
    inner: Option<StreamEncoder>,
}

impl IpcEncoder {
    /// An encoder for batches of `schema`.
    pub fn new(schema: &SchemaRef, options: &EncodeOptions) -> Result<Self> {
        let plain = Plain::new(schema, options.arrow_modern, &options.metadata);
        let compression = options.arrow_compression.map(|codec| match codec {
            ArrowCodec::Lz4 => CompressionType::LZ4_FRAME,
            ArrowCodec::Zstd => CompressionType::ZSTD,
        });
        let options = IpcWriteOptions::default().try_with_compression(compression)?;
        let inner = StreamEncoder::try_new_with_options(plain.schema(), options)?;
        Ok(IpcEncoder {
            plain,
            inner: Some(inner),
        })
    }
}

struct Shared(arrow::buffer::Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

fn emit(buffers: Vec<arrow::buffer::Buffer>, out: &mut Output) {
    for buffer in buffers {
        out.block(Bytes::from_owner(Shared(buffer)));
    }
}

fn finished() -> Error {
    Error::internal("an arrow stream was written to after its end")
}

impl Encoder for IpcEncoder {
    fn start(&mut self, _: &mut Output) -> Result<()> {
        // The schema message leaves together with the first batch or the end.
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Output) -> Result<()> {
        let batch = self.plain.convert(batch)?;
        let inner = self.inner.as_mut().ok_or_else(finished)?;
        emit(inner.encode(&batch)?, out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<()> {
        let inner = self.inner.take().ok_or_else(finished)?;
        emit(inner.finish()?, out);
        Ok(())
    }

    fn fail(&mut self, _: &Value, out: &mut Output) {
        self.inner = None;
        out.text().extend_from_slice(&POISON);
    }
}

/// The schema an Arrow answer has for rows of `schema`.
pub fn answer_schema(schema: &SchemaRef, options: &EncodeOptions) -> SchemaRef {
    Arc::clone(Plain::new(schema, options.arrow_modern, &options.metadata).schema())
}
