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

/// The head of a record batch whose body never comes, and which has none of the
/// schema's columns: every reader fails on it, while a stream that merely stops
/// reads as a shorter table. A length without a message is not enough: arrow-js
/// waits for the message, and takes the error that comes instead for the end.
#[rustfmt::skip]
pub const POISON: [u8; 72] = [
    // The continuation marker, and the length of what follows.
    0xFF, 0xFF, 0xFF, 0xFF, 64, 0, 0, 0,
    // Where the message is, and where its fields are: version, type, header, length of the body.
    16, 0, 0, 0, 12, 0, 20, 0, 16, 0, 18, 0, 4, 0, 8, 0,
    // The message: the header is 28 bytes on, the body has 64, version 5, a record batch.
    12, 0, 0, 0, 28, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 4, 0, 3, 0, 0, 0, 0, 0,
    // The record batch: one row, and neither nodes nor buffers.
    6, 0, 16, 0, 8, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
];

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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::ipc::{MessageHeader, root_as_message};

    #[test]
    fn the_poison_is_the_head_of_a_batch_without_its_body() {
        let (prefix, head) = POISON.split_at(8);
        assert_eq!(prefix[..4], [0xFF; 4]);
        assert_eq!(prefix[4..], (head.len() as u32).to_le_bytes());
        let aligned = arrow::buffer::Buffer::from(head);
        let message = root_as_message(&aligned).unwrap();
        assert_eq!(message.header_type(), MessageHeader::RecordBatch);
        assert_eq!(message.bodyLength(), 64);
        let batch = message.header_as_record_batch().unwrap();
        assert_eq!((batch.length(), batch.nodes().is_none()), (1, true));
    }
}
