//! Columns of numbers that others predict.

use super::pairs::Pairs;

/// A column is left out when its variance inflation factor is beyond this.
const MOST: f64 = 5.0;

/// Rows at least: of two, any two columns predict each other.
const LEAST_ROWS: u64 = 3;

/// What is left of a variance of 1 is rounding below this.
const NOTHING: f64 = 1e-10;

/// A column that others predict, and its variance inflation factor among those
/// that were left at that time; none where they predict it exactly.
pub(super) type Predicted = (usize, Option<f64>);

/// Walks over the columns of `pairs` in their order and leaves out each whose
/// variance inflation factor among those that remain is beyond 5. All of the
/// `rows` have a value in all columns. Columns without spread have no factor.
pub(super) fn collinear(pairs: &Pairs, columns: usize, rows: u64) -> Vec<Predicted> {
    if rows < LEAST_ROWS {
        return Vec::new();
    }
    let varies = |column: usize| {
        let others = (0..columns).filter(move |other| *other != column);
        let mut r = others.map(|other| pairs.r(column.min(other), column.max(other)));
        r.any(|r| r.is_some())
    };
    let mut remaining: Vec<usize> = (0..columns).filter(|column| varies(*column)).collect();
    let mut left_out = Vec::new();
    for column in remaining.clone() {
        let others: Vec<usize> = remaining.iter().copied().filter(|c| *c != column).collect();
        let unexplained = unexplained(pairs, column, &others);
        let factor = (unexplained > NOTHING).then(|| 1.0 / unexplained);
        if factor.is_none_or(|factor| factor > MOST) {
            left_out.push((column, factor));
            remaining = others;
        }
    }
    left_out
}

/// The share of a column's variance that the best prediction from `others`
/// leaves: 1 − R², of which 1/x is the diagonal of the inverse correlation matrix.
/// Others that say the same as those before them are passed over, so that there
/// is an answer where there is no inverse.
fn unexplained(pairs: &Pairs, column: usize, others: &[usize]) -> f64 {
    let r = |a: usize, b: usize| match a == b {
        true => 1.0,
        false => pairs.r(a.min(b), a.max(b)).unwrap_or(0.0),
    };
    let mut open: Vec<usize> = (0..others.len()).collect();
    let mut matrix: Vec<Vec<f64>> = others
        .iter()
        .map(|a| others.iter().map(|b| r(*a, *b)).collect())
        .collect();
    let mut with: Vec<f64> = others.iter().map(|other| r(*other, column)).collect();
    let mut left = 1.0;
    // Elimination, the largest remaining variance first.
    while let Some(at) = largest(&open, &matrix) {
        let pivot = open.swap_remove(at);
        let variance = matrix[pivot][pivot];
        if variance <= NOTHING {
            break;
        }
        let row = matrix[pivot].clone();
        let toward = with[pivot];
        for other in &open {
            let times = row[*other] / variance;
            for another in &open {
                matrix[*other][*another] -= times * row[*another];
            }
            with[*other] -= times * toward;
        }
        left -= toward * toward / variance;
    }
    left.max(0.0)
}

fn largest(open: &[usize], matrix: &[Vec<f64>]) -> Option<usize> {
    let variance = |at: &usize| matrix[open[*at]][open[*at]];
    (0..open.len()).max_by(|a, b| variance(a).total_cmp(&variance(b)))
}
