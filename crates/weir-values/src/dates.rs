//! Moments cut off to a part of the calendar, and written in a format of the
//! caller.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder, TimestampMicrosecondArray};
use chrono::DateTime;
use chrono::format::{Item, Numeric, Pad, StrftimeItems};
use weir_core::{Error, Result};

use crate::calendar::{SECOND, civil, days, push_two};
use crate::instants::DAY_MICROS;

/// A part of a date that it is cut off to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The second.
    Second,
    /// The minute.
    Minute,
    /// The hour.
    Hour,
    /// The day.
    Day,
    /// The Monday of its week.
    Week,
    /// The first of the month.
    Month,
    /// The first of the quarter.
    Quarter,
    /// The first of January.
    Year,
}

/// The moments cut off to the beginning of their `part`.
pub fn truncated(moments: &TimestampMicrosecondArray, part: Part) -> TimestampMicrosecondArray {
    let unit =
        |size: i64| moments.unary_opt(move |value| value.checked_sub(value.rem_euclid(size)));
    let day = |first: fn(i64) -> i64| {
        moments.unary_opt(move |value| first(value.div_euclid(DAY_MICROS)).checked_mul(DAY_MICROS))
    };
    match part {
        Part::Second => unit(SECOND),
        Part::Minute => unit(60 * SECOND),
        Part::Hour => unit(3_600 * SECOND),
        Part::Day => unit(DAY_MICROS),
        // The first day of 1970 was a Thursday.
        Part::Week => day(|day| day - (day + 3).rem_euclid(7)),
        Part::Month => day(|day| first_of(day, |month| month)),
        Part::Quarter => day(|day| first_of(day, |month| month - (month - 1) % 3)),
        Part::Year => day(|day| first_of(day, |_| 1)),
    }
}

/// The first day of the month that `begin` gives for the day's own.
fn first_of(day: i64, begin: fn(u32) -> u32) -> i64 {
    let (year, month, _) = civil(day);
    days(year, begin(month), 1)
}

/// Formats are no longer.
const MOST_BYTES: usize = 256;

/// A strftime format that is understood.
#[derive(Debug, Clone)]
pub struct Format {
    items: Vec<Item<'static>>,
    /// The same in plain parts, if it has no others.
    plain: Option<Vec<Plain>>,
}

/// A part of a format that needs no library to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plain {
    Text(String),
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

impl Plain {
    fn of(item: &Item<'_>) -> Option<Self> {
        let Item::Numeric(number, Pad::Zero) = item else {
            return match item {
                Item::Literal(text) | Item::Space(text) => Some(Plain::Text((*text).to_owned())),
                Item::OwnedLiteral(text) | Item::OwnedSpace(text) => {
                    Some(Plain::Text(text.to_string()))
                }
                _ => None,
            };
        };
        Some(match number {
            Numeric::Year => Plain::Year,
            Numeric::Month => Plain::Month,
            Numeric::Day => Plain::Day,
            Numeric::Hour => Plain::Hour,
            Numeric::Minute => Plain::Minute,
            Numeric::Second => Plain::Second,
            _ => return None,
        })
    }
}

/// Writes a moment of the years 0 to 9999 in plain parts.
fn push_plain(parts: &[Plain], moment: i64, out: &mut String) -> bool {
    let (year, month, day) = civil(moment.div_euclid(DAY_MICROS));
    let Ok(year @ 0..=9999) = u32::try_from(year) else {
        return false;
    };
    let second = (moment.rem_euclid(DAY_MICROS) / SECOND) as u32;
    for part in parts {
        match part {
            Plain::Text(text) => out.push_str(text),
            Plain::Year => {
                push_two(year / 100, out);
                push_two(year, out);
            }
            Plain::Month => push_two(month, out),
            Plain::Day => push_two(day, out),
            Plain::Hour => push_two(second / 3_600, out),
            Plain::Minute => push_two(second / 60 % 60, out),
            Plain::Second => push_two(second % 60, out),
        }
    }
    true
}

impl Format {
    /// Understands `format`: the codes of strftime, `%f` for six decimals of the
    /// second.
    ///
    /// # Errors
    ///
    /// An unknown code; the error has no pointer.
    pub fn new(format: &str) -> Result<Self> {
        if format.len() > MOST_BYTES {
            let message = format!("the format is longer than {MOST_BYTES} bytes");
            return Err(Error::invalid("", message));
        }
        // Python's %f is microseconds; a `%%` before it is no code.
        let mut spelled = String::with_capacity(format.len());
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            spelled.push_str(&rest[..at]);
            let code: String = rest[at..].chars().take(2).collect();
            spelled.push_str(if code == "%f" { "%6f" } else { &code });
            rest = &rest[at + code.len()..];
        }
        spelled.push_str(rest);
        let items: Vec<Item<'_>> = StrftimeItems::new(&spelled).collect();
        if items.contains(&Item::Error) {
            let message = "the format holds a `%` code that is unknown";
            return Err(Error::invalid("", message)
                .hint("codes are those of strftime, for example %Y-%m-%d %H:%M:%S; write %% for a percent sign"));
        }
        Ok(Format {
            plain: items.iter().map(Plain::of).collect(),
            items: items.into_iter().map(Item::to_owned).collect(),
        })
    }

    /// Writes any moment there is a year for.
    fn push(&self, value: i64, out: &mut String) -> bool {
        DateTime::from_timestamp_micros(value).is_some_and(|moment| {
            write!(out, "{}", moment.format_with_items(self.items.iter())).is_ok()
        })
    }

    /// The moments in this format, as of UTC; null beyond the years of 262,143.
    pub fn write(&self, moments: &TimestampMicrosecondArray) -> ArrayRef {
        let mut out = StringBuilder::with_capacity(moments.len(), moments.len() * 16);
        let mut text = String::new();
        for value in moments {
            text.clear();
            let is_written = value.is_some_and(|value| {
                let plain = self.plain.as_deref();
                plain.is_some_and(|plain| push_plain(plain, value, &mut text))
                    || self.push(value, &mut text)
            });
            out.append_option(is_written.then_some(text.as_str()));
        }
        Arc::new(out.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use proptest::prelude::*;

    fn cut(text: &str, part: Part) -> String {
        let moments = TimestampMicrosecondArray::from(vec![crate::moment::micros(text).unwrap()]);
        let made: ArrayRef = Arc::new(truncated(&moments, part));
        crate::convert::texts_of(&made)
            .unwrap()
            .as_string::<i32>()
            .value(0)
            .to_owned()
    }

    fn written(text: &str, format: &str) -> String {
        let moments = TimestampMicrosecondArray::from(vec![crate::moment::micros(text).unwrap()]);
        Format::new(format)
            .unwrap()
            .write(&moments)
            .as_string::<i32>()
            .value(0)
            .to_owned()
    }

    #[test]
    fn moments_are_cut_off() {
        let moment = "2024-08-15T13:45:59.5";
        for (part, expected) in [
            (Part::Second, "2024-08-15T13:45:59"),
            (Part::Minute, "2024-08-15T13:45:00"),
            (Part::Hour, "2024-08-15T13:00:00"),
            (Part::Day, "2024-08-15T00:00:00"),
            (Part::Week, "2024-08-12T00:00:00"),
            (Part::Month, "2024-08-01T00:00:00"),
            (Part::Quarter, "2024-07-01T00:00:00"),
            (Part::Year, "2024-01-01T00:00:00"),
        ] {
            assert_eq!(cut(moment, part), expected);
        }
        assert_eq!(
            cut("1850-06-01T12:34:56", Part::Hour),
            "1850-06-01T12:00:00"
        );
        assert_eq!(
            cut("1850-06-01T12:34:56", Part::Week),
            "1850-05-27T00:00:00"
        );
        assert_eq!(cut("2023-12-31", Part::Week), "2023-12-25T00:00:00");
        let ends = TimestampMicrosecondArray::from(vec![i64::MIN, i64::MAX]);
        for part in [Part::Second, Part::Week, Part::Year] {
            let _ = truncated(&ends, part);
        }
    }

    #[test]
    fn formats_are_those_of_strftime() {
        assert_eq!(
            written("2024-08-15T13:45:59", "%d.%m.%y %j %A %b"),
            "15.08.24 228 Thursday Aug"
        );
        assert_eq!(
            written("2024-08-15T13:45:59.25", "%H:%M:%S.%f %p %I"),
            "13:45:59.250000 PM 01"
        );
        assert_eq!(written("2024-08-15", "100%% %%f %z%Z"), "100% %f +0000UTC");
        assert_eq!(written("0001-01-01", "%Y-%m-%d"), "0001-01-01");
        assert_eq!(written("2024-08-15", "é€"), "é€");
        for bad in ["%Q", "%", "%Y %"] {
            assert!(Format::new(bad).is_err(), "{bad}");
        }
        let far = TimestampMicrosecondArray::from(vec![Some(i64::MAX), None]);
        assert_eq!(Format::new("%Y").unwrap().write(&far).null_count(), 2);
    }

    proptest! {
        #[test]
        fn plain_formats_are_those_of_the_library(value in -70_000_000_000_000_000_i64..300_000_000_000_000_000) {
            let format = Format::new("%Y-%m-%d at %H:%M:%S, %%").unwrap();
            prop_assert!(format.plain.is_some());
            let (mut plain, mut other) = (String::new(), String::new());
            if push_plain(format.plain.as_deref().unwrap(), value, &mut plain) {
                prop_assert!(format.push(value, &mut other));
                prop_assert_eq!(plain, other);
            }
        }

        #[test]
        fn no_format_is_too_odd(format in "(%[-_0]?[a-zA-Z%+:3]|.){0,5}", value: i64) {
            if let Ok(format) = Format::new(&format) {
                let _ = format.write(&TimestampMicrosecondArray::from(vec![value]));
            }
        }
    }
}
