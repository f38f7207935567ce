//! The values of a table one by one, each with how often it is there.

use super::{Bytes, Counts, Fixed, Table, text};
use crate::order::{KeyKind, key_of};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::ops::Range;
use std::sync::Arc;
use weir_core::Result;

/// A value as it stands in a table. Keys of one table have the order of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// A value of up to 64 bits; see [`KeyKind`].
    Fixed(u64),
    /// A text, or a value in Arrow's row format.
    Bytes(&'a [u8]),
}

impl Counts {
    /// How values become keys, where those have 64 bits.
    pub fn key_kind(&self) -> Option<KeyKind> {
        match &self.table {
            Table::Fixed(kind, _) => Some(*kind),
            Table::Text(_) | Table::Rows(..) => None,
        }
    }

    /// Whether keys are texts.
    pub fn is_text(&self) -> bool {
        matches!(self.table, Table::Text(_))
    }

    /// The type of the values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Calls `take` with the values at these places, which are those of the order
    /// in which they came.
    pub fn each(&self, places: Range<usize>, mut take: impl FnMut(Key<'_>, u64)) {
        let places = places.start.min(self.distinct())..places.end.min(self.distinct());
        match &self.table {
            Table::Fixed(_, table) => {
                for (key, count) in &table.entries[places] {
                    take(Key::Fixed(*key), *count);
                }
            }
            Table::Text(table) | Table::Rows(_, table) => {
                for entry in &table.entries[places] {
                    take(Key::Bytes(table.value(entry)), entry.count);
                }
            }
        }
    }

    /// Adds a value `count` times; a key of another table of the same type.
    pub fn add(&mut self, key: Key<'_>, count: u64) {
        match (&mut self.table, key) {
            (Table::Fixed(_, table), Key::Fixed(key)) => table.add(key, count),
            (Table::Text(table) | Table::Rows(_, table), Key::Bytes(bytes)) => {
                table.add(bytes, count);
            }
            _ => return,
        }
        self.total += count;
    }

    /// The value of a key, as an array of the column's type with one row.
    pub fn value(&self, key: Key<'_>) -> Result<ArrayRef> {
        match (&self.table, key) {
            (Table::Fixed(kind, _), Key::Fixed(key)) => kind.narrow(key, &self.data_type),
            (Table::Rows(converter, _), Key::Bytes(bytes)) => {
                let values = converter.convert_rows([converter.parser().parse(bytes)])?;
                Ok(Arc::clone(&values[0]))
            }
            (_, Key::Bytes(bytes)) => Ok(text(bytes, &self.data_type)),
            (_, Key::Fixed(_)) => Ok(arrow::array::new_null_array(&self.data_type, 1)),
        }
    }

    /// Forgets the values, not how they become keys.
    pub fn clear(&mut self) {
        self.total = 0;
        match &mut self.table {
            Table::Fixed(_, table) => *table = Fixed::default(),
            Table::Text(table) | Table::Rows(_, table) => *table = Bytes::default(),
        }
    }

    /// The same values as floats; for whole numbers that turn out not to be.
    #[must_use]
    pub fn as_floats(&self) -> Counts {
        let mut table = Fixed::default();
        if let Table::Fixed(kind, whole) = &self.table {
            for (key, count) in &whole.entries {
                table.add(key_of(kind.value(*key).to_f64()), *count);
            }
        }
        Counts {
            data_type: DataType::Float64,
            table: Table::Fixed(KeyKind::Float, table),
            total: self.total,
        }
    }

    /// Keeps about `keep` values of the most frequent ones, and takes from each of
    /// them what those that go had at most, which is told (Misra and Gries, 1982):
    /// by so much the count of any value may be too low.
    pub fn keep_frequent(&mut self, keep: usize) -> u64 {
        let mut counts = Vec::with_capacity(self.distinct());
        self.each(0..usize::MAX, |_, count| counts.push(count));
        if counts.len() <= keep {
            return 0;
        }
        let most = *counts.select_nth_unstable_by(keep, |a, b| b.cmp(a)).1;
        drop(counts);
        match &mut self.table {
            Table::Fixed(_, table) => {
                let old = std::mem::take(table);
                for (key, count) in old.entries.into_iter().filter(|(_, count)| *count > most) {
                    table.add(key, count - most);
                }
            }
            Table::Text(table) | Table::Rows(_, table) => {
                let old = std::mem::take(table);
                for entry in old.entries.iter().filter(|entry| entry.count > most) {
                    table.add(old.value(entry), entry.count - most);
                }
            }
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};

    fn listed(counts: &Counts) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        counts.each(0..usize::MAX, |key, count| {
            let text = match key {
                Key::Fixed(key) => key.to_string(),
                Key::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            };
            found.push((text, count));
        });
        found
    }

    #[test]
    fn values_come_in_the_order_in_which_they_came() {
        let array: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", "b", "c"]));
        let mut counts = Counts::new(&DataType::Utf8).unwrap();
        counts.push(&array, None).unwrap();
        counts.add(Key::Bytes(b"a"), 5);
        let expected = [("b", 2), ("a", 6), ("c", 1)].map(|(text, n)| (text.to_owned(), n));
        assert_eq!(listed(&counts), expected);
        assert_eq!(counts.total(), 9);
        assert_eq!(counts.keep_frequent(1), 2);
        assert_eq!(listed(&counts), [("a".to_owned(), 4)]);
        counts.clear();
        assert_eq!((counts.distinct(), counts.total()), (0, 0));
    }

    #[test]
    fn whole_numbers_become_floats() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![-3, 3, -3]));
        let mut counts = Counts::new(&DataType::Int64).unwrap();
        counts.push(&array, None).unwrap();
        let floats = counts.as_floats();
        let mut found = Vec::new();
        floats.each(0..9, |key, count| {
            found.push((floats.value(key).unwrap(), count));
        });
        let one =
            |value: f64| -> ArrayRef { Arc::new(arrow::array::Float64Array::from(vec![value])) };
        assert_eq!(found, [(one(-3.0), 2), (one(3.0), 1)]);
    }
}
