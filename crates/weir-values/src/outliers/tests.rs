use proptest::prelude::*;

use super::*;
use crate::dice::Dice;

fn table(rows: &[Vec<f64>]) -> Table {
    let mut table = Table::new(rows.first().map_or(1, Vec::len));
    for row in rows {
        table.put(table.len(), row.iter().copied());
    }
    table
}

/// A cloud around 0 with one row far off, which is the last.
fn cloud(rows: usize, width: usize) -> Vec<Vec<f64>> {
    let mut dice = Dice::new(7, 0);
    let mut some = |_| (0..width).map(|_| dice.unit() - 0.5).collect();
    let mut cloud: Vec<Vec<f64>> = (0..rows).map(&mut some).collect();
    cloud.push(vec![9.0; width]);
    cloud
}

fn worst(scores: &[f64]) -> usize {
    let ranked = scores.iter().enumerate();
    ranked.max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
}

#[test]
fn what_is_far_off_has_the_worst_score() {
    for width in [1, 3, 8] {
        let rows = cloud(400, width);
        let forest = Forest::grow(&table(&rows), 42);
        let scores: Vec<f64> = rows.iter().map(|row| forest.score(row)).collect();
        assert_eq!(worst(&scores), 400);
        assert!(scores[400] > 0.7, "{}", scores[400]);
        let lof = Lof::fit(table(&rows), neighbours(401, 0.1));
        assert_eq!(worst(lof.scores()), 400);
        assert!(lof.score(&vec![9.0; width]) > 5.0);
    }
}

#[test]
fn a_seed_gives_the_same_forest() {
    let rows = table(&cloud(300, 2));
    let score = |seed| Forest::grow(&rows, seed).score(&[0.1, 0.2]);
    assert_eq!(score(1), score(1));
    assert_ne!(score(1), score(2));
}

/// The factors by comparing every row with every other one.
fn plainly(rows: &[Vec<f64>], k: usize) -> Vec<f64> {
    let distance = |a: &[f64], b: &[f64]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b) * (a - b))
            .sum::<f64>()
            .sqrt()
    };
    let near: Vec<Vec<(f64, usize)>> = (0..rows.len())
        .map(|row| {
            let others = (0..rows.len()).filter(|other| *other != row);
            let mut all: Vec<_> = others
                .map(|o| (distance(&rows[row], &rows[o]), o))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            all.truncate(k);
            all
        })
        .collect();
    let reach: Vec<f64> = near.iter().map(|near| near[k - 1].0).collect();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / k as f64;
    let density: Vec<f64> = near
        .iter()
        .map(|near| 1.0 / (mean(near.iter().map(|(d, o)| d.max(reach[*o])).collect()) + 1e-10))
        .collect();
    let factors = near.iter().zip(&density);
    factors
        .map(|(near, own)| mean(near.iter().map(|(_, o)| density[*o]).collect()) / own)
        .collect()
}

#[test]
fn few_or_equal_rows_have_scores() {
    assert_eq!(Lof::fit(table(&[vec![1.0]]), 2).scores(), [1.0]);
    assert_eq!(Lof::fit(Table::new(2), 2).scores(), [0.0_f64; 0]);
    let equal = Lof::fit(table(&vec![vec![3.0, 3.0]; 50]), 6);
    assert!(
        equal
            .scores()
            .iter()
            .all(|score| (score - 1.0).abs() < 1e-9)
    );
    let forest = Forest::grow(&table(&vec![vec![3.0]; 50]), 1);
    assert!(forest.score(&[3.0]).is_finite());
    assert_eq!(Forest::grow(&table(&[vec![1.0]]), 1).score(&[5.0]), 0.5);
    assert!(
        Forest::grow(&Table::new(3), 1)
            .score(&[1.0, 2.0, 3.0])
            .is_finite()
    );
}

#[test]
fn how_many_neighbours_and_rows() {
    assert_eq!(
        [5, 9, 10, 99, 499].map(|n| neighbours(n, 0.1)),
        [2, 2, 2, 10, 50]
    );
    assert_eq!((neighbours(500, 0.1), neighbours(500, 0.11)), (20, 35));
    assert_eq!(share_of(0.07, 100), 7);
    assert_eq!(share_of(0.025, 39), 0);
    assert_eq!(share_of(1.0, 5), 5);
    assert_eq!(contamination(0, 10), 0.025);
    assert_eq!(contamination(1, 10), 0.1);
    assert_eq!(contamination(9, 10), 0.15);
    assert_eq!(contamination(0, 0), 0.025);
}

#[test]
fn components_are_the_widest_directions() {
    let mut dice = Dice::new(3, 0);
    let mut rows = Vec::new();
    for _ in 0..500 {
        let wide = dice.unit() * 100.0;
        let mut row = vec![wide, 2.0 * wide];
        row.extend((0..23).map(|_| dice.unit()));
        rows.push(row);
    }
    let table = table(&rows);
    let components = Components::of(&table, 20);
    assert_eq!(components.len(), 20);
    let projected = components.table(&table);
    assert_eq!((projected.len(), projected.width()), (500, 20));
    let spread = |column: usize| {
        let values = projected.rows().map(|row| row[column] * row[column]);
        values.sum::<f64>() / 500.0
    };
    assert!(spread(0) > 100.0 * spread(1));
    assert!(spread(1) >= spread(19));
}

proptest! {
    #[test]
    fn the_tree_finds_what_comparing_all_finds(
        rows in prop::collection::vec(prop::collection::vec(-100.0_f64..100.0, 2), 3..120),
        k in 1_usize..8,
    ) {
        let k = k.min(rows.len() - 1);
        let lof = Lof::fit(table(&rows), k);
        for (found, expected) in lof.scores().iter().zip(plainly(&rows, k)) {
            prop_assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0));
        }
    }

    #[test]
    fn scores_are_finite(
        rows in prop::collection::vec(prop::collection::vec(-1e90_f64..1e90, 3), 1..60),
        seed in any::<u64>(),
    ) {
        let forest = Forest::grow(&table(&rows), seed);
        prop_assert!(rows.iter().all(|row| (0.0..=1.0).contains(&forest.score(row))));
        let lof = Lof::fit(table(&rows), 3);
        prop_assert!(lof.scores().iter().all(|score| score.is_finite()));
    }
}
