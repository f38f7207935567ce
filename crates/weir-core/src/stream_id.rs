//! The id of a stream: what discovery hands out and callers hand back verbatim.
//!
//! What it means is the connector's to say. SQL names are joined by `.`; a part
//! is quoted with `"` (doubled inside) unless it is `[A-Za-z_][A-Za-z0-9_$]*`.
//! Files and objects are paths, in which dots and quotes mean nothing. Matching
//! is exact.

use crate::error::{Error, Result};

/// The id of a stream, as it was written.
#[derive(Debug, Clone)]
pub struct StreamId {
    text: String,
    names: std::result::Result<Vec<String>, &'static str>,
    /// The request field it came from.
    pointer: String,
}

impl PartialEq for StreamId {
    fn eq(&self, other: &Self) -> bool {
        match (&self.names, &other.names) {
            (Ok(names), Ok(others)) => names == others,
            _ => self.text == other.text,
        }
    }
}

impl Eq for StreamId {}

impl StreamId {
    /// An id from the names it consists of, outermost first.
    pub fn from_parts<S: Into<String>>(parts: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<String> = parts.into_iter().map(Into::into).collect();
        let text: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        StreamId {
            text: text.join("."),
            names: Ok(names),
            pointer: "/stream".to_owned(),
        }
    }

    /// Takes an id as it was given. `pointer` names the request field in errors.
    pub fn parse(text: &str, pointer: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid(pointer, "the stream id is empty"));
        }
        if text.contains('\0') {
            let message = format!("a NUL character in stream id `{}`", text.escape_debug());
            return Err(Error::invalid(pointer, message));
        }
        Ok(StreamId {
            text: text.to_owned(),
            names: split_names(text),
            pointer: pointer.to_owned(),
        })
    }

    /// As it was written: the path of a file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names it consists of, outermost first; an error where it is not
    /// written as names.
    pub fn names(&self) -> Result<&[String]> {
        match &self.names {
            Ok(names) => Ok(names),
            Err(what) => Err(Error::invalid(
                self.pointer.as_str(),
                format!("{what} in stream id `{}`", self.text),
            )),
        }
    }
}

fn split_names(text: &str) -> std::result::Result<Vec<String>, &'static str> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            split_quoted(quoted).ok_or("a quote is not closed")?
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        if name.is_empty() {
            return Err("an empty name part");
        }
        names.push(name);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(names),
            None => return Err("text after a closing quote"),
        }
    }
}

fn split_quoted(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        part.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, rest)),
        }
    }
}

fn is_plain(part: &str) -> bool {
    let mut bytes = part.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
}

fn quoted(name: &str) -> String {
    if is_plain(name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::StreamId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(parts in prop::collection::vec("[^\\x00]{1,12}", 1..4)) {
            let id = StreamId::from_parts(parts);
            prop_assert_eq!(&StreamId::parse(&id.to_string(), "/stream").unwrap(), &id);
        }

        #[test]
        fn any_text_stays_as_it_was(text in "[^\\x00]+") {
            let id = StreamId::parse(&text, "/stream").unwrap();
            prop_assert_eq!(id.text(), &text);
            let _ = id.names();
        }
    }

    #[test]
    fn quotes_only_where_needed() {
        let id = StreamId::from_parts(["public", "odd \"name\".x/y"]);
        assert_eq!(id.to_string(), r#"public."odd ""name"".x/y""#);
        for bad in [".", "a.", "\"a", "\"a\"b", "a..b", "\"\""] {
            let id = StreamId::parse(bad, "?stream").unwrap();
            let error = id.names().unwrap_err();
            assert_eq!(error.fields()[0].pointer, "?stream", "{bad}");
        }
        for bad in ["", "a\0"] {
            assert!(StreamId::parse(bad, "/stream").is_err(), "{bad:?}");
        }
    }
}
