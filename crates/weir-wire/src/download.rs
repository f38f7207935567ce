//! The name an answer is saved under: RFC 6266, with RFC 8187 for what is not ASCII.

use http::HeaderValue;
use weir_core::{Error, Result};

use crate::Format;

/// Bytes of a name at most: what common file systems take.
const MAX_NAME: usize = 200;

/// The file name for `?download=`, with the format's suffix where it has none.
pub(crate) fn file_name(given: &str, format: Format) -> Result<String> {
    let is_bad = |c: char| c.is_control() || c == '/' || c == '\\';
    let name = given.trim();
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || name.contains(is_bad) {
        let message = "`download` is a file name without folders and control characters";
        return Err(Error::invalid("?download", message)
            .hint(format!("at most {MAX_NAME} bytes, not starting with a dot")));
    }
    let suffix = format!(".{}", format.suffix());
    if name.to_lowercase().ends_with(&suffix) {
        return Ok(name.to_owned());
    }
    Ok(format!("{name}{suffix}"))
}

/// The header: a plain name for every reader, the exact one beside it.
pub(crate) fn disposition(name: &str) -> Result<HeaderValue> {
    let is_plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\' && c != '%' || c == ' ';
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    let mut header = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        header.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                header.push(char::from(byte));
            } else {
                header.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    HeaderValue::from_str(&header).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_plainly_and_exactly() {
        let shown = |name: &str| disposition(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(shown("a b.csv"), "attachment; filename=\"a b.csv\"");
        assert_eq!(
            shown("größe \"1\".csv"),
            "attachment; filename=\"gr__e _1_.csv\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%221%22.csv"
        );
    }

    #[test]
    fn the_suffix_is_added_once_and_folders_are_refused() {
        assert_eq!(file_name("a", Format::Csv).unwrap(), "a.csv");
        assert_eq!(file_name("a.CSV", Format::Csv).unwrap(), "a.CSV");
        for bad in ["", " ", "../x", "a/b", "a\r\nb", ".hidden"] {
            assert_eq!(
                file_name(bad, Format::Csv).unwrap_err().fields()[0].pointer,
                "?download"
            );
        }
    }
}
