//! Rows that are unlike the others: fences around columns, isolation forests,
//! local outlier factors, and fewer dimensions where there are many.

mod forest;
mod lof;
mod pca;

pub use forest::Forest;
pub use lof::{Lof, neighbours};
pub use pca::Components;

/// Rows of floats, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    values: Vec<f64>,
    width: usize,
}

impl Table {
    /// No rows yet, of `width` values each; at least one.
    pub fn new(width: usize) -> Self {
        Table {
            values: Vec::new(),
            width: width.max(1),
        }
    }

    /// Values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A row.
    pub fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    /// Puts a row at the end, or in the place of the row `at`.
    pub fn put(&mut self, at: usize, row: impl Iterator<Item = f64>) {
        if at == self.len() {
            self.values.extend(row);
            return;
        }
        let slot = &mut self.values[at * self.width..(at + 1) * self.width];
        slot.iter_mut()
            .zip(row)
            .for_each(|(slot, value)| *slot = value);
    }

    /// Every row.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    /// The largest magnitude.
    pub fn magnitude(&self) -> f64 {
        self.values
            .iter()
            .fold(0.0, |most, value| most.max(value.abs()))
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
    }
}

/// What values up to `magnitude` are multiplied with so that their squares exist:
/// a power of two.
pub fn factor(magnitude: f64) -> f64 {
    if (1e-100..1e100).contains(&magnitude) || magnitude == 0.0 {
        return 1.0;
    }
    let exponent = magnitude.log2().floor() as i32;
    f64::powi(2.0, (-exponent).clamp(-1020, 1000))
}

/// The share of rows taken for outliers where none is given: that of rows with at
/// least half of their values beyond the fences, within bounds.
pub fn contamination(beyond: u64, rows: u64) -> f64 {
    let share = beyond as f64 / rows.max(1) as f64;
    share.clamp(0.025, 0.15)
}

/// How many of `rows` rows are `share` of them, rounded down.
pub fn share_of(share: f64, rows: u64) -> u64 {
    // 0.07 · 100 is a little less than 7.
    ((share * rows as f64 + 1e-9).floor() as u64).min(rows)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
