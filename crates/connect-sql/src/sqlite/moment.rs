//! Dates and times in the forms that SQLite defines: text (ISO 8601 with a space or
//! a `T`, a zone or none), a real that is a Julian day, an integer that is seconds
//! since 1970. Years are 0 to 9999, as in SQLite.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Timelike};

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

/// The Julian day at which 1970 begins.
const JULIAN_1970: f64 = 2_440_587.5;

/// The first and the last second that SQLite knows.
const SECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// Microseconds since 1970, in UTC where the text has a zone. What is finer is cut.
pub fn parse(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let day = days(date)?;
    let micros = match rest.strip_prefix(['T', ' ']) {
        Some(rest) => {
            let (time, offset) = zone(rest.trim_start())?;
            time_of_day(time)? - offset
        }
        None if rest.trim().is_empty() => 0,
        None => return None,
    };
    Some(i64::from(day) * DAY + micros)
}

/// Days since 1970 of `2024-12-31`.
fn days(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(digits(&bytes[..4])?).ok()?,
        digits(&bytes[5..7])?,
        digits(&bytes[8..])?,
    )?;
    let epoch = NaiveDate::default();
    i32::try_from(date.signed_duration_since(epoch).num_days()).ok()
}

fn digits(bytes: &[u8]) -> Option<u32> {
    let add = |number: u32, byte: &u8| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    };
    (!bytes.is_empty()).then(|| bytes.iter().try_fold(0, add))?
}

/// The time, and the microseconds that its zone is before UTC.
fn zone(text: &str) -> Option<(&str, i64)> {
    let text = text.trim_end();
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time.trim_end(), 0));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, 0));
    };
    let (time, offset) = text.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (digits(hours.as_bytes())?, digits(minutes.as_bytes())?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let micros = i64::from(hours * 60 + minutes) * 60_000_000;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    Some((time.trim_end(), sign * micros))
}

/// Microseconds of `12:30`, `12:30:15` or `12:30:15.25`.
pub fn time_of_day(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 5 || bytes[2] != b':' {
        return None;
    }
    let (hour, minute) = (digits(&bytes[..2])?, digits(&bytes[3..5])?);
    let mut second = 0;
    let mut micros = 0;
    if bytes.len() > 5 {
        if bytes.len() < 8 || bytes[5] != b':' {
            return None;
        }
        second = digits(&bytes[6..8])?;
        if let Some((point, fraction)) = bytes[8..].split_first() {
            if *point != b'.' || fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
                return None;
            }
            for place in 0..6 {
                let digit = fraction.get(place).map_or(0, |byte| byte - b'0');
                micros = micros * 10 + i64::from(digit);
            }
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(i64::from(hour * 3_600 + minute * 60 + second) * 1_000_000 + micros)
}

/// Microseconds since 1970 of a Julian day, which SQLite keeps to a millisecond.
pub fn of_julian(day: f64) -> Option<i64> {
    if !(0.0..5_373_484.5).contains(&day) {
        return None;
    }
    let millis = ((day - JULIAN_1970) * 86_400_000.0).round();
    Some(millis as i64 * 1_000)
}

/// Microseconds since 1970 of seconds since then.
pub fn of_seconds(seconds: i64) -> Option<i64> {
    SECONDS.contains(&seconds).then(|| seconds * 1_000_000)
}

/// Appends `2024-12-31`; false where SQLite knows no such date.
pub fn write_date(days: i64, out: &mut String) -> bool {
    let Some(at) = days.checked_mul(86_400).filter(|at| SECONDS.contains(at)) else {
        return false;
    };
    let Some(at) = DateTime::from_timestamp(at, 0) else {
        return false;
    };
    write!(out, "{}", at.format("%Y-%m-%d")).is_ok()
}

/// Appends `12:30:15`, with six places where there is a fraction.
pub fn write_time(micros: i64, out: &mut String) -> bool {
    let seconds = micros.div_euclid(1_000_000);
    let Ok(seconds) = u32::try_from(seconds) else {
        return false;
    };
    let fraction = micros.rem_euclid(1_000_000) as u32;
    let Some(time) = chrono::NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0) else {
        return false;
    };
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let done = write!(out, "{hour:02}:{minute:02}:{second:02}").is_ok();
    done && (fraction == 0 || write!(out, ".{fraction:06}").is_ok())
}

/// Appends date and time.
pub fn write_timestamp(micros: i64, out: &mut String) -> bool {
    if !write_date(micros.div_euclid(DAY), out) {
        return false;
    }
    out.push(' ');
    write_time(micros.rem_euclid(DAY), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_sqlite_are_read() {
        let half = 1_704_164_645_500_000;
        for (text, expected) in [
            ("2024-01-02", 1_704_153_600_000_000),
            ("2024-01-02 03:04", 1_704_164_640_000_000),
            ("2024-01-02T03:04:05.5", half),
            ("2024-01-02 03:04:05.5000009", half),
            ("2024-01-02 04:04:05.5+01:00", half),
            ("2024-01-01 22:04:05.5 -05:00", half),
            ("2024-01-02 03:04:05.5Z", half),
            ("0000-01-01", *SECONDS.start() * 1_000_000),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "now",
            "2024-1-2",
            "2024-02-30",
            "2024-01-02x",
            "2024-01-02 25:00",
            "2024-01-02 3:4",
            "2024-01-02 03:04:5",
            "2024-01-02 03:04:05.",
            "2024-01-02 03:04+1",
            "ääääää-01-02",
            "2024-01-02 24:00:00",
            "2024-01-0ä",
            "+024-01-02",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(of_julian(2_460_310.5), parse("2024-01-01"));
        assert_eq!(of_julian(f64::NAN), None);
        assert_eq!(of_seconds(1_704_067_200), parse("2024-01-01"));
        assert_eq!(of_seconds(i64::MAX), None);
    }

    #[test]
    fn what_is_written_reads_back() {
        for micros in [0, -1, 1, 1_704_164_645_500_000, 253_402_300_799_999_999] {
            let mut text = String::new();
            assert!(write_timestamp(micros, &mut text));
            assert_eq!(parse(&text), Some(micros), "{text}");
        }
        let mut text = String::new();
        assert!(!write_timestamp(i64::MAX, &mut text) && !write_timestamp(i64::MIN, &mut text));
        assert!(!write_time(DAY, &mut text));
    }
}
