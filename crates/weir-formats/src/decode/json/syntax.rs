//! The grammar of JSON, over bytes that are already in memory. Nothing here
//! calls itself, so that no document can exhaust the stack.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::decode::cells::{Misfit, NOT_JSON, Span};

fn bad<T>() -> Result<T, Misfit> {
    Err(NOT_JSON.into())
}

/// Where white space ends.
pub(in crate::decode) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the string whose opening quote is at `at`, behind its closing one.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        let found = text
            .get(at..)?
            .iter()
            .position(|b| matches!(b, b'"' | b'\\'))?;
        at += found;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The end of the value at `at`. Of nested values only the brackets are looked at.
pub(in crate::decode) fn value_end(
    text: &[u8],
    at: usize,
    max_depth: usize,
) -> Result<usize, Misfit> {
    let (mut at, mut depth) = (at, 0_usize);
    loop {
        match text.get(at) {
            Some(b'"') => match string_end(text, at) {
                Some(end) => at = end,
                None => return bad(),
            },
            Some(b'[' | b'{') => {
                depth += 1;
                at += 1;
                if depth > max_depth {
                    return Err(format!("nests deeper than {max_depth} levels").into());
                }
                continue;
            }
            Some(b']' | b'}') if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            Some(b',' | b':' | b' ' | b'\t' | b'\n' | b'\r') if depth > 0 => {
                at += 1;
                continue;
            }
            Some(_) => {
                let is_end = |b: &u8| {
                    matches!(
                        b,
                        b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r' | b'"'
                    )
                };
                let length = text[at..]
                    .iter()
                    .position(is_end)
                    .unwrap_or(text.len() - at);
                if length == 0 {
                    return bad();
                }
                at += length;
            }
            None => return bad(),
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// Calls `take` with each item of the array at `span`.
pub(in crate::decode) fn items(
    text: &[u8],
    span: Span,
    max_depth: usize,
    mut take: impl FnMut(Span) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    let text = &text[..span.end()];
    if text.get(span.start()) != Some(&b'[') {
        return Err("is not an array".into());
    }
    let mut at = skip_space(text, span.start() + 1);
    if text.get(at) == Some(&b']') {
        return closed(text, at);
    }
    loop {
        let end = value_end(text, at, max_depth)?;
        take(Span::new(at, end))?;
        at = skip_space(text, end);
        match text.get(at) {
            Some(b',') => at = skip_space(text, at + 1),
            Some(b']') => return closed(text, at),
            _ => return bad(),
        }
    }
}

/// Calls `take` with the key (quotes included) and the value of each entry of
/// the object at `span`.
pub(in crate::decode) fn entries(
    text: &[u8],
    span: Span,
    max_depth: usize,
    mut take: impl FnMut(&[u8], Span) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    let text = &text[..span.end()];
    if text.get(span.start()) != Some(&b'{') {
        return Err("is not an object".into());
    }
    let mut at = skip_space(text, span.start() + 1);
    if text.get(at) == Some(&b'}') {
        return closed(text, at);
    }
    loop {
        if text.get(at) != Some(&b'"') {
            return bad();
        }
        let Some(key_end) = string_end(text, at) else {
            return bad();
        };
        let key = &text[at..key_end];
        at = skip_space(text, key_end);
        if text.get(at) != Some(&b':') {
            return bad();
        }
        at = skip_space(text, at + 1);
        let end = value_end(text, at, max_depth)?;
        take(key, Span::new(at, end))?;
        at = skip_space(text, end);
        match text.get(at) {
            Some(b',') => at = skip_space(text, at + 1),
            Some(b'}') => return closed(text, at),
            _ => return bad(),
        }
    }
}

/// Nothing follows the closing bracket at `at`.
fn closed(text: &[u8], at: usize) -> Result<(), Misfit> {
    if at + 1 == text.len() { Ok(()) } else { bad() }
}

/// The text of a JSON string with its quotes.
pub(in crate::decode) fn unescape(raw: &[u8]) -> Result<Cow<'_, str>, Misfit> {
    let inner = match raw {
        [b'"', inner @ .., b'"'] => inner,
        _ => return bad(),
    };
    if inner.contains(&b'\\') {
        return serde_json::from_slice::<String>(raw)
            .map(Cow::Owned)
            .map_err(|_| "is a string that is not valid JSON".into());
    }
    if inner.iter().any(|byte| *byte < 0x20 || *byte == b'"') {
        return Err("is a string with a bare control character".into());
    }
    let text = std::str::from_utf8(inner).map_err(|_| "is not valid UTF-8")?;
    Ok(text.into())
}

/// Whether this is a number as JSON writes it.
pub(in crate::decode) fn is_number(raw: &[u8]) -> bool {
    let rest = raw.strip_prefix(b"-").unwrap_or(raw);
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(after) = rest.strip_prefix(b".") {
        let count = digits(after);
        if count == 0 {
            return false;
        }
        rest = &after[count..];
    }
    if let [b'e' | b'E', after @ ..] = rest {
        let after = match after {
            [b'+' | b'-', digits @ ..] => digits,
            other => other,
        };
        return !after.is_empty() && digits(after) == after.len();
    }
    rest.is_empty()
}

/// Whether `text` is one JSON document, of a depth that readers bear.
pub(in crate::decode) fn check(text: &str) -> Result<(), Misfit> {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(()),
        Err(_) => bad(),
    }
}
