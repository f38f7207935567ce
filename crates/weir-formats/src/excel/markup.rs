//! The markup of a workbook while it is unpacked and counted: how deep it nests,
//! how long its pieces are, and how many cells a table of ODS stands for, where
//! one element may repeat a row of cells a million times.

use weir_core::Result;

use super::archive::{bomb, broken};

/// Bytes of a text or of an element at most; a cell holds 32 KiB.
const MAX_PIECE: usize = 4 << 20;

/// Elements within elements at most.
const MAX_DEPTH: usize = 256;

/// Bytes of an element that are looked at.
const KEPT: usize = 64 << 10;

/// Bytes of memory that the library takes for a cell of a table, for a cell that
/// is written out, and for a byte of text, all copies together.
const TABLE_CELL: u64 = 120;
const WRITTEN_CELL: u64 = 60;
const TEXT: u64 = 3;

/// Bytes of memory for the tables of a workbook at most.
const MAX_TABLES: u64 = 256 << 20;

const MAX_ROWS: u64 = 1 << 20;
const MAX_COLUMNS: u64 = 1 << 14;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Element,
    Comment,
    Data,
    Instruction,
}

/// Looks at markup piece by piece.
pub(super) struct Markup {
    state: State,
    quote: Option<u8>,
    piece: usize,
    element: Vec<u8>,
    last: [u8; 2],
    depth: usize,
    table: Option<Table>,
}

/// A table of ODS, as it will be in memory.
#[derive(Debug, Default)]
struct Table {
    /// Bytes of the tables before it.
    before: u64,
    rows: u64,
    /// Rows without cells, which count once another row follows.
    empty_rows: u64,
    width: u64,
    cells: u64,
    text: u64,
    /// Of the row at hand.
    repeats: u64,
    row: u64,
    empty: u64,
    row_text: u64,
    /// How often the cell at hand stands there.
    times: u64,
}

impl Markup {
    /// With the cells of its tables counted where it is the content of ODS.
    pub(super) fn new(is_ods: bool) -> Self {
        Markup {
            state: State::Text,
            quote: None,
            piece: 0,
            element: Vec::new(),
            last: [0; 2],
            depth: 0,
            table: is_ods.then(Table::default),
        }
    }

    /// The next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        for byte in bytes {
            self.byte(*byte)?;
            self.piece += 1;
            if self.piece > MAX_PIECE {
                return Err(bomb());
            }
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8) -> Result<()> {
        match self.state {
            State::Text if byte == b'<' => {
                self.state = State::Element;
                (self.piece, self.quote) = (0, None);
                self.element.clear();
            }
            State::Text => {
                if let Some(table) = &mut self.table {
                    table.row_text = table.row_text.saturating_add(table.times);
                }
            }
            State::Element => return self.element(byte),
            State::Comment if byte == b'>' && self.last == *b"--" => self.end(),
            State::Data if byte == b'>' && self.last == *b"]]" => self.end(),
            State::Instruction if byte == b'>' && self.last[1] == b'?' => self.end(),
            State::Comment | State::Data | State::Instruction => {}
        }
        self.last = [self.last[1], byte];
        Ok(())
    }

    fn end(&mut self) {
        self.state = State::Text;
        self.piece = 0;
    }

    fn element(&mut self, byte: u8) -> Result<()> {
        match (self.quote, byte) {
            (Some(open), _) if open == byte => self.quote = None,
            (None, b'"' | b'\'') => self.quote = Some(byte),
            (None, b'>') => {
                self.end();
                return self.closed();
            }
            _ => {}
        }
        if self.element.len() < KEPT {
            self.element.push(byte);
        }
        let special = match self.element.as_slice() {
            b"?" => State::Instruction,
            b"!--" => State::Comment,
            b"![CDATA[" => State::Data,
            b"!D" | b"!d" | b"!E" | b"!e" => return Err(broken("its markup defines entities")),
            _ => return Ok(()),
        };
        (self.state, self.last) = (special, [0; 2]);
        Ok(())
    }

    /// An element is whole.
    fn closed(&mut self) -> Result<()> {
        let element = std::mem::take(&mut self.element);
        let is_end = element.starts_with(b"/");
        let is_empty = element.ends_with(b"/");
        if is_end {
            self.depth = self.depth.saturating_sub(1);
        } else if !is_empty {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(bomb());
            }
        }
        if let Some(table) = &mut self.table {
            table.element(&element, is_empty)?;
        }
        self.element = element;
        Ok(())
    }
}

impl Table {
    fn element(&mut self, element: &[u8], is_empty: bool) -> Result<()> {
        let name = element
            .split(|byte| byte.is_ascii_whitespace())
            .next()
            .unwrap_or_default();
        let name = name.strip_suffix(b"/").unwrap_or(name);
        match name {
            b"table:table" => {
                let before = self.bytes();
                *self = Table {
                    before,
                    ..Table::default()
                };
            }
            b"table:table-row" => {
                let repeats = number(element, b"number-rows-repeated").unwrap_or(1);
                self.repeats = repeats.min(MAX_ROWS);
                (self.row, self.empty, self.row_text, self.times) = (0, 0, 0, 0);
                if is_empty {
                    self.end_row();
                }
            }
            b"/table:table-row" => self.end_row(),
            b"table:table-cell" | b"table:covered-table-cell" => self.cell(element, is_empty),
            b"/table:table-cell" | b"/table:covered-table-cell" => self.times = 0,
            b"text:s" => {
                let spaces = number(element, b"text:c").unwrap_or(1);
                let spaces = spaces.saturating_mul(self.times.max(1));
                self.row_text = self.row_text.saturating_add(spaces);
            }
            _ => {}
        }
        if self.bytes() > MAX_TABLES || self.row_text > MAX_TABLES {
            return Err(bomb());
        }
        Ok(())
    }

    fn cell(&mut self, element: &[u8], is_empty: bool) {
        let times = number(element, b"number-columns-repeated").unwrap_or(1);
        let times = times.min(MAX_COLUMNS);
        self.row = (self.row + std::mem::take(&mut self.empty)).min(MAX_COLUMNS);
        let has_value = [&b"office:"[..], b"table:formula", b"calcext:"]
            .iter()
            .any(|part| element.windows(part.len()).any(|window| window == *part));
        if !has_value {
            self.empty = times;
            self.times = 0;
            return;
        }
        self.row = (self.row + times).min(MAX_COLUMNS);
        self.times = if is_empty { 0 } else { times };
        let text = (element.len() as u64).saturating_mul(times);
        self.row_text = self.row_text.saturating_add(text);
    }

    fn end_row(&mut self) {
        if self.row == 0 {
            self.empty_rows = self.empty_rows.saturating_add(self.repeats);
            return;
        }
        let rows = std::mem::take(&mut self.empty_rows).saturating_add(self.repeats);
        self.rows = self.rows.saturating_add(rows);
        self.width = self.width.max(self.row);
        self.cells = self.cells.saturating_add(self.row);
        let text = self.row_text.saturating_mul(self.repeats);
        self.text = self.text.saturating_add(text);
        (self.row, self.empty, self.row_text, self.repeats) = (0, 0, 0, 0);
    }

    fn bytes(&self) -> u64 {
        let table = self.rows.saturating_mul(self.width);
        [
            (table, TABLE_CELL),
            (self.cells, WRITTEN_CELL),
            (self.text, TEXT),
        ]
        .iter()
        .fold(self.before, |sum, (count, each)| {
            sum.saturating_add(count.saturating_mul(*each))
        })
    }
}

/// The number that an attribute holds.
fn number(element: &[u8], name: &[u8]) -> Option<u64> {
    let at = element
        .windows(name.len())
        .position(|window| window == name)?;
    let rest = &element[at + name.len()..];
    let rest = rest
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii_start();
    let digits = rest
        .get(1..)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let value = digits.fold(0_u64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(value)
}

/// Records of a binary workbook, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Records {
    head: Vec<u8>,
    left: u64,
}

impl Records {
    /// The next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len() as u64);
                self.left -= passed;
                bytes = &bytes[passed as usize..];
                continue;
            }
            bytes = rest;
            self.head.push(*byte);
            if let Some(length) = record_length(&self.head) {
                if length > MAX_PIECE as u64 {
                    return Err(broken("a record of it is longer than records are"));
                }
                self.left = length;
                self.head.clear();
            }
        }
        Ok(())
    }
}

/// The length behind a record's type, once it is whole.
fn record_length(head: &[u8]) -> Option<u64> {
    let (kind, rest) = head.split_first()?;
    let rest = if kind & 0x80 == 0 {
        rest
    } else {
        rest.get(1..)?
    };
    let last = rest.last()?;
    if last & 0x80 != 0 && rest.len() < 4 {
        return None;
    }
    let parts = rest.iter().enumerate();
    Some(parts.fold(0, |sum, (at, byte)| {
        sum | u64::from(byte & 0x7f) << (7 * at)
    }))
}
