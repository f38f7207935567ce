//! Count, mean, spread and skew of numbers in one pass: accumulators that take
//! batch after batch and can be merged.
//!
//! Each piece of a batch is summed up around its own mean, and pieces are put
//! together as Chan, Golub and LeVeque (1979) and Pébay (2008) do, so large
//! values with a small spread lose nothing. Values beyond 2^±300 are scaled by a
//! power of two first, which is exact, so their squares and cubes exist. Whole
//! numbers are summed up as such.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int64Type, UInt64Type};
use weir_core::Result;

/// Values that are summed up around one mean: they stay in the processor's cache.
const PIECE: usize = 2048;

/// Sums that are kept side by side, for the processor to add at once.
const LANES: usize = 8;

/// Magnitudes up to 2^this, and down to 2^−this, need no scale.
const UNSCALED: i32 = 300;

/// What numbers of a column add up to.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    count: u64,
    /// What follows is of values times 2^scale.
    scale: i32,
    sum: f64,
    /// What the sum lost to rounding.
    rest: f64,
    m2: f64,
    m3: f64,
    min: f64,
    max: f64,
    whole: Option<Whole>,
    scratch: Vec<f64>,
}

/// What whole numbers are, exactly. The moments are those of what lies above
/// `shift`, the first of them.
#[derive(Debug, Clone, Copy)]
struct Whole {
    shift: i128,
    sum: i128,
    min: i128,
    max: i128,
}

/// A piece, or all of a column, around its mean.
#[derive(Clone, Copy)]
struct Around {
    count: f64,
    mean: f64,
    m2: f64,
    m3: f64,
}

impl Moments {
    /// Nothing yet.
    pub fn new() -> Self {
        Moments::default()
    }

    /// Whether a column of this type has moments: numbers have.
    pub fn has(data_type: &DataType) -> bool {
        data_type.is_numeric()
    }

    /// Adds the values of an array of numbers; nulls, NaN and infinities do not
    /// count. All arrays must be of one type.
    pub fn push(&mut self, array: &ArrayRef) -> Result<()> {
        match array.data_type() {
            DataType::Float64 => self.push_floats(array.as_primitive()),
            DataType::UInt64 => self.push_whole::<UInt64Type>(array.as_primitive(), |value| value),
            other if other.is_integer() => {
                let wide = cast(array, &DataType::Int64)?;
                self.push_whole::<Int64Type>(wide.as_primitive(), |value| value as u64);
            }
            _ => self.push_floats(cast(array, &DataType::Float64)?.as_primitive()),
        }
        Ok(())
    }

    /// Adds floats.
    pub fn push_floats(&mut self, array: &Float64Array) {
        let values = array.values();
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                for piece in values.chunks(PIECE) {
                    self.piece(piece);
                }
            }
            Some(nulls) => self.gather(values, nulls, |value| value),
        }
    }

    /// Adds whole numbers; `bits` are their lowest 64.
    fn push_whole<T: ArrowPrimitiveType>(
        &mut self,
        array: &PrimitiveArray<T>,
        bits: impl Fn(T::Native) -> u64,
    ) where
        T::Native: Into<i128>,
    {
        let values = array.values();
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let slices = || match nulls {
            None => vec![(0, values.len())],
            Some(nulls) => nulls.valid_slices().collect(),
        };
        let slices = slices();
        let Some(first) = slices.first().and_then(|(start, _)| values.get(*start)) else {
            return;
        };
        let first: i128 = (*first).into();
        let mut whole = self.whole.unwrap_or(Whole {
            shift: first,
            sum: 0,
            min: first,
            max: first,
        });
        for (start, end) in slices {
            for value in &values[start..end] {
                let value: i128 = (*value).into();
                whole.sum += value;
                whole.min = whole.min.min(value);
                whole.max = whole.max.max(value);
            }
        }
        self.whole = Some(whole);
        let far = i128::from(i64::MAX);
        if whole.max - whole.shift > far || whole.shift - whole.min > far {
            let above = |value: T::Native| (value.into() - whole.shift) as f64;
            return self.push_above(values, nulls, above);
        }
        let shift = whole.shift as u64;
        let above = |value: T::Native| bits(value).wrapping_sub(shift) as i64 as f64;
        self.push_above(values, nulls, above);
    }

    fn push_above<N: Copy>(
        &mut self,
        values: &[N],
        nulls: Option<&NullBuffer>,
        above: impl Fn(N) -> f64,
    ) {
        let Some(nulls) = nulls else {
            let mut scratch = std::mem::take(&mut self.scratch);
            for piece in values.chunks(PIECE) {
                scratch.clear();
                scratch.extend(piece.iter().map(|value| above(*value)));
                self.piece(&scratch);
            }
            self.scratch = scratch;
            return;
        };
        self.gather(values, nulls, above);
    }

    /// Adds the values that are not null.
    fn gather<N: Copy>(&mut self, values: &[N], nulls: &NullBuffer, read: impl Fn(N) -> f64) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        for (start, end) in nulls.valid_slices() {
            for value in &values[start..end] {
                scratch.push(read(*value));
                if scratch.len() == PIECE {
                    self.piece(&scratch);
                    scratch.clear();
                }
            }
        }
        self.piece(&scratch);
        self.scratch = scratch;
    }

    fn piece(&mut self, values: &[f64]) {
        if values.is_empty() {
            return;
        }
        let (min, max, is_finite) = range(values);
        if !is_finite {
            let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
            return self.piece(&finite);
        }
        let needed = scale_for(min.abs().max(max.abs()));
        if self.count == 0 {
            (self.scale, self.min, self.max) = (needed, min, max);
        } else if needed < self.scale {
            self.rescale(needed);
        }
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        let (around, sum, rest) = if self.scale == 0 {
            around(values)
        } else {
            let factor = two_to(self.scale);
            let scaled: Vec<f64> = values.iter().map(|value| value * factor).collect();
            around(&scaled)
        };
        self.join(around, sum, rest);
    }

    /// Puts a piece, of the same scale, to what is there.
    fn join(&mut self, piece: Around, sum: f64, rest: f64) {
        if self.count > 0 {
            let all = merged(self.around(), piece);
            (self.m2, self.m3) = (all.m2, all.m3);
        } else {
            (self.m2, self.m3) = (piece.m2, piece.m3);
        }
        let (total, lost) = two_sum(self.sum, sum);
        self.sum = total;
        self.rest += lost + rest;
        self.count += piece.count as u64;
    }

    fn around(&self) -> Around {
        let count = self.count as f64;
        Around {
            count,
            mean: (self.sum + self.rest) / count,
            m2: self.m2,
            m3: self.m3,
        }
    }

    fn rescale(&mut self, scale: i32) {
        let factor = two_to(scale - self.scale);
        self.scale = scale;
        self.sum *= factor;
        self.rest *= factor;
        self.m2 = self.m2 * factor * factor;
        self.m3 = self.m3 * factor * factor * factor;
    }

    /// From here on floats come as well.
    pub fn widen(&mut self) {
        if let Some(whole) = self.whole.take() {
            self.sum = whole.sum as f64 * two_to(self.scale);
            self.rest = 0.0;
            (self.min, self.max) = (whole.min as f64, whole.max as f64);
        }
    }

    /// Adds what another has seen of the same column.
    pub fn merge(&mut self, mut other: Moments) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        let scale = self.scale.min(other.scale);
        self.rescale(scale);
        other.rescale(scale);
        if let (Some(ours), Some(theirs)) = (&mut self.whole, &other.whole) {
            let apart = (theirs.shift - ours.shift) as f64;
            other.sum += apart * other.count as f64 * two_to(scale);
            ours.sum += theirs.sum;
            ours.min = ours.min.min(theirs.min);
            ours.max = ours.max.max(theirs.max);
            other.min += apart;
            other.max += apart;
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        let piece = other.around();
        self.join(piece, other.sum, other.rest);
    }

    /// Values that are there.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether all values are one and the same; also when there is none.
    pub fn is_constant(&self) -> bool {
        self.count == 0 || self.min == self.max
    }

    /// The mean; none of no values.
    pub fn mean(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let mean = match &self.whole {
            Some(whole) => ratio(whole.sum, i128::from(self.count)),
            None if self.is_constant() => self.min,
            None => self.around().mean * two_to(-self.scale),
        };
        finite(mean)
    }

    /// The sum; none where it is beyond a float.
    pub fn sum(&self) -> Option<f64> {
        match &self.whole {
            Some(whole) => Some(whole.sum as f64),
            None => finite((self.sum + self.rest) * two_to(-self.scale)),
        }
    }

    /// The sum of whole numbers, exactly.
    pub fn whole_sum(&self) -> Option<i128> {
        self.whole.as_ref().map(|whole| whole.sum)
    }

    /// The smallest value.
    pub fn min(&self) -> Option<f64> {
        match &self.whole {
            Some(whole) => Some(whole.min as f64),
            None => (self.count > 0).then_some(self.min),
        }
    }

    /// The largest value.
    pub fn max(&self) -> Option<f64> {
        match &self.whole {
            Some(whole) => Some(whole.max as f64),
            None => (self.count > 0).then_some(self.max),
        }
    }

    /// The smallest and the largest of whole numbers, exactly.
    pub fn whole_range(&self) -> Option<(i128, i128)> {
        self.whole.as_ref().map(|whole| (whole.min, whole.max))
    }

    /// The standard deviation, divided by `count − ddof`; none where that is not
    /// above 0, and 0 of values that are all the same.
    pub fn std(&self, ddof: u64) -> Option<f64> {
        if self.count <= ddof {
            return None;
        }
        if self.is_constant() {
            return Some(0.0);
        }
        let variance = self.m2.max(0.0) / (self.count - ddof) as f64;
        finite(variance.sqrt() * two_to(-self.scale))
    }

    /// The adjusted Fisher–Pearson skew G1; none of fewer than three values, 0
    /// of values that are all the same.
    pub fn skew(&self) -> Option<f64> {
        if self.count < 3 {
            return None;
        }
        if self.is_constant() || self.m2 <= 0.0 {
            return Some(0.0);
        }
        let n = self.count as f64;
        finite((n * (n - 1.0).sqrt() / (n - 2.0)) * (self.m3 / self.m2.powf(1.5)))
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// `whole / parts`, rounded once where the quotient is below 2^53.
fn ratio(whole: i128, parts: i128) -> f64 {
    (whole / parts) as f64 + (whole % parts) as f64 / parts as f64
}

/// 2^`exponent`; 0 where it is too small.
fn two_to(exponent: i32) -> f64 {
    f64::powi(2.0, exponent)
}

/// By which power of two values up to `magnitude` are multiplied.
fn scale_for(magnitude: f64) -> i32 {
    if magnitude == 0.0 {
        return 0;
    }
    let exponent = magnitude.log2().floor() as i32;
    if exponent.abs() <= UNSCALED {
        0
    } else {
        (-exponent).clamp(-1020, 1000)
    }
}

/// The smallest and the largest, and whether all are finite.
fn range(values: &[f64]) -> (f64, f64, bool) {
    let mut low = [f64::INFINITY; LANES];
    let mut high = [f64::NEG_INFINITY; LANES];
    // Zero times anything but a number is not zero.
    let mut zero = [0.0_f64; LANES];
    let (pieces, tail) = values.as_chunks::<LANES>();
    for piece in pieces {
        for lane in 0..LANES {
            let value = piece[lane];
            low[lane] = if value < low[lane] { value } else { low[lane] };
            high[lane] = if value > high[lane] {
                value
            } else {
                high[lane]
            };
            zero[lane] += value * 0.0;
        }
    }
    for (lane, value) in tail.iter().enumerate() {
        low[lane] = if *value < low[lane] {
            *value
        } else {
            low[lane]
        };
        high[lane] = if *value > high[lane] {
            *value
        } else {
            high[lane]
        };
        zero[lane] += value * 0.0;
    }
    let min = low.into_iter().fold(f64::INFINITY, f64::min);
    let max = high.into_iter().fold(f64::NEG_INFINITY, f64::max);
    (min, max, zero.iter().all(|lane| *lane == 0.0))
}

/// A piece around its mean; its sum, and what that lost to rounding.
fn around(values: &[f64]) -> (Around, f64, f64) {
    let count = values.len() as f64;
    let (pieces, tail) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for piece in pieces {
        for lane in 0..LANES {
            sums[lane] += piece[lane];
        }
    }
    for (lane, value) in tail.iter().enumerate() {
        sums[lane] += value;
    }
    let mean = sums.iter().sum::<f64>() / count;
    let (mut m1, mut m2, mut m3) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for piece in pieces {
        for lane in 0..LANES {
            let apart = piece[lane] - mean;
            let square = apart * apart;
            m1[lane] += apart;
            m2[lane] += square;
            m3[lane] += square * apart;
        }
    }
    for (lane, value) in tail.iter().enumerate() {
        let apart = value - mean;
        let square = apart * apart;
        m1[lane] += apart;
        m2[lane] += square;
        m3[lane] += square * apart;
    }
    let rest: f64 = m1.iter().sum();
    let (m2, m3): (f64, f64) = (m2.iter().sum(), m3.iter().sum());
    // The mean was rounded; what is around it is moved by what is missing.
    let off = rest / count;
    let sum = count * mean;
    let lost = count.mul_add(mean, -sum);
    let around = Around {
        count,
        mean: mean + off,
        m2: m2 - count * off * off,
        m3: m3 - 3.0 * off * m2 + 2.0 * count * off * off * off,
    };
    (around, sum, rest + lost)
}

fn merged(a: Around, b: Around) -> Around {
    let count = a.count + b.count;
    let apart = b.mean - a.mean;
    let share = a.count * b.count / count;
    let cubes = apart * apart * apart * share * (a.count - b.count) / count;
    let cross = 3.0 * apart * (a.count * b.m2 - b.count * a.m2) / count;
    Around {
        count,
        mean: a.mean + apart * b.count / count,
        m2: a.m2 + b.m2 + apart * apart * share,
        m3: a.m3 + b.m3 + cubes + cross,
    }
}

/// The sum, and what it lost to rounding (Knuth).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

#[cfg(test)]
#[path = "moments_tests.rs"]
mod tests;
