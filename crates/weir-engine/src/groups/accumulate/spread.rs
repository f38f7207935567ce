//! Variance and standard deviation of a sample, in one pass (Welford).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Float64Type;
use weir_core::Result;

use super::{Accumulator, for_valid};

#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    /// The sum of squared distances from the mean.
    squares: f64,
}

/// Variances, or their roots.
pub(super) struct Spread {
    roots: bool,
    groups: Vec<Moments>,
}

impl Spread {
    pub(super) fn new(roots: bool) -> Self {
        Spread {
            roots,
            groups: Vec::new(),
        }
    }
}

impl Accumulator for Spread {
    fn grow(&mut self, groups: usize) {
        self.groups.resize(groups, Moments::default());
    }

    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()> {
        let values = values.as_primitive::<Float64Type>();
        let natives = values.values();
        for_valid(ids, values.nulls(), |row| {
            if let Some(group) = self.groups.get_mut(ids[row] as usize) {
                group.count += 1.0;
                let apart = natives[row] - group.mean;
                group.mean += apart / group.count;
                group.squares += apart * (natives[row] - group.mean);
            }
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let groups = std::mem::take(&mut self.groups);
        let results = groups.iter().map(|group| {
            let variance = group.squares / (group.count - 1.0);
            let result = if self.roots {
                variance.sqrt()
            } else {
                variance
            };
            (group.count > 1.0 && result.is_finite()).then_some(result)
        });
        Ok(Arc::new(results.collect::<Float64Array>()))
    }

    fn bytes(&self) -> usize {
        self.groups.capacity() * size_of::<Moments>()
    }
}
