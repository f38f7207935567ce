//! Text replaced by text: literally, by a regular expression with groups, or
//! cell by cell.
//!
//! A literal is searched in all cells at once, as one long text; what lies
//! across the border of two cells is no match.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, OffsetSizeTrait, Scalar};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, or};
use arrow::datatypes::{DataType, Field, Float64Type};
use regex::{Captures, Regex, RegexBuilder};
use weir_core::{Error, Result};

use crate::case::{Changed, strings};
use crate::convert::{Target, convert};
use crate::texts::{MOST_GROWTH, Texts, grown};

/// What is searched and what takes its place.
#[derive(Debug)]
pub struct Replacer {
    regex: Regex,
    parts: Vec<Part>,
    /// The pattern, where it is a literal.
    literal: Option<String>,
}

/// A part of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

/// How large a compiled pattern may be.
const PATTERN_BYTES: usize = 4 << 20;

impl Replacer {
    /// Replaces `pattern` as it stands by `replacement` as it stands.
    ///
    /// # Errors
    ///
    /// An empty pattern; the error has no pointer.
    pub fn literal(pattern: &str, replacement: &str) -> Result<Self> {
        if pattern.is_empty() {
            return Err(Error::invalid("", "the pattern must not be empty")
                .hint("to fill blank cells set `whole_cell`, to put text between all characters set `regex`"));
        }
        Ok(Replacer {
            regex: compiled(&regex::escape(pattern))?,
            parts: vec![Part::Text(replacement.to_owned())],
            literal: Some(pattern.to_owned()),
        })
    }

    /// Replaces what matches the regular expression `pattern`, or only cells that
    /// match as a whole. In `replacement`, `$1`, `${1}`, `\1`, `\g<1>` and the same
    /// with names are groups; a `$` or `\` that names no group of the pattern is
    /// itself, as are `$$` and `\\`.
    ///
    /// # Errors
    ///
    /// A pattern that is none, or too large; the error has no pointer.
    pub fn regex(pattern: &str, replacement: &str, is_whole: bool) -> Result<Self> {
        let plain = compiled(pattern)?;
        let regex = match is_whole {
            true => compiled(&format!(r"\A(?:{pattern})\z"))?,
            false => plain,
        };
        Ok(Replacer {
            parts: parts(replacement, &regex),
            regex,
            literal: None,
        })
    }

    /// The texts of a column with every match replaced; a column that is no text
    /// stays.
    ///
    /// # Errors
    ///
    /// A result too large for its type.
    pub fn replace(&self, array: &ArrayRef) -> Result<Changed> {
        let literal = self.literal.as_ref();
        match (array.data_type(), literal) {
            (DataType::Utf8, Some(literal)) => self.sweep::<i32>(array, literal),
            (DataType::LargeUtf8, Some(literal)) => self.sweep::<i64>(array, literal),
            _ => match Texts::of(array) {
                Some(texts) => self.cell_by_cell(array, &texts),
                None => Ok(Changed::nothing(array)),
            },
        }
    }

    fn insert(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// All cells as one text.
    fn sweep<O: OffsetSizeTrait>(&self, array: &ArrayRef, literal: &str) -> Result<Changed> {
        let texts = array.as_string::<O>();
        let offsets = texts.value_offsets();
        let base = offsets[0].as_usize();
        let end = offsets[texts.len()].as_usize();
        let all = std::str::from_utf8(&texts.value_data()[base..end]).map_err(Error::internal)?;
        let insert = self.insert().unwrap_or_default();
        let step = literal.chars().next().map_or(1, char::len_utf8);
        let edge = |row: usize| offsets[row].as_usize() - base;
        let most = most_bytes(all.len());
        let mut made: Vec<u8> = Vec::new();
        let mut ends: Vec<O> = Vec::new();
        let (mut row, mut copied, mut from, mut cells) = (0, 0, 0, 0);
        let mut changed_row = usize::MAX;
        while let Some(found) = self.regex.find_at(all, from) {
            while edge(row + 1) <= found.start() {
                row += 1;
            }
            if found.end() > edge(row + 1) || texts.is_null(row) {
                from = found.start() + step;
                continue;
            }
            if ends.is_empty() {
                made.reserve(all.len() + insert.len());
                ends.reserve(offsets.len());
                ends.push(O::usize_as(0));
            }
            grow(&mut ends, row, |at| edge(at) + made.len() - copied)?;
            made.extend_from_slice(&all.as_bytes()[copied..found.start()]);
            made.extend_from_slice(insert.as_bytes());
            if made.len() > most {
                return Err(too_large());
            }
            copied = found.end();
            from = found.end();
            cells += usize::from(changed_row != row);
            changed_row = row;
        }
        if cells == 0 {
            return Ok(Changed::nothing(array));
        }
        grow(&mut ends, texts.len(), |at| edge(at) + made.len() - copied)?;
        made.extend_from_slice(&all.as_bytes()[copied..]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let array = strings(offsets, made.into(), texts.nulls().cloned())?;
        Ok(Changed { array, cells })
    }

    fn cell_by_cell(&self, array: &ArrayRef, texts: &Texts<'_>) -> Result<Changed> {
        let mut out = texts.builder();
        let mut cells = 0;
        let mut left = most_bytes(texts.bytes());
        let mut room = String::new();
        for text in texts.iter() {
            let Some(text) = text else {
                out.push_null();
                continue;
            };
            let made = match self.one(text, &mut room, left)? {
                true => &room,
                false => text,
            };
            cells += usize::from(made != text);
            left = left.checked_sub(made.len()).ok_or_else(too_large)?;
            out.push(made);
        }
        match cells {
            0 => Ok(Changed::nothing(array)),
            _ => Ok(Changed {
                array: out.finish(),
                cells,
            }),
        }
    }

    /// Puts `text` with its matches replaced into `out`, if it has any; it must not
    /// become longer than `most`.
    fn one(&self, text: &str, out: &mut String, most: usize) -> Result<bool> {
        let (mut copied, mut found) = (0, false);
        let mut keep = |hit: &regex::Match<'_>, out: &mut String| {
            if !found {
                out.clear();
                found = true;
            }
            out.push_str(&text[copied..hit.start()]);
            copied = hit.end();
        };
        if let Some(insert) = self.insert() {
            for hit in self.regex.find_iter(text) {
                keep(&hit, out);
                out.push_str(insert);
                if out.len() > most {
                    return Err(too_large());
                }
            }
        } else {
            for groups in self.regex.captures_iter(text) {
                let Some(hit) = groups.get(0) else {
                    continue;
                };
                keep(&hit, out);
                self.expand(&groups, out, most)?;
            }
        }
        if found {
            out.push_str(&text[copied..]);
        }
        Ok(found)
    }

    fn expand(&self, groups: &Captures<'_>, out: &mut String, most: usize) -> Result<()> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(group) => {
                    out.push_str(groups.get(*group).map_or("", |group| group.as_str()));
                }
            }
            if out.len() > most {
                return Err(too_large());
            }
        }
        Ok(())
    }
}

/// How many bytes the texts of a batch may have that had `before`.
fn most_bytes(before: usize) -> usize {
    before.saturating_add(MOST_GROWTH).min(i32::MAX as usize)
}

fn too_large() -> Error {
    grown("replacing makes the texts of a column grow too much")
        .hint("give a shorter replacement, or a pattern that matches less often")
}

/// Adds the ends of all rows before `row`.
fn grow<O: OffsetSizeTrait>(
    ends: &mut Vec<O>,
    row: usize,
    end: impl Fn(usize) -> usize,
) -> Result<()> {
    while ends.len() <= row {
        let end = O::from_usize(end(ends.len())).ok_or_else(too_large)?;
        ends.push(end);
    }
    Ok(())
}

fn compiled(pattern: &str) -> Result<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build();
    built.map_err(|error| {
        let told = match &error {
            regex::Error::Syntax(text) => text.lines().last().unwrap_or_default().to_owned(),
            _ => "it is too large".to_owned(),
        };
        let told = told.trim_start_matches("error: ");
        let message = format!("the pattern is no regular expression: {told}");
        Error::invalid("", message)
            .code("invalid_pattern")
            .hint("look-around and references back are not known; set `regex` to false to search the text as it stands")
    })
}

/// The number of the group that `name` names in the pattern.
fn group(name: &str, regex: &Regex) -> Option<usize> {
    match name.parse::<usize>() {
        Ok(number) => (number < regex.captures_len()).then_some(number),
        Err(_) => regex.capture_names().position(|known| known == Some(name)),
    }
}

/// A reference to a group at the front of `text`, which follows a `$` or `\`,
/// and what is behind it.
fn reference<'a>(sign: char, text: &'a str, regex: &Regex) -> Option<(usize, &'a str)> {
    let (open, close) = if sign == '$' { ("{", '}') } else { ("g<", '>') };
    if let Some((name, rest)) = text
        .strip_prefix(open)
        .and_then(|rest| rest.split_once(close))
    {
        return group(name, regex).map(|group| (group, rest));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    // As many digits as name a group: `$10` is group 1 and a `0` where there is no tenth.
    let numbered = (1..=digits.min(3)).rev().find_map(|length| {
        let (name, rest) = text.split_at(length);
        group(name, regex).map(|group| (group, rest))
    });
    if numbered.is_some() || sign != '$' {
        return numbered;
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (digits == 0)
        .then(|| group(name, regex))
        .flatten()
        .map(|group| (group, rest))
}

fn parts(replacement: &str, regex: &Regex) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = replacement;
    while let Some(at) = rest.find(['$', '\\']) {
        text.push_str(&rest[..at]);
        let sign = if rest[at..].starts_with('$') {
            '$'
        } else {
            '\\'
        };
        rest = &rest[at + 1..];
        if let Some((group, behind)) = reference(sign, rest, regex) {
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Group(group));
            rest = behind;
            continue;
        }
        text.push(sign);
        rest = rest.strip_prefix(sign).unwrap_or(rest);
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

/// A value of a column's own type, as a column of one row: read from text as
/// `convert_type` reads it. `None` where the type has no such value.
///
/// # Errors
///
/// Faults of this service only.
pub fn value_of(field: &Field, text: &str) -> Result<Option<ArrayRef>> {
    let data_type = field.data_type();
    let target = match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Target::Text,
        DataType::Boolean => Target::Bool,
        DataType::Date32 | DataType::Date64 => Target::Date,
        DataType::Timestamp(..) => Target::Timestamp,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Target::Float64,
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => Target::Decimal(*p, *s),
        DataType::UInt64 => Target::Decimal(20, 0),
        data_type if data_type.is_integer() => Target::Int64,
        _ => return Ok(None),
    };
    let one: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text]));
    if target != Target::Text && target != Target::Bool && !is_kept(text, target, data_type)? {
        return Ok(None);
    }
    let read = convert(&one, &Field::new("", DataType::Utf8, true), target)?.array;
    let value = match (&read.data_type(), data_type) {
        // A moment in UTC under the name of the column's zone.
        (DataType::Timestamp(unit, None), DataType::Timestamp(_, Some(_))) => {
            let utc = cast(&read, &DataType::Timestamp(*unit, Some("UTC".into())))?;
            cast(&utc, data_type)?
        }
        _ => cast(&read, data_type)?,
    };
    Ok((!value.is_null(0)).then_some(value))
}

/// Whether a whole-number column can hold the number without cutting it off.
fn is_kept(text: &str, target: Target, data_type: &DataType) -> Result<bool> {
    if !data_type.is_integer() {
        return Ok(true);
    }
    let one: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text]));
    let field = Field::new("", DataType::Utf8, true);
    let wide = Target::Decimal(76, 30);
    let (whole, exact) = (
        convert(&one, &field, target)?.array,
        convert(&one, &field, wide)?.array,
    );
    let whole = cast(&whole, &wide.data_type())?;
    Ok(!whole.is_null(0) && whole == exact)
}

/// The column with `replacement` in the place of every cell equal to `pattern`;
/// both are columns of one row and of the column's type, the replacement may be
/// null. Zero and minus zero are equal.
///
/// # Errors
///
/// Faults of this service only.
pub fn whole_cells(
    array: &ArrayRef,
    pattern: &ArrayRef,
    replacement: &ArrayRef,
) -> Result<Changed> {
    let same = |pattern: &ArrayRef| -> Result<BooleanArray> {
        Ok(eq(array, &Scalar::new(Arc::clone(pattern)))?)
    };
    let mut hits = same(pattern)?;
    if array.data_type().is_floating() {
        let other = arrow::compute::kernels::numeric::neg(pattern)?;
        let floats = cast(pattern, &DataType::Float64)?;
        if floats.as_primitive::<Float64Type>().value(0) == 0.0 {
            hits = or(&hits, &same(&other)?)?;
        }
    }
    let cells = hits.true_count();
    if cells == 0 {
        return Ok(Changed::nothing(array));
    }
    // Null is no hit.
    if hits.null_count() > 0 {
        hits = arrow::compute::prep_null_mask_filter(&hits);
    }
    let array = zip(&hits, &Scalar::new(Arc::clone(replacement)), array)?;
    Ok(Changed { array, cells })
}

#[cfg(test)]
#[path = "replace_tests.rs"]
mod tests;
