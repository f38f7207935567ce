//! Outliers by how unlike the others a row is as a whole: what is fitted to a
//! sample gives every row a score, and the share with the worst scores goes.
//! Passes over the spool count and draw the sample, give scores, find the score
//! from which on rows go, and leave them out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use weir_core::{BatchStream, Result};
use weir_values::dice::{Dice, Reservoir};
use weir_values::order::KeyKind;
use weir_values::outliers::{
    Components, Forest, Lof, Table, contamination, factor, neighbours, share_of,
};
use weir_values::quantile::Selection;

use super::env::Env;
use super::facts::Column;
use super::fences::{Fence, floats, kept};
use super::report::Tally;
use super::spool::Spooled;

/// Rows that neighbours are looked for among.
const LOF_ROWS: usize = 10_000;

/// Rows that trees are grown from.
const FOREST_ROWS: usize = 20_000;

/// The share of a request's memory that a sample fills.
const SHARE: usize = 16;

/// Columns from which on only the widest directions count, and how many.
const MAX_COLUMNS: usize = 20;

/// What removes the rows most unlike the others.
pub(super) struct Unlike {
    pub(super) is_forest: bool,
    pub(super) columns: Vec<Column>,
    pub(super) fences: Vec<Fence>,
    pub(super) env: Env,
    pub(super) tally: Arc<Tally>,
    pub(super) seed: u64,
    pub(super) contamination: Option<f64>,
}

/// What a first look finds.
struct Look {
    sample: Table,
    /// Rows without a null.
    rows: u64,
    /// Rows with at least half of their values beyond the fences.
    beyond: u64,
    is_partial: bool,
}

/// What gives scores.
struct Model {
    factor: f64,
    components: Option<Components>,
    kind: Kind,
}

enum Kind {
    Forest(Forest),
    Lof(Lof),
    /// The scores of the rows themselves, in their order.
    Known(Vec<f64>),
}

impl Model {
    fn fit(look: Look, is_forest: bool, neighbours: usize, seed: u64) -> Self {
        let factor = factor(look.sample.magnitude());
        let mut sample = Table::new(look.sample.width());
        for (at, row) in look.sample.rows().enumerate() {
            sample.put(at, row.iter().map(|value| value * factor));
        }
        let components =
            (sample.width() > MAX_COLUMNS).then(|| Components::of(&sample, MAX_COLUMNS));
        let sample = match &components {
            Some(components) => components.table(&sample),
            None => sample,
        };
        let kind = if is_forest {
            Kind::Forest(Forest::grow(&sample, seed))
        } else {
            let lof = Lof::fit(sample, neighbours);
            match look.is_partial {
                true => Kind::Lof(lof),
                false => Kind::Known(lof.scores().to_vec()),
            }
        };
        Model {
            factor,
            components,
            kind,
        }
    }

    /// The score of a row, which is the one at place `at` of those without a null.
    fn score(&self, at: u64, row: &mut [f64]) -> f64 {
        if let Kind::Known(scores) = &self.kind {
            return scores.get(at as usize).copied().unwrap_or_default();
        }
        row.iter_mut().for_each(|value| *value *= self.factor);
        let projected = self.components.as_ref().map(|c| c.project(row));
        let row = projected.as_deref().unwrap_or(row);
        match &self.kind {
            Kind::Forest(forest) => forest.score(row),
            Kind::Lof(lof) => lof.score(row),
            Kind::Known(_) => 0.0,
        }
    }

    /// The scores of the rows of a batch, null where a value is.
    fn scores(&self, columns: &[Float64Array], rows: usize, first: u64) -> Float64Array {
        let mut scores = Float64Builder::with_capacity(rows);
        let mut row = vec![0.0; columns.len()];
        let mut at = first;
        for place in 0..rows {
            if columns.iter().any(|column| column.is_null(place)) {
                scores.append_null();
                continue;
            }
            for (value, column) in row.iter_mut().zip(columns) {
                *value = column.value(place);
            }
            let score = self.score(at, &mut row);
            scores.append_value(if score.is_finite() { score } else { 0.0 });
            at += 1;
        }
        scores.finish()
    }
}

fn score_schema() -> SchemaRef {
    let field = Field::new("score", DataType::Float64, true);
    Arc::new(Schema::new(vec![field]))
}

impl Unlike {
    /// The rows of `spooled` that stay.
    pub(super) async fn rows(self, spooled: Spooled) -> Result<BatchStream> {
        let mut hold = self.env.hold();
        let look = self.look(&spooled).await?;
        // The sample, its copy in the model, and what is found of each row.
        hold.set(look.sample.bytes() * 3 + look.sample.len() * 64 * size_of::<f64>())
            .await?;
        let rows = look.rows;
        let share = self
            .contamination
            .unwrap_or_else(|| contamination(look.beyond, rows));
        let going = share_of(share, rows);
        let neighbours = neighbours(rows, share);
        self.tally.set("contamination", share);
        if !self.is_forest {
            self.tally.set("neighbours", neighbours as u64);
        }
        if self.columns.len() > MAX_COLUMNS {
            self.tally.set("components", MAX_COLUMNS as u64);
        }
        if look.is_partial {
            self.tally.set("sampled", look.sample.len() as u64);
        }
        if going == 0 {
            return Ok(spooled.read());
        }
        let (is_forest, seed) = (self.is_forest, self.seed);
        let fit = move || Model::fit(look, is_forest, neighbours, seed);
        let model = Arc::new(self.env.compute().blocking(fit).await?);
        let scores = self.scored(&spooled, model).await?;
        let cut = Cut::find(&scores, rows, going).await?;
        drop(hold);
        Ok(without(spooled, scores, cut, self.tally))
    }

    fn read(&self, batch: &RecordBatch, before: u64) -> Result<Vec<Float64Array>> {
        let columns = self.columns.iter();
        columns
            .map(|column| floats(column, batch, before))
            .collect()
    }

    async fn look(&self, spooled: &Spooled) -> Result<Look> {
        let width = self.columns.len();
        let most = self.env.request_limit() / SHARE / (width * size_of::<f64>());
        let wanted = match self.is_forest {
            true => FOREST_ROWS,
            false => LOF_ROWS,
        };
        let size = wanted.min(most).max(256);
        let mut reservoir = Reservoir::new(size, Dice::new(self.seed, u64::MAX));
        let mut sample = Table::new(width);
        let (mut rows, mut beyond, mut before) = (0, 0, 0);
        let mut batches = spooled.read();
        while let Some(batch) = batches.next().await.transpose()? {
            let columns = self.read(&batch, before)?;
            before += batch.num_rows() as u64;
            for row in 0..batch.num_rows() {
                if columns.iter().any(|column| column.is_null(row)) {
                    continue;
                }
                rows += 1;
                let values = || columns.iter().map(|column| column.value(row));
                let outside = values().zip(&self.fences);
                let outside = outside
                    .filter(|(value, fence)| !fence.holds(*value))
                    .count();
                beyond += u64::from(outside * 2 >= width);
                if let Some(place) = reservoir.offer() {
                    sample.put(place, values());
                }
            }
        }
        Ok(Look {
            sample,
            rows,
            beyond,
            is_partial: reservoir.is_partial(),
        })
    }

    /// The score of every row, in their order. Two batches are worked on at once.
    async fn scored(&self, spooled: &Spooled, model: Arc<Model>) -> Result<Spooled> {
        let schema = score_schema();
        let mut spool = self.env.spool(&schema);
        let (mut before, mut at) = (0, 0);
        let compute = self.env.compute().clone();
        let tasks = spooled.read().map(|batch| {
            let batch: RecordBatch = batch?;
            let columns = self.read(&batch, before)?;
            let (rows, first) = (batch.num_rows(), at);
            before += rows as u64;
            at += (0..rows)
                .filter(|row| columns.iter().all(|column| column.is_valid(*row)))
                .count() as u64;
            let model = Arc::clone(&model);
            Ok(compute.blocking(move || model.scores(&columns, rows, first)))
        });
        let mut scores = tasks.try_buffered(2);
        while let Some(batch) = scores.next().await.transpose()? {
            let column: ArrayRef = Arc::new(batch);
            spool
                .push(RecordBatch::try_new(Arc::clone(&schema), vec![column])?)
                .await?;
        }
        drop(scores);
        spool.done().await
    }
}

/// The score from which on rows go.
#[derive(Debug, Clone, Copy)]
struct Cut {
    score: f64,
    /// How many rows with just this score go: the first ones.
    equal: u64,
}

impl Cut {
    /// The cut above which `going` of the `rows` scores are.
    async fn find(scores: &Spooled, rows: u64, going: u64) -> Result<Self> {
        let kind = KeyKind::Float;
        let mut selection = Selection::new(&[rows - going]);
        let mut keys = Vec::new();
        loop {
            let mut batches = scores.read();
            while let Some(batch) = batches.next().await.transpose()? {
                keys.clear();
                kind.keys(batch.column(0), &mut keys)?;
                selection.push(&keys);
            }
            if !selection.turn() {
                break;
            }
        }
        let found = selection.found().first().copied().flatten();
        let score = found.map_or(f64::INFINITY, |key| kind.value(key).to_f64());
        let mut above = 0;
        let mut batches = scores.read();
        while let Some(batch) = batches.next().await.transpose()? {
            let scores = batch.column(0).as_primitive::<Float64Type>();
            above += scores
                .iter()
                .flatten()
                .filter(|other| *other > score)
                .count() as u64;
        }
        Ok(Cut {
            score,
            equal: going.saturating_sub(above),
        })
    }

    fn stays(&mut self, score: Option<f64>) -> bool {
        match score {
            None => true,
            Some(score) if score == self.score && self.equal > 0 => {
                self.equal -= 1;
                false
            }
            Some(score) => score <= self.score,
        }
    }
}

fn without(rows: Spooled, scores: Spooled, mut cut: Cut, tally: Arc<Tally>) -> BatchStream {
    let both = rows.read().zip(scores.read());
    both.map(move |(batch, scores)| {
        let (batch, scores) = (batch?, scores?);
        let scores = scores.column(0).as_primitive::<Float64Type>();
        let stays: BooleanArray = scores.iter().map(|score| Some(cut.stays(score))).collect();
        kept(&batch, &stays, &tally)
    })
    .boxed()
}
