//! What is in a zip archive, before anything of it is kept: spreadsheets are
//! small archives that may unpack to anything. What the directory says may be a
//! lie, so every entry is unpacked once into nothing and counted.

use std::io::{self, Read, Seek, SeekFrom};

use weir_core::{Error, Kind, Result, SourceFault};

use crate::decode::{DecodeLimits, RATIO_ABOVE};

/// Unpacked bytes of all entries together at most.
const MAX_UNPACKED: u64 = 512 << 20;

/// Entries at most.
const MAX_ENTRIES: usize = 10_000;

/// Bytes of the directory at most.
const MAX_DIRECTORY: u64 = 16 << 20;

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;

fn broken(what: &'static str) -> Error {
    Error::source(SourceFault::Data, "the spreadsheet cannot be read")
        .hint(
            "it may be damaged or cut short; open it with a spreadsheet program and save it again",
        )
        .detail(what)
}

fn io_failed(error: io::Error) -> Error {
    broken("its archive cannot be read").detail(error)
}

fn bomb() -> Error {
    Error::new(
        Kind::TooLarge,
        "the spreadsheet unpacks to more than may be read",
    )
    .hint("save it as CSV or Parquet")
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at + 2)?;
    Some(u64::from(u16::from_le_bytes(field.try_into().ok()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at + 4)?;
    Some(u64::from(u32::from_le_bytes(field.try_into().ok()?)))
}

struct Entry {
    method: u64,
    packed: u64,
    offset: u64,
}

/// Refuses an archive that unpacks to too much.
pub(super) fn check<R: Read + Seek>(file: &mut R, size: u64, limits: &DecodeLimits) -> Result<()> {
    let entries = directory(file, size)?;
    let mut unpacked: u64 = 0;
    let most = MAX_UNPACKED.min(RATIO_ABOVE.max(size.saturating_mul(limits.ratio)));
    for entry in entries {
        file.seek(SeekFrom::Start(entry.offset))
            .map_err(io_failed)?;
        let mut local = [0; LOCAL_BYTES];
        file.read_exact(&mut local).map_err(io_failed)?;
        let (Some(name), Some(extra)) = (u16_at(&local, 26), u16_at(&local, 28)) else {
            return Err(broken("a short entry"));
        };
        if !local.starts_with(LOCAL) {
            return Err(broken("an entry is not where the directory says"));
        }
        let start = entry.offset + LOCAL_BYTES as u64 + name + extra;
        file.seek(SeekFrom::Start(start)).map_err(io_failed)?;
        let stored = (&mut *file).take(entry.packed);
        let left = (most - unpacked).saturating_add(1);
        let count = match entry.method {
            0 => entry.packed.min(left),
            8 => {
                let mut inflated = flate2::read::DeflateDecoder::new(stored).take(left);
                io::copy(&mut inflated, &mut io::sink()).map_err(io_failed)?
            }
            _ => return Err(broken("an entry is packed in an unusual way")),
        };
        unpacked = unpacked.saturating_add(count);
        if unpacked > most {
            return Err(bomb());
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(io_failed)?;
    Ok(())
}

fn directory<R: Read + Seek>(file: &mut R, size: u64) -> Result<Vec<Entry>> {
    let tail = size.min(END_BYTES as u64 + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(size - tail)).map_err(io_failed)?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes).map_err(io_failed)?;
    let end = bytes
        .windows(END.len())
        .rposition(|window| window == END)
        .ok_or_else(|| broken("its archive has no end"))?;
    let end = &bytes[end..];
    let fields = (u32_at(end, 12), u32_at(end, 16));
    let (Some(length), Some(offset)) = fields else {
        return Err(broken("its archive has no end"));
    };
    // Also true of the marks of archives beyond 4 GiB, which no sheet needs.
    if length > MAX_DIRECTORY || offset.saturating_add(length) > size {
        return Err(broken("the directory is not in the file"));
    }
    file.seek(SeekFrom::Start(offset)).map_err(io_failed)?;
    let mut bytes = Vec::new();
    file.take(length)
        .read_to_end(&mut bytes)
        .map_err(io_failed)?;
    entries(&bytes)
}

fn entries(mut rest: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    while rest.starts_with(ENTRY) {
        let entry = || {
            let length =
                ENTRY_BYTES as u64 + u16_at(rest, 28)? + u16_at(rest, 30)? + u16_at(rest, 32)?;
            let entry = Entry {
                method: u16_at(rest, 10)?,
                packed: u32_at(rest, 20)?,
                offset: u32_at(rest, 42)?,
            };
            Some((entry, rest.get(usize::try_from(length).ok()?..)?))
        };
        let (entry, behind) = entry().ok_or_else(|| broken("a short directory"))?;
        entries.push(entry);
        if entries.len() > MAX_ENTRIES {
            return Err(bomb());
        }
        rest = behind;
    }
    Ok(entries)
}
