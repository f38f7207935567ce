//! What is found out across columns: rows that are there twice, rows with gaps
//! or invalid cells, and which columns of numbers say the same; and what
//! suggestions need to know of columns beside their statistics.

use arrow::array::Float64Array;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use weir_core::Result;
use weir_core::memory::Hold;
use weir_values::missing::{Missing, Runs, present};

use super::cells::{Cells, ReadColumn};
use super::forms::Forms;
use super::pairs::Pairs;
use super::rows::{Distinct, Keys};
use crate::steps::{Env, is_plain_text};

/// Columns of numbers at most that are held against each other: the first ones.
/// Work and answer grow with the square of it.
pub(super) const MOST_NUMBERS: usize = 100;

/// The share of a request's memory that forms of text fill.
const FORMS_SHARE: usize = 16;

/// Gathers it, batch after batch.
pub(super) struct Across {
    env: Env,
    found: FoundAcross,
    keys: Keys,
    distinct: Distinct,
    numbers: Vec<usize>,
    pairs: Pairs,
    hold: Hold,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct FoundAcross {
    pub(super) rows: u64,
    /// Rows less different rows; rows are compared as they came.
    pub(super) duplicate_rows: u64,
    /// Whether that is an estimate, by a sketch of the different rows.
    pub(super) is_estimate: bool,
    /// Rows in which an invalid cell stands.
    pub(super) invalid_rows: u64,
    /// Rows in which every cell has a value.
    pub(super) complete_rows: u64,
    /// Pearson's r of pairs of columns of numbers, over the rows in which both
    /// have a value: places of the columns, the first one smaller.
    pub(super) correlations: Vec<(usize, usize, Option<f64>)>,
    /// Columns of numbers that were not held against others, because there are
    /// more than [`MOST_NUMBERS`].
    pub(super) uncorrelated: usize,
    /// What suggestions need to know, by column.
    pub(super) columns: Vec<AcrossColumn>,
}

/// What suggestions need to know of a column.
#[derive(Debug)]
pub(super) struct AcrossColumn {
    /// What is missing for steps: null, and blank text.
    pub(super) runs: Runs,
    pub(super) forms: Forms,
}

impl Across {
    pub(super) fn new(
        columns: &[ReadColumn],
        schema: &Schema,
        approximate: bool,
        env: &Env,
    ) -> Result<Self> {
        let numbers = columns.iter().filter(|column| column.kind.is_number());
        let mut numbers: Vec<usize> = numbers.map(|column| column.index).collect();
        let uncorrelated = numbers.len().saturating_sub(MOST_NUMBERS);
        numbers.truncate(MOST_NUMBERS);
        let column = |column: &ReadColumn| AcrossColumn {
            runs: Runs::default(),
            forms: Forms::of(column.kind, is_plain_text(schema.field(column.index))),
        };
        let pairs = Pairs::new(numbers.len());
        let mut hold = env.hold();
        hold.try_set(pairs.bytes())?;
        Ok(Across {
            env: env.clone(),
            found: FoundAcross {
                uncorrelated,
                columns: columns.iter().map(column).collect(),
                ..FoundAcross::default()
            },
            keys: Keys::new(),
            distinct: Distinct::new(env, approximate),
            pairs,
            numbers,
            hold,
        })
    }

    /// The next batch; `cells` are those of all columns.
    pub(super) async fn push(&mut self, batch: &RecordBatch, cells: &[Cells]) -> Result<()> {
        let rows = batch.num_rows();
        self.found.rows += rows as u64;
        let there = cells.iter().fold(None, |all: Option<NullBuffer>, cells| {
            NullBuffer::union(all.as_ref(), cells.present.as_ref())
        });
        let incomplete = there.map_or(0, |there| there.null_count());
        self.found.complete_rows += (rows - incomplete) as u64;
        let invalid = cells.iter().filter_map(|cells| cells.invalid.as_ref());
        let invalid = invalid.fold(None, either);
        self.found.invalid_rows += invalid.map_or(0, |invalid| invalid.count_set_bits() as u64);
        for (column, array) in self.found.columns.iter_mut().zip(batch.columns()) {
            let there = present(array, Missing::Blanks);
            column.runs.push(rows, there.as_ref());
            column.forms.push(array);
        }
        self.hold_forms()?;
        let floats = |at: &usize| numbers_of(&cells[*at], rows);
        let floats: Vec<Float64Array> = self.numbers.iter().map(floats).collect();
        self.pairs.push(&floats.iter().collect::<Vec<_>>());
        let hashes = self.keys.hashes(batch.columns(), rows)?;
        self.distinct.push(&hashes).await
    }

    /// Forms that take too much memory are not looked at any further.
    fn hold_forms(&mut self) -> Result<()> {
        let most = self.env.request_limit() / FORMS_SHARE;
        let pairs = self.pairs.bytes();
        loop {
            let columns = self.found.columns.iter();
            let bytes: usize = columns.map(|column| column.forms.bytes()).sum();
            if bytes <= most && self.hold.try_set(pairs + bytes).is_ok() {
                return Ok(());
            }
            let columns = self.found.columns.iter_mut();
            match columns.max_by_key(|column| column.forms.bytes()) {
                Some(largest) if largest.forms.bytes() > 0 => largest.forms.give_up(),
                _ => return self.hold.try_set(pairs + bytes),
            }
        }
    }

    /// What was found in all rows.
    pub(super) async fn finish(self) -> Result<FoundAcross> {
        let mut found = self.found;
        let different = self.distinct.count().await?;
        found.duplicate_rows = found.rows.saturating_sub(different.rows);
        found.is_estimate = different.is_estimate;
        for (at, first) in self.numbers.iter().enumerate() {
            for (behind, second) in self.numbers[at + 1..].iter().enumerate() {
                let r = self.pairs.r(at, at + 1 + behind);
                found.correlations.push((*first, *second, r));
            }
        }
        Ok(found)
    }
}

/// The numbers of a column; none of one that has no numbers.
pub(super) fn numbers_of(cells: &Cells, rows: usize) -> Float64Array {
    let none = || Float64Array::new_null(rows);
    cells.floats.clone().unwrap_or_else(none)
}

/// Where either holds.
pub(super) fn either(one: Option<BooleanBuffer>, other: &BooleanBuffer) -> Option<BooleanBuffer> {
    Some(match one {
        None => other.clone(),
        Some(one) => &one | other,
    })
}
