//! Places and keys of sorted values.

use super::groups::Kept;

/// How keys of dates become microseconds.
#[derive(Clone, Copy)]
pub(super) enum Micros {
    Times(i64),
    Parts(i64),
}

impl Micros {
    pub(super) fn of(self, key: u64) -> Option<i64> {
        let value = (key ^ 1 << 63) as i64;
        match self {
            Micros::Times(factor) => value.checked_mul(factor),
            Micros::Parts(parts) => Some(value.div_euclid(parts)),
        }
    }
}

/// Places of Q1, Q3 and the two in the middle. Quartiles are values: places are
/// rounded, halves to the even one.
pub(super) fn of_box(count: u64) -> [u64; 4] {
    let last = count - 1;
    let quarter = |quarters: u64| {
        let (whole, rest) = (last * quarters / 4, last * quarters % 4);
        match rest {
            0 | 1 => whole,
            2 => whole + whole % 2,
            _ => whole + 1,
        }
    };
    [quarter(1), quarter(3), last / 2, last.div_ceil(2)]
}

/// Keys at places that were asked for.
pub(super) struct Ranked {
    pub(super) keys: Vec<Option<Kept>>,
    pub(super) is_estimate: bool,
}

impl Ranked {
    pub(super) fn at(&self, at: usize) -> Option<&Kept> {
        self.keys.get(at)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_quartiles_are_rounded_to_even() {
        assert_eq!(of_box(1), [0, 0, 0, 0]);
        // 0.25·2 = 0.5 and 0.75·2 = 1.5.
        assert_eq!(of_box(3), [0, 2, 1, 1]);
        assert_eq!(of_box(10), [2, 7, 4, 5]);
        assert_eq!(of_box(11), [2, 8, 5, 5]);
    }
}
