//! Pearson's r of pairs of columns, over the rows in which both have a value.
//!
//! Pieces of a batch are centred around their own means and put together as
//! Chan, Golub and LeVeque (1979) do, so large values with a small spread lose
//! nothing. Columns with values beyond 2^±300 are scaled by a power of two, which
//! is exact and changes no r.

use arrow::array::{Array, Float64Array};
use arrow::buffer::NullBuffer;

/// Rows that are centred together: those of many columns stay in the processor's
/// cache.
const PIECE: usize = 512;

/// Sums that are kept side by side, for the processor to add at once.
const LANES: usize = 4;

/// Magnitudes up to 2^this, and down to 2^−this, need no scale.
const UNSCALED: i32 = 300;

/// By how much the mean of a pair's rows may lie off the mean of the piece, in
/// squares of their spread, before they are centred anew.
const OFF_CENTRE: f64 = 1e4;

/// What the rows of a pair add up to.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    rows: f64,
    means: [f64; 2],
    squares: [f64; 2],
    product: f64,
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        if self.rows == 0.0 {
            *self = *other;
            return;
        }
        let rows = self.rows + other.rows;
        let weight = self.rows * other.rows / rows;
        let off = [0, 1].map(|k| other.means[k] - self.means[k]);
        for k in [0, 1] {
            self.squares[k] += other.squares[k] + off[k] * off[k] * weight;
            self.means[k] += off[k] * (other.rows / rows);
        }
        self.product += other.product + off[0] * off[1] * weight;
        self.rows = rows;
    }

    fn r(&self) -> Option<f64> {
        let spread = self.squares[0].sqrt() * self.squares[1].sqrt();
        let r = self.product / spread;
        (self.rows >= 2.0 && spread > 0.0 && r.is_finite()).then(|| r.clamp(-1.0, 1.0))
    }
}

/// A column's piece around its mean.
#[derive(Debug, Default)]
struct Centred {
    /// Scaled and shifted.
    plain: Vec<f64>,
    /// Around the mean; 0 where there is no value.
    values: Vec<f64>,
    squares: Vec<f64>,
    /// 1 where there is a value; empty where there is one everywhere.
    there: Vec<f64>,
    rows: f64,
    mean: f64,
    /// Of `values`, nearly 0.
    sum: f64,
    square_sum: f64,
}

/// Sums of all pairs of columns.
#[derive(Debug)]
pub(super) struct Pairs {
    columns: usize,
    /// Values are divided by 2^this.
    scales: Vec<Option<i32>>,
    /// The first value, which is taken from all: what is left of values that lie
    /// close together is exact.
    shifts: Vec<Option<f64>>,
    /// Of the pairs (0, 1), (0, 2), …, (1, 2), ….
    sums: Vec<Sums>,
    pieces: Vec<Centred>,
}

impl Pairs {
    /// Of so many columns.
    pub(super) fn new(columns: usize) -> Self {
        let pieces = (0..columns).map(|_| Centred::default());
        Pairs {
            columns,
            scales: vec![None; columns],
            shifts: vec![None; columns],
            sums: vec![Sums::default(); columns * columns.saturating_sub(1) / 2],
            pieces: pieces.collect(),
        }
    }

    /// Bytes that it holds at most.
    pub(super) fn bytes(&self) -> usize {
        self.sums.len() * size_of::<Sums>() + self.columns * 4 * PIECE * size_of::<f64>()
    }

    /// The next rows, in all columns; NaN and infinities are nulls before.
    pub(super) fn push(&mut self, columns: &[&Float64Array]) {
        if self.columns < 2 {
            return;
        }
        for (at, column) in columns.iter().enumerate() {
            self.rescale(at, column);
        }
        let rows = columns.first().map_or(0, |column| column.len());
        let mut start = 0;
        while start < rows {
            let len = PIECE.min(rows - start);
            for (at, column) in columns.iter().enumerate() {
                let times = factor(self.scales[at].unwrap_or(0));
                let shift = self.shifts[at].unwrap_or(0.0);
                self.pieces[at].fill(column, start, len, (times, shift));
            }
            let mut sums = self.sums.iter_mut();
            for (first, left) in self.pieces.iter().enumerate() {
                for right in &self.pieces[first + 1..] {
                    if let Some(sums) = sums.next() {
                        let piece = together(left, right);
                        if piece.rows > 0.0 {
                            sums.add(&piece);
                        }
                    }
                }
            }
            start += len;
        }
    }

    /// Sees to it that the squares of the column's values exist.
    fn rescale(&mut self, at: usize, column: &Float64Array) {
        let largest = largest(column);
        if largest > 0.0 {
            self.scale(at, largest);
        }
        if self.shifts[at].is_none() {
            let times = factor(self.scales[at].unwrap_or(0));
            let first = column.iter().flatten().next();
            self.shifts[at] = first.map(|first| first * times);
        }
    }

    fn scale(&mut self, at: usize, largest: f64) {
        let exponent = exponent(largest);
        let needed = match self.scales[at] {
            None if exponent.abs() <= UNSCALED => 0,
            None => exponent,
            Some(scale) if exponent > scale + UNSCALED => exponent,
            Some(_) => return,
        };
        let before = self.scales[at].replace(needed);
        let Some(by) = before.map(|before| before - needed) else {
            return;
        };
        let by = factor(-by);
        if let Some(shift) = &mut self.shifts[at] {
            *shift *= by;
        }
        for other in (0..self.columns).filter(|other| *other != at) {
            let place = self.place(at.min(other), at.max(other));
            let sums = &mut self.sums[place];
            let k = usize::from(other < at);
            sums.means[k] *= by;
            sums.squares[k] = sums.squares[k] * by * by;
            sums.product *= by;
        }
    }

    fn place(&self, first: usize, second: usize) -> usize {
        first * (2 * self.columns - first - 1) / 2 + second - first - 1
    }

    /// The r of a pair; none where there is no spread.
    pub(super) fn r(&self, first: usize, second: usize) -> Option<f64> {
        self.sums[self.place(first, second)].r()
    }
}

/// 2^−`scale`, in the range of floats.
fn factor(scale: i32) -> f64 {
    2.0_f64.powi(-scale)
}

/// The largest magnitude among the values.
fn largest(column: &Float64Array) -> f64 {
    let of = |values: &[f64]| values.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => of(column.values()),
        Some(nulls) => nulls.valid_slices().fold(0.0, |most, (start, end)| {
            most.max(of(&column.values()[start..end]))
        }),
    }
}

/// The power of two of a positive number.
fn exponent(value: f64) -> i32 {
    match (value.to_bits() >> 52) as i32 {
        // What has no digits left is near enough to the smallest number.
        0 => -1022,
        biased => biased - 1023,
    }
}

impl Centred {
    /// `(times, shift)`: what values are multiplied by, and what is taken from them.
    fn fill(
        &mut self,
        column: &Float64Array,
        start: usize,
        len: usize,
        (times, shift): (f64, f64),
    ) {
        let values = &column.values()[start..start + len];
        let nulls = column.nulls().map(|nulls| nulls.slice(start, len));
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        self.plain.clear();
        self.there.clear();
        let shifted = values.iter().map(|value| value * times - shift);
        self.plain.extend(shifted);
        if let Some(nulls) = &nulls {
            mask(nulls, &mut self.plain, &mut self.there);
        }
        self.rows = (len - nulls.as_ref().map_or(0, NullBuffer::null_count)) as f64;
        self.mean = self.centre();
        self.values.clear();
        let off = self.plain.iter().map(|value| value - self.mean);
        self.values.extend(off);
        for (value, there) in self.values.iter_mut().zip(&self.there) {
            *value *= there;
        }
        self.squares.clear();
        let squares = self.values.iter().map(|value| value * value);
        self.squares.extend(squares);
        self.sum = self.values.iter().sum();
        self.square_sum = self.squares.iter().sum();
    }

    /// The mean; where all values are the same, exactly that value.
    fn centre(&self) -> f64 {
        let first = (0..self.plain.len()).find(|at| self.is_there(*at));
        let Some(first) = first.map(|at| self.plain[at]) else {
            return 0.0;
        };
        let off = match self.there.is_empty() {
            true => self.plain.iter().map(|value| value - first).sum::<f64>(),
            false => {
                let both = self.plain.iter().zip(&self.there);
                both.map(|(value, there)| (value - first) * there).sum()
            }
        };
        first + off / self.rows
    }

    fn is_there(&self, at: usize) -> bool {
        self.there.is_empty() || self.there[at] == 1.0
    }
}

/// 0 for values that are not there, and 1 in `there` for those that are.
fn mask(nulls: &NullBuffer, values: &mut [f64], there: &mut Vec<f64>) {
    there.resize(values.len(), 0.0);
    for (at, is_there) in nulls.iter().enumerate() {
        if is_there {
            there[at] = 1.0;
        } else {
            values[at] = 0.0;
        }
    }
}

/// The sums of products of several pairs of lists.
fn dots<const N: usize>(pairs: [(&[f64], &[f64]); N]) -> [f64; N] {
    let mut sums = [[0.0; LANES]; N];
    let len = pairs.first().map_or(0, |pair| pair.0.len());
    let whole = len - len % LANES;
    for (sums, (left, right)) in sums.iter_mut().zip(pairs) {
        let (left, _) = left[..whole].as_chunks::<LANES>();
        let (right, _) = right[..whole].as_chunks::<LANES>();
        for (left, right) in left.iter().zip(right) {
            for lane in 0..LANES {
                sums[lane] += left[lane] * right[lane];
            }
        }
    }
    std::array::from_fn(|n| {
        let (left, right) = pairs[n];
        let rest = (whole..len).map(|at| left[at] * right[at]);
        sums[n].iter().sum::<f64>() + rest.sum::<f64>()
    })
}

/// The sums of the rows of a piece in which both columns have a value.
fn together(left: &Centred, right: &Centred) -> Sums {
    let [product] = dots([(&left.values, &right.values)]);
    let is_whole = |piece: &Centred| piece.there.is_empty();
    let ([left_sum, left_squares], [right_sum, right_squares], rows) =
        match (is_whole(left), is_whole(right)) {
            (true, true) => (
                [left.sum, left.square_sum],
                [right.sum, right.square_sum],
                left.rows,
            ),
            (true, false) => {
                let there = right.there.as_slice();
                let of_left = dots([(&left.values, there), (&left.squares, there)]);
                (of_left, [right.sum, right.square_sum], right.rows)
            }
            (false, true) => {
                let there = left.there.as_slice();
                let of_right = dots([(&right.values, there), (&right.squares, there)]);
                ([left.sum, left.square_sum], of_right, left.rows)
            }
            (false, false) => {
                let [rows] = dots([(&left.there, &right.there)]);
                let there = right.there.as_slice();
                let of_left = dots([(&left.values, there), (&left.squares, there)]);
                let there = left.there.as_slice();
                let of_right = dots([(&right.values, there), (&right.squares, there)]);
                (of_left, of_right, rows)
            }
        };
    if rows == 0.0 {
        return Sums::default();
    }
    let off = [left_sum / rows, right_sum / rows];
    let squares = [
        left_squares - rows * off[0] * off[0],
        right_squares - rows * off[1] * off[1],
    ];
    let is_off = |k: usize| rows * off[k] * off[k] > OFF_CENTRE * squares[k].max(0.0);
    if !(is_whole(left) && is_whole(right)) && (is_off(0) || is_off(1)) {
        return anew(left, right);
    }
    Sums {
        rows,
        means: [left.mean + off[0], right.mean + off[1]],
        squares: squares.map(|square| square.max(0.0)),
        product: product - rows * off[0] * off[1],
    }
}

/// The same, centred around the pair's own means: those of its rows lie far off
/// the means of the columns.
fn anew(left: &Centred, right: &Centred) -> Sums {
    let rows = || (0..left.plain.len()).filter(|at| left.is_there(*at) && right.is_there(*at));
    let Some(first) = rows().next() else {
        return Sums::default();
    };
    let starts = [left.plain[first], right.plain[first]];
    let count = rows().count() as f64;
    let sums = rows().fold([0.0; 2], |sums: [f64; 2], at| {
        let values = [left.plain[at], right.plain[at]];
        [0, 1].map(|k: usize| sums[k] + (values[k] - starts[k]))
    });
    let means = [0, 1].map(|k: usize| starts[k] + sums[k] / count);
    let (mut squares, mut product) = ([0.0; 2], 0.0);
    for at in rows() {
        let from = [left.plain[at] - means[0], right.plain[at] - means[1]];
        for k in [0, 1] {
            squares[k] += from[k] * from[k];
        }
        product += from[0] * from[1];
    }
    Sums {
        rows: count,
        means,
        squares,
        product,
    }
}
