//! The proleptic Gregorian calendar over plain integers, because Arrow's range
//! is wider than any library's and a value out of range must not panic.

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;

/// Days since 1970-01-01 of a date.
pub fn days(year: i64, month: u32, day: u32) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day counted from 1970-01-01; the days must be
/// within an `i32` or come from microseconds of an `i64`.
pub fn civil(days: i64) -> (i64, u32, u32) {
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

/// How many days the month has.
pub fn days_in(year: i64, month: u32) -> u32 {
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date that exists, in the years 1 to 9999.
pub fn valid(year: i64, month: u32, day: u32) -> Option<i64> {
    let exists = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && day >= 1
        && day <= days_in(year, month);
    exists.then(|| days(year, month, day))
}

/// `00` to `99`.
const PAIRS: &str = "0001020304050607080910111213141516171819\
    2021222324252627282930313233343536373839\
    4041424344454647484950515253545556575859\
    6061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

/// Writes the last two digits of a number.
pub fn push_two(value: u32, out: &mut String) {
    let at = (value % 100) as usize * 2;
    out.push_str(&PAIRS[at..at + 2]);
}

#[cfg(test)]
mod tests {
    use super::{civil, days, valid};
    use chrono::{Datelike, NaiveDate, TimeDelta};
    use proptest::prelude::*;

    #[test]
    fn pairs_of_digits_are_written() {
        for value in 0..100 {
            let mut out = String::new();
            super::push_two(value, &mut out);
            assert_eq!(out, format!("{value:02}"));
        }
    }

    #[test]
    fn only_dates_that_exist_are_valid() {
        assert_eq!(valid(1970, 1, 1), Some(0));
        assert_eq!(valid(2000, 2, 29), Some(11_016));
        for (year, month, day) in [
            (1900, 2, 29),
            (2020, 13, 1),
            (2020, 4, 31),
            (0, 1, 1),
            (10_000, 1, 1),
            (2020, 0, 1),
            (2020, 1, 0),
        ] {
            assert_eq!(valid(year, month, day), None, "{year}-{month}-{day}");
        }
    }

    proptest! {
        #[test]
        fn the_calendar_is_right(day in -90_000_000_i64..90_000_000) {
            let date = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + TimeDelta::days(day);
            prop_assert_eq!(civil(day), (i64::from(date.year()), date.month(), date.day()));
            prop_assert_eq!(days(i64::from(date.year()), date.month(), date.day()), day);
        }
    }
}
