//! A bounded place on disk for bodies that must be whole before they are read.
//! A file has no name once it is open, so nothing stays behind a crash.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use bytes::Bytes;
use weir_core::{Error, Kind, Result};
use weir_formats::parquet::read::ReadAt;

/// Bytes that are read at once.
const READ: usize = 64 << 10;

/// A folder with a quota. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Quota>);

#[derive(Debug)]
struct Quota {
    folder: PathBuf,
    most: u64,
    used: AtomicU64,
    files: AtomicU64,
}

/// A file of the spool; its room is free again once it is dropped.
#[derive(Debug)]
pub(super) struct Spooled {
    file: File,
    size: u64,
    quota: Arc<Quota>,
}

fn full(detail: impl std::fmt::Display) -> Error {
    Error::new(
        Kind::NotReady,
        "there is no room to keep the body while it is read",
    )
    .code("storage_full")
    .hint("send it as an arrow stream, which needs no room, or try again later")
    .detail(detail)
}

impl Spool {
    /// A spool of `most` bytes in `folder`, which is made when it is needed.
    pub fn new(folder: PathBuf, most: u64) -> Self {
        Spool(Arc::new(Quota {
            folder,
            most,
            used: AtomicU64::new(0),
            files: AtomicU64::new(0),
        }))
    }

    /// Reads a body to its end into a file; gives it again from there. `seen` is
    /// shown its bytes on the way.
    pub async fn keep(&self, mut body: Body, mut seen: impl FnMut(&[u8])) -> Result<Body> {
        let mut file = self.file()?;
        while let Some(bytes) = super::of_body(&mut body).await? {
            seen(&bytes);
            file.write(&bytes)?;
        }
        let pieces = futures::stream::unfold((file, 0_u64), |(file, from)| async move {
            let left = file.size().saturating_sub(from);
            let length = usize::try_from(left).unwrap_or(READ).min(READ);
            let mut bytes = vec![0; length];
            match ReadAt::read_at(&file, &mut bytes, from) {
                Ok(0) if left == 0 => None,
                Ok(0) => Some((Err(std::io::ErrorKind::UnexpectedEof.into()), (file, from))),
                Ok(count) => {
                    bytes.truncate(count);
                    Some((Ok(Bytes::from(bytes)), (file, from + count as u64)))
                }
                Err(error) => Some((Err(error), (file, from))),
            }
        });
        Ok(Body::from_stream(pieces))
    }

    pub(super) fn file(&self) -> Result<Spooled> {
        let quota = &self.0;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&quota.folder)
            .map_err(full)?;
        let number = quota.files.fetch_add(1, Ordering::Relaxed);
        let name = format!("body-{}-{number}", std::process::id());
        let path = quota.folder.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(full)?;
        std::fs::remove_file(&path).map_err(full)?;
        Ok(Spooled {
            file,
            size: 0,
            quota: Arc::clone(quota),
        })
    }
}

impl Spooled {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        let used = self.quota.used.fetch_add(length, Ordering::Relaxed);
        self.size += length;
        if used + length > self.quota.most {
            return Err(full(format!(
                "the spool is full at {} bytes",
                self.quota.most
            )));
        }
        self.file.write_all(bytes).map_err(full)
    }
}

impl ReadAt for Spooled {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        FileExt::read_at(&self.file, buffer, offset)
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.quota.used.fetch_sub(self.size, Ordering::Relaxed);
    }
}
