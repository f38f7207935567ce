//! Documents of JSON columns, embedded as JSON rather than as text.

use serde::de::IgnoredAny;

use super::text::write_text;

/// Deeper documents go out as text: readers refuse or overflow on them.
const MAX_DEPTH: usize = 100;

/// The largest integer a JavaScript number holds exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Appends `text` as JSON where it is JSON, else as a JSON string.
pub(super) fn write_document(text: &str, js_safe: bool, out: &mut Vec<u8>) {
    if depth(text) > MAX_DEPTH || serde_json::from_str::<IgnoredAny>(text).is_err() {
        write_text(text, out);
        return;
    }
    let needs_care = text.bytes().any(|b| b < b' ') || (js_safe && has_long_number(text));
    if needs_care {
        write_carefully(text, js_safe, out);
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

fn depth(text: &str) -> usize {
    // A document this short cannot be deep.
    if text.len() <= MAX_DEPTH {
        return 0;
    }
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in tokens(text) {
        match token.as_bytes().first() {
            Some(b'[' | b'{') => depth += 1,
            Some(b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn has_long_number(text: &str) -> bool {
    let mut run = 0;
    text.bytes().any(|byte| {
        run = if byte.is_ascii_digit() { run + 1 } else { 0 };
        run > 15
    })
}

/// Copies a valid document token by token: white space that is a control
/// character becomes a blank (a line break would end a line of NDJSON), and
/// integers that JavaScript cannot hold become strings.
fn write_carefully(text: &str, js_safe: bool, out: &mut Vec<u8>) {
    for token in tokens(text) {
        let bytes = token.as_bytes();
        match bytes.first() {
            Some(byte) if *byte <= b' ' => out.push(b' '),
            Some(b'-' | b'0'..=b'9') if js_safe && is_unsafe(token) => {
                out.push(b'"');
                out.extend_from_slice(bytes);
                out.push(b'"');
            }
            _ => out.extend_from_slice(bytes),
        }
    }
}

fn is_unsafe(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    digits.bytes().all(|b| b.is_ascii_digit())
        && digits.parse::<u64>().map_or(true, |value| value > MAX_SAFE)
}

/// Splits into strings, numbers and words, and single other characters.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.as_bytes().first()?;
        let len = match first {
            b'"' => string_len(rest.as_bytes()),
            _ if is_word(first) => rest.bytes().take_while(|b| is_word(*b)).count(),
            _ => 1,
        };
        let (token, after) = rest.split_at(len);
        rest = after;
        Some(token)
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') || byte >= 0x80
}

fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' if bytes.get(at + 1).is_some_and(u8::is_ascii) => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn shown(text: &str, js_safe: bool) -> String {
        let mut out = Vec::new();
        write_document(text, js_safe, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn valid_documents_are_embedded_and_others_quoted() {
        assert_eq!(shown(r#"{"a": [1, 2.50]}"#, false), r#"{"a": [1, 2.50]}"#);
        assert_eq!(shown("{\"a\":\n\t1}", false), "{\"a\":  1}");
        assert_eq!(shown("{oops", false), "\"{oops\"");
        assert_eq!(shown("", false), "\"\"");
        assert_eq!(shown("1 2", false), "\"1 2\"");
        assert_eq!(shown("NaN", false), "\"NaN\"");
    }

    #[test]
    fn unsafe_integers_inside_documents_are_quoted_on_demand() {
        let text = r#"{"9007199254740993": [9007199254740993, -9007199254740993, 1.0000000000000001, 9007199254740991]}"#;
        assert_eq!(shown(text, false), text);
        assert_eq!(
            shown(text, true),
            r#"{"9007199254740993": ["9007199254740993", "-9007199254740993", 1.0000000000000001, 9007199254740991]}"#
        );
    }

    #[test]
    fn deep_documents_go_out_as_text() {
        let deep = "[".repeat(5_000) + &"]".repeat(5_000);
        assert!(shown(&deep, false).starts_with('"'));
        let fine = "[".repeat(100) + &"]".repeat(100);
        assert_eq!(shown(&fine, false), fine);
    }

    proptest! {
        #[test]
        fn any_text_gives_one_line_of_json(text in any::<String>(), js_safe: bool) {
            let out = shown(&text, js_safe);
            prop_assert!(serde_json::from_str::<Value>(&out).is_ok());
            prop_assert!(!out.contains('\n'));
        }

        #[test]
        fn pretty_documents_keep_their_value(text in "[a-z\\\\\"\\n é]{0,12}", number: i64) {
            let value = serde_json::json!({ text.clone(): [number, text, null, true] });
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let out = shown(&pretty, false);
            prop_assert!(!out.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), value);
        }
    }
}
