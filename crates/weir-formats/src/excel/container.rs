//! The container of an old workbook, and its records, before the library reads
//! them: it follows chains of sectors as far as they lead, makes room for as many
//! cells as a sheet says, and a table from the first cell to the last.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};

use weir_core::{Error, Kind, Result};

use super::archive::broken;
use super::{MAX_CELLS, MAX_HELD, too_large};

/// Bytes of such a workbook at most: it is held twice.
const MAX_FILE: u64 = 32 << 20;

/// Bytes of memory for a cell.
const CELL: u64 = 40;

/// Sheets at most.
const MAX_SHEETS: usize = 1_000;

const NO_SECTOR: u32 = 0xffff_fffa;
const END: u32 = 0xffff_fffe;

const BOUND_SHEET: u16 = 0x0085;
const DIMENSIONS: u16 = 0x0200;
const STRINGS: u16 = 0x00fc;
const CONTINUE: u16 = 0x003c;
const LABEL: u16 = 0x00fd;
const MANY_NUMBERS: u16 = 0x00bd;
const EOF: u16 = 0x000a;
const BOF: u16 = 0x0809;

/// Refuses a workbook that would take more memory than one may.
pub(super) fn check<R: Read + Seek>(file: &mut R, size: u64) -> Result<()> {
    if size > MAX_FILE {
        let what = format!("a spreadsheet of this kind has {size} bytes, more than {MAX_FILE}");
        return Err(Error::new(Kind::TooLarge, what).hint("save it as xlsx or CSV"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|_| broken("it cannot be read"))?;
    file.seek(SeekFrom::Start(0))
        .map_err(|_| broken("it cannot be read"))?;
    let container = Container::of(&bytes)?;
    for name in ["Workbook", "Book"] {
        if let Some(stream) = container.stream(name)? {
            workbook(&stream)?;
        }
    }
    Ok(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*field))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word))
}

struct Container<'a> {
    sectors: &'a [u8],
    size: usize,
    table: Vec<u32>,
    directory: Vec<u8>,
    small: Vec<u8>,
    small_table: Vec<u32>,
}

impl<'a> Container<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self> {
        let cut = || broken("its container is cut short");
        let field = |at| u32_at(bytes, at).ok_or_else(cut);
        let size = match u16_at(bytes, 30) {
            Some(9) => 512,
            Some(12) => 4_096,
            _ => return Err(broken("its container has sectors of another size")),
        };
        let sectors = bytes.get(size..).ok_or_else(cut)?;
        let most = sectors.len() / size + 1;
        let mut places: Vec<u32> = words(bytes.get(76..512).ok_or_else(cut)?).collect();
        let mut next = field(68)?;
        let mut steps = 0;
        while next < NO_SECTOR {
            steps += 1;
            let more = sector(sectors, size, next).ok_or_else(cut)?;
            places.extend(words(more));
            next = places.pop().unwrap_or(END);
            if steps > most {
                return Err(circle());
            }
        }
        places.retain(|place| *place < 0xffff_fffc);
        if places.len() > most {
            return Err(broken("its container has more tables than sectors"));
        }
        let mut container = Container {
            sectors,
            size,
            table: Vec::new(),
            directory: Vec::new(),
            small: Vec::new(),
            small_table: Vec::new(),
        };
        for place in places {
            let part = sector(sectors, size, place).ok_or_else(cut)?;
            container.table.extend(words(part));
        }
        container.directory = container.chain(field(48)?, usize::MAX)?;
        let small_sectors = field(64)? as usize;
        if small_sectors > 0 {
            let root = container.directory.get(..128).ok_or_else(cut)?;
            let (start, length) = (u32_at(root, 116), u32_at(root, 120));
            let (start, length) = (start.ok_or_else(cut)?, length.ok_or_else(cut)?);
            container.small = container.chain(start, length as usize)?;
            let table = container.chain(field(60)?, small_sectors.saturating_mul(size))?;
            container.small_table = words(&table).collect();
        }
        Ok(container)
    }

    fn chain(&self, start: u32, length: usize) -> Result<Vec<u8>> {
        chain(self.sectors, self.size, &self.table, start, length)
    }

    fn stream(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let is_it = |entry: &&[u8; 128]| {
            let (units, _) = entry[..64].as_chunks::<2>();
            let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
            let text = char::decode_utf16(units.take_while(|unit| *unit != 0));
            let text: String = text.map(|c| c.unwrap_or('\u{fffd}')).collect();
            text.eq_ignore_ascii_case(name)
        };
        let (entries, _) = self.directory.as_chunks::<128>();
        let Some(entry) = entries.iter().find(is_it) else {
            return Ok(None);
        };
        let start = u32_at(entry, 116).unwrap_or(END);
        let length = u32_at(entry, 120).unwrap_or(0) as usize;
        let is_long = self.size == 4_096 && u32_at(entry, 124).unwrap_or(0) > 0;
        if is_long || length > self.sectors.len() {
            return Err(broken("a part of its container is longer than the file"));
        }
        let stream = if length < 4_096 {
            chain(&self.small, 64, &self.small_table, start, length)
        } else {
            self.chain(start, length)
        };
        stream.map(Some)
    }
}

fn circle() -> Error {
    broken("a chain of its container leads in a circle")
}

fn sector(sectors: &[u8], size: usize, place: u32) -> Option<&[u8]> {
    let start = (place as usize).checked_mul(size)?;
    sectors.get(start..sectors.len().min(start + size))
}

fn chain(
    sectors: &[u8],
    size: usize,
    table: &[u32],
    mut at: u32,
    length: usize,
) -> Result<Vec<u8>> {
    let most = sectors.len() / size + 1;
    let mut out = Vec::new();
    let mut steps = 0;
    while at != END && out.len() < length {
        let lost = || broken("a chain of its container leads out of the file");
        out.extend_from_slice(sector(sectors, size, at).ok_or_else(lost)?);
        at = table.get(at as usize).copied().ok_or_else(lost)?;
        steps += 1;
        if steps > most {
            return Err(circle());
        }
    }
    out.truncate(length);
    Ok(out)
}

/// Type and data of each record from a place on.
fn records(stream: &[u8], at: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = stream.get(at..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (kind, length) = (u16_at(rest, 0)?, u16_at(rest, 2)?);
        let data = rest.get(4..4 + usize::from(length))?;
        rest = &rest[4 + usize::from(length)..];
        Some((kind, data))
    })
}

fn workbook(stream: &[u8]) -> Result<()> {
    let mut sheets = HashSet::new();
    let mut strings: Vec<&[u8]> = Vec::new();
    let mut is_strings = false;
    for (kind, data) in records(stream, 0) {
        match kind {
            BOUND_SHEET => {
                let place = u32_at(data, 0).unwrap_or(0);
                if !sheets.insert(place) {
                    return Err(broken("two of its sheets are in one place"));
                }
                if sheets.len() > MAX_SHEETS {
                    return Err(broken("it has more than 1,000 sheets"));
                }
            }
            STRINGS => strings = vec![data.get(8..).unwrap_or_default()],
            CONTINUE if is_strings => strings.push(data),
            EOF => break,
            _ => {}
        }
        is_strings = kind == STRINGS || (is_strings && kind == CONTINUE);
    }
    let strings = lengths(&strings);
    let mut held = Held::default();
    for place in sheets {
        sheet(stream, place as usize, &strings, &mut held)?;
    }
    Ok(())
}

/// What all sheets together take.
#[derive(Default)]
struct Held {
    cells: u64,
    text: u64,
    table: u64,
}

fn sheet(stream: &[u8], at: usize, strings: &[u64], held: &mut Held) -> Result<()> {
    let (mut first, mut last) = ((u16::MAX, u16::MAX), (0, 0));
    let mut depth = 0_usize;
    for (kind, data) in records(stream, at) {
        match kind {
            BOF => depth += 1,
            EOF if depth <= 1 => break,
            EOF => depth -= 1,
            DIMENSIONS => dimensions(data)?,
            0x0006 | 0x0203 | 0x0204 | 0x00d6 | 0x0205 | 0x027e | LABEL | MANY_NUMBERS => {
                let (Some(row), Some(column)) = (u16_at(data, 0), u16_at(data, 2)) else {
                    return Err(broken("a cell of it is cut short"));
                };
                let more = if kind == MANY_NUMBERS {
                    data.len() / 6
                } else {
                    1
                };
                let right = column.saturating_add(u16::try_from(more).unwrap_or(u16::MAX));
                first = (first.0.min(row), first.1.min(column));
                last = (last.0.max(row), last.1.max(right));
                held.cells += more as u64;
                let place = u32_at(data, 6).filter(|_| kind == LABEL);
                let string = place.and_then(|place| strings.get(place as usize));
                held.text += string.copied().unwrap_or(0) + data.len() as u64;
            }
            _ => held.text += data.len() as u64,
        }
        let bytes = held.cells.saturating_mul(CELL).saturating_add(held.text);
        if bytes > MAX_HELD {
            return Err(too_large());
        }
    }
    let rows = u64::from(last.0.saturating_sub(first.0)) + 1;
    let columns = u64::from(last.1.saturating_sub(first.1)) + 1;
    held.table += rows * columns;
    if held.table > MAX_CELLS {
        return Err(too_large());
    }
    Ok(())
}

/// The library makes room for all the cells that a sheet says it has.
fn dimensions(data: &[u8]) -> Result<()> {
    let (rows, columns) = if data.len() < 14 {
        let span = |at| {
            Some((
                u64::from(u16_at(data, at)?),
                u64::from(u16_at(data, at + 2)?),
            ))
        };
        (span(0), span(4))
    } else {
        let rows = u32_at(data, 0).zip(u32_at(data, 4));
        let columns = u16_at(data, 8).zip(u16_at(data, 10));
        let wide = |(from, to)| (u64::from(from), u64::from(to));
        let narrow = |(from, to)| (u64::from(from), u64::from(to));
        (rows.map(wide), columns.map(narrow))
    };
    let count = |(from, to): (u64, u64)| to.saturating_sub(from) + 1;
    let cells = rows
        .map_or(0, count)
        .saturating_mul(columns.map_or(0, count));
    if cells > MAX_CELLS {
        return Err(too_large());
    }
    Ok(())
}

/// Bytes at most of each of the strings that cells share.
fn lengths(parts: &[&[u8]]) -> Vec<u64> {
    let mut all = Vec::new();
    let mut reader = Strings {
        part: parts.first().copied().unwrap_or_default(),
        rest: parts.get(1..).unwrap_or_default(),
    };
    while let Some(length) = reader.next() {
        all.push(length);
    }
    all
}

struct Strings<'a> {
    part: &'a [u8],
    rest: &'a [&'a [u8]],
}

impl Strings<'_> {
    fn turn(&mut self) -> Option<()> {
        let (part, rest) = self.rest.split_first()?;
        (self.part, self.rest) = (part, rest);
        Some(())
    }

    fn next(&mut self) -> Option<u64> {
        if self.part.is_empty() {
            self.turn()?;
        }
        let count = u64::from(u16_at(self.part, 0)?);
        let flags = *self.part.get(2)?;
        let mut at = 3;
        let mut runs = 0;
        if flags & 8 != 0 {
            runs = u64::from(u16_at(self.part, at)?) * 4;
            at += 2;
        }
        if flags & 4 != 0 {
            runs += u64::from(u32_at(self.part, at)?);
            at += 4;
        }
        self.part = self.part.get(at..)?;
        self.characters(count, flags & 1 != 0);
        self.skip(runs);
        Some(count * 3)
    }

    /// A string goes on in the next part behind a byte that says how it is written.
    fn characters(&mut self, mut left: u64, mut is_wide: bool) {
        while left > 0 {
            let each = if is_wide { 2 } else { 1 };
            let here = left.min(self.part.len() as u64 / each);
            self.part = &self.part[(here * each) as usize..];
            left -= here;
            if left > 0 {
                if self.turn().is_none() {
                    return;
                }
                let Some((flags, part)) = self.part.split_first() else {
                    return;
                };
                (self.part, is_wide) = (part, flags & 1 != 0);
            }
        }
    }

    fn skip(&mut self, mut left: u64) {
        while left > 0 {
            let here = left.min(self.part.len() as u64);
            self.part = &self.part[here as usize..];
            left -= here;
            if left > 0 && self.turn().is_none() {
                return;
            }
        }
    }
}
