//! Principal components: the directions in which rows differ most, for tables
//! with too many columns to look around in.

use nalgebra::{DMatrix, SymmetricEigen};

use super::Table;

/// The share of the widest direction's spread below which there is none.
const NOISE: f64 = 1e-12;

/// Directions, the widest first.
#[derive(Debug, Clone)]
pub struct Components {
    means: Vec<f64>,
    /// One row a direction.
    directions: Vec<Vec<f64>>,
}

impl Components {
    /// The `count` widest directions of `table`, less where rows differ in fewer.
    pub fn of(table: &Table, count: usize) -> Self {
        let width = table.width();
        let rows = table.len().max(1) as f64;
        let mut means = vec![0.0; width];
        for row in table.rows() {
            means
                .iter_mut()
                .zip(row)
                .for_each(|(mean, value)| *mean += value / rows);
        }
        let mut products = DMatrix::<f64>::zeros(width, width);
        let mut apart = vec![0.0; width];
        for row in table.rows() {
            for (column, apart) in apart.iter_mut().enumerate() {
                *apart = row[column] - means[column];
            }
            for a in 0..width {
                let scaled = apart[a] / rows;
                for b in a..width {
                    products[(b, a)] += scaled * apart[b];
                }
            }
        }
        products.fill_upper_triangle_with_lower_triangle();
        let eigen = SymmetricEigen::new(products);
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        // Directions in which nothing differs are noise of rounding.
        let widest = order.first().map_or(0.0, |at| eigen.eigenvalues[*at]);
        let directions = order
            .into_iter()
            .take(count)
            .enumerate()
            .filter(|(n, at)| *n == 0 || eigen.eigenvalues[*at] > widest * NOISE)
            .map(|(_, at)| at)
            .map(|at| eigen.eigenvectors.column(at).iter().copied().collect());
        Components {
            directions: directions.collect(),
            means,
        }
    }

    /// Directions.
    pub fn len(&self) -> usize {
        self.directions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.directions.is_empty()
    }

    /// Where a row lies in these directions.
    pub fn project(&self, row: &[f64]) -> Vec<f64> {
        let along = |direction: &Vec<f64>| {
            let apart = row
                .iter()
                .zip(&self.means)
                .map(|(value, mean)| value - mean);
            apart.zip(direction).map(|(apart, part)| apart * part).sum()
        };
        self.directions.iter().map(along).collect()
    }

    /// A whole table in these directions.
    pub fn table(&self, table: &Table) -> Table {
        let mut projected = Table::new(self.len());
        for (at, row) in table.rows().enumerate() {
            projected.put(at, self.project(row).into_iter());
        }
        projected
    }
}
