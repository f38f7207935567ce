//! Isolation forest (Liu, Ting and Zhou 2008): what random cuts set apart early is
//! unlike the rest.

use super::Table;
use crate::dice::Dice;

/// Rows that each tree sees at most.
const ROWS: usize = 256;

/// Trees.
const TREES: u64 = 100;

/// Euler's constant.
const GAMMA: f64 = 0.577_215_664_901_532_9;

/// Trees of random cuts.
#[derive(Debug)]
pub struct Forest {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    /// The mean depth of a row in a tree of so many rows.
    depth: f64,
}

#[derive(Debug, Clone, Copy)]
enum Node {
    /// Rows below the cut go to the node behind, the others to `right`.
    Cut { column: u32, at: f64, right: u32 },
    /// How deep a row is that ends here.
    Leaf(f64),
}

/// The mean depth at which a search among `rows` rows ends.
fn mean_depth(rows: usize) -> f64 {
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        rows => {
            let rows = rows as f64;
            2.0 * ((rows - 1.0).ln() + GAMMA) - 2.0 * (rows - 1.0) / rows
        }
    }
}

impl Forest {
    /// A forest over `table`; the same one for the same seed.
    pub fn grow(table: &Table, seed: u64) -> Self {
        let rows = table.len().min(ROWS);
        let limit = (rows.max(2) as f64).log2().ceil() as u32;
        let mut forest = Forest {
            nodes: Vec::new(),
            roots: Vec::new(),
            depth: mean_depth(rows),
        };
        let mut all: Vec<u32> = (0..table.len() as u32).collect();
        for tree in 0..TREES {
            let mut dice = Dice::new(seed, tree);
            // The first places of a shuffle are a sample.
            for place in 0..rows {
                let other = place as u64 + dice.below((all.len() - place) as u64);
                all.swap(place, other as usize);
            }
            forest.roots.push(forest.nodes.len() as u32);
            forest.branch(table, &mut all[..rows], 0, limit, &mut dice);
        }
        forest
    }

    fn branch(&mut self, table: &Table, rows: &mut [u32], depth: u32, limit: u32, dice: &mut Dice) {
        let cut = match depth < limit && rows.len() > 1 {
            true => cut(table, rows, dice),
            false => None,
        };
        let Some((column, at)) = cut else {
            let depth = f64::from(depth) + mean_depth(rows.len());
            self.nodes.push(Node::Leaf(depth));
            return;
        };
        let mut left = 0;
        for place in 0..rows.len() {
            if table.row(rows[place] as usize)[column] < at {
                rows.swap(left, place);
                left += 1;
            }
        }
        let (below, above) = rows.split_at_mut(left);
        let node = self.nodes.len();
        let column = column as u32;
        self.nodes.push(Node::Cut {
            column,
            at,
            right: 0,
        });
        self.branch(table, below, depth + 1, limit, dice);
        let right = self.nodes.len() as u32;
        self.nodes[node] = Node::Cut { column, at, right };
        self.branch(table, above, depth + 1, limit, dice);
    }

    /// How unlike the others a row is, from 0 to 1.
    pub fn score(&self, row: &[f64]) -> f64 {
        if self.depth == 0.0 {
            return 0.5;
        }
        let depths = self
            .roots
            .iter()
            .map(|root| self.depth_of(*root as usize, row));
        let mean = depths.sum::<f64>() / self.roots.len() as f64;
        (-mean / self.depth).exp2()
    }

    fn depth_of(&self, mut node: usize, row: &[f64]) -> f64 {
        loop {
            match self.nodes[node] {
                Node::Leaf(depth) => return depth,
                Node::Cut { column, at, right } => {
                    node = match row[column as usize] < at {
                        true => node + 1,
                        false => right as usize,
                    };
                }
            }
        }
    }
}

/// A random cut through a random column in which rows differ.
fn cut(table: &Table, rows: &[u32], dice: &mut Dice) -> Option<(usize, f64)> {
    let mut columns: Vec<usize> = (0..table.width()).collect();
    while !columns.is_empty() {
        let column = columns.swap_remove(dice.below(columns.len() as u64) as usize);
        let values = rows.iter().map(|row| table.row(*row as usize)[column]);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low < high {
            let part = dice.unit();
            let at = low * (1.0 - part) + high * part;
            // Above the smallest, so that no side is empty.
            return Some((column, if at > low { at } else { high }));
        }
    }
    None
}
