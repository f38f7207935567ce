//! The shapes of text by which types are detected and values judged: mail
//! addresses, numbers, phone numbers, postal codes, lists, dates. Matched by
//! hand, byte by byte: each is asked of every cell of a column. All of them look
//! at the whole text as it stands; callers trim it.

use crate::kinds::ColumnKind;

fn run(text: &[u8]) -> (usize, &[u8]) {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    (length, &text[length..])
}

/// `[A-Za-z0-9_.+#-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+`.
pub fn is_email(text: &str) -> bool {
    let Some((name, domain)) = text.split_once('@') else {
        return false;
    };
    let Some((host, rest)) = domain.split_once('.') else {
        return false;
    };
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let is_name = |b: u8| is_word(b) || matches!(b, b'_' | b'.' | b'+' | b'#');
    !name.is_empty()
        && !host.is_empty()
        && !rest.is_empty()
        && name.bytes().all(is_name)
        && host.bytes().all(is_word)
        && rest.bytes().all(|b| is_word(b) || b == b'.')
}

/// What stands for money, before a number or behind it.
const SYMBOLS: [&str; 8] = ["$", "€", "¥", "₹", "£", "元", "Rs", "CAD"];

/// What the decimals of a number may be, and whether it may be a share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decimals {
    /// Zeros only.
    Zero,
    /// Any, and a `%`.
    Any,
}

fn without_symbol(text: &str) -> Option<&str> {
    SYMBOLS.iter().find_map(|symbol| text.strip_prefix(symbol))
}

fn is_numeric(text: &str, decimals: Decimals) -> bool {
    let rest = text.strip_prefix('-').map_or(text, str::trim_start);
    let rest = without_symbol(rest).map_or(rest, str::trim_start);
    let (mut digits, mut tail) = run(rest.as_bytes());
    while digits > 0
        && let [b',', behind @ ..] = tail
        && behind.first().is_some_and(u8::is_ascii_digit)
    {
        tail = run(behind).1;
    }
    if let [b'.', behind @ ..] = tail {
        let (places, after) = run(behind);
        let zeros = behind[..places].iter().all(|b| *b == b'0');
        if decimals == Decimals::Zero && !zeros {
            return false;
        }
        digits += places;
        tail = after;
    }
    // Every byte before the tail was ASCII, so this is a boundary.
    let tail = &rest[rest.len() - tail.len()..];
    digits > 0 && (tail.is_empty() || is_ending(tail, decimals))
}

/// A symbol of a currency, and a `%` where shares are numbers, blanks between.
fn is_ending(mut tail: &str, decimals: Decimals) -> bool {
    let (mut symbol, mut share) = (false, decimals == Decimals::Zero);
    loop {
        tail = tail.trim_start();
        if tail.is_empty() {
            return true;
        }
        tail = match (tail.strip_prefix('%'), without_symbol(tail)) {
            (Some(rest), _) if !share => {
                share = true;
                rest
            }
            (_, Some(rest)) if !symbol => {
                symbol = true;
                rest
            }
            _ => return false,
        };
    }
}

/// A whole number: a minus, a currency, digits with commas between them, zeros
/// behind a point, a symbol at the end.
pub fn is_integer(text: &str) -> bool {
    is_numeric(text, Decimals::Zero)
}

/// A number: as [`is_integer`] with any decimals and `%`.
pub fn is_number(text: &str) -> bool {
    is_numeric(text, Decimals::Any)
}

/// 3 to 5 digits, then perhaps a `-` or a blank and four more.
pub fn is_zip_code(text: &str) -> bool {
    let (length, rest) = run(text.as_bytes());
    let is_long = || {
        let mut rest = text[length..].chars();
        rest.next().is_some_and(|c| c == '-' || c.is_whitespace())
            && run(rest.as_str().as_bytes()) == (4, &[])
    };
    (3..=5).contains(&length) && (rest.is_empty() || is_long())
}

/// Whether the byte may stand between the parts of a phone number.
fn is_phone_gap(b: u8) -> bool {
    matches!(b, b'-' | b'.' | b'(' | b')' | b' ')
}

/// A country code of up to three digits (`+` or not), then 3, 3 and 4 digits with
/// `-.() ` between or around, then perhaps ` x123`.
pub fn is_phone_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plus = bytes.iter().position(|b| !is_phone_gap(*b));
    let (has_plus, start) = match plus {
        Some(at) if bytes[at] == b'+' => (true, at + 1),
        Some(at) => (false, at),
        None => return false,
    };
    // Where a gap begins, counted in the digits before it: at most four between parts.
    let (mut gaps, mut gap_count) = ([0_usize; 4], 0);
    let (mut count, mut at) = (0, start);
    while let Some(b) = bytes.get(at) {
        if b.is_ascii_digit() {
            count += 1;
        } else if !is_phone_gap(*b) {
            break;
        } else if bytes[at - 1].is_ascii_digit() && count > 0 {
            if gap_count == gaps.len() {
                return false;
            }
            gaps[gap_count] = count;
            gap_count += 1;
        }
        at += 1;
    }
    if !(10..=13).contains(&count)
        || (has_plus && (count == 10 || bytes.get(start).is_none_or(|b| !b.is_ascii_digit())))
    {
        return false;
    }
    let code = count - 10;
    let is_between = |gap: &usize| [code, code + 3, code + 6, count].contains(gap);
    if !gaps[..gap_count].iter().all(is_between) {
        return false;
    }
    match &bytes[at..] {
        [] => true,
        [b'x', extension @ ..] => !extension.is_empty() && run(extension).1.is_empty(),
        _ => false,
    }
}

/// `[…]` or `(…)`.
pub fn is_list(text: &str) -> bool {
    let is_between =
        |open, close| text.len() >= 2 && text.starts_with(open) && text.ends_with(close);
    is_between('[', ']') || is_between('(', ')')
}

const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];

/// The name of a month, full or of three letters, then a day and a year; what
/// follows does not count.
fn starts_with_named_date(text: &[u8]) -> bool {
    let letters = text.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let (word, rest) = text.split_at(letters);
    let is_month = MONTHS
        .iter()
        .any(|month| month.eq_ignore_ascii_case(word) || month[..3].eq_ignore_ascii_case(word));
    let blanks = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let (day, behind) = run(&rest[blanks..]);
    let is_gap = |b: &&u8| b.is_ascii_whitespace() || **b == b',';
    let gap = behind.iter().take_while(is_gap).count();
    let year = run(&behind[gap..]).0;
    is_month && blanks > 0 && (1..=2).contains(&day) && gap > 0 && year >= 2
}

/// `1:2`, `10:20`, `10:20:30`, `10:20:30.5`, and whatever follows.
fn starts_with_time(text: &[u8]) -> bool {
    let (hour, rest) = run(text);
    let [b':', rest @ ..] = rest else {
        return false;
    };
    (1..=2).contains(&hour) && run(rest).0 >= 2
}

/// Three numbers between `-` or `/`, the year first or last, with a time or
/// without; or a named month, a day and a year. No calendar is asked. A date with
/// a time or with a named month may go on with anything.
pub fn is_datetime(text: &str) -> bool {
    let text = text.as_bytes();
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return starts_with_named_date(text);
    }
    let (first, rest) = run(text);
    let [b'-' | b'/', rest @ ..] = rest else {
        return false;
    };
    let (second, rest) = run(rest);
    let [b'-' | b'/', rest @ ..] = rest else {
        return false;
    };
    let (third, rest) = run(rest);
    let has_shape = (1..=4).contains(&first)
        && (1..=2).contains(&second)
        && (1..=4).contains(&third)
        && (first <= 2 || third <= 2);
    has_shape
        && match rest {
            [] => true,
            [b'T' | b't' | b' ', time @ ..] => starts_with_time(time),
            _ => false,
        }
}

/// Whether a text may stand in a column of that kind. Blanks around it do not
/// count, a blank text is never wrong, nor is one that says it is `invalid` or
/// `missing`.
pub fn is_valid(kind: ColumnKind, text: &str) -> bool {
    let matches: fn(&str) -> bool = match kind {
        ColumnKind::Email => is_email,
        ColumnKind::PhoneNumber => is_phone_number,
        ColumnKind::ZipCode => is_zip_code,
        ColumnKind::Number | ColumnKind::NumberWithDecimals => is_number,
        ColumnKind::Datetime => is_datetime,
        ColumnKind::Category
        | ColumnKind::CategoryHighCardinality
        | ColumnKind::List
        | ColumnKind::Text
        | ColumnKind::TrueOrFalse => return true,
    };
    let text = text.trim();
    text.is_empty() || matches(text) || text.starts_with("invalid") || text.starts_with("missing")
}

#[cfg(test)]
#[path = "patterns_tests.rs"]
mod tests;
