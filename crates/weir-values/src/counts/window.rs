//! Where keys are close together they are found by their distance from the
//! first one, without a hash.

/// Values from which on a window is worth its memory.
pub(super) const FROM: u64 = 1 << 14;

/// Keys of a window at most.
const MOST: u64 = 1 << 22;

/// Keys of a window for each different value that is there.
const PER_VALUE: u64 = 8;

/// Values for each key of a window, where different values are fewer.
const PER_KEY: u64 = 64;

/// Places of keys from `base` on, plus one; 0 of keys that have not come.
#[derive(Default)]
pub(super) struct Window {
    base: u64,
    slots: Vec<u32>,
    /// How many values must be there for another look.
    pub(super) next_look: u64,
}

impl Window {
    /// The slot of the key, if it falls into the window.
    pub(super) fn slot(&mut self, key: u64) -> Option<&mut u32> {
        let at = usize::try_from(key.wrapping_sub(self.base)).ok()?;
        self.slots.get_mut(at)
    }

    /// Covers the keys from `low` to `high`, of which there are `different` ones in
    /// `total` values. False where that takes too much, or all are covered.
    pub(super) fn lay(&mut self, low: u64, high: u64, different: u64, total: u64) -> bool {
        let span = (high - low).saturating_add(1);
        if span > MOST {
            return false;
        }
        let is_close = span <= different.saturating_mul(PER_VALUE) || span * PER_KEY <= total;
        let end = self.base.saturating_add(self.slots.len() as u64);
        let is_covered = !self.slots.is_empty() && self.base <= low && high < end;
        if !is_close || is_covered {
            return false;
        }
        self.base = low;
        self.slots = vec![0; span as usize];
        true
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{Counts, Key};
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::DataType;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    #[test]
    fn keys_in_and_beside_the_window_are_counted() {
        let mut dice = crate::dice::Dice::new(3, 0);
        let mut counts = Counts::new(&DataType::Int64).unwrap();
        let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
        for round in 0..8_i64 {
            let value = |_| (dice.roll() % 5_000) as i64 - 2_500 + round * 700;
            let mut values: Vec<i64> = (0..9_000).map(value).collect();
            if round > 5 {
                values.extend([i64::MIN, i64::MAX]);
            }
            for value in &values {
                *expected.entry(*value as u64 ^ 1 << 63).or_default() += 1;
            }
            let array: ArrayRef = Arc::new(Int64Array::from(values));
            counts.push(&array, None).unwrap();
        }
        let mut found = BTreeMap::new();
        counts.each(0..usize::MAX, |key, count| {
            if let Key::Fixed(key) = key {
                assert_eq!(found.insert(key, count), None);
            }
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn windows_are_laid_where_keys_are_close() {
        let mut window = Window::default();
        assert!(!window.lay(0, u64::MAX, 10, 100));
        assert!(!window.lay(0, 1 << 21, 10, 100_000));
        assert!(window.lay(100, 199, 50, 20_000));
        assert!(!window.lay(110, 190, 50, 40_000));
        assert!(window.slot(99).is_none() && window.slot(200).is_none());
        assert_eq!(window.slot(150), Some(&mut 0));
    }
}
