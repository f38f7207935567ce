//! Exact quantiles: the values at places of the sorted column, without sorting
//! it. In memory by selection; beyond it by passes over the column, each of
//! which settles sixteen bits of the keys, in flat memory.

use crate::order::{KeyKind, Number};

/// Keys of one place that are collected once they are so few.
const COLLECT: u64 = 1 << 17;

/// Bits that a pass settles.
const BITS: u32 = 16;

/// Where a quantile lies between two places of the sorted column, from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The place at or below it.
    pub low: u64,
    /// The place at or above it.
    pub high: u64,
    /// How far it is from the one to the other, from 0 to 1.
    pub part: f64,
}

impl Place {
    /// Place of the linear quantile `q` (0 to 1) of `count` values, which is
    /// `q·(count − 1)`; none of no values.
    pub fn of(q: f64, count: u64) -> Option<Self> {
        let last = count.checked_sub(1)?;
        if q == 0.5 {
            // Exact however many there are.
            let part = if last.is_multiple_of(2) { 0.0 } else { 0.5 };
            let (low, high) = (last / 2, last.div_ceil(2));
            return Some(Place { low, high, part });
        }
        let at = q * last as f64;
        let low = (at.floor() as u64).min(last);
        Some(Place {
            low,
            high: (at.ceil() as u64).min(last),
            part: at - at.floor(),
        })
    }

    /// The quantile between the values at its two places. A value of the column
    /// comes back as it is.
    pub fn between(&self, low: Number, high: Number) -> Number {
        if self.part == 0.0 || low == high {
            return low;
        }
        if let (0.5, Some(middle)) = (self.part, middle(low, high)) {
            return middle;
        }
        let (a, b) = (low.to_f64(), high.to_f64());
        let apart = b - a;
        Number::Float(if !apart.is_finite() {
            a * (1.0 - self.part) + b * self.part
        } else if self.part >= 0.5 {
            b - apart * (1.0 - self.part)
        } else {
            a + apart * self.part
        })
    }
}

/// The middle of two whole numbers, rounded once.
fn middle(low: Number, high: Number) -> Option<Number> {
    let sum = match (low, high) {
        (Number::Int(a), Number::Int(b)) => i128::from(a) + i128::from(b),
        (Number::Uint(a), Number::Uint(b)) => i128::from(a) + i128::from(b),
        _ => return None,
    };
    Some(Number::Float(sum as f64 / 2.0))
}

/// Keys from which on passes are faster than taking them apart.
const MANY: usize = 1 << 16;

/// The linear quantiles `qs` of the keys of a column, which may be put in another
/// order by it; none of no keys.
pub fn quantiles(kind: KeyKind, keys: &mut [u64], qs: &[f64]) -> Vec<Option<Number>> {
    let count = keys.len() as u64;
    let places: Vec<Option<Place>> = qs.iter().map(|q| Place::of(*q, count)).collect();
    if keys.len() < MANY {
        let mut between = |place: Place| {
            let (low, high) = neighbours(keys, place);
            place.between(kind.value(low), kind.value(high))
        };
        return places
            .into_iter()
            .map(|place| place.map(&mut between))
            .collect();
    }
    let mut selection = Selection::of(&places).among(keys);
    loop {
        selection.push(keys);
        if !selection.turn() {
            return selection.quantiles(kind, &places);
        }
    }
}

fn neighbours(keys: &mut [u64], place: Place) -> (u64, u64) {
    let (_, low, above) = keys.select_nth_unstable(place.low as usize);
    let low = *low;
    let high = if place.high > place.low {
        above.iter().copied().min().unwrap_or(low)
    } else {
        low
    };
    (low, high)
}

/// The keys at some places of a column that is read again and again: each pass
/// is a [`Selection::push`] of every key and one [`Selection::turn`].
#[derive(Debug)]
pub struct Selection {
    targets: Vec<Target>,
    groups: Vec<Group>,
}

/// A place that is looked for.
#[derive(Debug, Clone, Copy)]
struct Target {
    /// The place among the keys of its group.
    rank: u64,
    group: usize,
    found: Option<u64>,
}

/// The keys that begin with `prefix`.
#[derive(Debug)]
struct Group {
    prefix: u64,
    /// Bits of the prefix.
    known: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Counting(Vec<u64>),
    Collecting(Vec<u64>),
}

impl Group {
    fn new(prefix: u64, known: u32, keys: u64) -> Self {
        let state = if keys <= COLLECT {
            State::Collecting(Vec::with_capacity(keys as usize))
        } else {
            State::Counting(vec![0; 1 << BITS.min(u64::BITS - known)])
        };
        Group {
            prefix,
            known,
            state,
        }
    }

    fn add(&mut self, key: u64, count: u64) {
        let rest = u64::BITS - self.known;
        if rest != u64::BITS && key >> rest != self.prefix {
            return;
        }
        match &mut self.state {
            State::Collecting(found) => {
                found.extend(std::iter::repeat_n(key, count as usize));
            }
            State::Counting(counts) => {
                let bits = BITS.min(rest);
                counts[(key >> (rest - bits)) as usize & ((1 << bits) - 1)] += count;
            }
        }
    }

    fn push(&mut self, keys: &[u64]) {
        let rest = u64::BITS - self.known;
        let prefix = self.prefix;
        let begins = |key: u64| rest == u64::BITS || key >> rest == prefix;
        match &mut self.state {
            State::Collecting(found) => found.extend(keys.iter().filter(|key| begins(**key))),
            State::Counting(counts) => {
                let bits = BITS.min(rest);
                let (shift, mask) = (rest - bits, (1 << bits) - 1);
                for key in keys.iter().filter(|key| begins(**key)) {
                    counts[(key >> shift) as usize & mask] += 1;
                }
            }
        }
    }
}

impl Selection {
    /// Looks for the keys at `ranks`, from 0.
    pub fn new(ranks: &[u64]) -> Self {
        let target = |rank: &u64| Target {
            rank: *rank,
            group: 0,
            found: None,
        };
        Selection {
            targets: ranks.iter().map(target).collect(),
            groups: vec![Group::new(0, 0, u64::MAX)],
        }
    }

    /// Looks for both keys of every place.
    pub fn of(places: &[Option<Place>]) -> Self {
        let places = places.iter().flatten();
        let ranks: Vec<u64> = places.flat_map(|place| [place.low, place.high]).collect();
        Selection::new(&ranks)
    }

    /// The same, where all keys are known to be among `keys`: what they have in
    /// common needs no pass.
    fn among(mut self, keys: &[u64]) -> Self {
        let low = keys.iter().copied().min().unwrap_or(0);
        let high = keys.iter().copied().max().unwrap_or(0);
        // One bit is left where all are the same.
        let known = (low ^ high).leading_zeros().min(u64::BITS - 1);
        let prefix = low.checked_shr(u64::BITS - known).unwrap_or(0);
        self.groups = vec![Group::new(prefix, known, u64::MAX)];
        self
    }

    /// Bytes it may hold.
    pub fn bytes(&self) -> usize {
        self.targets.len().max(1) * (COLLECT as usize).max(1 << BITS) * size_of::<u64>()
    }

    /// Looks at keys in this pass.
    pub fn push(&mut self, keys: &[u64]) {
        for group in &mut self.groups {
            group.push(keys);
        }
    }

    /// Looks at a key that is there `count` times.
    pub fn add(&mut self, key: u64, count: u64) {
        for group in &mut self.groups {
            group.add(key, count);
        }
    }

    /// Ends a pass; true when another one is needed.
    pub fn turn(&mut self) -> bool {
        let mut groups: Vec<Group> = Vec::new();
        for target in &mut self.targets {
            if target.group == usize::MAX {
                continue;
            }
            let group = &mut self.groups[target.group];
            target.group = usize::MAX;
            match &mut group.state {
                State::Collecting(keys) if keys.is_empty() => {}
                State::Collecting(keys) => {
                    let rank = (target.rank as usize).min(keys.len() - 1);
                    target.found = Some(*keys.select_nth_unstable(rank).1);
                }
                State::Counting(counts) => {
                    let Some((bucket, before)) = bucket(counts, target.rank) else {
                        continue;
                    };
                    let bits = BITS.min(u64::BITS - group.known);
                    let prefix = group.prefix << bits | bucket as u64;
                    let known = group.known + bits;
                    if known == u64::BITS {
                        target.found = Some(prefix);
                        continue;
                    }
                    target.rank = target.rank.saturating_sub(before).min(counts[bucket] - 1);
                    let is_same = |group: &Group| group.prefix == prefix && group.known == known;
                    let place = groups.iter().position(is_same);
                    target.group = place.unwrap_or(groups.len());
                    if place.is_none() {
                        groups.push(Group::new(prefix, known, counts[bucket]));
                    }
                }
            }
        }
        self.groups = groups;
        !self.groups.is_empty()
    }

    /// The keys at the ranks, once no pass is needed; none of no keys.
    pub fn found(&self) -> Vec<Option<u64>> {
        self.targets.iter().map(|target| target.found).collect()
    }

    /// The quantiles at the places of [`Selection::of`].
    pub fn quantiles(&self, kind: KeyKind, places: &[Option<Place>]) -> Vec<Option<Number>> {
        let mut found = self.targets.iter().map(|target| target.found);
        let mut between = |place: &Place| {
            let (low, high) = (found.next()??, found.next()??);
            Some(place.between(kind.value(low), kind.value(high)))
        };
        places
            .iter()
            .map(|place| place.as_ref().and_then(&mut between))
            .collect()
    }
}

/// The bucket that a rank falls into, the last one that is not empty where it is
/// beyond all, and how many keys are before it.
fn bucket(counts: &[u64], rank: u64) -> Option<(usize, u64)> {
    let (mut before, mut last) = (0, None);
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        if before + count > rank {
            return Some((at, before));
        }
        last = Some((at, before));
        before += count;
    }
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::order::key_of;

    fn floats(values: &[f64], qs: &[f64]) -> Vec<Option<f64>> {
        let mut keys: Vec<u64> = values.iter().map(|value| key_of(*value)).collect();
        let found = quantiles(KeyKind::Float, &mut keys, qs);
        found.into_iter().map(|q| q.map(Number::to_f64)).collect()
    }

    fn signed(values: &[i64]) -> Number {
        let mut keys: Vec<u64> = values.iter().map(|v| *v as u64 ^ (1 << 63)).collect();
        quantiles(KeyKind::Signed, &mut keys, &[0.5])[0].unwrap()
    }

    #[test]
    fn linear_between_places() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0];
        let found = floats(&values, &[0.0, 0.25, 0.5, 0.75, 1.0]);
        let expected = [1.0, 3.25, 5.5, 7.75, 100.0].map(Some);
        assert_eq!(found, expected);
        assert_eq!(floats(&[], &[0.5]), [None]);
        assert_eq!(floats(&[7.0], &[0.25, 0.5]), [Some(7.0); 2]);
        assert_eq!(floats(&[f64::MAX, -f64::MAX], &[0.5]), [Some(0.0)]);
    }

    #[test]
    fn whole_numbers_beyond_floats() {
        let big = 9_007_199_254_740_993;
        assert_eq!(signed(&[big, i64::MIN, i64::MAX]), Number::Int(big));
        assert_eq!(signed(&[big, big]), Number::Int(big));
        assert_eq!(signed(&[1, 2]), Number::Float(1.5));
        assert_eq!(signed(&[i64::MIN, i64::MAX]), Number::Float(-0.5));
    }

    fn select(keys: &[u64], ranks: &[u64]) -> Vec<Option<u64>> {
        let mut selection = Selection::new(ranks);
        for _ in 0..5 {
            for piece in keys.chunks(1000) {
                selection.push(piece);
            }
            if !selection.turn() {
                break;
            }
        }
        selection.found()
    }

    #[test]
    fn passes_find_what_many_equal_keys_hide() {
        let mut keys: Vec<u64> = vec![77; 300_000];
        keys.extend(0..1000);
        assert_eq!(
            select(&keys, &[0, 77, 150_000, 300_999]),
            [0, 77, 77, 999].map(Some)
        );
        assert_eq!(select(&[], &[0]), [None]);
    }

    proptest! {
        #[test]
        fn passes_find_what_sorting_finds(
            keys in prop::collection::vec(any::<u64>(), 1..3000),
            at in prop::collection::vec(0.0_f64..1.0, 1..5),
        ) {
            let ranks: Vec<u64> = at.iter().map(|a| (a * keys.len() as f64) as u64).collect();
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            let expected: Vec<_> = ranks.iter().map(|r| Some(sorted[*r as usize])).collect();
            prop_assert_eq!(select(&keys, &ranks), expected);
        }

        #[test]
        fn many_keys_are_taken_in_passes(
            low in any::<u64>(), spread in 0_u32..64, seed in any::<u64>(),
            qs in prop::collection::vec(0.0_f64..=1.0, 1..4),
        ) {
            let mut dice = crate::dice::Dice::new(seed, 0);
            let mask = u64::MAX >> spread;
            let key = |_| low & !mask | dice.roll() & mask;
            let mut keys: Vec<u64> = (0..MANY + 10).map(key).collect();
            let found = quantiles(KeyKind::Unsigned, &mut keys, &qs);
            keys.sort_unstable();
            for (q, found) in qs.iter().zip(found) {
                let place = Place::of(*q, keys.len() as u64).unwrap();
                let at = |rank: u64| Number::Uint(keys[rank as usize]);
                prop_assert_eq!(found, Some(place.between(at(place.low), at(place.high))));
            }
        }

        #[test]
        fn quantiles_are_those_of_the_sorted_column(
            mut values in prop::collection::vec(-1e9_f64..1e9, 1..500),
            q in 0.0_f64..=1.0,
        ) {
            let found = floats(&values, &[q])[0].unwrap();
            values.sort_by(f64::total_cmp);
            let at = q * (values.len() - 1) as f64;
            let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
            prop_assert!(low <= found && found <= high);
            prop_assert!((found - (low + (high - low) * at.fract())).abs() < 1e-5);
        }
    }
}
