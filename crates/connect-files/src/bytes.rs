//! The bytes of an opened file: exactly those that it had when it was opened,
//! and unpacked where it is packed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_core::{Error, Kind, Result, SourceFault, SourceMessage};
use weir_formats::decode::Ratio;
use weir_formats::parquet::read::ReadAt;

use crate::format::Packing;
use weir_kit::beneath::{Opened, Stamp};

/// Zstandard may ask for windows of gigabytes; this many bits are 8 MiB.
const ZSTD_WINDOW: u32 = 23;

/// An opened file that several readers may look at.
#[derive(Debug, Clone)]
pub struct Content {
    file: Arc<File>,
    stamp: Stamp,
}

impl Content {
    /// The content of `opened`.
    pub fn of(opened: Opened) -> Self {
        Content {
            file: Arc::new(opened.file),
            stamp: opened.stamp,
        }
    }

    /// What the file was when it was opened.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The first bytes, as they are in the file.
    pub fn head(&self, most: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.stored().take(most as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// From the start, as it is in the file.
    pub fn stored(&self) -> Stored {
        Stored {
            content: self.clone(),
            at: 0,
            read: Arc::default(),
        }
    }

    /// From the start, unpacked.
    pub fn unpacked(&self, packing: Packing, ratio: Ratio) -> io::Result<Unpacked> {
        let stored = self.stored();
        let read = Arc::clone(&stored.read);
        let inner: Box<dyn Read + Send> = match packing {
            Packing::Plain => Box::new(stored),
            Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(
                stored,
            ))),
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(stored)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(decoder)
            }
        };
        Ok(Unpacked {
            inner,
            read,
            given: 0,
            ratio,
        })
    }

    /// An error when the file is no longer what it was. What was appended to it
    /// does not count: its first bytes are the same.
    pub fn check(&self, path: &str) -> Result<()> {
        let Ok(now) = Stamp::now(&self.file) else {
            return Ok(());
        };
        let is_rewritten = now.size == self.stamp.size && now.modified != self.stamp.modified;
        if now.size < self.stamp.size || is_rewritten {
            return Err(changed(path));
        }
        Ok(())
    }

    /// `error` of reading the file, or that the file changed, which explains it.
    pub fn explain(&self, path: &str, error: Error) -> Error {
        match self.check(path) {
            Err(changed) => changed.detail(error),
            Ok(()) => error,
        }
    }
}

/// The error of a file that is not what it was.
pub fn changed(path: &str) -> Error {
    Error::source(
        SourceFault::Unavailable,
        format!("`{path}` changed while it was read"),
    )
    .code("file_changed")
    .hint("send the request again when nobody writes to the file; writers do best to rename a finished file into place")
}

/// What the system or an unpacker said while `path` was read.
pub fn read_failed(path: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Error::source(
                SourceFault::Data,
                format!("`{path}` cannot be unpacked: it is damaged or cut short"),
            )
            .said(SourceMessage {
                message: error.to_string(),
                ..SourceMessage::default()
            })
        }
        // The unpackers' own errors come as `Other`, and so does ours.
        _ => match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(error) if error.raw_os_error().is_some() => weir_kit::beneath::failed(path, &error),
            Err(error) => Error::source(
                SourceFault::Data,
                format!("`{path}` cannot be unpacked: it is damaged or of another kind"),
            )
            .said(SourceMessage {
                message: error.to_string(),
                ..SourceMessage::default()
            }),
        },
    }
}

impl ReadAt for Content {
    fn size(&self) -> u64 {
        self.stamp.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.stamp.size.saturating_sub(offset);
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        FileExt::read_at(&*self.file, &mut buffer[..most], offset)
    }
}

/// Reads on from where it is, up to the size at opening.
#[derive(Debug)]
pub struct Stored {
    content: Content,
    at: u64,
    read: Arc<AtomicU64>,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read_at(buffer, self.at)?;
        if count == 0 && !buffer.is_empty() && self.at < self.content.stamp.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl io::Seek for Stored {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let at = match to {
            io::SeekFrom::Start(at) => Some(at),
            io::SeekFrom::End(by) => self.content.stamp.size.checked_add_signed(by),
            io::SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Unpacked bytes, no more of them than a packed byte may become.
pub struct Unpacked {
    inner: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
    given: u64,
    ratio: Ratio,
}

impl Unpacked {
    /// Bytes read of the file so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.given += count as u64;
        if self.given > self.ratio.most(self.bytes_read()) {
            let times = self.ratio.times;
            let message = format!("a packed byte becomes more than {times} bytes");
            let error = Error::new(Kind::TooLarge, message)
                .code("too_large")
                .hint("unpack the file first if it is what it should be");
            return Err(io::Error::other(error));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn content(bytes: &[u8]) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let stamp = Stamp::now(&file).unwrap();
        Content::of(Opened { file, stamp })
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn what_is_packed_comes_unpacked() {
        let rows = b"a,b\n1,2\n".repeat(1_000);
        let packed = [
            (Packing::Plain, rows.clone()),
            (Packing::Gzip, gzip(&rows)),
            (
                Packing::Gzip,
                [gzip(&rows[..4_000]), gzip(&rows[4_000..])].concat(),
            ),
            (Packing::Zstd, zstd::encode_all(&rows[..], 3).unwrap()),
        ];
        for (packing, bytes) in packed {
            let mut all = Vec::new();
            let unpacked = content(&bytes).unpacked(packing, Ratio::default());
            unpacked.unwrap().read_to_end(&mut all).unwrap();
            assert_eq!(all, rows);
        }
    }

    #[test]
    fn a_bomb_is_refused_and_a_cut_file_too() {
        let bomb = gzip(&vec![b'a'; 64 << 20]);
        for (bytes, packing) in [
            (bomb.clone(), Packing::Gzip),
            (
                zstd::encode_all(&vec![b'a'; 64 << 20][..], 19).unwrap(),
                Packing::Zstd,
            ),
        ] {
            let mut sink = io::sink();
            let error = io::copy(
                &mut content(&bytes).unpacked(packing, Ratio::default()).unwrap(),
                &mut sink,
            );
            let error = read_failed("a.gz", error.unwrap_err());
            assert_eq!(error.kind(), Kind::TooLarge, "{error}");
        }
        let cut = &gzip(b"a,b\n1,2\n")[..12];
        let error = io::copy(
            &mut content(cut)
                .unpacked(Packing::Gzip, Ratio::default())
                .unwrap(),
            &mut io::sink(),
        );
        let error = read_failed("a.gz", error.unwrap_err());
        assert_eq!(error.stable_code(), "data");
    }

    #[test]
    fn a_file_that_shrinks_or_is_rewritten_is_told() {
        let content = content(&[b'a'; 1_000]);
        content.check("a").unwrap();
        (&*content.file).write_all(b"appended").unwrap();
        content.check("a").unwrap();
        let mut all = Vec::new();
        content.stored().read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 1_000);
        content.file.set_len(10).unwrap();
        let error = content.stored().read_to_end(&mut all).unwrap_err();
        let error = content.explain("a", read_failed("a", error));
        assert_eq!(error.stable_code(), "file_changed");
    }
}
