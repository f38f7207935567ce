//! Blanks around text taken away, blank text made null, and texts replaced that
//! are no valid value of their kind.

use arrow::array::ArrayRef;

use crate::case::Changed;
use crate::detect::bare;
use crate::kinds::ColumnKind;
use crate::patterns::is_valid;
use crate::texts::Texts;

/// Whether the text begins or ends with a blank; ASCII is told by one look.
fn has_edges(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    let is_graphic = |b: &u8| b.is_ascii_graphic();
    !(is_graphic(first) && is_graphic(last)) && text.trim().len() != text.len()
}

/// The column with the cells changed for which `wrong` holds, to what `right`
/// gives; the same column where none is.
fn mended<'a>(
    array: &'a ArrayRef,
    wrong: impl Fn(&str) -> bool,
    right: impl Fn(&'a str) -> Option<&'a str>,
) -> Changed {
    let Some(texts) = Texts::of(array) else {
        return Changed::nothing(array);
    };
    let found = texts.iter().position(|text| text.is_some_and(&wrong));
    let Some(first) = found else {
        return Changed::nothing(array);
    };
    let mut out = texts.builder();
    let mut cells = 0;
    for (row, text) in texts.iter().enumerate() {
        match text {
            Some(text) if row >= first && wrong(text) => {
                cells += 1;
                out.push_option(right(text));
            }
            text => out.push_option(text),
        }
    }
    Changed {
        array: out.finish(),
        cells,
    }
}

/// The texts without the white space around them; a column that is no text stays.
pub fn trim(array: &ArrayRef) -> Changed {
    mended(array, has_edges, |text| Some(text.trim()))
}

/// Null for every text of nothing but white space.
pub fn blank_to_null(array: &ArrayRef) -> Changed {
    mended(array, |text| text.trim().is_empty(), |_| None)
}

/// The texts without the blanks and quotes around them, null where nothing is
/// left; a column that is no text stays.
pub fn unquote(array: &ArrayRef) -> Changed {
    let is_letter = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'');
    let wrong = |text: &str| match (text.as_bytes().first(), text.as_bytes().last()) {
        (Some(first), Some(last)) if is_letter(first) && is_letter(last) => false,
        _ => text.is_empty() || bare(text).len() != text.len(),
    };
    mended(array, wrong, |text| {
        Some(bare(text)).filter(|text| !text.is_empty())
    })
}

/// What a value that is not valid becomes: null in numbers and dates, else the
/// word `invalid`.
pub fn fix(array: &ArrayRef, kind: ColumnKind) -> Changed {
    let instead = match kind {
        ColumnKind::Number | ColumnKind::NumberWithDecimals | ColumnKind::Datetime => None,
        _ => Some("invalid"),
    };
    mended(array, |text| !is_valid(kind, text), |_| instead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use std::sync::Arc;

    fn column(cells: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(cells.to_vec()))
    }

    #[test]
    fn white_space_of_unicode_is_trimmed() {
        let array = column(&["a", " a", "\u{a0}b\u{3000}", "  ", "", "c d", "é "]);
        let trimmed = trim(&array);
        assert_eq!(
            trimmed.array.as_string::<i32>(),
            &StringArray::from(vec!["a", "a", "b", "", "", "c d", "é"])
        );
        assert_eq!(trimmed.cells, 4);
        let again = trim(&trimmed.array);
        assert!(Arc::ptr_eq(&again.array, &trimmed.array));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(Arc::ptr_eq(&trim(&numbers).array, &numbers));
    }

    #[test]
    fn blank_text_becomes_null() {
        let made = blank_to_null(&column(&["a", " ", ""]));
        assert_eq!(
            made.array.as_string::<i32>(),
            &StringArray::from(vec![Some("a"), None, None])
        );
        assert_eq!(made.cells, 2);
    }

    #[test]
    fn quotes_go_with_the_blanks() {
        let made = unquote(&column(&["a", " 'b' ", "\"", "", "é", "\" \"", "a'b"]));
        assert_eq!(
            made.array.as_string::<i32>(),
            &StringArray::from(vec![
                Some("a"),
                Some("b"),
                None,
                None,
                Some("é"),
                None,
                Some("a'b")
            ])
        );
    }

    #[test]
    fn what_is_not_valid_is_marked() {
        let made = fix(&column(&["a@b.c", "x", " ", "missing"]), ColumnKind::Email);
        assert_eq!(
            made.array.as_string::<i32>(),
            &StringArray::from(vec!["a@b.c", "invalid", " ", "missing"])
        );
        let made = fix(&column(&["5", "x"]), ColumnKind::Number);
        assert_eq!(
            made.array.as_string::<i32>(),
            &StringArray::from(vec![Some("5"), None])
        );
        assert_eq!(made.cells, 1);
    }
}
