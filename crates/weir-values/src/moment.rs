//! Dates and times as people write them: ISO, numbers between `- / .`, English
//! names of months, a time of day, a zone. Everything is in microseconds since
//! 1970-01-01 UTC; a text without a zone means what it says.

use arrow::array::{TimestampMicrosecondArray, TimestampMicrosecondBuilder};
use chrono::{DateTime, NaiveDateTime};

use crate::calendar::{DAY, SECOND, valid};
use crate::texts::Texts;

#[path = "moment_words.rs"]
mod words;

use words::Word;

/// Two-digit years from here on are of the twentieth century.
const PIVOT: u32 = 70;

/// The moment that the text names, in UTC; `None` when it names none or one
/// that does not exist.
pub fn date(text: &str) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros(text)?).map(|moment| moment.naive_utc())
}

/// [`date`] as microseconds since 1970-01-01 UTC.
pub fn micros(text: &str) -> Option<i64> {
    let text = text.trim();
    iso(text.as_bytes()).or_else(|| Reader::new(text.as_bytes()).read())
}

/// [`date`] of every cell; what cannot be read is null.
pub fn dates(texts: &Texts<'_>) -> TimestampMicrosecondArray {
    let mut moments = TimestampMicrosecondBuilder::with_capacity(texts.len());
    for text in texts.iter() {
        moments.append_option(text.and_then(micros));
    }
    moments.finish()
}

/// The value of a few digits at the front and what follows them.
fn fixed<const N: usize>(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<N>()?;
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u32::from(digit - b'0');
    }
    Some((value, rest))
}

/// `2024-02-29[T23:59[:59[.123]][Z]]`, which is how nearly all dates come.
fn iso(text: &[u8]) -> Option<i64> {
    let (year, rest) = fixed::<4>(text)?;
    let (month, rest) = fixed::<2>(rest.strip_prefix(b"-")?)?;
    let (day, rest) = fixed::<2>(rest.strip_prefix(b"-")?)?;
    let midnight = valid(i64::from(year), month, day)? * DAY * SECOND;
    let [b'T' | b't' | b' ', rest @ ..] = rest else {
        return rest.is_empty().then_some(midnight);
    };
    let (hour, rest) = fixed::<2>(rest)?;
    let (minute, rest) = fixed::<2>(rest.strip_prefix(b":")?)?;
    let (second, rest) = match rest {
        [b':', rest @ ..] => fixed::<2>(rest)?,
        rest => (0, rest),
    };
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        rest => (0, rest),
    };
    // The end of the last day of all is for the reader that checks the range.
    if !matches!(rest, [] | [b'Z' | b'z']) || hour > 23 {
        return None;
    }
    Some(midnight + clock(hour, minute, second, fraction)?)
}

/// Microseconds of at least one digit behind a point; more than six are cut off.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let given = text[..digits].iter().map(|digit| i64::from(digit - b'0'));
    let places = given.chain(std::iter::repeat(0)).take(6);
    let micros = places.fold(0, |micros, digit| micros * 10 + digit);
    Some((micros, &text[digits..]))
}

/// Microseconds since midnight; 24:00 is the end of the day.
fn clock(hour: u32, minute: u32, second: u32, fraction: i64) -> Option<i64> {
    let is_end = hour == 24 && minute == 0 && second == 0 && fraction == 0;
    if (hour > 23 && !is_end) || minute > 59 || second > 59 {
        return None;
    }
    Some(i64::from(hour * 3_600 + minute * 60 + second) * SECOND + fraction)
}

/// One of the numbers of a date.
#[derive(Debug, Clone, Copy, Default)]
struct Number {
    value: u32,
    digits: usize,
    /// What stood before it: `-`, `/` or `.`, else a blank.
    separator: u8,
}

impl Number {
    /// The year that two or four digits name.
    fn year(self) -> Option<i64> {
        let value = i64::from(self.value);
        match self.digits {
            4 => Some(value),
            2 if self.value >= PIVOT => Some(1900 + value),
            2 => Some(2000 + value),
            _ => None,
        }
    }

    fn is_short(self) -> bool {
        self.digits <= 2
    }
}

/// Reads a text from its first byte to its last, and remembers what it found.
#[derive(Debug)]
struct Reader<'a> {
    rest: &'a [u8],
    numbers: [Number; 3],
    count: usize,
    month: Option<u32>,
    /// Microseconds since midnight.
    time: Option<i64>,
    /// Seconds east of UTC.
    zone: Option<i64>,
    separator: u8,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8]) -> Self {
        Reader {
            rest: text,
            numbers: [Number::default(); 3],
            count: 0,
            month: None,
            time: None,
            zone: None,
            separator: b' ',
        }
    }

    fn read(mut self) -> Option<i64> {
        // Anything longer is prose.
        if self.rest.len() > 100 {
            return None;
        }
        while let Some(&first) = self.rest.first() {
            match first {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => self.rest = &self.rest[1..],
                b'0'..=b'9' => self.digits()?,
                b'a'..=b'z' | b'A'..=b'Z' => self.word()?,
                b'+' | b'-' if self.is_before_zone() => self.offset()?,
                b'-' | b'/' | b'.' => self.separators()?,
                b'(' if self.zone.is_some() && self.rest.ends_with(b")") => self.rest = &[],
                _ => return None,
            }
        }
        if matches!(self.separator, b'-' | b'/') {
            return None;
        }
        let midnight = self.day()? * DAY * SECOND;
        let moment = midnight + self.time.unwrap_or(0) - self.zone.unwrap_or(0) * SECOND;
        let (first, last) = (valid(1, 1, 1)?, valid(9999, 12, 31)? + 1);
        let covered = first * DAY * SECOND..last * DAY * SECOND;
        covered.contains(&moment).then_some(moment)
    }

    fn is_before_zone(&self) -> bool {
        let is_signed = matches!(self.rest, [b'+' | b'-', b'0'..=b'9', ..]);
        let has_date = self.count == 3 || (self.month.is_some() && self.count == 2);
        is_signed
            && self.separator == b' '
            && (self.time.is_some() || (has_date && self.rest[0] == b'+'))
            && self.zone.is_none_or(|zone| zone == 0)
    }

    /// `+05:30`, `+0530`, `+05`.
    fn offset(&mut self) -> Option<()> {
        let sign = if self.rest[0] == b'-' { -1 } else { 1 };
        let (run, after) = run(&self.rest[1..]);
        let (hours, minutes, after) = match (run.len(), after) {
            (4, after) => {
                let (hours, rest) = fixed::<2>(run)?;
                (hours, fixed::<2>(rest)?.0, after)
            }
            (1 | 2, [b':', rest @ ..]) => {
                let (minutes, rest) = fixed::<2>(rest)?;
                (value(run), minutes, rest)
            }
            (1 | 2, after) => (value(run), 0, after),
            _ => return None,
        };
        if hours > 23 || minutes > 59 || after.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        self.zone = Some(sign * i64::from(hours * 3_600 + minutes * 60));
        self.rest = after;
        Some(())
    }

    /// Separators with blanks around them are one; the first says which.
    fn separators(&mut self) -> Option<()> {
        if self.count == 0 && self.month.is_none() && self.time.is_none() {
            return None;
        }
        if self.separator == b' ' {
            self.separator = self.rest[0];
        }
        let is_between = |b: &u8| matches!(b, b'-' | b'/' | b'.' | b' ' | b'\t');
        let end = self.rest.iter().position(|b| !is_between(b));
        self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
        Some(())
    }

    fn take_separator(&mut self) -> u8 {
        std::mem::replace(&mut self.separator, b' ')
    }

    /// A number of the date, or a time that begins with one.
    fn digits(&mut self) -> Option<()> {
        let (run, after) = run(self.rest);
        if after.first() == Some(&b':') {
            return self.time_of_day(run, after);
        }
        if run.len() <= 2 && self.time.is_none() && words::half_of_day(after).is_some() {
            return self.set_time(value(run), 0, 0, 0, after);
        }
        if self.count == 0 && self.month.is_none() && matches!(run.len(), 8 | 14) {
            return self.compact(run, after);
        }
        if run.len() > 4 || self.count == self.numbers.len() {
            return None;
        }
        self.numbers[self.count] = Number {
            value: value(run),
            digits: run.len(),
            separator: self.take_separator(),
        };
        self.count += 1;
        self.rest = words::without_ordinal(after);
        Some(())
    }

    /// `20240229` and `20240229235959`.
    fn compact(&mut self, run: &[u8], after: &'a [u8]) -> Option<()> {
        let (year, rest) = fixed::<4>(run)?;
        let (month, rest) = fixed::<2>(rest)?;
        let (day, rest) = fixed::<2>(rest)?;
        for (number, (value, digits)) in
            self.numbers
                .iter_mut()
                .zip([(year, 4), (month, 2), (day, 2)])
        {
            *number = Number {
                value,
                digits,
                separator: b'-',
            };
        }
        self.count = 3;
        self.rest = after;
        if rest.is_empty() {
            return Some(());
        }
        self.run_of_time(rest, after)
    }

    /// `2359`, `235959` and `23` without colons.
    fn run_of_time(&mut self, run: &[u8], after: &'a [u8]) -> Option<()> {
        let (hour, rest) = fixed::<2>(run)?;
        let (minute, rest) = if rest.is_empty() {
            (0, rest)
        } else {
            fixed::<2>(rest)?
        };
        let (second, rest) = if rest.is_empty() {
            (0, rest)
        } else {
            fixed::<2>(rest)?
        };
        if !rest.is_empty() {
            return None;
        }
        let (fraction, after) = match after {
            [b'.' | b',', digits @ ..] if run.len() == 6 => fraction(digits)?,
            after => (0, after),
        };
        self.set_time(hour, minute, second, fraction, after)
    }

    /// `23:59[:59[.123]]`; `after` begins with the first colon.
    fn time_of_day(&mut self, run: &[u8], after: &'a [u8]) -> Option<()> {
        let short = |text: &'a [u8]| {
            let (digits, rest) = self::run(text);
            (1..=2)
                .contains(&digits.len())
                .then(|| (value(digits), rest))
        };
        if run.len() > 2 {
            return None;
        }
        let (minute, rest) = short(&after[1..])?;
        let (second, rest) = match rest {
            [b':', rest @ ..] => short(rest)?,
            rest => return self.set_time(value(run), minute, 0, 0, rest),
        };
        let (fraction, rest) = match rest {
            [b'.' | b',', digits @ ..] if digits.first().is_some_and(u8::is_ascii_digit) => {
                fraction(digits)?
            }
            rest => (0, rest),
        };
        self.set_time(value(run), minute, second, fraction, rest)
    }

    fn set_time(
        &mut self,
        hour: u32,
        minute: u32,
        second: u32,
        fraction: i64,
        after: &'a [u8],
    ) -> Option<()> {
        if self.time.is_some() || !matches!(self.take_separator(), b' ' | b'.') {
            return None;
        }
        let (hour, after) = match words::half_of_day(after) {
            None => (hour, after),
            Some(_) if hour > 12 => return None,
            Some((is_afternoon, after)) => (hour % 12 + if is_afternoon { 12 } else { 0 }, after),
        };
        self.time = Some(clock(hour, minute, second, fraction)?);
        self.rest = after;
        Some(())
    }

    fn word(&mut self) -> Option<()> {
        let end = self.rest.iter().position(|b| !b.is_ascii_alphabetic());
        let (word, after) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = after;
        match words::meaning(word)? {
            Word::Month(month) if self.month.is_none() => {
                self.month = Some(month);
                self.take_separator();
            }
            Word::Month(_) => return None,
            Word::Filler => {
                self.take_separator();
            }
            Word::Zone(seconds) => {
                if self.zone.is_some() {
                    return None;
                }
                self.zone = Some(seconds);
            }
            Word::Time => {
                let (run, behind) = run(after);
                if self.count == 0 || run.is_empty() {
                    return None;
                }
                if behind.first() != Some(&b':') {
                    return self.run_of_time(run, behind);
                }
            }
        }
        Some(())
    }

    /// Days since 1970-01-01 of what was found.
    fn day(&self) -> Option<i64> {
        let numbers = &self.numbers[..self.count];
        let (year, month, day) = match (self.month, numbers) {
            (Some(month), numbers) => named(month, numbers)?,
            (None, [a, b, c]) => triple(*a, *b, *c)?,
            (None, [a, b]) => pair(*a, *b)?,
            (None, [a]) if a.digits == 4 && self.time.is_none() => (a.year()?, 1, 1),
            _ => return None,
        };
        valid(year, month, day)
    }
}

/// Year, month and day.
type Date = (i64, u32, u32);

/// Day and year, or the year alone, beside the name of a month.
fn named(month: u32, numbers: &[Number]) -> Option<Date> {
    match numbers {
        [year] if year.digits == 4 => Some((year.year()?, month, 1)),
        [year, day] if year.digits == 4 || year.value > 31 => {
            day.is_short().then_some((year.year()?, month, day.value))
        }
        [day, year] => day.is_short().then_some((year.year()?, month, day.value)),
        _ => None,
    }
}

fn triple(a: Number, b: Number, c: Number) -> Option<Date> {
    let is_joined = b.separator != b' ' && c.separator != b' ';
    if !b.is_short() || !(is_joined || a.digits == 4 || c.digits == 4) {
        return None;
    }
    if a.digits == 4 || (a.value > 31 && c.is_short()) {
        return c.is_short().then_some((a.year()?, b.value, c.value));
    }
    if !a.is_short() {
        return None;
    }
    let (month, day) = if a.value > 12 {
        (b.value, a.value)
    } else {
        (a.value, b.value)
    };
    Some((c.year()?, month, day))
}

/// `2024-02`, `02/2024`: the first of the month.
fn pair(a: Number, b: Number) -> Option<Date> {
    if !matches!(b.separator, b'-' | b'/') {
        return None;
    }
    match (a.digits, b.digits) {
        (4, 1 | 2) => Some((a.year()?, b.value, 1)),
        (1 | 2, 4) => Some((b.year()?, a.value, 1)),
        _ => None,
    }
}

fn run(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// Of at most four digits.
fn value(digits: &[u8]) -> u32 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
}

#[cfg(test)]
#[path = "moment_tests.rs"]
mod tests;
