//! Bytes of a file that are read where they are needed, and counted.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// Bytes at any place of a file.
pub trait ReadAt: Send + Sync + 'static {
    /// How many there are.
    fn size(&self) -> u64;

    /// Reads into `buffer` from `offset` on; fewer only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.len(), |at| at.min(self.len()));
        let rest = &self[start..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Counts what is read.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) file: Arc<dyn ReadAt>,
    pub(super) read: Arc<AtomicU64>,
}

impl Length for Counted {
    fn len(&self) -> u64 {
        self.file.size()
    }
}

impl Counted {
    /// Exactly these bytes.
    pub(super) fn exact(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.file.size()) {
            let text = "a place beyond the end of the file".to_owned();
            return Err(ParquetError::EOF(text));
        }
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let count = self
                .file
                .read_at(&mut bytes[filled..], start + filled as u64)?;
            if count == 0 {
                return Err(ParquetError::EOF("the file became shorter".to_owned()));
            }
            filled += count;
        }
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(bytes.into())
    }
}

/// Reads on from a place.
pub(super) struct From {
    counted: Counted,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.counted.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        self.counted.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl ChunkReader for Counted {
    type T = io::BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let counted = self.clone();
        Ok(io::BufReader::new(From { counted, at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.exact(start, length)
    }
}
