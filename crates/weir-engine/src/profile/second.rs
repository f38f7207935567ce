//! The second look at a column: what needs its mean, its range or its quartiles.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use serde_json::{Map, Value, json};
use weir_core::Result;
use weir_values::texts::Texts;
use weir_values::{instants, moment};

use super::cells::Cells;
use super::shown::{cell, digits, float, instant};

/// Values that lists of outliers show.
const OUTLIERS: usize = 100;

/// Buckets of charts.
const BUCKETS: usize = 40;

/// Standard deviations from the mean from which on a value is an outlier.
const FAR: f64 = 3.0;

/// How many values fall between two numbers of a range.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    min: f64,
    max: f64,
    counts: Vec<u64>,
    /// Whether each bucket is one whole number.
    is_whole: bool,
}

impl Histogram {
    /// Of values from `min` to `max`.
    pub(super) fn new(min: f64, max: f64, is_whole: bool) -> Self {
        let span = max - min;
        let is_whole = is_whole && span <= BUCKETS as f64;
        let buckets = match is_whole {
            true => span as usize + 1,
            false if min == max => 1,
            false => BUCKETS,
        };
        Histogram {
            min,
            max,
            counts: vec![0; buckets],
            is_whole,
        }
    }

    fn push(&mut self, floats: &Float64Array) {
        let last = self.counts.len() - 1;
        let (low, high) = (self.min * 0.5, self.max * 0.5);
        let per = match self.is_whole {
            true => 2.0,
            false if last == 0 => 0.0,
            false => self.counts.len() as f64 / (high - low),
        };
        let counts = &mut self.counts;
        each(floats, |_, value| {
            let bucket = (value * 0.5 - low) * per;
            counts[(bucket as usize).min(last)] += 1;
        });
    }

    /// `[{"min", "max", "count"}]`; of whole numbers with one bucket each, `min`
    /// and `max` are that number. The last bucket has its `max`, others end
    /// before it.
    pub(super) fn to_json(&self) -> Value {
        let buckets = self.counts.len() as f64;
        let edge = |at: usize| {
            let part = at as f64 / buckets;
            self.min * (1.0 - part) + self.max * part
        };
        let counts = self.counts.iter().enumerate();
        let shown = counts.map(|(at, count)| match self.is_whole {
            true => {
                let value = digits(&format!("{:.0}", self.min + at as f64));
                json!({"min": value, "max": value, "count": count})
            }
            false if buckets == 1.0 => {
                json!({"min": float(self.min), "max": float(self.max), "count": count})
            }
            false => {
                let max = match at + 1 == self.counts.len() {
                    true => self.max,
                    false => edge(at + 1),
                };
                json!({"min": float(edge(at)), "max": float(max), "count": count})
            }
        });
        Value::Array(shown.collect())
    }
}

/// Q1 and Q3, and what lies outside of the fences around them.
#[derive(Debug, Clone)]
pub(super) struct Fences {
    low: f64,
    high: f64,
    /// Where all quartiles are the same: what differs from them is outside.
    same: Option<f64>,
    min: Option<(f64, Value)>,
    max: Option<(f64, Value)>,
    outliers: Vec<Value>,
}

impl Fences {
    pub(super) fn new(q1: f64, q3: f64) -> Self {
        let apart = q3 - q1;
        Fences {
            low: q1 - 1.5 * apart,
            high: q3 + 1.5 * apart,
            same: (q1 == q3).then_some(q1),
            min: None,
            max: None,
            outliers: Vec::new(),
        }
    }

    fn is_out(&self, value: f64) -> bool {
        match self.same {
            Some(same) => value != same,
            None => value <= self.low || value >= self.high,
        }
    }

    fn push(&mut self, floats: &Float64Array, values: &ArrayRef) {
        let (mut min, mut max) = (None, None);
        let (mut low, mut high) = (
            self.min.as_ref().map_or(f64::INFINITY, |(value, _)| *value),
            self.max
                .as_ref()
                .map_or(f64::NEG_INFINITY, |(value, _)| *value),
        );
        let exact = |found: &Option<(f64, Value)>| found.as_ref().and_then(|(_, v)| v.as_i64());
        let (mut exact_low, mut exact_high) = (exact(&self.min), exact(&self.max));
        let whole = values.as_primitive_opt::<Int64Type>();
        let mut out = Vec::new();
        each(floats, |row, value| {
            if self.is_out(value) {
                if self.outliers.len() + out.len() < OUTLIERS {
                    out.push(cell(values, row));
                }
                return;
            }
            // Beyond 2^53 different numbers have the same float.
            let is = whole
                .filter(|_| value.abs() >= 9e15)
                .map(|whole| whole.value(row));
            if value < low || (value == low && is.is_some() && is < exact_low) {
                (low, min, exact_low) = (value, Some(row), is);
            }
            if value > high || (value == high && is.is_some() && is > exact_high) {
                (high, max, exact_high) = (value, Some(row), is);
            }
        });
        self.outliers.extend(out);
        if let Some(row) = min {
            self.min = Some((low, cell(values, row)));
        }
        if let Some(row) = max {
            self.max = Some((high, cell(values, row)));
        }
    }

    /// The smallest and the largest of the values inside, and values outside.
    pub(super) fn parts(self) -> (Value, Value, Vec<Value>) {
        let value = |found: Option<(f64, Value)>| found.map_or(Value::Null, |(_, value)| value);
        (value(self.min), value(self.max), self.outliers)
    }
}

/// Values far from the mean.
#[derive(Debug, Clone)]
pub(super) struct Far {
    mean: f64,
    std: f64,
    pub(super) count: u64,
    pub(super) values: Vec<Value>,
}

impl Far {
    /// None where values do not differ.
    pub(super) fn new(mean: Option<f64>, std: Option<f64>) -> Option<Self> {
        let (mean, std) = (mean?, std.filter(|std| *std > 0.0)?);
        Some(Far {
            mean,
            std,
            count: 0,
            values: Vec::new(),
        })
    }

    fn push(&mut self, floats: &Float64Array, values: &ArrayRef) {
        each(floats, |row, value| {
            if (value - self.mean).abs() / self.std >= FAR {
                self.count += 1;
                if self.values.len() < OUTLIERS {
                    self.values.push(cell(values, row));
                }
            }
        });
    }
}

/// Buckets of equal length between two moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeline {
    min: i64,
    max: i64,
}

impl Timeline {
    /// Of moments in microseconds from `min` to `max`.
    pub(super) fn new(min: i64, max: i64) -> Self {
        Timeline { min, max }
    }

    fn buckets(self) -> usize {
        if self.min == self.max { 1 } else { BUCKETS }
    }

    fn bucket(self, moment: i64) -> usize {
        let span = i128::from(self.max) - i128::from(self.min);
        let at = (i128::from(moment) - i128::from(self.min)).max(0) * self.buckets() as i128;
        ((at / span.max(1)) as usize).min(self.buckets() - 1)
    }

    fn edge(self, at: usize) -> Value {
        let span = i128::from(self.max) - i128::from(self.min);
        let moment = i128::from(self.min) + span * at as i128 / self.buckets() as i128;
        instant(moment as i64)
    }

    /// The bucket of every cell.
    fn places(self, moments: &TimestampMicrosecondArray) -> Vec<Option<u8>> {
        let place = |moment: Option<i64>| moment.map(|moment| self.bucket(moment) as u8);
        moments.iter().map(place).collect()
    }
}

/// What falls into a bucket of time.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// A column over time: of numbers their mean and range, of others how many there
/// are.
#[derive(Debug, Clone)]
pub(super) struct Series {
    line: Timeline,
    buckets: Vec<Bucket>,
    of_numbers: bool,
}

impl Series {
    pub(super) fn new(line: Timeline, of_numbers: bool) -> Self {
        Series {
            line,
            buckets: vec![Bucket::default(); line.buckets()],
            of_numbers,
        }
    }

    fn push(&mut self, places: &[Option<u8>]) {
        for place in places.iter().flatten() {
            self.buckets[usize::from(*place)].count += 1;
        }
    }

    fn push_numbers(&mut self, places: &[Option<u8>], floats: &Float64Array) {
        let buckets = &mut self.buckets;
        each(floats, |row, value| {
            let Some(place) = places.get(row).copied().flatten() else {
                return;
            };
            let bucket = &mut buckets[usize::from(place)];
            if bucket.count == 0 {
                (bucket.min, bucket.max) = (value, value);
            }
            bucket.count += 1;
            bucket.sum += value;
            bucket.min = bucket.min.min(value);
            bucket.max = bucket.max.max(value);
        });
    }

    /// `[{"start", "end", "count"}]`, of numbers with `average`, `min` and `max`,
    /// which are null in buckets without values.
    pub(super) fn to_json(&self) -> Value {
        let buckets = self.buckets.iter().enumerate();
        let shown = buckets.map(|(at, bucket)| {
            let mut map = Map::new();
            map.insert("start".to_owned(), self.line.edge(at));
            map.insert("end".to_owned(), self.line.edge(at + 1));
            map.insert("count".to_owned(), bucket.count.into());
            if self.of_numbers {
                let there = |value: f64| float((bucket.count > 0).then_some(value));
                map.insert(
                    "average".to_owned(),
                    there(bucket.sum / bucket.count as f64),
                );
                map.insert("min".to_owned(), there(bucket.min));
                map.insert("max".to_owned(), there(bucket.max));
            }
            Value::Object(map)
        });
        Value::Array(shown.collect())
    }
}

/// The second look at a column.
#[derive(Debug, Clone, Default)]
pub(super) struct Second {
    pub(super) index: usize,
    pub(super) far: Option<Far>,
    pub(super) histogram: Option<Histogram>,
    pub(super) fences: Option<Fences>,
    /// Of numbers over the first index of time; of dates over themselves.
    pub(super) series: Option<Series>,
    /// The timeline of dates.
    pub(super) line: Option<Timeline>,
}

impl Second {
    /// Whether there is anything to look for.
    pub(super) fn is_needed(&self) -> bool {
        self.histogram.is_some() || self.line.is_some()
    }

    /// The buckets of the cells of a column of dates.
    pub(super) fn places(&self, cells: &Cells) -> Option<Vec<Option<u8>>> {
        let moments = moments(&cells.values)?;
        Some(self.line?.places(&moments))
    }

    /// The next batch; `places` are the buckets of time of its rows.
    pub(super) fn push(&mut self, cells: &Cells, places: Option<&[Option<u8>]>) -> Result<()> {
        if self.line.is_some() {
            let own = self.places(cells);
            if let (Some(series), Some(own)) = (&mut self.series, own) {
                series.push(&own);
            }
            return Ok(());
        }
        let Some(floats) = &cells.floats else {
            return Ok(());
        };
        if let Some(far) = &mut self.far {
            far.push(floats, &cells.values);
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.push(floats);
        }
        if let Some(fences) = &mut self.fences {
            fences.push(floats, &cells.values);
        }
        if let (Some(series), Some(places)) = (&mut self.series, places) {
            series.push_numbers(places, floats);
        }
        Ok(())
    }
}

/// The moments of a column of dates.
pub(super) fn moments(values: &ArrayRef) -> Option<TimestampMicrosecondArray> {
    match Texts::of(values) {
        Some(texts) => Some(moment::dates(&texts)),
        None => instants::micros_of(values),
    }
}

/// Calls `take` with the row and the value of every number that is there.
fn each(floats: &Float64Array, mut take: impl FnMut(usize, f64)) {
    let values = floats.values();
    match floats.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => values
            .iter()
            .enumerate()
            .for_each(|(row, value)| take(row, *value)),
        Some(nulls) => nulls.valid_indices().for_each(|row| take(row, values[row])),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn counts(min: f64, max: f64, is_whole: bool, values: Vec<f64>) -> Vec<u64> {
        let mut histogram = Histogram::new(min, max, is_whole);
        histogram.push(&Float64Array::from(values));
        histogram.counts
    }

    #[test]
    fn every_value_falls_into_a_bucket() {
        assert_eq!(counts(1.0, 3.0, true, vec![1.0, 3.0, 3.0]), [1, 0, 2]);
        assert_eq!(counts(5.0, 5.0, false, vec![5.0, 5.0]), [2]);
        let wide = counts(-f64::MAX, f64::MAX, false, vec![-f64::MAX, 0.0, f64::MAX]);
        assert_eq!((wide.len(), wide[0], wide[20], wide[39]), (40, 1, 1, 1));
        let many = counts(0.0, 100.0, true, (0..=100).map(f64::from).collect());
        assert_eq!((many.len(), many.iter().sum::<u64>()), (40, 101));
        let shown = Histogram::new(0.0, 40.0, true).to_json();
        assert_eq!(shown[40], json!({"min": 40, "max": 40, "count": 0}));
    }

    #[test]
    fn fences_are_outside() {
        let mut fences = Fences::new(10.0, 20.0);
        let floats = Float64Array::from(vec![-5.0, -4.0, 15.0, 34.0, 35.0]);
        let values: ArrayRef = Arc::new(floats.clone());
        fences.push(&floats, &values);
        let (min, max, outliers) = fences.parts();
        assert_eq!((min, max), (json!(-4.0), json!(34.0)));
        assert_eq!(outliers, [json!(-5.0), json!(35.0)]);
        let mut same = Fences::new(1.0, 1.0);
        let floats = Float64Array::from(vec![1.0, 2.0]);
        same.push(&floats, &(Arc::new(floats.clone()) as ArrayRef));
        assert_eq!(same.parts().2, [json!(2.0)]);
    }

    #[test]
    fn moments_fall_into_buckets_of_equal_length() {
        let line = Timeline::new(i64::MIN, i64::MAX);
        assert_eq!(
            (line.bucket(i64::MIN), line.bucket(0), line.bucket(i64::MAX)),
            (0, 20, 39)
        );
        assert_eq!(Timeline::new(5, 5).bucket(5), 0);
        let mut series = Series::new(Timeline::new(0, 40_000_000), true);
        let places = [Some(0), None, Some(39)];
        series.push_numbers(
            &places,
            &Float64Array::from(vec![Some(1.0), Some(2.0), None]),
        );
        let shown = series.to_json();
        assert_eq!(shown[0]["average"], json!(1.0));
        assert_eq!(shown[39]["count"], json!(0));
        assert_eq!(shown[39]["min"], Value::Null);
        assert_eq!(shown[39]["end"], json!("1970-01-01T00:00:40Z"));
    }
}
