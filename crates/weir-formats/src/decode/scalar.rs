//! Texts to numbers and moments. Each function gives `None` for what it cannot
//! hold exactly, so that no digit is lost on the way in.

use arrow::datatypes::{TimeUnit, i256};

const DAY: i64 = 86_400;

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A number of exactly two digits at the front.
fn two(text: &[u8]) -> Option<(i64, &[u8])> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', rest @ ..] => {
            Some((i64::from(a - b'0') * 10 + i64::from(b - b'0'), rest))
        }
        _ => None,
    }
}

/// `2024-02-29`, with a sign and more digits for years beyond four.
fn date_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        other => (0, other),
    };
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(4..=9).contains(&length) || (sign == 0 && length != 4) {
        return None;
    }
    let year = digits[..length]
        .iter()
        .fold(0_i64, |year, digit| year * 10 + i64::from(digit - b'0'));
    let year = if sign < 0 { -year } else { year };
    let (month, rest) = two(digits[length..].strip_prefix(b"-")?)?;
    let (day, rest) = two(rest.strip_prefix(b"-")?)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    Some((days(year, month, day), rest))
}

/// Days since 1970-01-01.
pub(super) fn date(text: &str) -> Option<i32> {
    let (days, rest) = date_prefix(text.as_bytes())?;
    if !rest.is_empty() {
        return None;
    }
    i32::try_from(days).ok()
}

/// Seconds, nanoseconds and how many digits the fraction had.
type Clock<'a> = (i64, i64, usize, &'a [u8]);

/// `23:59[:59[.123]]`
fn clock(text: &[u8]) -> Option<Clock<'_>> {
    let (hours, rest) = two(text)?;
    let (minutes, rest) = two(rest.strip_prefix(b":")?)?;
    if hours > 24 || minutes > 59 {
        return None;
    }
    let whole = hours * 3_600 + minutes * 60;
    let Some(rest) = rest.strip_prefix(b":") else {
        return Some((whole, 0, 0, rest));
    };
    let (seconds, rest) = two(rest)?;
    if seconds > 59 {
        return None;
    }
    let [b'.' | b',', fraction @ ..] = rest else {
        return Some((whole + seconds, 0, 0, rest));
    };
    let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > 9 {
        return None;
    }
    let given = fraction[..digits].iter().map(|digit| digit - b'0');
    let places = given.chain(std::iter::repeat(0)).take(9);
    let nanos = places.fold(0_i64, |nanos, digit| nanos * 10 + i64::from(digit));
    Some((whole + seconds, nanos, digits, &fraction[digits..]))
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn in_unit(seconds: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    let per = per_second(unit);
    let step = 1_000_000_000 / per;
    if nanos % step != 0 {
        return None;
    }
    let whole = i128::from(seconds) * i128::from(per) + i128::from(nanos / step);
    i64::try_from(whole).ok()
}

/// A time of day with seconds.
pub(super) fn time(text: &str, unit: TimeUnit) -> Option<i64> {
    let (seconds, nanos, _, rest) = clock(text.as_bytes())?;
    if !rest.is_empty() || text.len() < 8 || seconds >= DAY {
        return None;
    }
    in_unit(seconds, nanos, unit)
}

/// A moment as it was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    /// Seconds since 1970, in UTC where an offset was written.
    seconds: i64,
    nanos: i64,
    /// Digits of the fraction.
    pub(super) digits: usize,
    /// Seconds east of UTC.
    pub(super) offset: Option<i32>,
}

impl Moment {
    pub(super) fn in_unit(&self, unit: TimeUnit) -> Option<i64> {
        in_unit(self.seconds, self.nanos, unit)
    }
}

/// `2024-02-29T12:00[:00[.5]][Z|+01:00]`, or with a blank for the `T`; a date
/// alone is its midnight.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let (days, rest) = date_prefix(text.as_bytes())?;
    let midnight = Moment {
        seconds: days.checked_mul(DAY)?,
        nanos: 0,
        digits: 0,
        offset: None,
    };
    let [b'T' | b't' | b' ', rest @ ..] = rest else {
        return rest.is_empty().then_some(midnight);
    };
    let (seconds, nanos, digits, rest) = clock(rest)?;
    let offset = offset(rest)?;
    Some(Moment {
        seconds: midnight.seconds + seconds - i64::from(offset.unwrap_or(0)),
        nanos,
        digits,
        offset,
    })
}

/// Nothing, `Z`, `+01`, `+0100`, `+01:00`, `+01:00:30`, with a blank before it or not.
fn offset(text: &[u8]) -> Option<Option<i32>> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, rest) = match text {
        [] => return Some(None),
        b"Z" | b"z" | b"UTC" => return Some(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, mut rest) = two(rest)?;
    let mut seconds = hours * 3_600;
    for worth in [60, 1] {
        if rest.is_empty() {
            break;
        }
        let (part, after) = two(rest.strip_prefix(b":").unwrap_or(rest))?;
        if part > 59 {
            return None;
        }
        seconds += part * worth;
        rest = after;
    }
    (rest.is_empty() && hours < 24).then(|| Some(sign * seconds as i32))
}

/// Months, days and nanoseconds of an ISO 8601 duration such as `P1Y2M3DT4H5M6.7S`.
pub(super) fn interval(text: &str) -> Option<(i32, i32, i64)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut rest = text.strip_prefix('P')?;
    let (mut months, mut days, mut nanos) = (0_i64, 0_i64, 0_i128);
    let mut is_clock = false;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            is_clock = true;
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = (&rest[..end], rest.as_bytes()[end]);
        rest = &rest[end + 1..];
        let whole = || number.parse::<i64>().ok();
        let clock = |seconds: i128| Some(i128::from(whole()?) * seconds * 1_000_000_000);
        match (unit, is_clock) {
            (b'Y', false) => months = months.checked_add(whole()?.checked_mul(12)?)?,
            (b'M', false) => months = months.checked_add(whole()?)?,
            (b'W', false) => days = days.checked_add(whole()?.checked_mul(7)?)?,
            (b'D', false) => days = days.checked_add(whole()?)?,
            (b'H', true) => nanos += clock(3_600)?,
            (b'M', true) => nanos += clock(60)?,
            (b'S', true) => nanos += decimal(number, 9)?,
            _ => return None,
        }
    }
    let narrow = |value: i64| i32::try_from(value * negative).ok();
    let nanos = i64::try_from(nanos * i128::from(negative)).ok()?;
    Some((narrow(months)?, narrow(days)?, nanos))
}

/// An exact length of time.
pub(super) fn duration(text: &str, unit: TimeUnit) -> Option<i64> {
    let (months, days, nanos) = interval(text)?;
    if months != 0 {
        return None;
    }
    let nanos = i128::from(nanos) + i128::from(days) * i128::from(DAY) * 1_000_000_000;
    let step = i128::from(1_000_000_000 / per_second(unit));
    if nanos % step != 0 {
        return None;
    }
    i64::try_from(nanos / step).ok()
}

/// Sign, digits and the power of ten of a decimal number.
fn parts(text: &str) -> Option<(bool, String, i32)> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let negative = number.starts_with('-');
    let number = number.strip_prefix(['-', '+']).unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 200 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let power = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    Some((negative, digits, power))
}

/// The digits of `text` as a whole number of `scale` decimal places.
fn scaled(text: &str, scale: i8) -> Option<(bool, String)> {
    let (negative, mut digits, power) = parts(text)?;
    let shift = power.checked_add(i32::from(scale))?;
    if shift >= 0 {
        if digits.bytes().all(|b| b == b'0') {
            return Some((negative, "0".to_owned()));
        }
        let zeros = usize::try_from(shift).ok().filter(|zeros| *zeros <= 80)?;
        digits.extend(std::iter::repeat_n('0', zeros));
        return Some((negative, digits));
    }
    let cut = usize::try_from(-shift).ok()?;
    let keep = digits.len().saturating_sub(cut);
    if digits.as_bytes()[keep..].iter().any(|b| *b != b'0') {
        return None;
    }
    digits.truncate(keep);
    if digits.is_empty() {
        digits.push('0');
    }
    Some((negative, digits))
}

/// A decimal of `scale` places, as its whole number.
pub(super) fn decimal(text: &str, scale: i8) -> Option<i128> {
    let (negative, digits) = scaled(text, scale)?;
    let value = digits.parse::<i128>().ok()?;
    Some(if negative { -value } else { value })
}

/// As [`decimal`], for more digits.
pub(super) fn decimal256(text: &str, scale: i8) -> Option<i256> {
    let (negative, digits) = scaled(text, scale)?;
    let digits = digits.trim_start_matches('0');
    if digits.len() > 77 {
        return None;
    }
    let digits = if digits.is_empty() { "0" } else { digits };
    let value = i256::from_string(digits)?;
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// Digits that count, before and after the point: `Some((2, 1))` for `-12.5`.
pub(super) fn places(text: &str) -> Option<(usize, usize)> {
    let (_, digits, power) = parts(text)?;
    let digits = digits.trim_start_matches('0');
    let length = i64::try_from(digits.len()).ok()?;
    let after = usize::try_from(-i64::from(power)).unwrap_or(0);
    let before = usize::try_from(length + i64::from(power)).unwrap_or(0);
    Some((before, after))
}

/// Digits that count at all, zeros at the end of a fraction left out.
pub(super) fn significant(text: &str) -> usize {
    let Some((_, digits, power)) = parts(text) else {
        return usize::MAX;
    };
    let digits = digits.trim_start_matches('0');
    if power < 0 {
        digits.trim_end_matches('0').len()
    } else {
        digits.len()
    }
}

/// Digits that a float keeps of every number that a program printed.
pub(super) const FLOAT_DIGITS: usize = 17;

/// The largest integer a float holds exactly.
pub(super) const MAX_EXACT: u64 = 1 << 53;

/// Whether a number of this type gives back the text it came from: `007` and
/// `+5` do not, nor does a float with more digits than it has.
pub(super) fn is_kept(text: &str, is_float: bool) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if matches!(digits, [b'0', b'0'..=b'9', ..] | [b'+', ..]) {
        return false;
    }
    if !is_float || digits.len() < 16 {
        return true;
    }
    match text.parse::<i64>() {
        Ok(value) => value.unsigned_abs() <= MAX_EXACT,
        Err(_) => significant(text) <= FLOAT_DIGITS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_as_written() {
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2000-02-29"), Some(11_016));
        assert_eq!(date("0001-01-01"), Some(-719_162));
        for bad in [
            "2023-02-29",
            "2023-13-01",
            "2023-1-1",
            "2023-00-10",
            "23-01-01",
            "2023-01-01x",
            "",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
        assert_eq!(time("00:00:01.5", TimeUnit::Microsecond), Some(1_500_000));
        assert_eq!(time("00:00:00.0000001", TimeUnit::Microsecond), None);
        let utc = moment("1970-01-01T01:00:00+01:00").unwrap();
        assert_eq!(
            (utc.in_unit(TimeUnit::Second), utc.offset),
            (Some(0), Some(3_600))
        );
        assert_eq!(moment("1970-01-01 00:00").unwrap().offset, None);
        assert_eq!(moment("1970-01-01 00:00:00Z").unwrap().offset, Some(0));
        assert_eq!(moment("1970-01-01T25:00:00"), None);
    }

    #[test]
    fn decimals_lose_no_digit() {
        assert_eq!(decimal("123.45", 2), Some(12_345));
        assert_eq!(decimal("-0.05", 2), Some(-5));
        assert_eq!(decimal("1.50", 1), Some(15));
        assert_eq!(decimal("1.55", 1), None);
        assert_eq!(decimal("1e3", 0), Some(1_000));
        assert_eq!(decimal("12.5e-1", 2), Some(125));
        assert_eq!(decimal("7000", -3), Some(7));
        assert_eq!(decimal("1e999999999", 0), None);
        assert_eq!(decimal("x", 0), None);
        assert_eq!(
            decimal256(&format!("-{}", i256::MAX), 0),
            Some(i256::MAX.wrapping_neg())
        );
        assert_eq!(
            (places("-12.5"), places("0.001"), places("1e3")),
            (Some((2, 1)), Some((0, 3)), Some((4, 0)))
        );
        assert_eq!(
            (significant("1.500"), significant("0.1"), significant("100")),
            (2, 1, 3)
        );
    }

    #[test]
    fn durations_have_signs_and_fractions() {
        assert_eq!(
            interval("P1Y2M3DT4H5M6.7S"),
            Some((14, 3, 14_706_700_000_000))
        );
        assert_eq!(interval("-P1D"), Some((0, -1, 0)));
        assert_eq!(interval("PT-0.000000001S"), Some((0, 0, -1)));
        assert_eq!(duration("PT1.5S", TimeUnit::Millisecond), Some(1_500));
        for bad in ["", "P", "P1", "PT1Y", "1D", "P1.5D"] {
            assert_eq!(interval(bad), None, "{bad}");
        }
    }
}
