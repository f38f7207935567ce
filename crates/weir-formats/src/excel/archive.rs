//! What is in a zip archive, before anything of it is kept: spreadsheets are
//! small archives that may unpack to anything. What the directory says may be a
//! lie, so every entry is unpacked once into nothing, counted and looked at.

use std::io::{self, Read, Seek, SeekFrom};

use weir_core::{Error, Kind, Result, SourceFault};

use super::Kinds;
use super::markup::{Markup, Records};
use crate::decode::DecodeLimits;

/// Unpacked bytes of all entries together at most.
const MAX_UNPACKED: u64 = 256 << 20;

/// Unpacked bytes of the strings that cells share at most: all are held.
const MAX_STRINGS: u64 = 64 << 20;

/// Entries at most.
const MAX_ENTRIES: usize = 10_000;

/// Bytes of the directory at most.
const MAX_DIRECTORY: u64 = 16 << 20;

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const LARGE: &[u8] = b"PK\x06\x07";
const LARGE_BYTES: usize = 20;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;

pub(super) fn broken(what: &'static str) -> Error {
    Error::source(SourceFault::Data, "the spreadsheet cannot be read")
        .hint(
            "it may be damaged or cut short; open it with a spreadsheet program and save it again",
        )
        .detail(what)
}

fn io_failed(error: io::Error) -> Error {
    broken("its archive cannot be read").detail(error)
}

pub(super) fn bomb() -> Error {
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
    name: String,
    method: u64,
    packed: u64,
    offset: u64,
}

/// How an entry is looked at while it is counted.
enum Look {
    Markup(Box<Markup>),
    Records(Records),
    Nothing,
}

impl Look {
    fn at(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if name.ends_with(".xml") || name.ends_with(".rels") {
            let is_ods = name == "content.xml";
            return Look::Markup(Box::new(Markup::new(is_ods)));
        }
        let is_read = ["workbook.bin", "styles.bin", "sharedstrings.bin"]
            .iter()
            .any(|part| name.ends_with(part))
            || (name.contains("worksheets/") && name.ends_with(".bin"));
        if is_read {
            return Look::Records(Records::default());
        }
        Look::Nothing
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Look::Markup(markup) => markup.push(bytes),
            Look::Records(records) => records.push(bytes),
            Look::Nothing => Ok(()),
        }
    }
}

/// Refuses an archive that unpacks to too much; says what it holds.
pub(super) fn check<R: Read + Seek>(
    file: &mut R,
    size: u64,
    limits: &DecodeLimits,
) -> Result<Kinds> {
    let entries = directory(file, size)?;
    let mut unpacked: u64 = 0;
    let most = MAX_UNPACKED.min(limits.ratio.most(size));
    for entry in &entries {
        let left = most - unpacked;
        let is_strings = entry.name.to_ascii_lowercase().contains("sharedstrings");
        let left = if is_strings {
            left.min(MAX_STRINGS)
        } else {
            left
        };
        unpacked += looked_at(file, entry, left)?;
    }
    file.seek(SeekFrom::Start(0)).map_err(io_failed)?;
    let has = |wanted: &str| {
        let mut names = entries.iter().map(|entry| entry.name.as_str());
        names.any(|name| name.eq_ignore_ascii_case(wanted))
    };
    Ok(match () {
        () if has("xl/workbook.bin") => Kinds::Xlsb,
        () if has("content.xml") => Kinds::Ods,
        () => Kinds::Xlsx,
    })
}

/// Unpacks an entry into nothing: its bytes, at most `most`.
fn looked_at<R: Read + Seek>(file: &mut R, entry: &Entry, most: u64) -> Result<u64> {
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
    let stored = io::BufReader::new((&mut *file).take(entry.packed));
    let mut reader: Box<dyn Read + '_> = match entry.method {
        0 => Box::new(stored),
        8 => Box::new(flate2::bufread::DeflateDecoder::new(stored)),
        _ => return Err(broken("an entry is packed in an unusual way")),
    };
    let mut look = Look::at(&entry.name);
    let mut buffer = vec![0; 64 << 10];
    let mut sum = 0;
    loop {
        let count = reader.read(&mut buffer).map_err(io_failed)?;
        if count == 0 {
            return Ok(sum);
        }
        sum += count as u64;
        if sum > most {
            return Err(bomb());
        }
        look.push(&buffer[..count])?;
    }
}

fn directory<R: Read + Seek>(file: &mut R, size: u64) -> Result<Vec<Entry>> {
    let tail = size.min(END_BYTES as u64 + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(size - tail)).map_err(io_failed)?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes).map_err(io_failed)?;
    // Readers differ in which end they take where there are several.
    let mut ends = bytes.windows(END.len()).enumerate();
    let mut ends = ends.by_ref().filter(|(_, window)| *window == END);
    let (place, _) = ends
        .next()
        .ok_or_else(|| broken("its archive has no end"))?;
    if ends.next().is_some() {
        return Err(broken("its archive has more than one end"));
    }
    let is_large = place
        .checked_sub(LARGE_BYTES)
        .is_some_and(|at| bytes[at..].starts_with(LARGE));
    if is_large {
        return Err(broken("it is an archive for more than 4 GiB"));
    }
    let end = &bytes[place..];
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
            let name_length = usize::try_from(u16_at(rest, 28)?).ok()?;
            let name = rest.get(ENTRY_BYTES..ENTRY_BYTES + name_length)?;
            let entry = Entry {
                name: String::from_utf8_lossy(name).into_owned(),
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
