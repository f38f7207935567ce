//! What values are made of: words of texts, domains of mail addresses, elements
//! of lists, moments of dates that are written as text.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::DataType;
use std::sync::Arc;
use weir_core::Result;
use weir_values::ColumnKind;
use weir_values::counts::Key;
use weir_values::detect::bare;
use weir_values::moment;
use weir_values::number::number;
use weir_values::order::key_of;
use weir_values::texts::is_text;
use weir_values::words::Words;

use super::tally::Tally;
use crate::steps::Env;

/// How long something is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spread {
    pub(super) count: u64,
    sum: u128,
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Spread {
    fn add(&mut self, length: u64, count: u64) {
        self.min = match self.count {
            0 => length,
            _ => self.min.min(length),
        };
        self.max = self.max.max(length);
        self.count += count;
        self.sum += u128::from(length) * u128::from(count);
    }

    /// The mean length; none of nothing.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

/// What values are made of.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) characters: Spread,
    pub(super) word_counts: Spread,
    pub(super) list_lengths: Spread,
    pub(super) words: Option<Tally>,
    pub(super) domains: Option<Tally>,
    pub(super) elements: Option<Tally>,
    pub(super) lengths: Option<Tally>,
    /// Of dates that are written as text, in microseconds.
    pub(super) moments: Option<Tally>,
    /// Of numbers that are counted as the texts they are.
    pub(super) numbers: Option<Tally>,
    finder: Words,
}

impl Parts {
    /// Those of a column.
    pub(super) fn new(
        kind: ColumnKind,
        data_type: &DataType,
        clean: bool,
        approximate: bool,
    ) -> Result<Self> {
        let tally = |data_type: &DataType| Tally::new(data_type, approximate).map(Some);
        let mut parts = Parts::default();
        let is_written = is_text(data_type);
        match kind {
            ColumnKind::List => {
                let element = match data_type {
                    DataType::List(item)
                    | DataType::LargeList(item)
                    | DataType::FixedSizeList(item, _) => item.data_type().clone(),
                    _ if is_written => DataType::Utf8,
                    _ => return Ok(parts),
                };
                parts.elements = tally(&element)?;
                parts.lengths = tally(&DataType::Int64)?;
            }
            ColumnKind::Datetime if is_written => parts.moments = tally(&DataType::Int64)?,
            ColumnKind::Number | ColumnKind::NumberWithDecimals if is_written && !clean => {
                parts.numbers = tally(&DataType::Float64)?;
            }
            ColumnKind::Email if is_written => {
                parts.words = tally(&DataType::Utf8)?;
                parts.domains = tally(&DataType::Utf8)?;
            }
            ColumnKind::Category
            | ColumnKind::CategoryHighCardinality
            | ColumnKind::Text
            | ColumnKind::PhoneNumber
            | ColumnKind::ZipCode
                if is_written =>
            {
                parts.words = tally(&DataType::Utf8)?;
            }
            _ => {}
        }
        Ok(parts)
    }

    /// Adds a text that is there `count` times.
    pub(super) fn add(&mut self, key: Key<'_>, count: u64) -> Result<()> {
        let Key::Bytes(bytes) = key else {
            return Ok(());
        };
        let Some(text) = self.text(bytes) else {
            return Ok(());
        };
        if let Some(words) = &mut self.words {
            self.characters.add(text.chars().count() as u64, count);
            let mut outcome = Ok(());
            let found = self.finder.each(text, |word| {
                if outcome.is_ok() {
                    outcome = words.add(Key::Bytes(word), count);
                }
            });
            outcome?;
            self.word_counts.add(found, count);
        }
        if let Some(domains) = &mut self.domains
            && let Some((_, domain)) = text.rsplit_once('@')
        {
            domains.add(Key::Bytes(domain.to_lowercase().as_bytes()), count)?;
        }
        if let Some(moments) = &mut self.moments
            && let Some(micros) = moment::micros(text)
        {
            moments.add(Key::Fixed(micros as u64 ^ 1 << 63), count)?;
        }
        if let Some(numbers) = &mut self.numbers
            && let Some(number) = number(text)
        {
            numbers.add(Key::Fixed(key_of(number)), count)?;
        }
        if let (Some(elements), Some(lengths)) = (&mut self.elements, &mut self.lengths) {
            let mut length = 0;
            for element in listed(text) {
                length += 1;
                elements.add(Key::Bytes(element.as_bytes()), count)?;
            }
            self.list_lengths.add(length, count);
            lengths.add(Key::Fixed(length ^ 1 << 63), count)?;
        }
        Ok(())
    }

    /// The text of a key, where something is made of texts.
    fn text<'a>(&self, bytes: &'a [u8]) -> Option<&'a str> {
        let is_written = |tally: &Tally| is_text(tally.data_type());
        let wanted = self.words.is_some()
            || self.moments.is_some()
            || self.numbers.is_some()
            || self.elements.as_ref().is_some_and(is_written);
        // Rows of other types are no text.
        wanted.then(|| std::str::from_utf8(bytes).ok()).flatten()
    }

    /// Adds lists that are stored as such.
    pub(super) fn push_lists(&mut self, array: &ArrayRef) -> Result<()> {
        let (Some(elements), Some(lengths)) = (&mut self.elements, &mut self.lengths) else {
            return Ok(());
        };
        let mut seen = Vec::with_capacity(array.len());
        let mut push = |values: &ArrayRef| {
            let there = values
                .logical_nulls()
                .filter(|nulls| nulls.null_count() > 0);
            elements.push(values, there.as_ref(), |_, _| {})
        };
        match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let offsets = lists.value_offsets();
                let there = (0..lists.len()).filter(|row| lists.is_valid(*row));
                for row in there.clone() {
                    seen.push(i64::from(offsets[row + 1] - offsets[row]));
                }
                match lists.null_count() {
                    0 => {
                        let (start, end) = (offsets[0] as usize, offsets[lists.len()] as usize);
                        push(&lists.values().slice(start, end - start))?;
                    }
                    _ => {
                        for row in there {
                            push(&lists.value(row))?;
                        }
                    }
                }
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
                    seen.push(lists.value_length(row));
                    push(&lists.value(row))?;
                }
            }
            DataType::FixedSizeList(..) => {
                let lists = array.as_fixed_size_list();
                for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
                    seen.push(i64::from(lists.value_length()));
                    push(&lists.value(row))?;
                }
            }
            _ => return Ok(()),
        }
        for length in &seen {
            self.list_lengths.add(length.unsigned_abs(), 1);
        }
        let seen: ArrayRef = Arc::new(Int64Array::from(seen));
        lengths.push(&seen, None, |_, _| {})
    }

    fn tallies(&mut self) -> impl Iterator<Item = &mut Tally> {
        let Parts {
            words,
            domains,
            elements,
            lengths,
            moments,
            numbers,
            ..
        } = self;
        [words, domains, elements, lengths, moments, numbers]
            .into_iter()
            .flatten()
    }

    /// Bytes that can be given up, and those that cannot.
    pub(super) fn bytes(&mut self) -> (usize, usize) {
        self.tallies().fold((0, 0), |(bytes, kept), tally| {
            (bytes + tally.bytes(), kept + tally.kept_bytes())
        })
    }

    /// Takes no more than `most` bytes.
    pub(super) async fn relieve(&mut self, most: usize, env: &Env) -> Result<()> {
        while self.bytes().0 > most {
            let largest = self.tallies().max_by_key(|tally| tally.bytes());
            match largest {
                Some(largest) if largest.is_approximate() => largest.sketch(|_, _| {})?,
                Some(largest) => largest.spill(env).await?,
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// The elements of a list that is written as text: what stands between commas,
/// outside of inner brackets and quotes.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    let inner = text
        .strip_prefix(['[', '('])
        .and_then(|rest| rest.strip_suffix([']', ')']))
        .unwrap_or(text);
    let (mut depth, mut quote) = (0_i32, None);
    let is_end = move |c: char| {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '(' | '{') => depth += 1,
            (None, ']' | ')' | '}') => depth -= 1,
            (None, ',') => return depth == 0,
            _ => {}
        }
        false
    };
    let is_empty = inner.trim().is_empty();
    inner.split(is_end).map(bare).filter(move |_| !is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_written_lists() {
        let list = |text| listed(text).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            list("[1, 'a', \"b,c\", [2, 3]]"),
            ["1", "a", "b,c", "[2, 3]"]
        );
        assert_eq!(list("(x)"), ["x"]);
        assert_eq!(list("[ ]"), Vec::<String>::new());
    }
}
