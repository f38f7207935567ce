//! Fences around columns: what lies beyond them is an outlier.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::record_batch::RecordBatch;
use weir_core::Result;
use weir_values::order::Number;

use super::facts::{Column, Facts};
use super::report::Tally;

/// The smallest and the largest value that is no outlier; none where there is no
/// such bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fence {
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

impl Fence {
    /// So many interquartile ranges beyond the quartiles.
    pub(super) fn of_quartiles(facts: &Facts, times: f64) -> Self {
        let quartile = |at: usize| facts.quantiles.get(at).copied().flatten();
        match (quartile(0), quartile(1)) {
            (Some(first), Some(third)) => {
                let (first, third) = (Number::to_f64(first), Number::to_f64(third));
                Fence::beyond(first, third, times * (third - first))
            }
            _ => Fence::beyond(0.0, 0.0, f64::INFINITY),
        }
    }

    /// So many standard deviations around the mean.
    pub(super) fn around(facts: &Facts, times: f64) -> Self {
        let moments = facts.moments.as_ref();
        let mean = moments.and_then(|moments| moments.mean());
        // Where all are the same, the mean may be off by rounding.
        let std = moments.and_then(|moments| moments.std(1));
        match (mean, std.filter(|std| *std > 0.0)) {
            (Some(mean), Some(std)) => Fence::beyond(mean, mean, times * std),
            _ => Fence::beyond(0.0, 0.0, f64::INFINITY),
        }
    }

    fn beyond(low: f64, high: f64, by: f64) -> Self {
        let finite = |value: f64| value.is_finite().then_some(value);
        Fence {
            low: finite(low - by),
            high: finite(high + by),
        }
    }

    /// Whether a value is on this side of both.
    pub(super) fn holds(&self, value: f64) -> bool {
        self.low.is_none_or(|low| value >= low) && self.high.is_none_or(|high| value <= high)
    }
}

/// A column of a batch as floats.
pub(super) fn floats(column: &Column, batch: &RecordBatch, before: u64) -> Result<Float64Array> {
    let (array, _): (ArrayRef, _) = column.read(batch, before)?;
    let floats = cast(&array, &DataType::Float64)?;
    Ok(floats.as_primitive::<Float64Type>().clone())
}

/// The rows that stay: those within all fences, and those with a null.
pub(super) fn inside(
    batch: &RecordBatch,
    columns: &[Column],
    fences: &[Fence],
    before: u64,
) -> Result<BooleanArray> {
    let rows = batch.num_rows();
    let mut all = BooleanBuffer::new_set(rows);
    let mut there: Option<NullBuffer> = None;
    for (column, fence) in columns.iter().zip(fences) {
        let floats = floats(column, batch, before)?;
        let values = floats.values();
        let low = fence.low.unwrap_or(f64::NEG_INFINITY);
        let high = fence.high.unwrap_or(f64::INFINITY);
        let within =
            BooleanBuffer::collect_bool(rows, |row| values[row] >= low && values[row] <= high);
        all = &all & &within;
        there = NullBuffer::union(there.as_ref(), floats.nulls());
    }
    Ok(match there {
        None => BooleanArray::new(all, None),
        Some(there) => BooleanArray::new(&all | &!there.inner(), None),
    })
}

/// The rows of the batch that stay.
pub(super) fn kept(
    batch: &RecordBatch,
    stays: &BooleanArray,
    tally: &Tally,
) -> Result<RecordBatch> {
    let removed = stays.len() - stays.true_count();
    tally.add("removed", removed as u64);
    match removed {
        0 => Ok(batch.clone()),
        _ => Ok(filter_record_batch(batch, stays)?),
    }
}
