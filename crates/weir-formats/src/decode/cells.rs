//! Cells before they have a type: where each is in the text of a batch, and
//! how the two text formats read it.

use std::borrow::Cow;

use super::json::syntax;

const QUOTED: u32 = 1 << 31;
const ESCAPED: u32 = 1 << 30;
const POSITION: u32 = ESCAPED - 1;

/// Bytes a buffer may hold for spans to reach all of it.
pub(super) const MAX_BUFFER: usize = POSITION as usize;

/// Where a cell is. Quotes around CSV fields are left out, those around JSON
/// strings are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// A value that is not there: a missing key, an empty field.
    pub(super) const MISSING: Span = Span { start: 0, end: 0 };

    pub(super) fn new(start: usize, end: usize) -> Self {
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    /// Inside quotes; `escaped` when it holds characters that stand for others.
    pub(super) fn quoted(self, quoted: bool, escaped: bool) -> Self {
        let end = self.end | if quoted { QUOTED } else { 0 } | if escaped { ESCAPED } else { 0 };
        Span { end, ..self }
    }

    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    pub(super) fn end(self) -> usize {
        (self.end & POSITION) as usize
    }

    pub(super) fn is_quoted(self) -> bool {
        self.end & QUOTED != 0
    }

    fn is_escaped(self) -> bool {
        self.end & ESCAPED != 0
    }

    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start()..self.end()).unwrap_or_default()
    }

    /// The same cell after `bytes` were dropped from the front of its buffer.
    pub(super) fn moved(self, bytes: usize) -> Self {
        Span {
            start: self.start - bytes as u32,
            end: self.end - bytes as u32,
        }
    }
}

/// Why a cell cannot be what its column wants; completes "the value …".
pub(super) type Misfit = Cow<'static, str>;

/// The misfit of text that breaks the grammar.
pub(super) const NOT_JSON: &str = "is not valid JSON";

/// A cell that was read, but has no type yet.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// A JSON number.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// A JSON array or object.
    Nested,
}

/// How a text format reads its cells.
pub(super) trait Reader {
    fn value<'a>(&self, text: &'a [u8], span: Span) -> Result<Value<'a>, Misfit>;

    /// The cell as a JSON document, `None` when it is null.
    fn document<'a>(&self, text: &'a [u8], span: Span) -> Result<Option<Cow<'a, str>>, Misfit>;

    /// Whether cells are JSON as they stand.
    const IS_JSON: bool;
}

fn utf8(bytes: &[u8]) -> Result<&str, Misfit> {
    std::str::from_utf8(bytes).map_err(|_| "is not valid UTF-8".into())
}

/// Reads CSV fields.
#[derive(Debug, Clone, Default)]
pub(super) struct CsvCells {
    pub(super) quote: u8,
    pub(super) escape: Option<u8>,
    pub(super) null_values: Vec<String>,
}

impl CsvCells {
    fn unescaped(&self, raw: &str) -> String {
        let mut text = String::with_capacity(raw.len());
        let (quote, escape) = (char::from(self.quote), self.escape.map(char::from));
        let mut rest = raw.chars().peekable();
        while let Some(c) = rest.next() {
            let is_pair = if Some(c) == escape {
                true
            } else {
                c == quote && rest.peek() == Some(&quote)
            };
            text.push(if is_pair { rest.next().unwrap_or(c) } else { c });
        }
        text
    }
}

impl Reader for CsvCells {
    const IS_JSON: bool = false;

    fn value<'a>(&self, text: &'a [u8], span: Span) -> Result<Value<'a>, Misfit> {
        let raw = span.of(text);
        if raw.is_empty() && !span.is_quoted() {
            return Ok(Value::Null);
        }
        let raw = utf8(raw)?;
        if !span.is_quoted() && self.null_values.iter().any(|null| null == raw) {
            return Ok(Value::Null);
        }
        if span.is_escaped() {
            return Ok(Value::Text(self.unescaped(raw).into()));
        }
        Ok(Value::Text(raw.into()))
    }

    fn document<'a>(&self, text: &'a [u8], span: Span) -> Result<Option<Cow<'a, str>>, Misfit> {
        match self.value(text, span)? {
            Value::Text(text) => syntax::check(&text).map(|()| Some(text)),
            _ => Ok(None),
        }
    }
}

/// Reads JSON values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct JsonCells;

impl Reader for JsonCells {
    const IS_JSON: bool = true;

    fn value<'a>(&self, text: &'a [u8], span: Span) -> Result<Value<'a>, Misfit> {
        let raw = span.of(text);
        match raw.first() {
            None => Ok(Value::Null),
            Some(b'"') => syntax::unescape(raw).map(Value::Text),
            Some(b'[' | b'{') => Ok(Value::Nested),
            Some(b'-' | b'0'..=b'9') if syntax::is_number(raw) => Ok(Value::Number(utf8(raw)?)),
            _ => match raw {
                b"null" => Ok(Value::Null),
                b"true" => Ok(Value::Bool(true)),
                b"false" => Ok(Value::Bool(false)),
                _ => Err(NOT_JSON.into()),
            },
        }
    }

    fn document<'a>(&self, text: &'a [u8], span: Span) -> Result<Option<Cow<'a, str>>, Misfit> {
        let raw = span.of(text);
        if raw.is_empty() || raw == b"null" {
            return Ok(None);
        }
        let raw = utf8(raw)?;
        syntax::check(raw)?;
        Ok(Some(raw.into()))
    }
}
