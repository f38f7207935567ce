//! Pages, looked at before the library reads them: it allocates what a header
//! says, and some ways to write values make gigabytes of a few bytes. Whatever
//! a batch takes grows here first.

use std::io::{self, Read};

use parquet::basic::{Compression, Encoding, Type as Physical};
use parquet::file::metadata::RowGroupMetaData;
use weir_core::{Error, Kind, Result};

use super::bytes::Counted;
use super::read::broken;
use super::thrift::{PageHeader, PageKind, Unread, page_header};
use crate::decode::{DecodeLimits, Ratio};

/// Bytes of a page at most, packed and unpacked.
pub(super) const MAX_PAGE: u64 = 64 << 20;

/// Bytes of all pages that are open at once at most.
const MAX_OPEN: u64 = 256 << 20;

/// Bytes of a page's header at most: it may quote its smallest and largest value.
const MAX_HEADER: usize = 16 << 20;

/// Values of a page of lists at most.
const MAX_NESTED_VALUES: u64 = 8 << 20;

/// What pages that a batch has used up may have held before it is too large:
/// bytes, and values where rows do not bound them.
const BATCH_BYTES: u64 = 32 << 20;
const BATCH_VALUES: u64 = 2 << 20;

/// A byte of deflate becomes at most this many.
const DEFLATE_RATIO: u64 = 1_032;

/// A byte of an LZ4 block becomes at most this many.
const LZ4_RATIO: u64 = 255;

/// Gzip pages that cannot become larger than this are not counted first.
const UNCOUNTED: u64 = 8 << 20;

/// A column of a row group.
#[derive(Debug, Clone)]
struct Chunk {
    start: u64,
    end: u64,
    codec: Compression,
    /// Bytes of a value in a dictionary at least.
    least: u64,
    is_nested: bool,
    /// Values may be written as lengths and differences.
    is_delta: bool,
    /// What is open of it: bytes and values of a page, bytes of a dictionary.
    open: u64,
    values: u64,
    dictionary: u64,
    /// The page was open before the batch began.
    is_old: bool,
    pending: Option<Pending>,
}

/// A page whose header was seen.
#[derive(Debug, Clone, Copy)]
struct Pending {
    kind: PageKind,
    is_packed: bool,
    /// Where what is packed begins, its bytes, and what they say they become.
    body: u64,
    packed: u64,
    unpacked: u64,
    /// Bytes that it takes.
    bytes: u64,
    values: u64,
}

/// Watches the pages of one row group as they are read.
#[derive(Debug, Default)]
pub(super) struct Watch {
    chunks: Vec<Chunk>,
    /// Pages come with their headers, at places that an index names.
    pub(super) is_indexed: bool,
    ratio: Ratio,
    open: u64,
    used: u64,
    values: u64,
    is_crowded: bool,
    failed: Option<Error>,
}

/// Whether values of this encoding are lengths and differences of texts.
pub(super) fn is_delta(encoding: Encoding) -> bool {
    matches!(
        encoding,
        Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY
    )
}

fn too_large(what: &str) -> Error {
    Error::new(Kind::TooLarge, what.to_owned())
        .hint("write the file with smaller pages and row groups, or name fewer columns")
}

/// Bytes that a value of this type takes in a dictionary at least.
fn least(physical: Physical, length: i32) -> u64 {
    match physical {
        Physical::BOOLEAN => 1,
        Physical::INT32 | Physical::FLOAT | Physical::BYTE_ARRAY => 4,
        Physical::INT64 | Physical::DOUBLE => 8,
        Physical::INT96 => 12,
        Physical::FIXED_LEN_BYTE_ARRAY => u64::try_from(length).unwrap_or(0).max(1),
    }
}

impl Watch {
    /// For this row group; columns that lie over each other are refused.
    pub(super) fn of(group: &RowGroupMetaData, limits: &DecodeLimits) -> Result<Self> {
        let chunk = |column: &parquet::file::metadata::ColumnChunkMetaData| {
            let (start, length) = column.byte_range();
            let descriptor = column.column_descr();
            Chunk {
                start,
                end: start + length,
                codec: column.compression(),
                least: least(descriptor.physical_type(), descriptor.type_length()),
                is_nested: descriptor.max_rep_level() > 0,
                is_delta: column.encodings().any(is_delta),
                open: 0,
                values: 0,
                dictionary: 0,
                is_old: true,
                pending: None,
            }
        };
        let all = group.columns().iter().map(chunk);
        let mut chunks: Vec<Chunk> = all.filter(|chunk| chunk.start < chunk.end).collect();
        chunks.sort_unstable_by_key(|chunk| chunk.start);
        let mut pairs = chunks.windows(2);
        if pairs.any(|pair| pair[0].end > pair[1].start) {
            return Err(broken("two columns lie over each other"));
        }
        Ok(Watch {
            chunks,
            ratio: limits.ratio,
            ..Watch::default()
        })
    }

    /// A new batch begins.
    pub(super) fn begin(&mut self) {
        (self.used, self.values) = (0, 0);
        for chunk in &mut self.chunks {
            chunk.is_old = true;
        }
    }

    /// Why the last read failed, when it was for what was found here.
    pub(super) fn failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// Whether the last read failed for a batch of too many rows.
    pub(super) fn was_crowded(&mut self) -> bool {
        std::mem::take(&mut self.is_crowded)
    }

    /// A page begins at `at`; `size` are its bytes where an index says so.
    pub(super) fn header(
        &mut self,
        source: &Counted,
        at: u64,
        size: Option<u64>,
    ) -> io::Result<()> {
        let checked = self.checked(source, at, size);
        self.told(checked)
    }

    /// The page at `at`, whose header was seen, is about to be unpacked.
    pub(super) fn body(&mut self, source: &Counted, at: u64) -> io::Result<()> {
        let taken = self.taken(source, at);
        self.told(taken)
    }

    fn told(&mut self, outcome: Result<()>) -> io::Result<()> {
        outcome.map_err(|error| {
            self.failed = Some(error);
            io::ErrorKind::InvalidData.into()
        })
    }

    fn place(&self, at: u64) -> Result<usize> {
        let place = self.chunks.partition_point(|chunk| chunk.end <= at);
        let chunk = self.chunks.get(place).filter(|chunk| chunk.start <= at);
        chunk
            .map(|_| place)
            .ok_or_else(|| broken("a page lies outside of its column"))
    }

    fn checked(&mut self, source: &Counted, at: u64, size: Option<u64>) -> Result<()> {
        let place = self.place(at)?;
        let chunk = &mut self.chunks[place];
        let room = size.unwrap_or(u64::MAX).min(chunk.end - at);
        let header = header_at(source, at, room)?;
        let (packed, unpacked) = sizes(&header, room - header.length as u64)?;
        if packed > MAX_PAGE || unpacked > MAX_PAGE {
            return Err(too_large(
                "a page of the Parquet file is larger than 64 MiB",
            ));
        }
        let is_packed = chunk.codec != Compression::UNCOMPRESSED && header.is_packed;
        if is_packed && unpacked > self.ratio.most(packed) {
            let what = "a page of the Parquet file unpacks to more than its size allows";
            return Err(too_large(what).code("decoded_too_large"));
        }
        let values = u64::try_from(header.values);
        let values = values.map_err(|_| broken("a page has less than no values"))?;
        match header.kind {
            PageKind::Dictionary if values.saturating_mul(chunk.least) > unpacked => {
                return Err(broken("a dictionary has more values than bytes"));
            }
            PageKind::Data if chunk.is_nested && values > MAX_NESTED_VALUES => {
                return Err(too_large("a page of lists has too many values"));
            }
            PageKind::Data if is_undeclared(&header, chunk) => {
                let what = "a page is written in a way that the footer does not name";
                return Err(broken(what));
            }
            _ => {}
        }
        let levels = u64::try_from(header.levels).unwrap_or(0);
        chunk.pending = Some(Pending {
            kind: header.kind,
            is_packed,
            body: at + header.length as u64 + levels,
            packed: packed.saturating_sub(levels),
            unpacked: unpacked.saturating_sub(levels),
            bytes: unpacked.max(packed),
            values,
        });
        Ok(())
    }

    fn taken(&mut self, source: &Counted, at: u64) -> Result<()> {
        let place = self.place(at)?;
        let chunk = &self.chunks[place];
        let Some(page) = chunk.pending else {
            return Err(broken("a page has no header"));
        };
        if page.is_packed {
            counted(source, chunk.codec, &page)?;
        }
        self.opened(place, &page)
    }

    /// Bytes of the pages that are open.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// The page is opened, and the one before it used up.
    fn opened(&mut self, place: usize, page: &Pending) -> Result<()> {
        let chunk = &mut self.chunks[place];
        chunk.pending = None;
        if page.kind == PageKind::Dictionary {
            self.open = self.open - chunk.dictionary + page.bytes;
            chunk.dictionary = page.bytes;
        } else {
            self.open = self.open - chunk.open + page.bytes;
            // Of a page that was open before the batch, little may be left.
            if !std::mem::take(&mut chunk.is_old) {
                self.used += chunk.open;
                self.values += if chunk.is_nested { chunk.values } else { 0 };
            }
            (chunk.open, chunk.values) = (page.bytes, page.values);
        }
        if self.open > MAX_OPEN {
            return Err(too_large(
                "the pages of the columns together have more than 256 MiB",
            ));
        }
        if self.used > BATCH_BYTES || self.values > BATCH_VALUES {
            self.is_crowded = true;
            return Err(too_large("a row of the Parquet file is too large"));
        }
        Ok(())
    }

    /// Whether the page at `at` is a dictionary.
    pub(super) fn has_dictionary(&mut self, source: &Counted, at: u64) -> Result<bool> {
        let place = self.chunks.partition_point(|chunk| chunk.end <= at);
        let Some(chunk) = self.chunks.get(place) else {
            return Ok(false);
        };
        let header = header_at(source, at, chunk.end.saturating_sub(at))?;
        Ok(header.kind == PageKind::Dictionary)
    }

    /// Whether all these places lie in the columns of this group.
    pub(super) fn holds(&self, start: u64, bytes: u64) -> bool {
        let place = self.chunks.partition_point(|chunk| chunk.end <= start);
        let chunk = self.chunks.get(place);
        chunk.is_some_and(|chunk| {
            chunk.start <= start && start.checked_add(bytes).is_some_and(|end| end <= chunk.end)
        })
    }
}

fn is_undeclared(header: &PageHeader, chunk: &Chunk) -> bool {
    // DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY.
    matches!(header.encoding, 6 | 7) && !chunk.is_delta
}

/// The header at `at`, read in growing steps.
fn header_at(source: &Counted, at: u64, room: u64) -> Result<PageHeader> {
    let mut wanted = 512_usize;
    loop {
        let size = u64::try_from(wanted).map_or(room, |wanted| wanted.min(room));
        let bytes = source.peek(at, usize::try_from(size).unwrap_or(wanted));
        let bytes = bytes.map_err(|_| broken("a page lies outside of the file"))?;
        match page_header(&bytes) {
            Ok(header) => return Ok(header),
            Err(Unread::Short) if size < room && wanted < MAX_HEADER => wanted *= 16,
            Err(_) => return Err(broken("the header of a page cannot be read")),
        }
    }
}

/// Packed and unpacked bytes of a page, which must lie within `room`.
fn sizes(header: &PageHeader, room: u64) -> Result<(u64, u64)> {
    let sizes = u64::try_from(header.packed)
        .ok()
        .zip(u64::try_from(header.unpacked).ok());
    sizes
        .filter(|(packed, _)| *packed <= room)
        .ok_or_else(|| broken("a page is not as long as it says"))
}

/// Unpacks into nothing where the library would unpack without a bound.
fn counted(source: &Counted, codec: Compression, page: &Pending) -> Result<()> {
    let (packed, most) = (page.packed, page.unpacked);
    let stored = || {
        let bytes = source.peek(page.body, usize::try_from(packed).unwrap_or(usize::MAX));
        bytes.map_err(|_| broken("a page lies outside of the file"))
    };
    let unpacked = match codec {
        Compression::GZIP(_) if packed.saturating_mul(DEFLATE_RATIO) > UNCOUNTED => {
            let stored = stored()?;
            count(flate2::read::MultiGzDecoder::new(&stored[..]), most)
        }
        Compression::BROTLI(_) => {
            let stored = stored()?;
            count(brotli::Decompressor::new(&stored[..], 64 << 10), most)
        }
        // In frames, as an old writer did; blocks are bounded by the header.
        Compression::LZ4 if packed.saturating_mul(LZ4_RATIO) > MAX_PAGE => {
            let stored = stored()?;
            let is_frame = stored.first_chunk::<4>().is_some_and(|mark| {
                let mark = u32::from_le_bytes(*mark);
                matches!(mark, 0x184D_2204 | 0x184C_2102 | 0x184D_2A50..=0x184D_2A5F)
            });
            if is_frame {
                let what = "a page is packed in LZ4 frames, which are read up to 256 KiB only";
                return Err(
                    Error::unsupported(what).hint("write the file with LZ4_RAW, snappy or zstd")
                );
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    if unpacked > most {
        let what = "a page of the Parquet file unpacks to more than it says";
        return Err(too_large(what).code("decoded_too_large"));
    }
    Ok(())
}

/// Bytes that come, up to one more than `most`. What fails later fails again
/// in the library, which says why.
fn count(unpacked: impl Read, most: u64) -> u64 {
    let mut bounded = unpacked.take(most + 1);
    let mut buffer = [0; 16 << 10];
    let mut sum = 0;
    while let Ok(count @ 1..) = bounded.read(&mut buffer) {
        sum += count as u64;
    }
    sum
}
