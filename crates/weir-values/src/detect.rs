//! What a column means, found out from its first values: the type it is stored
//! as, its name, and how much of it looks like what. Batch after batch, in memory
//! that does not grow beyond a table of the different texts of the sample.

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use hashbrown::{DefaultHashBuilder, HashMap};
use serde::Serialize;
use weir_core::Result;

use crate::kinds::ColumnKind;
use crate::patterns;
use crate::texts::Texts;

/// Rows that are looked at.
pub const SAMPLE_ROWS: usize = 100_000;

/// Share of numbers that must look like phone numbers.
const NUMBER_SHARE: f64 = 0.8;

/// Share of texts that must look like mail addresses, phone numbers, postal
/// codes, lists.
const TEXT_SHARE: f64 = 0.3;

/// Share of texts that must look like dates.
const DATETIME_SHARE: f64 = 0.5;

/// Share of different texts from which on a column is text.
const DISTINCT_SHARE: f64 = 0.8;

/// Words of a text from which on, and beyond, a column is text.
const MAX_WORDS: usize = 40;

/// Different values of a category.
const MAX_CATEGORIES: usize = 255;

/// What a column means, and why.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Detected {
    /// What it means.
    #[serde(rename = "type")]
    pub kind: ColumnKind,
    /// The rule that fired.
    pub rule: &'static str,
    /// The share of the values that it holds for, from 0 to 1.
    pub confidence: f64,
}

impl Detected {
    /// What the caller says.
    pub fn given(kind: ColumnKind) -> Self {
        of(kind, "given", 1.0)
    }
}

fn of(kind: ColumnKind, rule: &'static str, confidence: f64) -> Detected {
    Detected {
        kind,
        rule,
        confidence,
    }
}

/// Finds out what a column means.
#[derive(Debug)]
pub struct Detector {
    name: String,
    data_type: DataType,
    rows: usize,
    seen: Seen,
}

#[derive(Debug)]
enum Seen {
    /// The stored type says it all.
    Stored(Detected),
    Numbers(NumbersSeen),
    Texts(Box<TextsSeen>),
}

impl Detector {
    /// For the column `name` of this type.
    pub fn new(name: &str, data_type: &DataType) -> Self {
        let stored = |kind| Seen::Stored(of(kind, "stored_type", 1.0));
        let seen = match data_type {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                stored(ColumnKind::Datetime)
            }
            DataType::Boolean => stored(ColumnKind::TrueOrFalse),
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_) => stored(ColumnKind::List),
            other if other.is_numeric() => Seen::Numbers(NumbersSeen::new(other)),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Seen::Texts(Box::default())
            }
            DataType::Dictionary(_, value) => return Detector::new(name, value),
            _ => stored(ColumnKind::Text),
        };
        Detector {
            name: name.to_lowercase(),
            data_type: data_type.clone(),
            rows: 0,
            seen,
        }
    }

    /// Looks at the next batch of the column; what is behind the sample does not
    /// count.
    pub fn push(&mut self, array: &ArrayRef) -> Result<()> {
        let left = SAMPLE_ROWS - self.rows;
        if left == 0 || matches!(self.seen, Seen::Stored(_)) {
            return Ok(());
        }
        let array = array.slice(0, array.len().min(left));
        self.rows += array.len();
        let array = if array.data_type() == &self.data_type {
            array
        } else {
            arrow::compute::cast(&array, &self.data_type)?
        };
        match &mut self.seen {
            Seen::Stored(_) => {}
            Seen::Numbers(seen) => seen.push(&array)?,
            Seen::Texts(seen) => {
                if let Some(texts) = Texts::of(&array) {
                    texts.iter().flatten().for_each(|text| seen.push(text));
                }
            }
        }
        Ok(())
    }

    /// Whether more rows change nothing.
    pub fn is_done(&self) -> bool {
        self.rows == SAMPLE_ROWS || matches!(self.seen, Seen::Stored(_))
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        match &self.seen {
            Seen::Texts(seen) => seen.distinct.allocation_size(),
            Seen::Stored(_) | Seen::Numbers(_) => 0,
        }
    }

    /// What the column means.
    pub fn finish(&self) -> Detected {
        match &self.seen {
            Seen::Stored(detected) => *detected,
            Seen::Numbers(seen) => seen.detected(&self.name),
            Seen::Texts(seen) => seen.detected(&self.name),
        }
    }
}

fn named(name: &str, words: &[&str]) -> bool {
    words.iter().any(|word| name.contains(word))
}

fn is_zip_name(name: &str) -> bool {
    named(name, &["zip", "postal", "postcode"])
}

#[derive(Debug)]
struct NumbersSeen {
    is_float: bool,
    count: u64,
    whole: u64,
    phones: u64,
    min: f64,
    max: f64,
    zeros: u64,
    ones: u64,
}

impl NumbersSeen {
    fn new(data_type: &DataType) -> Self {
        NumbersSeen {
            is_float: !data_type.is_integer(),
            count: 0,
            whole: 0,
            phones: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            zeros: 0,
            ones: 0,
        }
    }

    fn push(&mut self, array: &ArrayRef) -> Result<()> {
        let floats = arrow::compute::cast(array, &DataType::Float64)?;
        for value in floats.as_primitive::<Float64Type>().iter().flatten() {
            if !value.is_finite() {
                continue;
            }
            let is_whole = value.fract() == 0.0;
            self.count += 1;
            self.whole += u64::from(is_whole);
            self.phones += u64::from(is_whole && (1e9..1e12).contains(&value));
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            self.zeros += u64::from(value == 0.0);
            self.ones += u64::from(value == 1.0);
        }
        Ok(())
    }

    fn detected(&self, name: &str) -> Detected {
        let share = |part: u64| part as f64 / self.count as f64;
        if self.count == 0 {
            return match self.is_float {
                true => of(ColumnKind::NumberWithDecimals, "stored_type", 1.0),
                false => of(ColumnKind::Number, "stored_type", 1.0),
            };
        }
        let is_whole = self.whole == self.count;
        if name.contains("phone") && share(self.phones) >= NUMBER_SHARE {
            return of(ColumnKind::PhoneNumber, "phone_number", share(self.phones));
        }
        if is_zip_name(name) && is_whole && self.min >= 100.0 && self.max <= 99_999.0 {
            return of(ColumnKind::ZipCode, "zip_code", 1.0);
        }
        if self.zeros > 0 && self.ones > 0 && self.zeros + self.ones == self.count {
            return of(ColumnKind::TrueOrFalse, "zero_and_one", 1.0);
        }
        match is_whole {
            true => of(ColumnKind::Number, "whole_numbers", 1.0),
            false => of(ColumnKind::NumberWithDecimals, "numbers", 1.0),
        }
    }
}

/// What a text looks like.
#[derive(Debug, Clone, Copy, Default)]
struct Looks {
    boolean: bool,
    number: bool,
    integer: bool,
    fits: bool,
    datetime: bool,
    email: bool,
    phone: bool,
    zip: bool,
    list: bool,
    long: bool,
}

const BOOLEAN_WORDS: [&str; 12] = [
    "true", "false", "yes", "no", "y", "n", "t", "f", "1", "0", "on", "off",
];

impl Looks {
    fn of(text: &str) -> Self {
        let integer = patterns::is_integer(text);
        Looks {
            boolean: BOOLEAN_WORDS
                .iter()
                .any(|word| word.eq_ignore_ascii_case(text)),
            number: integer || patterns::is_number(text),
            integer,
            fits: !integer || fits(text),
            datetime: patterns::is_datetime(text),
            email: patterns::is_email(text),
            phone: patterns::is_phone_number(text),
            zip: patterns::is_zip_code(text),
            list: patterns::is_list(text),
            long: text.split_whitespace().nth(MAX_WORDS).is_some(),
        }
    }
}

/// Whether the digits before the point make a number of 64 bits.
fn fits(text: &str) -> bool {
    let whole = text.split('.').next().unwrap_or_default();
    let digits = whole.bytes().filter(u8::is_ascii_digit);
    let limit = match text.starts_with('-') {
        true => i64::MIN.unsigned_abs(),
        false => i64::MAX.unsigned_abs(),
    };
    let mut value = 0_u64;
    for digit in digits {
        let next = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit - b'0')));
        match next {
            Some(next) if next <= limit => value = next,
            _ => return false,
        }
    }
    true
}

#[derive(Debug, Default)]
struct TextsSeen {
    hasher: DefaultHashBuilder,
    /// What the texts look like, by their hashes.
    distinct: HashMap<u64, Looks>,
    count: u64,
    booleans: u64,
    numbers: u64,
    integers: u64,
    fitting: u64,
    datetimes: u64,
    emails: u64,
    phones: u64,
    zips: u64,
    lists: u64,
    long: u64,
}

/// Blanks and quotes around a text do not belong to it.
pub fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'')
}

impl TextsSeen {
    fn push(&mut self, text: &str) {
        let text = bare(text);
        if text.is_empty() {
            return;
        }
        let hash = self.hasher.hash_one(text);
        let looks = *self.distinct.entry(hash).or_insert_with(|| Looks::of(text));
        self.count += 1;
        self.booleans += u64::from(looks.boolean);
        self.numbers += u64::from(looks.number);
        self.integers += u64::from(looks.integer);
        self.fitting += u64::from(looks.fits);
        self.datetimes += u64::from(looks.datetime);
        self.emails += u64::from(looks.email);
        self.phones += u64::from(looks.phone);
        self.zips += u64::from(looks.zip);
        self.lists += u64::from(looks.list);
        self.long += u64::from(looks.long);
    }

    fn share(&self, part: u64) -> f64 {
        part as f64 / self.count as f64
    }

    fn detected(&self, name: &str) -> Detected {
        if self.count == 0 {
            return of(ColumnKind::Text, "nothing_written", 1.0);
        }
        if self.booleans == self.count {
            return of(ColumnKind::TrueOrFalse, "boolean_words", 1.0);
        }
        if self.numbers == self.count {
            return self.number(name);
        }
        let is_phone = named(name, &["phone", "landline"]);
        let rules = [
            (
                ColumnKind::Datetime,
                "dates",
                self.datetimes,
                DATETIME_SHARE,
                true,
            ),
            (ColumnKind::Email, "emails", self.emails, TEXT_SHARE, true),
            (
                ColumnKind::PhoneNumber,
                "phone_number",
                self.phones,
                TEXT_SHARE,
                is_phone,
            ),
            (
                ColumnKind::ZipCode,
                "zip_code",
                self.zips,
                TEXT_SHARE,
                is_zip_name(name),
            ),
            (ColumnKind::List, "lists", self.lists, TEXT_SHARE, true),
        ];
        let fired = rules
            .into_iter()
            .find(|(_, _, part, least, may)| *may && self.share(*part) >= *least);
        if let Some((kind, rule, part, ..)) = fired {
            return of(kind, rule, self.share(part));
        }
        let different = self.share(self.distinct.len() as u64);
        if different >= DISTINCT_SHARE {
            return of(ColumnKind::Text, "mostly_different", different);
        }
        if self.long > 0 {
            return of(ColumnKind::Text, "many_words", 1.0);
        }
        self.category()
    }

    fn number(&self, name: &str) -> Detected {
        if self.integers < self.count {
            return of(ColumnKind::NumberWithDecimals, "numbers", 1.0);
        }
        if named(name, &["phone", "landline"]) && self.share(self.phones) >= NUMBER_SHARE {
            let share = self.share(self.phones);
            return of(ColumnKind::PhoneNumber, "phone_number", share);
        }
        if is_zip_name(name) && self.share(self.zips) >= NUMBER_SHARE {
            return of(ColumnKind::ZipCode, "zip_code", self.share(self.zips));
        }
        if self.fitting < self.count {
            return self.category();
        }
        of(ColumnKind::Number, "whole_numbers", 1.0)
    }

    fn category(&self) -> Detected {
        let repeated = 1.0 - self.share(self.distinct.len() as u64);
        let kind = if self.distinct.len() <= MAX_CATEGORIES {
            ColumnKind::Category
        } else {
            ColumnKind::CategoryHighCardinality
        };
        of(kind, "repeated_values", repeated)
    }
}

/// What the column `name` means, by one array of it.
pub fn detect(name: &str, array: &ArrayRef) -> Result<Detected> {
    let mut detector = Detector::new(name, array.data_type());
    detector.push(array)?;
    Ok(detector.finish())
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
