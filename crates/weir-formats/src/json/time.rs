//! Dates, times and durations as ISO 8601, for every value the types can hold.
//!
//! The calendar is computed here rather than by a library, because Arrow's
//! range is wider than any library's and a value out of range must not panic.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Offset, TimeZone};

const DAY: i64 = 86_400;

/// How many of a unit make a second, and how many digits that is.
pub(super) fn per_second(unit: TimeUnit) -> (i64, usize) {
    match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic
/// Gregorian calendar: years of 400-year eras that start in March.
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

fn two(value: u32, out: &mut Vec<u8>) {
    out.push(b'0' + (value / 10 % 10) as u8);
    out.push(b'0' + (value % 10) as u8);
}

/// `digits` digits of `value`, zeros in front.
fn padded(mut value: u64, digits: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + digits, b'0');
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn year(value: i64, out: &mut Vec<u8>) {
    match value {
        0..=9999 => padded(value.unsigned_abs(), 4, out),
        _ => {
            // ISO 8601 wants a sign on years that have not four digits.
            out.push(if value < 0 { b'-' } else { b'+' });
            let mut buffer = itoa::Buffer::new();
            let digits = buffer.format(value.unsigned_abs());
            out.resize(out.len() + 4_usize.saturating_sub(digits.len()), b'0');
            out.extend_from_slice(digits.as_bytes());
        }
    }
}

/// `2024-02-29`.
pub(super) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (y, m, d) = civil(days);
    year(y, out);
    out.push(b'-');
    two(m, out);
    out.push(b'-');
    two(d, out);
}

/// `.250`: three, six or nine digits, as many as are needed.
fn fraction(value: i64, digits: usize, out: &mut Vec<u8>) {
    if value == 0 {
        return;
    }
    let (mut value, mut digits) = (value.unsigned_abs(), digits);
    while digits > 3 && value.is_multiple_of(1_000) {
        value /= 1_000;
        digits -= 3;
    }
    out.push(b'.');
    padded(value, digits, out);
}

/// `23:59:60.5`; hours run on past 24, as some sources know 24:00.
pub(super) fn write_time(value: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let (per, digits) = per_second(unit);
    if value < 0 {
        out.push(b'-');
    }
    let (seconds, part) = ((value / per).unsigned_abs(), value % per);
    let hours = seconds / 3_600;
    if hours < 100 {
        two(hours as u32, out);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(hours).as_bytes());
    }
    out.push(b':');
    two((seconds / 60 % 60) as u32, out);
    out.push(b':');
    two((seconds % 60) as u32, out);
    fraction(part, digits, out);
}

/// What follows the time of a timestamp.
#[derive(Debug, Clone)]
pub(super) enum Zone {
    /// Nothing: the timestamp names no zone.
    Naive,
    /// `Z`.
    Utc,
    /// The offset that holds at that moment.
    Named(Tz),
    /// A zone that is not known here; the time is given in UTC.
    Unknown,
}

impl Zone {
    pub(super) fn of(name: Option<&str>) -> Self {
        let Some(name) = name else {
            return Zone::Naive;
        };
        if ["UTC", "Z", "+00:00", "-00:00", "Etc/UTC", "GMT"].contains(&name) {
            return Zone::Utc;
        }
        name.parse().map_or(Zone::Unknown, Zone::Named)
    }

    /// Seconds east of UTC at that moment, if the zone is known and the
    /// moment is within what the zone's rules cover.
    fn offset(&self, seconds: i64) -> Option<i32> {
        let Zone::Named(tz) = self else {
            return None;
        };
        let utc = DateTime::from_timestamp(seconds, 0)?.naive_utc();
        // The zone's own arithmetic must stay in range after the shift.
        utc.checked_add_signed(chrono::TimeDelta::days(2))?;
        utc.checked_sub_signed(chrono::TimeDelta::days(2))?;
        Some(tz.offset_from_utc_datetime(&utc).fix().local_minus_utc())
    }
}

/// `2024-02-29T12:00:00.5+01:00`.
pub(super) fn write_timestamp(value: i64, unit: TimeUnit, zone: &Zone, out: &mut Vec<u8>) {
    let (per, digits) = per_second(unit);
    let (seconds, part) = (value.div_euclid(per), value.rem_euclid(per));
    let offset = zone.offset(seconds);
    let local = seconds.saturating_add(i64::from(offset.unwrap_or(0)));
    write_date(local.div_euclid(DAY), out);
    out.push(b'T');
    let clock = local.rem_euclid(DAY) as u32;
    two(clock / 3_600, out);
    out.push(b':');
    two(clock / 60 % 60, out);
    out.push(b':');
    two(clock % 60, out);
    fraction(part, digits, out);
    match (zone, offset) {
        (Zone::Naive, _) => {}
        (_, Some(offset)) => write_offset(offset, out),
        (_, None) => out.push(b'Z'),
    }
}

/// `2024-02-29 12:00:00`, of seconds since 1970 in UTC.
pub(crate) fn write_second(value: i64, out: &mut Vec<u8>) {
    write_date(value.div_euclid(DAY), out);
    out.push(b' ');
    let clock = value.rem_euclid(DAY) as u32;
    two(clock / 3_600, out);
    out.push(b':');
    two(clock / 60 % 60, out);
    out.push(b':');
    two(clock % 60, out);
}

fn write_offset(seconds: i32, out: &mut Vec<u8>) {
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let seconds = seconds.unsigned_abs();
    two(seconds / 3_600, out);
    out.push(b':');
    two(seconds / 60 % 60, out);
    // Local mean times of the nineteenth century have seconds.
    if !seconds.is_multiple_of(60) {
        out.push(b':');
        two(seconds % 60, out);
    }
}

fn component(value: i64, letter: u8, out: &mut Vec<u8>) {
    if value != 0 {
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        out.push(letter);
    }
}

/// Hours, minutes and seconds after a `T`, each with the sign of the whole.
fn clock_part(value: i64, per: i64, digits: usize, out: &mut Vec<u8>) {
    if value == 0 {
        return;
    }
    out.push(b'T');
    let seconds = value / per;
    component(seconds / 3_600, b'H', out);
    component(seconds / 60 % 60, b'M', out);
    let (whole, part) = (seconds % 60, value % per);
    if whole == 0 && part == 0 {
        return;
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(whole.unsigned_abs()).as_bytes());
    fraction(part, digits, out);
    out.push(b'S');
}

/// `PT1H30M0.250S`.
pub(super) fn write_duration(value: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let (per, digits) = per_second(unit);
    out.push(b'P');
    if value == 0 {
        out.extend_from_slice(b"T0S");
    }
    clock_part(value, per, digits, out);
}

/// `P1Y2M3DT4H`; every part carries its own sign.
pub(super) fn write_interval(months: i64, days: i64, nanos: i64, out: &mut Vec<u8>) {
    out.push(b'P');
    if months == 0 && days == 0 && nanos == 0 {
        out.extend_from_slice(b"T0S");
        return;
    }
    component(months / 12, b'Y', out);
    component(months % 12, b'M', out);
    component(days, b'D', out);
    clock_part(nanos, 1_000_000_000, 9, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn stamp(value: i64, unit: TimeUnit, zone: Option<&str>) -> String {
        text(|out| write_timestamp(value, unit, &Zone::of(zone), out))
    }

    proptest! {
        #[test]
        fn the_calendar_is_right(days in -90_000_000_i64..90_000_000) {
            let date = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::TimeDelta::days(days);
            prop_assert_eq!(civil(days), (i64::from(date.year()), date.month(), date.day()));
        }

        #[test]
        fn no_timestamp_panics(value in any::<i64>(), zone in prop::sample::select(vec![
            None, Some("UTC"), Some("Europe/Berlin"), Some("+14:00"), Some("nowhere"),
        ])) {
            for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
                stamp(value, unit, zone);
                text(|out| write_time(value, unit, out));
                text(|out| write_duration(value, unit, out));
            }
        }
    }

    #[test]
    fn timestamps_carry_their_zone() {
        let us = TimeUnit::Microsecond;
        assert_eq!(stamp(0, us, None), "1970-01-01T00:00:00");
        assert_eq!(
            stamp(1_500_000, us, Some("UTC")),
            "1970-01-01T00:00:01.500Z"
        );
        assert_eq!(stamp(-1, us, Some("+00:00")), "1969-12-31T23:59:59.999999Z");
        assert_eq!(
            stamp(0, us, Some("Europe/Berlin")),
            "1970-01-01T01:00:00+01:00"
        );
        assert_eq!(stamp(0, us, Some("-05:30")), "1969-12-31T18:30:00-05:30");
        assert_eq!(
            stamp(253_402_300_800, TimeUnit::Second, None),
            "+10000-01-01T00:00:00"
        );
        assert_eq!(
            stamp(-62_167_219_201, TimeUnit::Second, Some("UTC")),
            "-0001-12-31T23:59:59Z"
        );
        stamp(i64::MAX, TimeUnit::Second, Some("Europe/Berlin"));
        stamp(i64::MIN, TimeUnit::Second, Some("Europe/Berlin"));
    }

    #[test]
    fn times_and_spans() {
        let us = TimeUnit::Microsecond;
        assert_eq!(text(|o| write_time(86_400_000_000, us, o)), "24:00:00");
        assert_eq!(
            text(|o| write_time(3_661_000_001, us, o)),
            "01:01:01.000001"
        );
        assert_eq!(text(|o| write_duration(0, us, o)), "PT0S");
        assert_eq!(text(|o| write_duration(-1_500_000, us, o)), "PT-1.500S");
        assert_eq!(text(|o| write_duration(90_061_000_000, us, o)), "PT25H1M1S");
        assert_eq!(text(|o| write_interval(14, 3, 0, o)), "P1Y2M3D");
        assert_eq!(
            text(|o| write_interval(-14, 3, 4_000_000_000, o)),
            "P-1Y-2M3DT4S"
        );
        assert_eq!(
            text(|o| write_interval(0, 0, i64::MIN, o)),
            "PT-2562047H-47M-16.854775808S"
        );
        assert_eq!(
            text(|o| write_date(i64::from(i32::MAX), o)),
            "+5881580-07-11"
        );
    }
}
