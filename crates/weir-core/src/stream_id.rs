//! The id of a stream: what discovery hands out and callers hand back verbatim.
//!
//! SQL names are joined by `.`; a part is quoted with `"` (doubled inside)
//! unless it is `[A-Za-z_][A-Za-z0-9_$]*`. Matching is exact.

use crate::error::{Error, Result};

/// A parsed stream id: one or more name parts, outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamId {
    parts: Vec<String>,
}

impl StreamId {
    /// An id from its parts, outermost first.
    pub fn from_parts<S: Into<String>>(parts: impl IntoIterator<Item = S>) -> Self {
        StreamId {
            parts: parts.into_iter().map(Into::into).collect(),
        }
    }

    /// Parses the dotted form. `pointer` names the request field in errors.
    pub fn parse(text: &str, pointer: &str) -> Result<Self> {
        let bad = |what: &str| Error::invalid(pointer, format!("{what} in stream id `{text}`"));
        if text.is_empty() {
            return Err(Error::invalid(pointer, "the stream id is empty"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
                split_quoted(quoted).ok_or_else(|| bad("a quote is not closed"))?
            } else {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            };
            if part.is_empty() {
                return Err(bad("an empty name part"));
            }
            if part.contains('\0') {
                return Err(bad("a NUL character"));
            }
            parts.push(part);
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None if after.is_empty() => return Ok(StreamId { parts }),
                None => return Err(bad("text after a closing quote")),
            }
        }
    }

    /// The parts, outermost first.
    pub fn parts(&self) -> &[String] {
        &self.parts
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

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if is_plain(part) {
                f.write_str(part)?;
            } else {
                write!(f, "\"{}\"", part.replace('"', "\"\""))?;
            }
        }
        Ok(())
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
        fn any_text_parses_or_is_refused(text in ".*") {
            let _ = StreamId::parse(&text, "/stream");
        }
    }

    #[test]
    fn quotes_only_where_needed() {
        let id = StreamId::from_parts(["public", "odd \"name\".x/y"]);
        assert_eq!(id.to_string(), r#"public."odd ""name"".x/y""#);
        for bad in ["", ".", "a.", "\"a", "\"a\"b", "a..b", "\"\""] {
            assert!(StreamId::parse(bad, "/stream").is_err(), "{bad}");
        }
    }
}
