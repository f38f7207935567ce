//! Where rows and fields of CSV text are. The scan stops wherever the text
//! stops and goes on from there, so that a field of 50 MB is looked at once.

use weir_core::{Error, Kind, Result};

use crate::decode::DecodeLimits;
use crate::decode::cells::Span;
use crate::decode::plan::{data_error, too_many_columns};

/// What separates and quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) escape: Option<u8>,
    pub(super) comment: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RowStart,
    FieldStart,
    Bare,
    BareEscape,
    Quoted,
    QuotedEscape,
    /// Behind a quote inside a quoted field: its end, or one half of a pair.
    Closing,
    Comment,
}

/// The scan of one text.
pub(super) struct Scanner {
    dialect: Dialect,
    state: State,
    at: usize,
    row_start: usize,
    field_start: usize,
    escaped: bool,
    /// A `\r` ended the row: a `\n` behind it belongs to it.
    skip_feed: bool,
    /// Fields of whole rows, then of the one that is not complete yet.
    pub(super) spans: Vec<Span>,
    /// Where each whole row ends in `spans`.
    pub(super) ends: Vec<usize>,
    /// Where the text of the whole rows ends.
    pub(super) consumed: usize,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first place in `text` from `at` on that has one of these bytes.
fn find(text: &[u8], at: usize, bytes: [u8; 4]) -> usize {
    let rest = &text[at..];
    let (words, _) = rest.as_chunks::<8>();
    let masks = bytes.map(|byte| ONES * u64::from(byte));
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = masks.iter().fold(0, |found, mask| {
            let zero = word ^ mask;
            found | (zero.wrapping_sub(ONES) & !zero & HIGHS)
        });
        if found != 0 {
            return at + index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let clean = words.len() * 8;
    let tail = rest[clean..].iter().position(|byte| bytes.contains(byte));
    at + clean + tail.unwrap_or(rest.len() - clean)
}

impl Scanner {
    pub(super) fn new(dialect: Dialect) -> Self {
        Scanner {
            dialect,
            state: State::RowStart,
            at: 0,
            row_start: 0,
            field_start: 0,
            escaped: false,
            skip_feed: false,
            spans: Vec::new(),
            ends: Vec::new(),
            consumed: 0,
        }
    }

    /// Scans until `rows` rows are whole or the text ends.
    pub(super) fn scan(&mut self, text: &[u8], rows: usize, limits: &DecodeLimits) -> Result<()> {
        while self.at < text.len() && self.ends.len() < rows {
            match self.state {
                State::RowStart => self.row_start(text),
                State::FieldStart => self.field_start(text),
                State::Bare => self.bare(text),
                State::Quoted => self.quoted(text),
                State::BareEscape => self.escaped(State::Bare),
                State::QuotedEscape => self.escaped(State::Quoted),
                State::Closing => self.closing(text)?,
                State::Comment => self.comment(text),
            }
            let fields = self.spans.len() - self.ends.last().copied().unwrap_or(0);
            if fields > limits.max_columns {
                return Err(too_many_columns(limits));
            }
        }
        if self.at - self.row_start > limits.max_cell_bytes {
            let most = limits.max_cell_bytes;
            return Err(
                Error::new(Kind::TooLarge, format!("a row is larger than {most} bytes"))
                    .hint("a quote that is never closed takes everything behind it for one field"),
            );
        }
        Ok(())
    }

    /// The text is complete: its last row may lack a line break.
    pub(super) fn finish(&mut self, text: &[u8]) -> Result<()> {
        match self.state {
            State::RowStart => {}
            State::Comment => self.skip_row(),
            State::Quoted | State::QuotedEscape => {
                return Err(data_error("a quoted field is not closed before the end")
                    .hint("the input broke off, or a quote inside a field is not doubled"));
            }
            State::FieldStart | State::Bare | State::BareEscape => {
                self.field_end(text.len(), false);
                self.row_end();
            }
            State::Closing => {
                self.field_end(text.len() - 1, true);
                self.row_end();
            }
        }
        Ok(())
    }

    fn row_start(&mut self, text: &[u8]) {
        let byte = text[self.at];
        if std::mem::take(&mut self.skip_feed) && byte == b'\n' {
            self.at += 1;
            self.skip_row();
            return;
        }
        match byte {
            // Blank lines are no rows.
            b'\n' | b'\r' => {
                self.skip_feed = byte == b'\r';
                self.at += 1;
                self.skip_row();
            }
            byte if Some(byte) == self.dialect.comment => self.state = State::Comment,
            _ => self.state = State::FieldStart,
        }
    }

    /// What was read since the last row is none.
    fn skip_row(&mut self) {
        self.state = State::RowStart;
        self.row_start = self.at;
        self.consumed = self.at;
    }

    fn field_start(&mut self, text: &[u8]) {
        self.escaped = false;
        if text[self.at] == self.dialect.quote {
            self.at += 1;
            self.state = State::Quoted;
        } else {
            self.state = State::Bare;
        }
        self.field_start = self.at;
    }

    fn bare(&mut self, text: &[u8]) {
        let delimiter = self.dialect.delimiter;
        let escape = self.dialect.escape.unwrap_or(delimiter);
        self.at = find(text, self.at, [delimiter, b'\n', b'\r', escape]);
        match text.get(self.at) {
            None => {}
            Some(byte) if *byte == delimiter || matches!(byte, b'\n' | b'\r') => {
                self.separator(*byte, self.at, false);
            }
            Some(_) => self.escape(State::BareEscape),
        }
    }

    /// The escape itself; what it escapes may not be there yet.
    fn escape(&mut self, state: State) {
        self.escaped = true;
        self.at += 1;
        self.state = state;
    }

    fn escaped(&mut self, state: State) {
        self.at += 1;
        self.state = state;
    }

    fn quoted(&mut self, text: &[u8]) {
        let quote = self.dialect.quote;
        let escape = self.dialect.escape.unwrap_or(quote);
        self.at = find(text, self.at, [quote, escape, quote, quote]);
        match text.get(self.at) {
            None => {}
            Some(byte) if *byte == quote => {
                self.at += 1;
                self.state = State::Closing;
            }
            Some(_) => self.escape(State::QuotedEscape),
        }
    }

    fn closing(&mut self, text: &[u8]) -> Result<()> {
        let byte = text[self.at];
        if byte == self.dialect.quote {
            self.escaped = true;
            self.at += 1;
            self.state = State::Quoted;
            return Ok(());
        }
        if byte == self.dialect.delimiter || matches!(byte, b'\n' | b'\r') {
            self.separator(byte, self.at - 1, true);
            return Ok(());
        }
        Err(data_error("something follows the closing quote of a field")
            .hint("a quote inside a quoted field is written twice"))
    }

    fn comment(&mut self, text: &[u8]) {
        self.at = find(text, self.at, [b'\n', b'\r', b'\n', b'\n']);
        if let Some(byte) = text.get(self.at) {
            self.skip_feed = *byte == b'\r';
            self.at += 1;
            self.skip_row();
        }
    }

    fn separator(&mut self, byte: u8, end: usize, quoted: bool) {
        self.field_end(end, quoted);
        self.at += 1;
        if byte == self.dialect.delimiter {
            self.state = State::FieldStart;
            self.field_start = self.at;
        } else {
            self.skip_feed = byte == b'\r';
            self.row_end();
        }
    }

    fn field_end(&mut self, end: usize, quoted: bool) {
        let span = Span::new(self.field_start, end);
        self.spans.push(span.quoted(quoted, self.escaped));
    }

    fn row_end(&mut self) {
        self.ends.push(self.spans.len());
        self.skip_row();
    }

    /// Where the row that is being scanned starts; for errors.
    pub(super) fn row_place(&self) -> usize {
        self.row_start
    }

    /// Forgets the first `rows` rows.
    pub(super) fn drop_rows(&mut self, rows: usize) {
        let spans = rows.checked_sub(1).map_or(0, |last| self.ends[last]);
        self.spans.drain(..spans);
        self.ends.drain(..rows);
        for end in &mut self.ends {
            *end -= spans;
        }
    }

    /// The first `bytes` of the text are gone; no whole row is left.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.at -= bytes;
        self.row_start -= bytes;
        self.field_start = self.field_start.saturating_sub(bytes);
        self.consumed -= bytes;
        for span in &mut self.spans {
            *span = span.moved(bytes);
        }
    }
}
