//! Where the rows of JSON text are, found as the text comes: the objects of an
//! array, the rows of an envelope, or lines. Only brackets and quotes are
//! looked at here; each row is read in full when its batch is made.

use weir_core::{Error, Kind, Result};

use super::syntax::{skip_space, unescape};
use crate::decode::DecodeLimits;
use crate::decode::cells::Span;
use crate::decode::plan::data_error;

/// Keys of a preview's answer that say nothing about its rows, so that the
/// answer can be sent back as it came.
const IGNORED: [&str; 6] = [
    "row_count",
    "truncated",
    "total_rows",
    "total_is_estimate",
    "report",
    "elapsed_ms",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// Before a row, or the end of the rows.
    Row,
    InRow,
    /// Behind a row.
    AfterRow,
    /// Before a key of the envelope, or its end.
    Key,
    /// Before the value of a key.
    KeyValue,
    InValue,
    AfterValue,
    End,
    Lines,
}

/// A value that is being passed over.
#[derive(Debug, Clone, Copy, Default)]
struct Passing {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// The framing of one text.
pub(super) struct Framer {
    state: State,
    at: usize,
    start: usize,
    passing: Passing,
    has_envelope: bool,
    /// The key whose value comes.
    key: String,
    seen: Vec<String>,
    after_comma: bool,
    pub(super) rows: Vec<Span>,
    /// The value of `columns`.
    pub(super) columns: Option<Vec<u8>>,
    /// Where the last whole row ends.
    pub(super) consumed: usize,
}

fn malformed(what: &'static str) -> Error {
    data_error(what).code("malformed")
}

impl Framer {
    pub(super) fn new(is_lines: bool) -> Self {
        Framer {
            state: if is_lines { State::Lines } else { State::Start },
            at: 0,
            start: 0,
            passing: Passing::default(),
            has_envelope: false,
            key: String::new(),
            seen: Vec::new(),
            after_comma: false,
            rows: Vec::new(),
            columns: None,
            consumed: 0,
        }
    }

    /// Whether names of columns may still come.
    pub(super) fn awaits_columns(&self) -> bool {
        self.has_envelope && self.columns.is_none() && self.state != State::End
    }

    /// Frames until `rows` rows are whole or the text ends.
    pub(super) fn scan(&mut self, text: &[u8], rows: usize, limits: &DecodeLimits) -> Result<()> {
        while self.rows.len() < rows {
            if self.state == State::Lines {
                if !self.line(text, false) {
                    break;
                }
                continue;
            }
            if !matches!(self.state, State::InRow | State::InValue) {
                self.at = skip_space(text, self.at);
            }
            let Some(byte) = text.get(self.at).copied() else {
                break;
            };
            if !self.step(text, byte, limits)? {
                break;
            }
        }
        let most = limits.max_cell_bytes;
        if text.len().saturating_sub(self.start.max(self.consumed)) > most && self.rows.len() < rows
        {
            return Err(Error::new(
                Kind::TooLarge,
                format!("a row is larger than {most} bytes"),
            ));
        }
        Ok(())
    }

    /// The text is complete.
    pub(super) fn finish(&mut self, text: &[u8]) -> Result<()> {
        match self.state {
            State::Lines => {
                self.line(text, true);
                Ok(())
            }
            State::End => Ok(()),
            State::Start => Err(malformed("the input is empty where JSON was expected")),
            _ => Err(malformed("the JSON text ends before it is complete")),
        }
    }

    /// One line; `false` when there is no whole one.
    fn line(&mut self, text: &[u8], is_last: bool) -> bool {
        // `at` has been looked at; the line started at `consumed`.
        let Some(found) = text[self.at..].iter().position(|byte| *byte == b'\n') else {
            self.at = text.len();
            if is_last {
                self.row_of_line(text, self.consumed, text.len());
                self.consumed = text.len();
            }
            return false;
        };
        let end = self.at + found;
        self.row_of_line(text, self.consumed, end);
        self.at = end + 1;
        self.consumed = self.at;
        true
    }

    fn row_of_line(&mut self, text: &[u8], start: usize, end: usize) {
        let line = text[start..end].trim_ascii();
        if line.is_empty() {
            return;
        }
        let start = skip_space(text, start);
        self.rows.push(Span::new(start, start + line.len()));
    }

    /// One token; `false` when more text is needed.
    fn step(&mut self, text: &[u8], byte: u8, limits: &DecodeLimits) -> Result<bool> {
        match self.state {
            State::Start => self.open(byte)?,
            State::Row => self.row(byte)?,
            State::InRow | State::InValue => return self.pass(text, limits),
            State::AfterRow => match byte {
                b',' => self.enter(State::Row, true),
                b']' => self.rows_end(),
                _ => return Err(malformed("a comma or `]` is missing behind a row")),
            },
            State::Key => return self.key(text, byte),
            State::KeyValue => self.key_value(byte)?,
            State::AfterValue => match byte {
                b',' => self.enter(State::Key, true),
                b'}' => self.enter(State::End, false),
                _ => return Err(malformed("a comma or `}` is missing behind a value")),
            },
            State::End => return Err(malformed("something follows the end of the JSON text")),
            State::Lines => return Ok(false),
        }
        Ok(true)
    }

    fn enter(&mut self, state: State, after_comma: bool) {
        self.state = state;
        self.after_comma = after_comma;
        self.at += 1;
    }

    fn open(&mut self, byte: u8) -> Result<()> {
        match byte {
            b'[' => self.enter(State::Row, false),
            b'{' => {
                self.has_envelope = true;
                self.enter(State::Key, false);
            }
            _ => {
                return Err(malformed(
                    "rows come as a JSON array, or as an object with `columns` and `rows`",
                ));
            }
        }
        Ok(())
    }

    fn row(&mut self, byte: u8) -> Result<()> {
        match byte {
            b']' if !self.after_comma => self.rows_end(),
            b'{' | b'[' => {
                self.start = self.at;
                self.passing = Passing::default();
                self.state = State::InRow;
            }
            _ => {
                return Err(malformed(
                    "a row is a JSON object, or an array where columns are named",
                ));
            }
        }
        Ok(())
    }

    fn rows_end(&mut self) {
        let next = if self.has_envelope {
            State::AfterValue
        } else {
            State::End
        };
        self.enter(next, false);
    }

    /// Passes over the value at hand; `false` while its end is not there.
    fn pass(&mut self, text: &[u8], limits: &DecodeLimits) -> Result<bool> {
        let passing = &mut self.passing;
        while let Some(byte) = text.get(self.at).copied() {
            if passing.in_string {
                if std::mem::take(&mut passing.escaped) {
                    self.at += 1;
                    continue;
                }
                let rest = &text[self.at..];
                let Some(found) = rest.iter().position(|b| matches!(b, b'"' | b'\\')) else {
                    self.at = text.len();
                    return Ok(false);
                };
                self.at += found + 1;
                passing.escaped = rest[found] == b'\\';
                passing.in_string = passing.escaped;
                if !passing.in_string && passing.depth == 0 {
                    return Ok(self.passed(text));
                }
                continue;
            }
            match byte {
                b'"' => passing.in_string = true,
                b'[' | b'{' => passing.depth += 1,
                b']' | b'}' if passing.depth == 0 => return Ok(self.passed(text)),
                b']' | b'}' => passing.depth -= 1,
                b',' if passing.depth == 0 => return Ok(self.passed(text)),
                _ => {}
            }
            self.at += 1;
            if passing.depth > limits.max_depth {
                let most = limits.max_depth;
                let message = format!("a value nests deeper than {most} levels");
                return Err(Error::new(Kind::Malformed, message).code("too_deep"));
            }
            if passing.depth == 0 && matches!(byte, b']' | b'}') {
                return Ok(self.passed(text));
            }
        }
        Ok(false)
    }

    /// The value ends at `at`.
    fn passed(&mut self, text: &[u8]) -> bool {
        if self.state == State::InRow {
            self.rows.push(Span::new(self.start, self.at));
            self.state = State::AfterRow;
        } else {
            if self.key == "columns" {
                self.columns = Some(text[self.start..self.at].to_vec());
            }
            self.state = State::AfterValue;
        }
        self.consumed = self.at;
        true
    }

    /// A key of the envelope with its colon, both whole.
    fn key(&mut self, text: &[u8], byte: u8) -> Result<bool> {
        if byte == b'}' && !self.after_comma {
            self.enter(State::End, false);
            return Ok(true);
        }
        if byte != b'"' {
            return Err(malformed("a key of the JSON object is not a string"));
        }
        let rest = &text[self.at + 1..];
        let Some(length) = rest.iter().position(|byte| *byte == b'"') else {
            if rest.len() > 256 {
                return Err(malformed("a key of the JSON object is too long"));
            }
            return Ok(false);
        };
        let end = self.at + length + 2;
        let colon = skip_space(text, end);
        match text.get(colon) {
            None => return Ok(false),
            Some(b':') => {}
            Some(_) => return Err(malformed("a colon is missing behind a key")),
        }
        let key =
            unescape(&text[self.at..end]).map_err(|_| malformed("a key is not valid JSON"))?;
        self.key = self.known(&key)?;
        self.at = colon + 1;
        self.state = State::KeyValue;
        Ok(true)
    }

    fn known(&mut self, key: &str) -> Result<String> {
        let is_known = ["columns", "rows"].contains(&key) || IGNORED.contains(&key);
        if !is_known {
            let short: String = key.chars().take(64).collect();
            return Err(
                data_error(format!("an object with rows has no key `{short}`"))
                    .code("unknown_field")
                    .hint(
                        "rows come as an array of objects, or as {\"columns\": […], \"rows\": […]}",
                    ),
            );
        }
        if self.seen.iter().any(|seen| seen == key) {
            return Err(malformed("a key of the JSON object stands twice"));
        }
        self.seen.push(key.to_owned());
        Ok(key.to_owned())
    }

    fn key_value(&mut self, byte: u8) -> Result<()> {
        if self.key == "rows" {
            if byte != b'[' {
                return Err(malformed("`rows` is a list of objects or of lists"));
            }
            self.enter(State::Row, false);
            return Ok(());
        }
        self.start = self.at;
        self.passing = Passing::default();
        self.state = State::InValue;
        Ok(())
    }

    /// Forgets the first `rows` rows.
    pub(super) fn drop_rows(&mut self, rows: usize) {
        self.rows.drain(..rows);
    }

    /// The first `bytes` of the text are gone, and no row is left.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.at -= bytes;
        self.consumed -= bytes;
        self.start = self.start.saturating_sub(bytes);
    }
}
