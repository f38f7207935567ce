//! Sums and means: exact in whole numbers and decimals, compensated in floats.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Float64Array, Int64Array,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, DecimalType, Float64Type, Int64Type, UInt64Type, i256,
};
use weir_core::{Error, Result};

use super::function::Measure;
use super::{Accumulator, for_valid, overflow};

/// What sums values of `input`, or averages them.
pub(super) fn totals(input: &DataType, averages: bool, measure: &Measure) -> Box<dyn Accumulator> {
    let told = Told {
        averages,
        column: measure.of.clone(),
        pointer: measure.pointer.clone(),
    };
    match input {
        DataType::Float64 => Box::new(Floats {
            averages,
            groups: Vec::new(),
            huge: HashMap::new(),
        }),
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => Box::new(Decimals {
            told,
            is_wide: matches!(input, DataType::Decimal256(_, _)),
            scale: *scale,
            sums: Vec::new(),
            counts: Vec::new(),
        }),
        _ => Box::new(Ints {
            told,
            groups: Vec::new(),
        }),
    }
}

struct Told {
    averages: bool,
    column: String,
    pointer: String,
}

impl Told {
    fn overflow(&self) -> Error {
        overflow(&self.pointer, &self.column, "the sum")
    }
}

struct Ints {
    told: Told,
    /// Sums, and how many values are in them.
    groups: Vec<(i128, u64)>,
}

impl Ints {
    #[inline]
    fn add(&mut self, id: u32, value: i128) {
        if let Some((sum, count)) = self.groups.get_mut(id as usize) {
            // 2^64 values of 64 bits fit.
            *sum += value;
            *count += 1;
        }
    }
}

impl Accumulator for Ints {
    fn grow(&mut self, groups: usize) {
        self.groups.resize(groups, (0, 0));
    }

    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()> {
        if let Some(values) = values.as_primitive_opt::<UInt64Type>() {
            let natives = values.values();
            for_valid(ids, values.nulls(), |row| {
                self.add(ids[row], i128::from(natives[row]));
            });
            return Ok(());
        }
        let values = values.as_primitive::<Int64Type>();
        let natives = values.values();
        for_valid(ids, values.nulls(), |row| {
            self.add(ids[row], i128::from(natives[row]));
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let groups = std::mem::take(&mut self.groups);
        if self.told.averages {
            let means = groups.iter().map(|(sum, n)| mean(*sum, *n));
            return Ok(Arc::new(means.collect::<Float64Array>()));
        }
        let narrow = |(sum, _): &(i128, u64)| i64::try_from(*sum).map_err(|_| self.told.overflow());
        let sums = groups.iter().map(narrow).collect::<Result<Vec<i64>>>()?;
        Ok(Arc::new(Int64Array::from(sums)))
    }

    fn bytes(&self) -> usize {
        self.groups.capacity() * size_of::<(i128, u64)>()
    }
}

/// The whole part and the rest apart, so that no digit of a large sum is lost.
fn mean(sum: i128, count: u64) -> Option<f64> {
    let n = i128::from(count);
    (n > 0).then(|| match sum.unsigned_abs() < 1 << 53 {
        true => sum as f64 / n as f64,
        false => (sum / n) as f64 + (sum % n) as f64 / n as f64,
    })
}

/// Sums with what rounding took from them (Neumaier). Values near the end of
/// the range are summed apart, made smaller, so that no sum on the way overflows.
struct Floats {
    averages: bool,
    /// Sums, and how many values are in them.
    groups: Vec<((f64, f64), u64)>,
    huge: HashMap<u32, (f64, f64)>,
}

/// From here on values are summed apart: 2^960.
const HUGE: f64 = f64::from_bits((1023 + 960) << 52);

/// By how much they are made smaller: 2^-64.
const SMALLER: f64 = f64::from_bits((1023 - 64) << 52);

#[inline]
fn compensated((sum, lost): &mut (f64, f64), value: f64) {
    let next = *sum + value;
    *lost += if sum.abs() >= value.abs() {
        (*sum - next) + value
    } else {
        (value - next) + *sum
    };
    *sum = next;
}

impl Accumulator for Floats {
    fn grow(&mut self, groups: usize) {
        self.groups.resize(groups, ((0.0, 0.0), 0));
    }

    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()> {
        let values = values.as_primitive::<Float64Type>();
        let natives = values.values();
        for_valid(ids, values.nulls(), |row| {
            let (id, value) = (ids[row] as usize, natives[row]);
            let Some((sum, count)) = self.groups.get_mut(id) else {
                return;
            };
            *count += 1;
            if value.abs() < HUGE {
                compensated(sum, value);
            } else {
                compensated(self.huge.entry(ids[row]).or_default(), value * SMALLER);
            }
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let groups = std::mem::take(&mut self.groups);
        let results = groups.iter().enumerate().map(|(id, ((sum, lost), count))| {
            let over = if self.averages { *count as f64 } else { 1.0 };
            if over == 0.0 {
                return None;
            }
            let sum = sum + lost;
            let result = match self.huge.get(&(id as u32)) {
                None => sum / over,
                Some((huge, lost)) => (sum * SMALLER + (huge + lost)) / over / SMALLER,
            };
            result.is_finite().then_some(result)
        });
        Ok(Arc::new(results.collect::<Float64Array>()))
    }

    fn bytes(&self) -> usize {
        self.groups.capacity() * size_of::<((f64, f64), u64)>() + self.huge.capacity() * 32
    }
}

struct Decimals {
    told: Told,
    is_wide: bool,
    scale: i8,
    sums: Vec<i256>,
    counts: Vec<u64>,
}

impl Decimals {
    #[inline]
    fn add(&mut self, id: u32, value: i256) -> bool {
        let id = id as usize;
        let (Some(sum), Some(count)) = (self.sums.get_mut(id), self.counts.get_mut(id)) else {
            return true;
        };
        *count += 1;
        match sum.checked_add(value) {
            Some(total) => {
                *sum = total;
                true
            }
            None => false,
        }
    }
}

impl Accumulator for Decimals {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, i256::ZERO);
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()> {
        let mut fits = true;
        match values.as_primitive_opt::<Decimal128Type>() {
            Some(values) => for_valid(ids, values.nulls(), |row| {
                fits &= self.add(ids[row], i256::from_i128(values.value(row)));
            }),
            None => {
                let values = values.as_primitive::<Decimal256Type>();
                for_valid(ids, values.nulls(), |row| {
                    fits &= self.add(ids[row], values.value(row));
                });
            }
        }
        if fits {
            Ok(())
        } else {
            Err(self.told.overflow())
        }
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let sums = std::mem::take(&mut self.sums);
        let counts = std::mem::take(&mut self.counts);
        if self.told.averages {
            let means = sums.iter().zip(&counts).map(|(sum, n)| {
                let over = scaled(self.scale) * *n as f64;
                (*n > 0).then(|| float(*sum) / over)
            });
            return Ok(Arc::new(means.collect::<Float64Array>()));
        }
        if self.is_wide {
            for sum in &sums {
                let valid = Decimal256Type::validate_decimal_precision(*sum, 76, self.scale);
                valid.map_err(|_| self.told.overflow())?;
            }
            let sums = Decimal256Array::from_iter_values(sums);
            return Ok(Arc::new(sums.with_precision_and_scale(76, self.scale)?));
        }
        let narrow = |sum: &i256| {
            let valid = |sum: &i128| {
                Decimal128Type::validate_decimal_precision(*sum, 38, self.scale).is_ok()
            };
            sum.to_i128()
                .filter(valid)
                .ok_or_else(|| self.told.overflow())
        };
        let sums = sums.iter().map(narrow).collect::<Result<Vec<i128>>>()?;
        let sums = Decimal128Array::from(sums);
        Ok(Arc::new(sums.with_precision_and_scale(38, self.scale)?))
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<i256>() + self.counts.capacity() * size_of::<u64>()
    }
}

/// 10^scale.
pub(super) fn scaled(scale: i8) -> f64 {
    10_f64.powi(i32::from(scale))
}

/// The nearest float.
pub(super) fn float(value: i256) -> f64 {
    let (low, high) = value.wrapping_abs().to_parts();
    let size = high as f64 * 2_f64.powi(128) + low as f64;
    if value.is_negative() { -size } else { size }
}
