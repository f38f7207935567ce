//! Pieces of text: by separator, by position. Positions count characters from 0,
//! negative ones from the end.

use arrow::array::ArrayRef;

use crate::texts::Texts;

/// The part at `index` of a text cut at every `separator`, without the white
/// space around it; `None` where there is no such part.
pub fn part<'a>(text: &'a str, separator: &str, index: i64) -> Option<&'a str> {
    // A single byte is found faster than a text of one.
    if let ([separator @ 0..0x80], 0..) = (separator.as_bytes(), index) {
        let found = part_at(text, *separator, usize::try_from(index).ok()?);
        return found.map(str::trim);
    }
    let index = if index >= 0 {
        usize::try_from(index).ok()?
    } else {
        let count = text.split(separator).count();
        count.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    };
    text.split(separator).nth(index).map(str::trim)
}

/// The part at `index` of a text cut at every `separator`, which is ASCII.
fn part_at(text: &str, separator: u8, index: usize) -> Option<&str> {
    let (mut start, mut count) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        if byte == separator {
            if count == index {
                return Some(&text[start..at]);
            }
            count += 1;
            start = at + 1;
        }
    }
    (count == index).then(|| &text[start..])
}

/// The characters from `start` to before `stop`, as Python slices.
pub fn slice(text: &str, start: Option<i64>, stop: Option<i64>) -> &str {
    if text.is_ascii() {
        let (start, stop) = bounds(text.len(), start, stop);
        return &text[start..stop];
    }
    let is_from_end = |place: Option<i64>| place.is_some_and(|place| place < 0);
    let length = match is_from_end(start) || is_from_end(stop) {
        true => text.chars().count(),
        // No longer than its bytes: places beyond the end are found below.
        false => text.len(),
    };
    let (start, stop) = bounds(length, start, stop);
    let mut places = text.char_indices().map(|(at, _)| at);
    let from = places.nth(start).unwrap_or(text.len());
    let to = match stop - start {
        0 => from,
        length => places.nth(length - 1).unwrap_or(text.len()),
    };
    &text[from..to]
}

/// Places within a text of so many characters, the second not before the first.
fn bounds(length: usize, start: Option<i64>, stop: Option<i64>) -> (usize, usize) {
    let place = |at: i64| match usize::try_from(at) {
        Ok(at) => at.min(length),
        Err(_) => length.saturating_sub(usize::try_from(at.unsigned_abs()).unwrap_or(length)),
    };
    let start = start.map_or(0, place);
    let stop = stop.map_or(length, place);
    (start, stop.max(start))
}

/// [`part`] of every cell, in the layout of the column.
pub fn parts(texts: &Texts<'_>, separator: &str, index: i64) -> ArrayRef {
    let mut out = texts.builder();
    for text in texts.iter() {
        out.push_option(text.and_then(|text| part(text, separator, index)));
    }
    out.finish()
}

/// [`slice`] of every cell, in the layout of the column.
pub fn slices(texts: &Texts<'_>, start: Option<i64>, stop: Option<i64>) -> ArrayRef {
    let mut out = texts.builder();
    for text in texts.iter() {
        out.push_option(text.map(|text| slice(text, start, stop)));
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_counted_from_both_ends() {
        assert_eq!(part("2024-01-31", "-", 1), Some("01"));
        assert_eq!(part("2024-01-31", "-", -1), Some("31"));
        assert_eq!(part("2024-01-31", "-", -3), Some("2024"));
        assert_eq!(part("2024-01-31", "-", -4), None);
        assert_eq!(part("2024-01-31", "-", 3), None);
        assert_eq!(part("a,  b ,c", ",", 1), Some("b"));
        assert_eq!(part("", ",", 0), Some(""));
        assert_eq!(part("aaa", "aa", -1), Some("a"));
        assert_eq!(part("a", ",", i64::MIN), None);
    }

    #[test]
    fn slices_are_counted_in_characters() {
        let text = "Grüße 🙂 ok";
        assert_eq!(slice(text, Some(2), Some(7)), "üße 🙂");
        assert_eq!(slice(text, Some(3), None), "ße 🙂 ok");
        assert_eq!(slice(text, Some(-4), Some(-1)), "🙂 o");
        assert_eq!(slice(text, Some(1), Some(99)), "rüße 🙂 ok");
        assert_eq!(slice(text, Some(5), Some(2)), "");
        assert_eq!(slice(text, Some(0), Some(0)), "");
        assert_eq!(slice("ab", Some(-4), Some(-1)), "a");
        assert_eq!(slice("ab", Some(i64::MIN), Some(i64::MAX)), "ab");
    }

    proptest! {
        #[test]
        fn parts_are_those_of_a_split(text in "[a,é]{0,8}", index in -4_i64..4) {
            let parts: Vec<&str> = text.split(',').collect();
            let place = if index < 0 { index + parts.len() as i64 } else { index };
            let expected = usize::try_from(place).ok().and_then(|place| parts.get(place).copied());
            prop_assert_eq!(part(&text, ",", index), expected);
        }

        #[test]
        fn slices_are_those_of_python(text in "[aé🙂]{0,8}", start in prop::option::of(-10_i64..10), stop in prop::option::of(-10_i64..10)) {
            let chars: Vec<char> = text.chars().collect();
            let length = chars.len() as i64;
            let place = |at: i64| (if at < 0 { at + length } else { at }).clamp(0, length) as usize;
            let (from, to) = (start.map_or(0, place), stop.map_or(chars.len(), place));
            let expected: String = if from < to { chars[from..to].iter().collect() } else { String::new() };
            prop_assert_eq!(slice(&text, start, stop), expected);
        }
    }
}
