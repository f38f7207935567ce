//! The dialect of a CSV text, found out from its first rows.

use super::scan::{Dialect, Scanner};
use crate::decode::cells::{CsvCells, Reader, Value};
use crate::decode::guess::Guess;
use crate::decode::{CsvIn, DecodeLimits};

/// Bytes that are looked at.
const LOOK: usize = 64 << 10;
/// Rows that are looked at.
const ROWS: usize = 200;

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The dialect of `text`: what `asked` names, and for the rest what makes the
/// most even table.
pub(super) fn detect(text: &[u8], asked: &CsvIn, is_whole: bool) -> Dialect {
    let quote = asked.quote.unwrap_or_else(|| quote(text));
    let with = |delimiter: u8| Dialect {
        delimiter,
        quote,
        escape: asked.escape,
        comment: asked.comment,
    };
    if let Some(delimiter) = asked.delimiter {
        return with(delimiter);
    }
    let look = &text[..text.len().min(LOOK)];
    let is_whole = is_whole && look.len() == text.len();
    let mut best = (0.0, with(b','));
    for delimiter in DELIMITERS {
        let dialect = with(delimiter);
        let score = evenness(look, dialect, is_whole);
        if score > best.0 {
            best = (score, dialect);
        }
    }
    best.1
}

/// How many fields rows have, weighed by how many rows have just as many; 0
/// where there is but one field.
fn evenness(text: &[u8], dialect: Dialect, is_whole: bool) -> f64 {
    let mut scanner = Scanner::new(dialect);
    let limits = DecodeLimits::default();
    if scanner.scan(text, ROWS, &limits).is_err() {
        return 0.0;
    }
    if (is_whole || scanner.ends.is_empty()) && scanner.ends.len() < ROWS {
        // A failure only says that this is no complete table.
        let _incomplete = scanner.finish(text);
    }
    let starts = std::iter::once(0).chain(scanner.ends.iter().copied());
    let widths: Vec<usize> = starts
        .zip(&scanner.ends)
        .map(|(start, end)| end - start)
        .collect();
    let Some(first) = widths.first().copied().filter(|width| *width > 1) else {
        return 0.0;
    };
    let even = widths.iter().filter(|width| **width == first).count();
    let share = even as f64 / widths.len() as f64;
    // An uneven table is no table; among even ones the wider is the truer.
    share.powi(8) * (1.0 + (first as f64).ln())
}

/// `'` only where nothing is quoted with `"` and fields start and end with it.
fn quote(text: &[u8]) -> u8 {
    let look = &text[..text.len().min(LOOK)];
    if look.contains(&b'"') || !look.contains(&b'\'') {
        return b'"';
    }
    let is_edge = |byte: Option<&u8>| {
        byte.is_none_or(|byte| DELIMITERS.contains(byte) || matches!(byte, b'\n' | b'\r'))
    };
    let (mut opened, mut closed, mut inside) = (0, 0, 0);
    for (at, _) in look.iter().enumerate().filter(|(_, byte)| **byte == b'\'') {
        let before = is_edge(at.checked_sub(1).and_then(|at| look.get(at)));
        match (before, is_edge(look.get(at + 1))) {
            (true, false) => opened += 1,
            (false, true) => closed += 1,
            _ => inside += 1,
        }
    }
    if opened > 0 && opened == closed && inside == 0 {
        b'\''
    } else {
        b'"'
    }
}

/// Whether the first row holds names: it does, unless it looks like data and
/// no column tells it apart from the rows below.
pub(super) fn has_header(text: &[u8], scanner: &Scanner, reader: &CsvCells) -> bool {
    let Some(width) = scanner.ends.first().copied() else {
        return false;
    };
    let mut first_is_data = false;
    for column in 0..width {
        let (mut head, mut body) = (Guess::default(), Guess::default());
        see(text, scanner, reader, column, 0, &mut head);
        for row in 1..scanner.ends.len().min(ROWS) {
            see(text, scanner, reader, column, row, &mut body);
        }
        if body.is_typed() && !head.is_typed() {
            return true;
        }
        first_is_data |= head.is_typed();
    }
    !first_is_data
}

fn see(
    text: &[u8],
    scanner: &Scanner,
    reader: &CsvCells,
    column: usize,
    row: usize,
    guess: &mut Guess,
) {
    let start = row.checked_sub(1).map_or(0, |before| scanner.ends[before]);
    if start + column >= scanner.ends[row] {
        return;
    }
    if let Ok(Value::Text(cell)) = reader.value(text, scanner.spans[start + column]) {
        guess.see(&cell);
    }
}
