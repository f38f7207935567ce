//! Rows, pairs and columns held against the plain way to compute the same.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StringArray};
use arrow::datatypes::Int32Type;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::collinear::collinear;
use super::pairs::Pairs;
use super::rows::{Distinct, Keys};
use crate::steps::Env;
use crate::steps::testing::{context, engine};

fn env(dir: &std::path::Path) -> Env {
    let (engine, ctx) = (engine(dir), context(64 << 20));
    Env::new(engine.task(&ctx.memory), &ctx)
}

fn counted(hashes: &[u128], most: usize, batch: usize) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        let mut distinct = Distinct::of(&env(dir.path()), most);
        for batch in hashes.chunks(batch) {
            distinct.push(batch).await.unwrap();
        }
        distinct.count().await.unwrap().rows
    })
}

#[test]
fn different_rows_are_counted_in_memory_and_in_parts_on_disk() {
    let keys = Keys::new();
    let of = |rows: &[i64]| {
        let column: ArrayRef = Arc::new(Int64Array::from(rows.to_vec()));
        keys.hashes(&[column], rows.len()).unwrap()
    };
    let rows: Vec<i64> = (0..60_000).map(|n| n % 25_000).collect();
    let hashes = of(&rows);
    for most in [32 << 20, 1 << 19, 1 << 14, 1 << 11] {
        assert_eq!(counted(&hashes, most, 8192), 25_000, "{most}");
    }
    // Few rows that come often stay in memory, and of one there is one part.
    assert_eq!(counted(&of(&[7; 50_000]), 1 << 16, 4096), 1);
    assert_eq!(counted(&[], 1 << 16, 4096), 0);
}

#[test]
fn an_estimate_takes_the_place_of_the_disk() {
    let keys = Keys::new();
    let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(0..200_000));
    let hashes = keys.hashes(&[rows], 200_000).unwrap();
    let dir = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        for (bytes, is_estimate) in [(256 << 20, false), (4 << 20, true)] {
            let (engine, ctx) = (engine(dir.path()), context(bytes));
            let env = Env::new(engine.task(&ctx.memory), &ctx);
            let mut distinct = Distinct::new(&env, true);
            for batch in hashes.chunks(8192) {
                distinct.push(batch).await.unwrap();
            }
            let counted = distinct.count().await.unwrap();
            assert_eq!(counted.is_estimate, is_estimate);
            let off = counted.rows.abs_diff(200_000);
            assert!(off <= if is_estimate { 8_000 } else { 0 }, "{counted:?}");
        }
    });
}

#[test]
fn rows_are_equal_as_values_are() {
    let keys = Keys::new();
    let hash = |columns: &[ArrayRef]| keys.hashes(columns, columns[0].len()).unwrap();
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(0.0),
        Some(-0.0),
        None,
        Some(1.0),
    ]));
    let made = hash(&[floats]);
    assert_eq!(made[0], made[1]);
    assert_eq!(made.iter().collect::<HashSet<_>>().len(), 3);
    let texts =
        |texts: [Option<&str>; 4]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let made = hash(&[
        texts([Some("ab"), Some("a"), None, Some("")]),
        texts([Some("c"), Some("bc"), Some(""), None]),
    ]);
    assert_eq!(made.iter().collect::<HashSet<_>>().len(), 4);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1)]),
        Some(vec![Some(1)]),
        Some(vec![]),
        None,
    ]);
    let made = hash(&[Arc::new(lists)]);
    assert_eq!(made[0], made[1]);
    assert_eq!(made.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(keys.hashes(&[], 2).unwrap().len(), 2);
}

/// r in two passes over the rows that have both.
fn plain_r(left: &[Option<f64>], right: &[Option<f64>]) -> Option<f64> {
    let rows: Vec<(f64, f64)> = left
        .iter()
        .zip(right)
        .filter_map(|(a, b)| a.zip(*b))
        .collect();
    let n = rows.len() as f64;
    let (a, b) = (
        rows.iter().map(|row| row.0).sum::<f64>() / n,
        rows.iter().map(|row| row.1).sum::<f64>() / n,
    );
    let sum = |f: &dyn Fn(f64, f64) -> f64| rows.iter().map(|(x, y)| f(x - a, y - b)).sum::<f64>();
    let spread = sum(&|x, _| x * x).sqrt() * sum(&|_, y| y * y).sqrt();
    (rows.len() > 1 && spread > 0.0).then(|| sum(&|x, y| x * y) / spread)
}

fn pairs(columns: &[Vec<Option<f64>>], batch: usize) -> Pairs {
    let mut pairs = Pairs::new(columns.len());
    for start in (0..columns[0].len()).step_by(batch) {
        let end = (start + batch).min(columns[0].len());
        let arrays = columns
            .iter()
            .map(|column| Float64Array::from(column[start..end].to_vec()));
        let arrays: Vec<Float64Array> = arrays.collect();
        pairs.push(&arrays.iter().collect::<Vec<_>>());
    }
    pairs
}

fn near(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-9,
        (one, other) => one == other,
    }
}

proptest! {
    #[test]
    fn pairs_are_complete_pair_by_pair(
        rows in prop::collection::vec(prop::array::uniform3(prop::option::weighted(0.7, -1e3..1e3_f64)), 1..1500),
        batch in 1_usize..900,
        shift in prop::sample::select(vec![0.0, 1e6]),
    ) {
        let column = |at: usize| -> Vec<Option<f64>> {
            rows.iter().map(|row| row[at].map(|value| value + shift)).collect()
        };
        let columns = [column(0), column(1), column(2), rows.iter().map(|row| Some(row[0].unwrap_or(1.0))).collect()];
        let made = pairs(&columns, batch);
        for first in 0..4 {
            for second in first + 1..4 {
                let (r, plain) = (made.r(first, second), plain_r(&columns[first], &columns[second]));
                prop_assert!(near(r, plain), "{first} {second}: {r:?} {plain:?}");
            }
        }
    }
}

#[test]
fn large_and_small_magnitudes_keep_their_r() {
    let of =
        |f: &dyn Fn(usize) -> f64| -> Vec<Option<f64>> { (0..2000).map(|n| Some(f(n))).collect() };
    let wave = |n: usize| ((n * 7919) % 1000) as f64;
    let columns = [
        of(&wave),
        of(&|n| wave(n) * 1e305),
        of(&|n| wave(n) * -1e-306),
        of(&|n| {
            if n < 1000 {
                wave(n) * 1e-200
            } else {
                wave(n) * 1e300
            }
        }),
        of(&|_| 0.1),
        of(&|n| 1e15 + wave(n)),
    ];
    for batch in [100, 2000] {
        let made = pairs(&columns, batch);
        assert!(near(made.r(0, 1), Some(1.0)), "{:?}", made.r(0, 1));
        assert!(near(made.r(0, 2), Some(-1.0)), "{:?}", made.r(0, 2));
        assert!(near(made.r(1, 2), Some(-1.0)), "{:?}", made.r(1, 2));
        assert!(made.r(0, 3).is_some_and(|r| r > 0.4 && r < 0.5));
        assert_eq!(made.r(0, 4), None);
        assert!(near(made.r(0, 5), Some(1.0)), "{:?}", made.r(0, 5));
    }
    // The rest of a column is constant, and far off its mean, where the other is.
    let left = of(&|n| if n % 2 == 0 { 0.1 } else { 1e15 + wave(n) });
    let right: Vec<Option<f64>> = (0..2000).map(|n| (n % 2 == 0).then(|| wave(n))).collect();
    assert_eq!(pairs(&[left, right.clone()], 700).r(0, 1), None);
    let left = of(&|n| if n % 2 == 0 { wave(n) } else { 1e15 });
    let r = pairs(&[left, right], 700).r(0, 1);
    assert!(near(r, Some(1.0)), "{r:?}");
}

#[test]
fn of_columns_that_predict_each_other_the_first_goes() {
    let of =
        |f: &dyn Fn(usize) -> f64| -> Vec<Option<f64>> { (0..50).map(|n| Some(f(n))).collect() };
    let a = |n: usize| ((n * 37) % 50) as f64;
    let b = |n: usize| ((n * n * 13) % 47) as f64;
    let columns = [
        of(&a),
        of(&|n| 2.0 * a(n) + 1.0),
        of(&b),
        of(&|_| 5.0),
        of(&|n| a(n) + b(n)),
        of(&|n| b(n) + ((n * 31) % 7) as f64),
    ];
    let made = pairs(&columns, 20);
    let found = collinear(&made, 6, 50);
    // Of 0, 1, 2, 4 any two say what the others do; 5 is 2 and some noise.
    assert_eq!(found[..2], [(0, None), (1, None)]);
    let (at, factor) = found[2];
    assert!(
        at == 2 && factor.is_some_and(|factor| factor > 5.0),
        "{found:?}"
    );
    assert_eq!(found.len(), 3);
    assert_eq!(collinear(&made, 6, 2), []);
    let two = pairs(&columns[..2], 50);
    assert_eq!(collinear(&two, 2, 50), [(0, None)]);
    // 1 / (1 − r²)
    let some = pairs(&[of(&a), of(&|n| a(n) + ((n * 31) % 11) as f64)], 50);
    let r = some.r(0, 1).unwrap();
    let [(0, Some(factor))] = collinear(&some, 2, 50)[..] else {
        panic!("{:?}", collinear(&some, 2, 50));
    };
    assert!((factor - 1.0 / (1.0 - r * r)).abs() < 1e-6, "{factor} {r}");
}
