//! Types of text columns: the narrowest one that every cell of the sample fits.

use arrow::datatypes::{DataType, TimeUnit};

use super::build::boolean;
use super::scalar;

const BOOL: u8 = 1;
const INT: u8 = 2;
const FLOAT: u8 = 4;
const DATE: u8 = 8;
const TIME: u8 = 16;
const MOMENT: u8 = 32;
const INSTANT: u8 = 64;
const ALL: u8 = 127;

/// What a column may still be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guess {
    fits: u8,
    seen: bool,
    has_digits: bool,
    /// Digits after the seconds.
    fraction: usize,
    /// The one offset that every instant has.
    offset: Option<Option<i32>>,
}

impl Default for Guess {
    fn default() -> Self {
        Guess {
            fits: ALL,
            seen: false,
            has_digits: false,
            fraction: 0,
            offset: None,
        }
    }
}

impl Guess {
    /// One more cell that is not null.
    pub(super) fn see(&mut self, text: &str) {
        self.seen = true;
        if self.fits == 0 {
            return;
        }
        let text = text.trim();
        self.fits &= match text.as_bytes().first() {
            Some(b'0'..=b'9') => number(text) | self.time(text),
            Some(b'-' | b'+' | b'.') => number(text) | self.time(text),
            Some(_) if boolean(text).is_some() => BOOL,
            Some(_) if is_odd_float(text) => FLOAT,
            _ => 0,
        };
        self.has_digits |= text.bytes().any(|byte| byte.is_ascii_digit());
    }

    fn time(&mut self, text: &str) -> u8 {
        if text.len() < 8 || !text.contains([':', '-']) {
            return 0;
        }
        if scalar::time(text, TimeUnit::Nanosecond).is_some() {
            let digits = text
                .split_once('.')
                .map_or(0, |(_, fraction)| fraction.len());
            self.fraction = self.fraction.max(digits);
            return TIME;
        }
        let Some(moment) = scalar::moment(text) else {
            return 0;
        };
        self.fraction = self.fraction.max(moment.digits);
        if moment.in_unit(self.unit()).is_none() {
            return 0;
        }
        let Some(offset) = moment.offset else {
            return if scalar::date(text).is_some() {
                DATE | MOMENT
            } else {
                MOMENT
            };
        };
        self.offset = match self.offset {
            None => Some(Some(offset)),
            Some(Some(known)) if known == offset => self.offset,
            Some(_) => Some(None),
        };
        INSTANT
    }

    fn unit(&self) -> TimeUnit {
        if self.fraction > 6 {
            TimeUnit::Nanosecond
        } else {
            TimeUnit::Microsecond
        }
    }

    /// Whether it is anything but text so far.
    pub(super) fn is_typed(&self) -> bool {
        self.seen && self.data_type() != DataType::Utf8
    }

    pub(super) fn data_type(&self) -> DataType {
        if !self.seen {
            return DataType::Utf8;
        }
        let fits = |bit: u8| self.fits & bit != 0;
        if fits(BOOL) {
            DataType::Boolean
        } else if fits(INT) {
            DataType::Int64
        } else if fits(FLOAT) && self.has_digits {
            DataType::Float64
        } else if fits(DATE) {
            DataType::Date32
        } else if fits(TIME) {
            DataType::Time64(self.unit())
        } else if fits(MOMENT) {
            DataType::Timestamp(self.unit(), None)
        } else if fits(INSTANT) {
            DataType::Timestamp(self.unit(), Some(self.zone().into()))
        } else {
            DataType::Utf8
        }
    }

    fn zone(&self) -> String {
        match self.offset.flatten() {
            Some(seconds) if seconds != 0 && seconds % 60 == 0 => {
                let sign = if seconds < 0 { '-' } else { '+' };
                let minutes = seconds.unsigned_abs() / 60;
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            _ => "UTC".to_owned(),
        }
    }
}

fn is_odd_float(text: &str) -> bool {
    matches!(text, "NaN" | "nan" | "inf" | "Inf" | "Infinity")
}

/// Numbers whose text comes back the same; `007` and `+49…` are text.
fn number(text: &str) -> u8 {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if matches!(digits, "inf" | "Infinity") {
        return FLOAT;
    }
    if text == "-0" {
        return FLOAT;
    }
    if !scalar::is_kept(text, false) {
        return 0;
    }
    if let Ok(value) = text.parse::<i64>() {
        return if value.unsigned_abs() > scalar::MAX_EXACT {
            INT
        } else {
            INT | FLOAT
        };
    }
    let is_float = digits.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
        && scalar::significant(text) <= scalar::FLOAT_DIGITS;
    if is_float { FLOAT } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cells: &[&str]) -> DataType {
        let mut guess = Guess::default();
        cells.iter().for_each(|cell| guess.see(cell));
        guess.data_type()
    }

    #[test]
    fn the_narrowest_type_that_loses_nothing() {
        use DataType::{Boolean, Date32, Float64, Int64, Time64, Timestamp, Utf8};
        let us = TimeUnit::Microsecond;
        let table: &[(&[&str], DataType)] = &[
            (&[], Utf8),
            (&["1", "-5", " 7 "], Int64),
            (&["9223372036854775807"], Int64),
            (&["9223372036854775808"], Utf8),
            (&["9007199254740993", "0.5"], Utf8),
            (&["1", "0.5", "1e-7", "-0"], Float64),
            (&["0.1234567890123456789"], Utf8),
            (&["007"], Utf8),
            (&["+4912345"], Utf8),
            (&["0", "1"], Int64),
            (&["true", "FALSE"], Boolean),
            (&["true", "1"], Utf8),
            (&["NaN", "1.5", "-inf"], Float64),
            (&["nan", "inf"], Utf8),
            (&["2024-02-29"], Date32),
            (&["2024-02-30"], Utf8),
            (&["2024-02-29", "2024-02-29 10:00:00"], Timestamp(us, None)),
            (
                &["2024-02-29T10:00:00.123456789"],
                Timestamp(TimeUnit::Nanosecond, None),
            ),
            (&["2024-02-29T10:00:00Z"], Timestamp(us, Some("UTC".into()))),
            (
                &["2024-02-29T10:00:00+05:30"],
                Timestamp(us, Some("+05:30".into())),
            ),
            (
                &["2024-02-29T10:00:00+05:30", "2024-02-29T10:00:00Z"],
                Timestamp(us, Some("UTC".into())),
            ),
            (&["2024-02-29T10:00:00Z", "2024-02-29T10:00:00"], Utf8),
            (&["10:00:00", "23:59:59.5"], Time64(us)),
            (&["12:30"], Utf8),
            (&["1", "x"], Utf8),
        ];
        for (cells, expected) in table {
            assert_eq!(of(cells), *expected, "{cells:?}");
        }
    }
}
