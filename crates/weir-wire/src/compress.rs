//! Compression of a body as it is made.

use std::io::Write;

use bytes::Bytes;
use weir_core::{Error, Result};

use crate::ContentEncoding;

/// Streams must not wait for the processor: the cheapest levels.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// Compresses what is pushed; every flush leaves a client with whole rows.
pub(crate) enum Compressor {
    Plain,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

fn failed(error: std::io::Error) -> Error {
    Error::internal(format!("compressing a body failed: {error}"))
}

impl Compressor {
    pub(crate) fn new(encoding: Option<ContentEncoding>) -> Result<Self> {
        Ok(match encoding {
            None => Compressor::Plain,
            Some(ContentEncoding::Gzip) => Compressor::Gzip(flate2::write::GzEncoder::new(
                Vec::new(),
                flate2::Compression::new(GZIP_LEVEL),
            )),
            Some(ContentEncoding::Zstd) => Compressor::Zstd(
                zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(failed)?,
            ),
        })
    }

    /// What goes on the wire for these chunks, all of it.
    pub(crate) fn push(&mut self, chunks: Vec<Bytes>) -> Result<Vec<Bytes>> {
        let packed = match self {
            Compressor::Plain => return Ok(chunks),
            Compressor::Gzip(encoder) => {
                write_all(encoder, &chunks).map_err(failed)?;
                std::mem::take(encoder.get_mut())
            }
            Compressor::Zstd(encoder) => {
                write_all(encoder, &chunks).map_err(failed)?;
                std::mem::take(encoder.get_mut())
            }
        };
        Ok(as_chunks(packed))
    }

    /// The end of the compressed stream.
    pub(crate) fn finish(self) -> Result<Vec<Bytes>> {
        Ok(match self {
            Compressor::Plain => Vec::new(),
            Compressor::Gzip(encoder) => as_chunks(encoder.finish().map_err(failed)?),
            Compressor::Zstd(encoder) => as_chunks(encoder.finish().map_err(failed)?),
        })
    }
}

fn write_all(encoder: &mut impl Write, chunks: &[Bytes]) -> std::io::Result<()> {
    if chunks.is_empty() {
        return Ok(());
    }
    for chunk in chunks {
        encoder.write_all(chunk)?;
    }
    encoder.flush()
}

fn as_chunks(bytes: Vec<u8>) -> Vec<Bytes> {
    if bytes.is_empty() {
        Vec::new()
    } else {
        vec![bytes.into()]
    }
}
