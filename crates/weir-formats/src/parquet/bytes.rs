//! Bytes of a file that are read where they are needed, and counted.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use weir_core::Error;

use super::pages::Watch;

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

/// Counts what is read, and looks at every page before the library does.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) file: Arc<dyn ReadAt>,
    pub(super) read: Arc<AtomicU64>,
    watch: Option<Arc<Mutex<Watch>>>,
}

impl Length for Counted {
    fn len(&self) -> u64 {
        self.file.size()
    }
}

impl Counted {
    /// Of this file, before any of its pages is read.
    pub(super) fn of(file: Arc<dyn ReadAt>) -> Self {
        Counted {
            file,
            read: Arc::default(),
            watch: None,
        }
    }

    /// The same file with its pages watched.
    pub(super) fn watched(&self, watch: Watch) -> Self {
        Counted {
            watch: Some(Arc::new(Mutex::new(watch))),
            ..self.clone()
        }
    }

    fn watch(&self) -> Option<MutexGuard<'_, Watch>> {
        let lock = self.watch.as_ref()?.lock();
        Some(lock.unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes of the pages that are open.
    pub(super) fn open_bytes(&self) -> usize {
        let open = self.watch().map_or(0, |watch| watch.open());
        usize::try_from(open).unwrap_or(usize::MAX)
    }

    /// A new batch begins.
    pub(super) fn begin(&self) {
        if let Some(mut watch) = self.watch() {
            watch.begin();
        }
    }

    /// Why the last read failed, when it was for what was found in a page.
    pub(super) fn failure(&self) -> Option<Error> {
        self.watch()?.failure()
    }

    /// Whether the last read failed for a batch of too many rows.
    pub(super) fn was_crowded(&self) -> bool {
        self.watch().is_some_and(|mut watch| watch.was_crowded())
    }

    /// Exactly these bytes.
    pub(super) fn exact(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.peek(start, length)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Exactly these bytes, which are looked at and not given out.
    pub(super) fn peek(&self, start: u64, length: usize) -> Result<Bytes> {
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
        Ok(bytes.into())
    }
}

/// Reads on from a place: always that of a page's header.
pub(super) struct From {
    counted: Counted,
    at: u64,
    has_begun: bool,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.has_begun, true)
            && let Some(mut watch) = self.counted.watch()
        {
            watch.header(&self.counted, self.at, None)?;
        }
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
        Ok(io::BufReader::new(From {
            counted,
            at: start,
            has_begun: false,
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if let Some(mut watch) = self.watch() {
            if watch.is_indexed {
                watch.header(self, start, Some(length as u64))?;
            }
            watch.body(self, start)?;
        }
        self.exact(start, length)
    }
}
