//! The words that dates may hold.

/// What a word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// A month, 1 to 12.
    Month(u32),
    /// A zone, in seconds east of UTC.
    Zone(i64),
    /// The `T` between date and time.
    Time,
    /// Nothing: a day of the week, `at`, `of`.
    Filler,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// The zones of RFC 2822, in hours east of UTC.
const ZONES: [(&str, i64); 12] = [
    ("z", 0),
    ("ut", 0),
    ("utc", 0),
    ("gmt", 0),
    ("est", -5),
    ("edt", -4),
    ("cst", -6),
    ("cdt", -5),
    ("mst", -7),
    ("mdt", -6),
    ("pst", -8),
    ("pdt", -7),
];

/// What the word says, if it is one that a date may hold.
pub(super) fn meaning(word: &[u8]) -> Option<Word> {
    let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(word);
    let shortens = |known: &str| is(known) || is(&known[..3]);
    if let Some(at) = MONTHS.iter().position(|month| shortens(month)) {
        return Some(Word::Month(at as u32 + 1));
    }
    if is("sept") {
        return Some(Word::Month(9));
    }
    if let Some((_, hours)) = ZONES.iter().find(|(zone, _)| is(zone)) {
        return Some(Word::Zone(hours * 3_600));
    }
    if is("t") {
        return Some(Word::Time);
    }
    let is_filler = WEEKDAYS.iter().any(|day| shortens(day))
        || ["at", "of", "tues", "thur", "thurs"].into_iter().any(is);
    is_filler.then_some(Word::Filler)
}

/// Whether `am` or `pm` comes next, which of them, and what follows: `true` is
/// the afternoon. Written `pm`, `PM`, `p.m.`.
pub(super) fn half_of_day(text: &[u8]) -> Option<(bool, &[u8])> {
    let start = text.iter().position(|b| !matches!(b, b' ' | b'\t'))?;
    let (letter, rest) = text[start..].split_first()?;
    let is_afternoon = match letter {
        b'a' | b'A' => false,
        b'p' | b'P' => true,
        _ => return None,
    };
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    let [b'm' | b'M', rest @ ..] = rest else {
        return None;
    };
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    let ends = !rest.first().is_some_and(u8::is_ascii_alphanumeric);
    ends.then_some((is_afternoon, rest))
}

/// What follows a day's `st`, `nd`, `rd` or `th`.
pub(super) fn without_ordinal(text: &[u8]) -> &[u8] {
    let Some((ending, rest)) = text.split_first_chunk::<2>() else {
        return text;
    };
    let is_ordinal = [b"st", b"nd", b"rd", b"th"]
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(*known));
    if is_ordinal && !rest.first().is_some_and(u8::is_ascii_alphabetic) {
        rest
    } else {
        text
    }
}
