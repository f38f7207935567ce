//! Exact medians: all values of a group are kept until its end.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float64Type, Int64Type, UInt64Type, i256,
};
use weir_core::Result;

use super::totals::{float, scaled};
use super::{Accumulator, for_valid};

/// Values that are kept, in the narrowest form that is exact.
enum Values {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Wide(Vec<i256>),
}

/// The two values in the middle of a group, which may be one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Middle {
    /// Of whole numbers.
    Ints(i64, i64),
    /// Of floats.
    Floats(f64, f64),
    /// Of decimals and large whole numbers, by their digits.
    Wide(i256, i256),
}

impl Middle {
    /// Their mean. `scale` is that of the decimals.
    pub(crate) fn mean(self, scale: i8) -> Option<f64> {
        let mean = match self {
            Middle::Ints(low, high) if low == high => low as f64,
            Middle::Ints(low, high) => (i128::from(low) + i128::from(high)) as f64 / 2.0,
            Middle::Floats(low, high) => low / 2.0 + high / 2.0,
            Middle::Wide(low, high) => match low.checked_add(high) {
                Some(sum) => float(sum) / 2.0 / scaled(scale),
                None => (float(low) / 2.0 + float(high) / 2.0) / scaled(scale),
            },
        };
        // Halves of the smallest floats would be lost.
        let exact = match self {
            Middle::Floats(low, high) if low == high => low,
            Middle::Floats(low, high) if (low + high).is_finite() => (low + high) / 2.0,
            _ => mean,
        };
        exact.is_finite().then_some(exact)
    }
}

/// Values of one column in a form that medians are taken of.
pub(crate) struct Sorted(Values);

impl Sorted {
    /// The values of `column`, nulls as whatever stands there.
    pub(crate) fn of(column: &ArrayRef) -> Self {
        let mut values = Values::of(column.data_type());
        values.extend(column, 0..column.len());
        Sorted(values)
    }

    /// The pair of values at two places.
    pub(crate) fn pair(&self, low: usize, other: &Sorted, high: usize) -> Middle {
        match (&self.0, &other.0) {
            (Values::Ints(a), Values::Ints(b)) => Middle::Ints(a[low], b[high]),
            (Values::Wide(a), Values::Wide(b)) => Middle::Wide(a[low], b[high]),
            (Values::Floats(a), Values::Floats(b)) => Middle::Floats(a[low], b[high]),
            _ => Middle::Floats(f64::NAN, f64::NAN),
        }
    }
}

impl Values {
    fn of(input: &DataType) -> Self {
        match input {
            DataType::Float64 => Values::Floats(Vec::new()),
            DataType::Int64 => Values::Ints(Vec::new()),
            _ => Values::Wide(Vec::new()),
        }
    }

    fn extend(&mut self, column: &ArrayRef, rows: impl Iterator<Item = usize>) {
        match self {
            Values::Ints(values) => {
                let natives = column.as_primitive::<Int64Type>().values();
                values.extend(rows.map(|row| natives[row]));
            }
            Values::Floats(values) => {
                let natives = column.as_primitive::<Float64Type>().values();
                values.extend(rows.map(|row| natives[row]));
            }
            Values::Wide(values) => {
                if let Some(column) = column.as_primitive_opt::<UInt64Type>() {
                    let wide = |row| i256::from_i128(i128::from(column.value(row)));
                    values.extend(rows.map(wide));
                } else if let Some(column) = column.as_primitive_opt::<Decimal128Type>() {
                    values.extend(rows.map(|row| i256::from_i128(column.value(row))));
                } else {
                    let natives = column.as_primitive::<Decimal256Type>().values();
                    values.extend(rows.map(|row| natives[row]));
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Values::Ints(values) => values.capacity() * size_of::<i64>(),
            Values::Floats(values) => values.capacity() * size_of::<f64>(),
            Values::Wide(values) => values.capacity() * size_of::<i256>(),
        }
    }

    /// The middle of each group; `ids` says whose each value is.
    fn middles(self, ids: &[u32], groups: usize, scale: i8) -> Vec<Option<f64>> {
        match self {
            Values::Ints(values) => middles(values, ids, groups, i64::cmp, |low, high| {
                Middle::Ints(low, high).mean(scale)
            }),
            Values::Floats(values) => middles(values, ids, groups, f64::total_cmp, |low, high| {
                Middle::Floats(low, high).mean(scale)
            }),
            Values::Wide(values) => middles(values, ids, groups, i256::cmp, |low, high| {
                Middle::Wide(low, high).mean(scale)
            }),
        }
    }
}

fn middles<T: Copy>(
    values: Vec<T>,
    ids: &[u32],
    groups: usize,
    order: impl Fn(&T, &T) -> std::cmp::Ordering + Copy,
    mean: impl Fn(T, T) -> Option<f64>,
) -> Vec<Option<f64>> {
    let mut ends = vec![0_usize; groups + 1];
    for id in ids {
        ends[*id as usize + 1] += 1;
    }
    for group in 0..groups {
        ends[group + 1] += ends[group];
    }
    let mut sorted = values;
    if groups > 1 {
        let mut next = ends.clone();
        let mut by_group = sorted.clone();
        for (id, value) in ids.iter().zip(&sorted) {
            let place = &mut next[*id as usize];
            by_group[*place] = *value;
            *place += 1;
        }
        sorted = by_group;
    }
    let middle = |ends: &[usize]| {
        let group = &mut sorted[ends[0]..ends[1]];
        if group.is_empty() {
            return None;
        }
        let half = group.len() / 2;
        let is_odd = group.len() % 2 == 1;
        let (below, high, _) = group.select_nth_unstable_by(half, order);
        let high = *high;
        let low = match is_odd {
            true => high,
            false => below
                .iter()
                .copied()
                .max_by(|a, b| order(a, b))
                .unwrap_or(high),
        };
        mean(low, high)
    };
    ends.windows(2).map(middle).collect()
}

/// Medians of all groups.
pub(super) struct Medians {
    scale: i8,
    groups: usize,
    ids: Vec<u32>,
    values: Values,
}

impl Medians {
    pub(super) fn new(input: &DataType) -> Self {
        let scale = match input {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
            _ => 0,
        };
        Medians {
            scale,
            groups: 0,
            ids: Vec::new(),
            values: Values::of(input),
        }
    }
}

impl Accumulator for Medians {
    fn grow(&mut self, groups: usize) {
        self.groups = groups;
    }

    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()> {
        let groups = self.groups;
        let mut rows = Vec::with_capacity(ids.len());
        for_valid(ids, values.nulls(), |row| {
            if (ids[row] as usize) < groups {
                rows.push(row);
            }
        });
        self.ids.extend(rows.iter().map(|row| ids[*row]));
        self.values.extend(values, rows.into_iter());
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let values = std::mem::replace(&mut self.values, Values::Ints(Vec::new()));
        let ids = std::mem::take(&mut self.ids);
        let middles = values.middles(&ids, self.groups, self.scale);
        Ok(Arc::new(Float64Array::from(middles)))
    }

    fn bytes(&self) -> usize {
        let table = 2 * (self.groups + 1) * size_of::<usize>();
        self.ids.capacity() * size_of::<u32>() + 2 * self.values.bytes() + table
    }
}
