//! What a group amounts to: one accumulator for each result, over the rows of
//! all groups at once. A row is added to the group whose number stands in `ids`;
//! numbers beyond the groups there are (no group) are passed over.

mod distinct;
mod extreme;
mod function;
mod median;
mod physical;
mod spread;
mod texts;
mod totals;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::buffer::NullBuffer;
use std::sync::Arc;
use weir_core::{Error, Result};

pub use function::Function;
pub(crate) use function::Measure;
pub(crate) use median::{Middle, Sorted};

/// Collects one result for every group.
pub(crate) trait Accumulator: Send {
    /// Makes room for `groups` groups in all.
    fn grow(&mut self, groups: usize);

    /// Adds the rows. `values` has the type that [`Measure::input`] gives.
    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()>;

    /// The results of all groups.
    fn finish(&mut self) -> Result<ArrayRef>;

    /// Bytes that it holds, or will hold while it finishes.
    fn bytes(&self) -> usize;
}

/// Counts rows in which a column is not null.
#[derive(Default)]
pub(crate) struct Counts(Vec<i64>);

impl Counts {
    /// Counts every row.
    pub(crate) fn add_rows(&mut self, ids: &[u32]) {
        for id in ids {
            if let Some(count) = self.0.get_mut(*id as usize) {
                *count += 1;
            }
        }
    }
}

impl Accumulator for Counts {
    fn grow(&mut self, groups: usize) {
        self.0.resize(groups, 0);
    }

    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()> {
        match values.logical_nulls() {
            None => self.add_rows(ids),
            Some(nulls) => for_valid(ids, Some(&nulls), |row| {
                if let Some(count) = self.0.get_mut(ids[row] as usize) {
                    *count += 1;
                }
            }),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(std::mem::take(&mut self.0))))
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<i64>()
    }
}

/// Calls `each` with the rows that are not null.
#[inline]
fn for_valid(ids: &[u32], nulls: Option<&NullBuffer>, mut each: impl FnMut(usize)) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => (0..ids.len()).for_each(each),
        Some(nulls) => {
            for row in nulls.valid_indices() {
                each(row);
            }
        }
    }
}

/// A whole number that no result holds.
pub(crate) fn overflow(pointer: &str, column: &str, what: &str) -> Error {
    let message = format!("{what} of column `{column}` is too large for its type");
    Error::invalid(pointer, message)
        .code("overflow")
        .hint("convert the column to float64 or to a wider decimal first")
}

#[cfg(test)]
mod tests;
