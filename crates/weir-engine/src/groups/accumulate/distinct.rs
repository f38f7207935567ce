//! How many different values a group has: the groups of (group, value).

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt32Array};
use weir_core::Result;

use super::super::keys::{GroupKeys, KeyRows, NullKeys};
use super::Accumulator;

/// Counts pairs of group and value that are new.
pub(super) struct Distinct {
    pairs: GroupKeys,
    counts: Vec<i64>,
    seen: Vec<u32>,
    fresh: Vec<u32>,
}

impl Distinct {
    pub(super) fn new() -> Self {
        Distinct {
            pairs: GroupKeys::new(NullKeys::Nobody),
            counts: Vec::new(),
            seen: Vec::new(),
            fresh: Vec::new(),
        }
    }
}

impl Accumulator for Distinct {
    fn grow(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()> {
        // Rows of no group have a null in their key, which makes them no pair.
        let groups = self.counts.len();
        let known = ids
            .iter()
            .map(|id| ((*id as usize) < groups).then_some(*id));
        let groups: ArrayRef = Arc::new(known.collect::<UInt32Array>());
        let columns = [groups, Arc::clone(values)];
        let rows = KeyRows::of(&columns, ids.len())?;
        self.pairs.ids(&rows, &mut self.seen, &mut self.fresh)?;
        for row in &self.fresh {
            self.counts[ids[*row as usize] as usize] += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        self.pairs = GroupKeys::new(NullKeys::Nobody);
        Ok(Arc::new(Int64Array::from(std::mem::take(&mut self.counts))))
    }

    fn bytes(&self) -> usize {
        self.pairs.bytes() + self.counts.capacity() * size_of::<i64>()
    }
}
