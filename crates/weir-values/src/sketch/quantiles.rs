//! Quantiles of keys in a sketch of Karnin, Lang and Liberty (2016): levels of
//! keys, each of which stands for twice as many as one of the level below.

use crate::dice::Dice;

/// Keys of the highest level.
const KEYS: usize = 1024;

/// Keys of the lowest levels.
const LEAST: usize = 8;

/// An estimate of the keys at places of the sorted column.
#[derive(Debug, Clone)]
pub struct Quantiles {
    levels: Vec<Vec<u64>>,
    kept: usize,
    room: usize,
    count: u64,
    dice: Dice,
}

impl Default for Quantiles {
    fn default() -> Self {
        Quantiles {
            levels: vec![Vec::new()],
            kept: 0,
            room: KEYS,
            count: 0,
            dice: Dice::new(0, 0),
        }
    }
}

impl Quantiles {
    /// By which share of all places a key may be off, 99 times of 100.
    pub const ERROR: f64 = 0.0045;

    /// Adds a key that is there `count` times.
    pub fn add(&mut self, key: u64, count: u64) {
        self.count += count;
        let (mut level, mut left) = (0, count);
        while left > 0 {
            if level == self.levels.len() {
                self.grow();
            }
            if left & 1 == 1 {
                self.levels[level].push(key);
                self.kept += 1;
            }
            left >>= 1;
            level += 1;
        }
        while self.kept > self.room {
            self.compact();
        }
    }

    /// Changes all keys in a way that keeps their order.
    pub fn map(&mut self, change: impl Fn(u64) -> u64) {
        for key in self.levels.iter_mut().flatten() {
            *key = change(*key);
        }
    }

    fn capacity(&self, level: usize) -> usize {
        let below = (self.levels.len() - 1 - level) as i32;
        ((KEYS as f64 * (2.0_f64 / 3.0).powi(below)).ceil() as usize).max(LEAST)
    }

    fn grow(&mut self) {
        self.levels.push(Vec::new());
        self.room = (0..self.levels.len())
            .map(|level| self.capacity(level))
            .sum();
    }

    /// Every second key of the first level that is full goes one level up.
    fn compact(&mut self) {
        let full = (0..self.levels.len()).find(|at| self.levels[*at].len() > self.capacity(*at));
        let Some(level) = full else {
            self.room = self.kept;
            return;
        };
        if level + 1 == self.levels.len() {
            self.grow();
        }
        let mut keys = std::mem::take(&mut self.levels[level]);
        keys.sort_unstable();
        if keys.len() % 2 == 1
            && let Some(odd) = keys.pop()
        {
            self.levels[level].push(odd);
        }
        let half = keys.len() / 2;
        let skipped = (self.dice.roll() & 1) as usize;
        let kept = keys.into_iter().skip(skipped).step_by(2);
        self.levels[level + 1].extend(kept);
        self.kept -= half;
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let keys = self.levels.iter().map(Vec::capacity).sum::<usize>();
        keys * size_of::<u64>()
    }

    /// The key at the place, from 0, about; none of no keys.
    pub fn at(&self, place: u64) -> Option<u64> {
        let levels = self.levels.iter().enumerate();
        let mut keys: Vec<(u64, u64)> = levels
            .flat_map(|(level, keys)| keys.iter().map(move |key| (*key, 1 << level)))
            .collect();
        keys.sort_unstable();
        let mut before = 0;
        for (key, count) in &keys {
            before += count;
            if before > place {
                return Some(*key);
            }
        }
        keys.last().map(|(key, _)| *key)
    }

    /// How often keys were added.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_near_their_places() {
        let mut dice = Dice::new(7, 1);
        let (mut one_by_one, mut at_once) = (Quantiles::default(), Quantiles::default());
        let mut all = Vec::new();
        for _ in 0..40_000 {
            let (key, count) = (dice.roll() % 1_000_000, 1 + dice.roll() % 9);
            at_once.add(key, count);
            for _ in 0..count {
                one_by_one.add(key, 1);
                all.push(key);
            }
        }
        all.sort_unstable();
        for sketch in [&one_by_one, &at_once] {
            assert_eq!(sketch.count(), all.len() as u64);
            assert!(sketch.bytes() < 200_000);
            for q in [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0] {
                let place = (q * (all.len() - 1) as f64) as usize;
                let key = sketch.at(place as u64).unwrap();
                let found = all.partition_point(|other| *other < key);
                let off = found.abs_diff(place) as f64 / all.len() as f64;
                assert!(off < Quantiles::ERROR * 2.0, "{q}: {off}");
            }
        }
        assert_eq!(Quantiles::default().at(0), None);
    }
}
