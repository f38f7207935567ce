//! Local outlier factor (Breunig et al. 2000): how much thinner it is around a
//! row than around its nearest neighbours, found with a tree of halved boxes.

use super::Table;

/// Rows of a leaf of the tree.
const LEAF: usize = 16;

/// What keeps the density of equal rows finite.
const TINY: f64 = 1e-10;

/// How many neighbours are asked among `rows` rows.
pub fn neighbours(rows: u64, contamination: f64) -> usize {
    match rows {
        0..10 => 2,
        10..500 => rows as usize / 10 + 1,
        _ if contamination <= 0.1 => 20,
        _ => 35,
    }
}

/// Rows whose surroundings are known.
#[derive(Debug)]
pub struct Lof {
    tree: Tree,
    neighbours: usize,
    /// The distance of each row to its last neighbour.
    reach: Vec<f64>,
    density: Vec<f64>,
    scores: Vec<f64>,
}

impl Lof {
    /// Looks around in `table` with so many neighbours, at most all other rows.
    pub fn fit(table: Table, neighbours: usize) -> Self {
        let rows = table.len();
        let neighbours = neighbours.min(rows.saturating_sub(1));
        let tree = Tree::build(table);
        let mut lof = Lof {
            tree,
            neighbours,
            reach: Vec::with_capacity(rows),
            density: Vec::with_capacity(rows),
            scores: Vec::new(),
        };
        if neighbours == 0 {
            lof.scores = vec![1.0; rows];
            return lof;
        }
        let mut near = Nearest::new(neighbours);
        let mut all: Vec<(f64, u32)> = Vec::with_capacity(rows * neighbours);
        for row in 0..rows {
            near.clear();
            lof.tree
                .search(lof.tree.table.row(row), Some(row), &mut near);
            lof.reach.push(near.worst().sqrt());
            all.extend(&near.found);
        }
        for near in all.chunks_exact(neighbours) {
            lof.density.push(density(near, &lof.reach));
        }
        let near = all.chunks_exact(neighbours).enumerate();
        lof.scores = near
            .map(|(row, near)| factor(near, &lof.density, lof.density[row]))
            .collect();
        lof
    }

    /// The factors of the rows themselves, in their order.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The factor of a row that was not looked around from.
    pub fn score(&self, row: &[f64]) -> f64 {
        if self.neighbours == 0 {
            return 1.0;
        }
        let mut near = Nearest::new(self.neighbours);
        self.tree.search(row, None, &mut near);
        factor(
            &near.found,
            &self.density,
            density(&near.found, &self.reach),
        )
    }
}

fn density(near: &[(f64, u32)], reach: &[f64]) -> f64 {
    let far = near
        .iter()
        .map(|(square, row)| square.sqrt().max(reach[*row as usize]));
    1.0 / (far.sum::<f64>() / near.len() as f64 + TINY)
}

fn factor(near: &[(f64, u32)], densities: &[f64], own: f64) -> f64 {
    let around = near.iter().map(|(_, row)| densities[*row as usize]);
    around.sum::<f64>() / near.len() as f64 / own
}

/// The nearest rows found so far, by the squares of their distances.
struct Nearest {
    found: Vec<(f64, u32)>,
    most: usize,
}

impl Nearest {
    fn new(most: usize) -> Self {
        Nearest {
            found: Vec::with_capacity(most + 1),
            most,
        }
    }

    fn clear(&mut self) {
        self.found.clear();
    }

    fn worst(&self) -> f64 {
        match self.found.last() {
            Some((square, _)) if self.found.len() == self.most => *square,
            _ => f64::INFINITY,
        }
    }

    fn offer(&mut self, square: f64, row: u32) {
        if square >= self.worst() {
            return;
        }
        let place = self.found.partition_point(|(other, _)| *other <= square);
        self.found.insert(place, (square, row));
        self.found.truncate(self.most);
    }
}

/// Rows in boxes that were halved again and again.
#[derive(Debug)]
struct Tree {
    table: Table,
    rows: Vec<u32>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Leaf { start: u32, end: u32 },
    Cut { column: u32, at: f64, right: u32 },
}

impl Tree {
    fn build(table: Table) -> Self {
        let mut rows: Vec<u32> = (0..table.len() as u32).collect();
        let mut tree = Tree {
            rows: Vec::new(),
            nodes: Vec::new(),
            table,
        };
        tree.split(&mut rows, 0);
        tree.rows = rows;
        tree
    }

    fn split(&mut self, rows: &mut [u32], start: usize) {
        let widest = match rows.len() > LEAF {
            true => self.widest(rows),
            false => None,
        };
        let Some(column) = widest else {
            let (start, end) = (start as u32, (start + rows.len()) as u32);
            self.nodes.push(Node::Leaf { start, end });
            return;
        };
        let value = |row: &u32| self.table.row(*row as usize)[column];
        let middle = rows.len() / 2;
        let by_value = |a: &u32, b: &u32| value(a).total_cmp(&value(b));
        let (_, cut, _) = rows.select_nth_unstable_by(middle, by_value);
        let at = value(cut);
        let node = self.nodes.len();
        let column = column as u32;
        self.nodes.push(Node::Cut {
            column,
            at,
            right: 0,
        });
        let (below, above) = rows.split_at_mut(middle);
        self.split(below, start);
        let right = self.nodes.len() as u32;
        self.nodes[node] = Node::Cut { column, at, right };
        self.split(above, start + middle);
    }

    /// The column in which the rows are the furthest apart, if they are.
    fn widest(&self, rows: &[u32]) -> Option<usize> {
        let spread = |column: usize| {
            let values = rows.iter().map(|row| self.table.row(*row as usize)[column]);
            let range = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
            range.1 - range.0
        };
        let spreads = (0..self.table.width()).map(|column| (spread(column), column));
        spreads
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(spread, _)| *spread > 0.0)
            .map(|(_, column)| column)
    }

    fn search(&self, target: &[f64], without: Option<usize>, near: &mut Nearest) {
        self.descend(0, target, without, near);
    }

    fn descend(&self, node: usize, target: &[f64], without: Option<usize>, near: &mut Nearest) {
        match self.nodes[node] {
            Node::Leaf { start, end } => {
                for row in &self.rows[start as usize..end as usize] {
                    if without == Some(*row as usize) {
                        continue;
                    }
                    let other = self.table.row(*row as usize);
                    let square = target
                        .iter()
                        .zip(other)
                        .map(|(a, b)| (a - b) * (a - b))
                        .sum();
                    near.offer(square, *row);
                }
            }
            Node::Cut { column, at, right } => {
                let apart = target[column as usize] - at;
                let (first, second) = match apart < 0.0 {
                    true => (node + 1, right as usize),
                    false => (right as usize, node + 1),
                };
                self.descend(first, target, without, near);
                if apart * apart <= near.worst() {
                    self.descend(second, target, without, near);
                }
            }
        }
    }
}
