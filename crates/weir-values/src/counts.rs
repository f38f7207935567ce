//! How often each value of a column is there: tables with 64-bit keys where
//! values have them, with bytes where they are text, and with the bytes of
//! Arrow's row format, which keep the order of values, for all the rest.

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::sync::Arc;
use weir_core::Result;

use crate::order::KeyKind;

mod groups;
mod window;

pub use groups::Key;
use window::Window;

/// How often each value is there.
pub struct Counts {
    data_type: DataType,
    table: Table,
    total: u64,
}

enum Table {
    Fixed(KeyKind, Fixed),
    Text(Bytes),
    Rows(RowConverter, Bytes),
}

/// A value and how often it is there.
#[derive(Debug, Clone)]
pub struct Top {
    /// The value, as an array of the column's type with one row.
    pub value: ArrayRef,
    /// How often it is there.
    pub count: u64,
}

/// Which of several values with the same count is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The smallest.
    Smallest,
    /// The one that came first.
    First,
}

impl Counts {
    /// Nothing yet, for a column of this type.
    pub fn new(data_type: &DataType) -> Result<Self> {
        let table = match (KeyKind::exact(data_type), data_type) {
            (Some(kind), _) => Table::Fixed(kind, Fixed::default()),
            (None, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                Table::Text(Bytes::default())
            }
            (None, other) => {
                let fields = vec![SortField::new(other.clone())];
                Table::Rows(RowConverter::new(fields)?, Bytes::default())
            }
        };
        Ok(Counts {
            data_type: data_type.clone(),
            table,
            total: 0,
        })
    }

    /// Adds the values that are `present`.
    pub fn push(&mut self, array: &ArrayRef, present: Option<&NullBuffer>) -> Result<()> {
        self.total += (array.len() - present.map_or(0, NullBuffer::null_count)) as u64;
        let is_there = |row: usize| present.is_none_or(|present| present.is_valid(row));
        match &mut self.table {
            Table::Fixed(kind, table) => {
                let wide = kind.wide(array)?;
                kind.each(&wide, |row, key| {
                    if is_there(row) {
                        table.add(key, 1);
                    }
                });
                table.look_for_window(self.total);
            }
            Table::Text(table) => table.push_texts(array, present),
            Table::Rows(converter, table) => {
                let rows = converter.convert_columns(&[Arc::clone(array)])?;
                for (row, bytes) in rows.iter().enumerate() {
                    if is_there(row) {
                        table.add(bytes.as_ref(), 1);
                    }
                }
            }
        }
        Ok(())
    }

    /// Values that were there, each as often as it was.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Different values.
    pub fn distinct(&self) -> usize {
        match &self.table {
            Table::Fixed(_, table) => table.entries.len(),
            Table::Text(table) | Table::Rows(_, table) => table.entries.len(),
        }
    }

    /// Bytes that the table holds.
    pub fn bytes(&self) -> usize {
        match &self.table {
            Table::Fixed(_, table) => {
                table.entries.capacity() * size_of::<(u64, u64)>()
                    + table.places.allocation_size()
                    + table.window.bytes()
            }
            Table::Text(table) | Table::Rows(_, table) => table.bytes(),
        }
    }

    /// The most frequent value; none of no values.
    pub fn top(&self, ties: Ties) -> Result<Option<Top>> {
        match &self.table {
            Table::Fixed(kind, table) => {
                let better = |best: &(u64, u64), next: &(u64, u64)| {
                    next.1 > best.1
                        || (next.1 == best.1 && ties == Ties::Smallest && next.0 < best.0)
                };
                let Some((key, count)) = best(table.entries.iter().copied(), better) else {
                    return Ok(None);
                };
                let value = kind.narrow(key, &self.data_type)?;
                Ok(Some(Top { value, count }))
            }
            Table::Text(table) => {
                let top = table.top(ties);
                Ok(top.map(|(bytes, count)| Top {
                    value: text(bytes, &self.data_type),
                    count,
                }))
            }
            Table::Rows(converter, table) => {
                let Some((bytes, count)) = table.top(ties) else {
                    return Ok(None);
                };
                let parser = converter.parser();
                let values = converter.convert_rows([parser.parse(bytes)])?;
                let value = Arc::clone(&values[0]);
                Ok(Some(Top { value, count }))
            }
        }
    }
}

/// The best by `better(best, next)`, the first one of those as good.
fn best<T>(items: impl Iterator<Item = T>, better: impl Fn(&T, &T) -> bool) -> Option<T> {
    items.reduce(|best, next| if better(&best, &next) { next } else { best })
}

fn text(bytes: &[u8], data_type: &DataType) -> ArrayRef {
    let text = String::from_utf8_lossy(bytes);
    match data_type {
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from(vec![text.as_ref()])),
        DataType::Utf8View => Arc::new(StringViewArray::from(vec![text.as_ref()])),
        _ => Arc::new(StringArray::from(vec![text.as_ref()])),
    }
}

/// Values of 64 bits, in the order in which they came.
#[derive(Default)]
struct Fixed {
    entries: Vec<(u64, u64)>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The place of the last one: the same value often comes again.
    last: usize,
    window: Window,
}

impl Fixed {
    fn add(&mut self, key: u64, count: u64) {
        if let Some(entry) = self.entries.get_mut(self.last)
            && entry.0 == key
        {
            entry.1 += count;
            return;
        }
        if let Some(slot) = self.window.slot(key) {
            if *slot == 0 {
                self.entries.push((key, 0));
                *slot = self.entries.len() as u32;
            }
            self.last = *slot as usize - 1;
            self.entries[self.last].1 += count;
            return;
        }
        let hash = self.hasher.hash_one(key);
        let entries = &mut self.entries;
        let place = self.places.find(hash, |at| entries[*at as usize].0 == key);
        self.last = match place {
            Some(at) => *at as usize,
            None => {
                let at = entries.len();
                entries.push((key, 0));
                let hasher = &self.hasher;
                self.places.insert_unique(hash, at as u32, |at| {
                    hasher.hash_one(entries[*at as usize].0)
                });
                at
            }
        };
        self.entries[self.last].1 += count;
    }
}

impl Fixed {
    /// Lays a window over the keys where they are close together, now and then,
    /// once `total` values were added.
    fn look_for_window(&mut self, total: u64) {
        if total < self.window.next_look.max(window::FROM) {
            return;
        }
        self.window.next_look = total.saturating_mul(2);
        let keys = self.entries.iter().map(|(key, _)| *key);
        let range = keys.fold(None, |range: Option<(u64, u64)>, key| {
            let (low, high) = range.unwrap_or((key, key));
            Some((low.min(key), high.max(key)))
        });
        let Some((low, high)) = range else {
            return;
        };
        if !self.window.lay(low, high, self.entries.len() as u64, total) {
            return;
        }
        for (place, (key, _)) in self.entries.iter().enumerate() {
            if let Some(slot) = self.window.slot(*key) {
                *slot = place as u32 + 1;
            }
        }
    }
}

/// Values of bytes, in the order in which they came.
#[derive(Default)]
struct Bytes {
    entries: Vec<Entry>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
    bytes: Vec<u8>,
    last: usize,
}

struct Entry {
    start: usize,
    end: usize,
    hash: u64,
    count: u64,
}

impl Bytes {
    fn push_texts(&mut self, array: &ArrayRef, present: Option<&NullBuffer>) {
        match array.data_type() {
            DataType::Utf8 => {
                let array: &StringArray = array.as_string();
                self.push_each(array.len(), present, |row| array.value(row).as_bytes());
            }
            DataType::LargeUtf8 => {
                let array: &LargeStringArray = array.as_string();
                self.push_each(array.len(), present, |row| array.value(row).as_bytes());
            }
            _ => {
                let array = array.as_string_view();
                self.push_each(array.len(), present, |row| array.value(row).as_bytes());
            }
        }
    }

    fn push_each<'a>(
        &mut self,
        rows: usize,
        present: Option<&NullBuffer>,
        value: impl Fn(usize) -> &'a [u8],
    ) {
        match present {
            None => (0..rows).for_each(|row| self.add(value(row), 1)),
            Some(present) => present
                .valid_indices()
                .for_each(|row| self.add(value(row), 1)),
        }
    }

    fn value(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.start..entry.end]
    }

    fn add(&mut self, value: &[u8], count: u64) {
        if let Some(entry) = self.entries.get(self.last)
            && self.value(entry) == value
        {
            self.entries[self.last].count += count;
            return;
        }
        let hash = self.hasher.hash_one(value);
        let (entries, bytes) = (&self.entries, &self.bytes);
        let is_same = |at: &u32| {
            let entry = &entries[*at as usize];
            entry.hash == hash && &bytes[entry.start..entry.end] == value
        };
        self.last = match self.places.find(hash, is_same) {
            Some(at) => *at as usize,
            None => {
                let at = entries.len();
                let start = self.bytes.len();
                self.bytes.extend_from_slice(value);
                let end = self.bytes.len();
                let count = 0;
                self.entries.push(Entry {
                    start,
                    end,
                    hash,
                    count,
                });
                let entries = &self.entries;
                let rehash = |at: &u32| entries[*at as usize].hash;
                self.places.insert_unique(hash, at as u32, rehash);
                at
            }
        };
        self.entries[self.last].count += count;
    }

    fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.places.allocation_size()
            + self.bytes.capacity()
    }

    fn top(&self, ties: Ties) -> Option<(&[u8], u64)> {
        let better = |best: &&Entry, next: &&Entry| {
            next.count > best.count
                || (next.count == best.count
                    && ties == Ties::Smallest
                    && self.value(next) < self.value(best))
        };
        let entry = best(self.entries.iter(), better)?;
        Some((self.value(entry), entry.count))
    }
}

/// Finds the most frequent value of a column that comes in ascending order, by
/// the lengths of its runs: the way for columns whose table is too large. Ties
/// go to the first, which is the smallest.
#[derive(Debug, Default)]
pub struct SortedRuns {
    open: Option<Top>,
    best: Option<Top>,
}

impl SortedRuns {
    /// Adds the next batch, in which no value is null.
    pub fn push(&mut self, array: &ArrayRef) -> Result<()> {
        if array.is_empty() {
            return Ok(());
        }
        let parts = arrow::compute::partition(&[Arc::clone(array)])?;
        for range in parts.ranges() {
            let value = array.slice(range.start, 1);
            let count = range.len() as u64;
            match &mut self.open {
                Some(open) if open.value.to_data() == value.to_data() => open.count += count,
                _ => {
                    self.close();
                    self.open = Some(Top { value, count });
                }
            }
        }
        // What stays open keeps no batch alive.
        if let Some(open) = &mut self.open {
            open.value = crate::fill::one(&open.value, 0)?;
        }
        if let Some(best) = &mut self.best {
            best.value = crate::fill::one(&best.value, 0)?;
        }
        Ok(())
    }

    fn close(&mut self) {
        let best = self.best.as_ref().map_or(0, |best| best.count);
        if let Some(open) = self.open.take().filter(|open| open.count > best) {
            self.best = Some(open);
        }
    }

    /// The most frequent value.
    pub fn top(mut self) -> Option<Top> {
        self.close();
        self.best
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
    };
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::missing::{Missing, present};

    fn top(array: ArrayRef, ties: Ties) -> Option<(ArrayRef, u64)> {
        let mut counts = Counts::new(array.data_type()).unwrap();
        let there = present(&array, Missing::Blanks);
        counts.push(&array, there.as_ref()).unwrap();
        assert!(counts.distinct() as u64 <= counts.total());
        let top = counts.top(ties).unwrap()?;
        assert_eq!(top.value.data_type(), array.data_type());
        Some((top.value, top.count))
    }

    fn is(array: ArrayRef, expected: ArrayRef, count: u64) {
        assert_eq!(top(array, Ties::Smallest), Some((expected, count)));
    }

    #[test]
    fn the_most_frequent_of_every_type() {
        let texts = vec![Some("b"), Some("a"), None, Some(" "), Some("b"), Some("a")];
        is(
            Arc::new(StringArray::from(texts.clone())),
            Arc::new(StringArray::from(vec!["a"])),
            2,
        );
        let first = top(Arc::new(StringViewArray::from(texts)), Ties::First).unwrap();
        let expected: ArrayRef = Arc::new(StringViewArray::from(vec!["b"]));
        assert_eq!(first, (expected, 2));
        is(
            Arc::new(Int64Array::from(vec![
                9_007_199_254_740_993,
                5,
                9_007_199_254_740_993,
            ])),
            Arc::new(Int64Array::from(vec![9_007_199_254_740_993])),
            2,
        );
        is(
            Arc::new(Float64Array::from(vec![
                Some(0.0),
                Some(-0.0),
                None,
                Some(-1.0),
            ])),
            Arc::new(Float64Array::from(vec![0.0])),
            2,
        );
        is(
            Arc::new(Date32Array::from(vec![3, -2, 3, -2])),
            Arc::new(Date32Array::from(vec![-2])),
            2,
        );
        is(
            Arc::new(BooleanArray::from(vec![true, false])),
            Arc::new(BooleanArray::from(vec![false])),
            1,
        );
        let money = |values: Vec<i128>| -> ArrayRef {
            Arc::new(
                Decimal128Array::from(values)
                    .with_precision_and_scale(30, 2)
                    .unwrap(),
            )
        };
        is(money(vec![150, -1, 150]), money(vec![150]), 2);
        let lists = |values: Vec<Vec<i64>>| -> ArrayRef {
            let rows = values.into_iter().map(|v| Some(v.into_iter().map(Some)));
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
        };
        is(
            lists(vec![vec![2], vec![], vec![2]]),
            lists(vec![vec![2]]),
            2,
        );
        assert!(top(Arc::new(Int64Array::from(vec![None, None])), Ties::First).is_none());
        assert!(top(Arc::new(StringArray::from(vec!["", " "])), Ties::First).is_none());
    }

    proptest! {
        #[test]
        fn tables_and_runs_find_the_same(
            values in prop::collection::vec(prop::option::of("[a-c]{0,2}"), 0..200),
            size in 1_usize..40,
        ) {
            let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
            for value in values.iter().flatten() {
                *expected.entry(value).or_default() += 1;
            }
            let most = expected.values().max().copied().unwrap_or(0);
            let winner = expected.iter().find(|(_, count)| **count == most);
            let mut counts = Counts::new(&DataType::Utf8).unwrap();
            for batch in values.chunks(size) {
                let array: ArrayRef = Arc::new(StringArray::from(batch.to_vec()));
                counts.push(&array, present(&array, Missing::Nulls).as_ref()).unwrap();
            }
            let found = counts.top(Ties::Smallest).unwrap();
            let text = |top: &Top| (top.value.as_string::<i32>().value(0).to_owned(), top.count);
            let winner = winner.map(|(value, count)| ((*value).to_owned(), *count));
            prop_assert_eq!(found.as_ref().map(text), winner.clone());
            prop_assert_eq!(counts.distinct(), expected.len());

            let mut sorted: Vec<&String> = values.iter().flatten().collect();
            sorted.sort();
            let mut runs = SortedRuns::default();
            for batch in sorted.chunks(size) {
                let array: ArrayRef = Arc::new(StringArray::from_iter_values(batch));
                runs.push(&array).unwrap();
            }
            prop_assert_eq!(runs.top().as_ref().map(text), winner);
        }
    }
}
