//! The forms in which a column of text writes its values: which case, with what
//! around numbers, and whether dates can be read.

use std::hash::BuildHasher;

use arrow::array::ArrayRef;
use hashbrown::{DefaultHashBuilder, HashMap};
use weir_values::texts::Texts;
use weir_values::{ColumnKind, moment, number, patterns};

/// Different values up to which a column is looked at for case.
const MOST_VALUES: usize = 1 << 16;

/// The forms of a column, as far as its kind makes them matter.
#[derive(Debug)]
pub(super) enum Forms {
    /// Nothing to look at.
    Any,
    Case(Box<Cases>),
    Numbers(Numbers),
    Dates(Dates),
}

/// What was seen of numbers in text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Numbers {
    /// Numbers with a currency, commas, brackets around.
    pub(super) dressed: u64,
    /// Numbers that are not read as amounts of money: `10%`.
    pub(super) others: u64,
    /// Texts that are no numbers at all.
    pub(super) words: u64,
}

impl Numbers {
    /// Whether a step can read all as the numbers that they are.
    pub(super) fn is_bare(&self) -> bool {
        self.dressed + self.others + self.words == 0
    }

    /// Whether reading them as amounts of money makes numbers of all that are,
    /// and of some that steps could not read before.
    pub(super) fn is_money(&self) -> bool {
        self.dressed + self.words > 0 && self.others == 0
    }
}

/// What was seen of dates in text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Dates {
    /// Texts that are read as dates.
    pub(super) read: u64,
}

/// Which letters a value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    Upper,
    Lower,
    /// Both, or none.
    Other,
}

/// What was seen of capitals and small letters. Values are told apart by hashes:
/// what might come of two that are alike is a needless suggestion.
#[derive(Debug, Default)]
pub(super) struct Cases {
    hasher: DefaultHashBuilder,
    /// By value.
    values: HashMap<u64, Letters>,
    /// By value in small letters, the first form in which it came.
    forms: HashMap<u64, u64>,
    upper: u64,
    lower: u64,
    differ: bool,
    is_full: bool,
}

impl Forms {
    /// Of a column of this kind; `is_text` where steps over text change it.
    pub(super) fn of(kind: ColumnKind, is_text: bool) -> Self {
        match kind {
            _ if !is_text => Forms::Any,
            ColumnKind::Category | ColumnKind::CategoryHighCardinality | ColumnKind::Text => {
                Forms::Case(Box::default())
            }
            ColumnKind::Number | ColumnKind::NumberWithDecimals => {
                Forms::Numbers(Numbers::default())
            }
            ColumnKind::Datetime => Forms::Dates(Dates::default()),
            ColumnKind::Email
            | ColumnKind::List
            | ColumnKind::PhoneNumber
            | ColumnKind::TrueOrFalse
            | ColumnKind::ZipCode => Forms::Any,
        }
    }

    /// The next values.
    pub(super) fn push(&mut self, column: &ArrayRef) {
        let Some(texts) = Texts::of(column) else {
            return;
        };
        let texts = texts.iter().flatten();
        match self {
            Forms::Any => {}
            Forms::Case(cases) => cases.push(texts),
            Forms::Numbers(seen) => texts.for_each(|text| seen.push(text)),
            Forms::Dates(seen) => {
                let read = texts.filter(|text| moment::micros(text).is_some());
                seen.read += read.count() as u64;
            }
        }
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Forms::Case(cases) => cases.values.allocation_size() + cases.forms.allocation_size(),
            Forms::Any | Forms::Numbers(_) | Forms::Dates(_) => 0,
        }
    }

    /// Looks no further.
    pub(super) fn give_up(&mut self) {
        if let Forms::Case(cases) = self {
            cases.give_up();
        }
    }
}

impl Numbers {
    fn push(&mut self, text: &str) {
        if number::number(text).is_some() || text.trim().is_empty() {
            return;
        }
        if number::currency(text).is_some() {
            self.dressed += 1;
        } else if patterns::is_number(text.trim()) {
            self.others += 1;
        } else {
            self.words += 1;
        }
    }
}

impl Cases {
    fn push<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        if self.is_full {
            return;
        }
        for text in texts {
            let hash = self.hasher.hash_one(text);
            let letters = match self.values.get(&hash) {
                Some(letters) => *letters,
                None => self.meet(hash, text),
            };
            self.upper += u64::from(letters == Letters::Upper);
            self.lower += u64::from(letters == Letters::Lower);
        }
        if self.values.len() > MOST_VALUES {
            self.give_up();
        }
    }

    /// A value that comes for the first time.
    fn meet(&mut self, hash: u64, text: &str) -> Letters {
        let trimmed = text.trim();
        let letters = match (
            trimmed.chars().any(char::is_uppercase),
            trimmed.chars().any(char::is_lowercase),
        ) {
            (true, false) => Letters::Upper,
            (false, true) => Letters::Lower,
            _ => Letters::Other,
        };
        self.values.insert(hash, letters);
        let form = self.hasher.hash_one(trimmed);
        let small = self.hasher.hash_one(trimmed.to_lowercase().as_str());
        let first = *self.forms.entry(small).or_insert(form);
        self.differ |= first != form;
        letters
    }

    fn give_up(&mut self) {
        *self = Cases {
            is_full: true,
            ..Cases::default()
        };
    }

    /// Where values differ by case alone: whether most of those with letters of
    /// one case are in capitals.
    pub(super) fn most_are_upper(&self) -> Option<bool> {
        self.differ.then_some(self.upper > self.lower)
    }
}
