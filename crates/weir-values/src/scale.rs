//! Columns of numbers brought to one scale: between 0 and 1, or around 0 in
//! standard deviations.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use weir_core::Result;

use crate::columns::without_infinities;
use crate::moments::Moments;

/// Floats from here on are made smaller first, so that their distances exist.
const LARGE: f64 = 1e300;

/// By how much: a power of two, which is exact.
const SMALLER: f64 = 1.0 / (1_u64 << 40) as f64;

/// `(x − from) / by`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Of whole numbers: `low` is taken off before anything is rounded, `from` and
    /// `by` are of what is left.
    Whole {
        /// The smallest value.
        low: i128,
        /// What is taken off then.
        from: f64,
        /// What is divided by.
        by: f64,
    },
    /// Of floats.
    Float {
        /// What is taken off.
        from: f64,
        /// What is divided by.
        by: f64,
        /// What every number is multiplied with first.
        factor: f64,
    },
}

impl Scale {
    /// `(x − min) / (max − min)`; none where all values are the same.
    pub fn normalize(moments: &Moments) -> Option<Self> {
        if moments.is_constant() {
            return None;
        }
        if let Some((low, high)) = moments.whole_range() {
            let by = (high - low) as f64;
            return Some(Scale::Whole { low, from: 0.0, by });
        }
        let (min, max) = (moments.min()?, moments.max()?);
        let factor = factor(min, max);
        Some(Scale::Float {
            from: min * factor,
            by: max * factor - min * factor,
            factor,
        })
    }

    /// `(x − mean) / std`; none where there is no spread.
    pub fn standardize(moments: &Moments, ddof: u64) -> Option<Self> {
        let by = moments.std(ddof).filter(|std| *std > 0.0)?;
        if let (Some((low, _)), Some(sum)) = (moments.whole_range(), moments.whole_sum()) {
            let count = i128::from(moments.count());
            let above = sum - low * count;
            let from = (above / count) as f64 + (above % count) as f64 / count as f64;
            return Some(Scale::Whole { low, from, by });
        }
        let (min, max) = (moments.min()?, moments.max()?);
        let factor = factor(min, max);
        Some(Scale::Float {
            from: moments.mean()? * factor,
            by: by * factor,
            factor,
        })
    }

    /// The column on this scale. What is no finite number is null.
    pub fn apply(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let scaled: Float64Array = match *self {
            Scale::Whole { low, from, by } => {
                // The distance to the smallest value fits 64 bits.
                let low = low as u64;
                let place = |value: u64| (value.wrapping_sub(low) as f64 - from) / by;
                if array.data_type() == &DataType::UInt64 {
                    array.as_primitive::<UInt64Type>().unary(place)
                } else {
                    let wide = cast(array, &DataType::Int64)?;
                    wide.as_primitive::<Int64Type>()
                        .unary(|value| place(value as u64))
                }
            }
            Scale::Float { from, by, factor } => {
                let floats = cast(array, &DataType::Float64)?;
                let floats = floats.as_primitive::<Float64Type>();
                if factor == 1.0 {
                    floats.unary(|value| (value - from) / by)
                } else {
                    floats.unary(|value| (value * factor - from) / by)
                }
            }
        };
        Ok(Arc::new(without_infinities(&scaled)))
    }
}

fn factor(min: f64, max: f64) -> f64 {
    if min.abs().max(max.abs()) > LARGE {
        SMALLER
    } else {
        1.0
    }
}

/// A column of nothing but nulls: what becomes of one without a scale.
pub fn without(array: &ArrayRef) -> ArrayRef {
    new_null_array(&DataType::Float64, array.len())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, UInt64Array};
    use proptest::prelude::*;

    use super::*;

    fn moments(array: &ArrayRef) -> Moments {
        let mut moments = Moments::new();
        moments.push(array).unwrap();
        moments
    }

    fn values(array: ArrayRef) -> Vec<Option<f64>> {
        array.as_primitive::<Float64Type>().iter().collect()
    }

    #[test]
    fn large_numbers_keep_their_distances() {
        let arrays: [ArrayRef; 4] = [
            Arc::new(Float64Array::from(vec![-f64::MAX, 0.0, f64::MAX])),
            Arc::new(Int64Array::from(vec![i64::MAX - 2, i64::MAX - 1, i64::MAX])),
            Arc::new(UInt64Array::from(vec![
                u64::MAX - 2,
                u64::MAX - 1,
                u64::MAX,
            ])),
            Arc::new(Float64Array::from(vec![1e300, 2e300, 3e300])),
        ];
        for array in arrays {
            let moments = moments(&array);
            let scaled = Scale::normalize(&moments).unwrap().apply(&array).unwrap();
            assert_eq!(values(scaled), [Some(0.0), Some(0.5), Some(1.0)]);
            let scaled = Scale::standardize(&moments, 0)
                .unwrap()
                .apply(&array)
                .unwrap();
            let root = 1.5_f64.sqrt();
            for (found, expected) in values(scaled).iter().zip([-root, 0.0, root]) {
                assert!((found.unwrap() - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn without_spread_there_is_no_scale() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.1), None, Some(0.1)]));
        assert_eq!(Scale::normalize(&moments(&array)), None);
        assert_eq!(Scale::standardize(&moments(&array), 0), None);
        assert_eq!(without(&array).null_count(), 3);
    }

    proptest! {
        #[test]
        fn between_zero_and_one(input in prop::collection::vec(prop::option::of(any::<f64>()), 1..60)) {
            let finite = input.iter().map(|value| value.filter(|v| v.is_finite()));
            let array: ArrayRef = Arc::new(finite.collect::<Float64Array>());
            if let Some(scale) = Scale::normalize(&moments(&array)) {
                for value in values(scale.apply(&array).unwrap()).into_iter().flatten() {
                    prop_assert!((-1e-9..=1.0 + 1e-9).contains(&value));
                }
            }
            if let Some(scale) = Scale::standardize(&moments(&array), 1) {
                let scaled = values(scale.apply(&array).unwrap());
                prop_assert!(scaled.into_iter().flatten().all(f64::is_finite));
            }
        }
    }
}
