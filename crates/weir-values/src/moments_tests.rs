use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, UInt64Array};
use proptest::prelude::*;

use super::*;

fn of(values: &[f64]) -> Moments {
    let mut moments = Moments::new();
    let array: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    moments.push(&array).unwrap();
    moments
}

fn of_whole(values: Vec<Option<i64>>) -> Moments {
    let mut moments = Moments::new();
    let array: ArrayRef = Arc::new(Int64Array::from(values));
    moments.push(&array).unwrap();
    moments
}

const GOLDEN: [f64; 10] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0];

#[test]
fn the_example_of_the_specification() {
    let moments = of(&GOLDEN);
    assert_eq!(moments.mean(), Some(14.5));
    assert_eq!(moments.std(1), Some(30.152390728873666));
    assert_eq!(moments.skew(), Some(3.1188957452390875));
    assert_eq!((moments.min(), moments.max()), (Some(1.0), Some(100.0)));
    let whole = of_whole(GOLDEN.iter().map(|value| Some(*value as i64)).collect());
    assert_eq!(whole.std(1), Some(30.152390728873666));
    assert_eq!(whole.skew(), Some(3.1188957452390875));
    assert_eq!(whole.mean(), Some(14.5));
}

#[test]
fn few_values() {
    let none = of(&[]);
    assert_eq!((none.mean(), none.std(0), none.skew()), (None, None, None));
    assert_eq!(none.sum(), Some(0.0));
    let one = of(&[5.0]);
    assert_eq!(
        (one.mean(), one.std(0), one.std(1)),
        (Some(5.0), Some(0.0), None)
    );
    let two = of(&[5.0, 7.0]);
    assert_eq!((two.std(0), two.skew()), (Some(1.0), None));
}

#[test]
fn one_value_again_and_again_has_no_spread() {
    for value in [0.1, 1e300, 5e-324, -3.3] {
        let moments = of(&[value; 1000]);
        assert_eq!(moments.mean(), Some(value));
        assert_eq!(moments.std(1), Some(0.0));
        assert_eq!(moments.skew(), Some(0.0));
    }
    let whole = of_whole(vec![Some(i64::MAX); 5]);
    assert_eq!((whole.std(0), whole.skew()), (Some(0.0), Some(0.0)));
}

#[test]
fn large_and_small_values_are_scaled() {
    for power in [1e300, 1e-300, 1e-200, 1e307 / 100.0] {
        let values: Vec<f64> = GOLDEN.iter().map(|value| value * power).collect();
        let moments = of(&values);
        let std = moments.std(1).unwrap();
        assert!(
            (std / power / 30.152390728873666 - 1.0).abs() < 1e-12,
            "{std}"
        );
        assert!((moments.skew().unwrap() - 3.1188957452390875).abs() < 1e-9);
    }
    let far = of(&[f64::MAX, -f64::MAX]);
    assert_eq!((far.mean(), far.std(0)), (Some(0.0), Some(f64::MAX)));
    assert_eq!(far.std(1), None);
}

#[test]
fn the_scale_changes_when_larger_values_come() {
    let mut moments = of(&[1e-310, 2e-310]);
    let more: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
    moments.push(&more).unwrap();
    assert_eq!(moments.mean(), Some(0.75));
    let most: ArrayRef = Arc::new(Float64Array::from(vec![3e302]));
    moments.push(&most).unwrap();
    assert!((moments.mean().unwrap() / 6e301 - 1.0).abs() < 1e-15);
}

#[test]
fn what_is_no_number_does_not_count() {
    let moments = of(&[1.0, f64::NAN, f64::INFINITY, 3.0, f64::NEG_INFINITY]);
    assert_eq!((moments.count(), moments.mean()), (2, Some(2.0)));
    let array = Float64Array::from(vec![None, Some(1.0), None, Some(3.0)]);
    let mut moments = Moments::new();
    moments.push_floats(&array);
    assert_eq!((moments.count(), moments.mean()), (2, Some(2.0)));
}

#[test]
fn whole_numbers_are_exact() {
    let big = 9_007_199_254_740_993_i64;
    let moments = of_whole(vec![Some(big), None, Some(big + 2), Some(big + 4)]);
    assert_eq!(moments.whole_sum(), Some(3 * i128::from(big) + 6));
    let range = (i128::from(big), i128::from(big) + 4);
    assert_eq!(moments.whole_range(), Some(range));
    assert_eq!(moments.std(1), Some(2.0));
    let all = of_whole(vec![Some(i64::MIN), Some(i64::MAX)]);
    assert_eq!(all.mean(), Some(-0.5));
    let mut unsigned = Moments::new();
    let array: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, u64::MAX - 2]));
    unsigned.push(&array).unwrap();
    assert_eq!(unsigned.std(0), Some(1.0));
    assert_eq!(unsigned.whole_sum(), Some(2 * i128::from(u64::MAX) - 2));
}

#[test]
fn decimals_count_as_floats() {
    let array = Decimal128Array::from(vec![150, 250]);
    let array: ArrayRef = Arc::new(array.with_precision_and_scale(10, 2).unwrap());
    let mut moments = Moments::new();
    moments.push(&array).unwrap();
    assert_eq!(moments.mean(), Some(2.0));
}

/// Mean, and sums of squares and cubes around it, in two passes.
fn plainly(values: &[f64]) -> (f64, f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let m2 = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    let m3 = values.iter().map(|v| (v - mean).powi(3)).sum::<f64>();
    (mean, m2, m3)
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-9 * scale.max(1.0)
}

proptest! {
    #[test]
    fn pieces_give_what_the_whole_gives(
        values in prop::collection::vec(-1e6_f64..1e6, 3..6000),
        cut in 0.0_f64..1.0,
    ) {
        let at = (values.len() as f64 * cut) as usize;
        let mut moments = of(&values[..at]);
        moments.merge(of(&values[at..]));
        let (mean, m2, m3) = plainly(&values);
        let n = values.len() as f64;
        prop_assert!(close(moments.mean().unwrap(), mean, 1e6));
        let std = (m2 / (n - 1.0)).sqrt();
        prop_assert!(close(moments.std(1).unwrap(), std, std));
        if m2 > 0.0 {
            let skew = n * (n - 1.0).sqrt() / (n - 2.0) * m3 / m2.powf(1.5);
            prop_assert!(close(moments.skew().unwrap(), skew, skew.abs()));
        }
    }

    #[test]
    fn whole_numbers_merge(
        values in prop::collection::vec(any::<i64>(), 3..500),
        cut in 0.0_f64..1.0,
    ) {
        let at = (values.len() as f64 * cut) as usize;
        let some = |part: &[i64]| of_whole(part.iter().copied().map(Some).collect());
        let mut parts = some(&values[..at]);
        parts.merge(some(&values[at..]));
        let all = some(&values);
        prop_assert_eq!(parts.whole_sum(), all.whole_sum());
        prop_assert_eq!(parts.whole_range(), all.whole_range());
        prop_assert_eq!(parts.mean(), all.mean());
        let (a, b) = (parts.std(1).unwrap(), all.std(1).unwrap());
        prop_assert!((a - b).abs() <= 1e-9 * b);
    }

    #[test]
    fn never_a_nan(values in prop::collection::vec(prop::num::f64::ANY, 0..50)) {
        let moments = of(&values);
        for fact in [moments.mean(), moments.std(0), moments.std(1), moments.skew(), moments.sum()] {
            prop_assert!(fact.is_none_or(f64::is_finite));
        }
    }
}
