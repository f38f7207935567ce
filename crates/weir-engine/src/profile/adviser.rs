//! The second look at all rows: how many of them, and how many of their cells,
//! the steps would change that the first look calls for.

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter;
use arrow::compute::kernels::cmp::distinct;
use arrow::record_batch::RecordBatch;
use weir_core::Result;
use weir_core::memory::Hold;
use weir_values::case::{self, Case};
use weir_values::imputation::{Facts, Strategy, Thresholds};
use weir_values::missing::{Missing, present};
use weir_values::trim::{blank_to_null, fix};
use weir_values::{ColumnKind, names};

use super::across::{MOST_NUMBERS, either, numbers_of};
use super::cells::Cells;
use super::forms::Forms;
use super::pairs::Pairs;
use super::suggest::{Advice, Found};
use crate::steps::{Env, default_value, is_plain_text};

/// Share of nulls from which on a column is removed.
pub(super) const SPARSE: f64 = 0.8;

/// Standard deviations from the mean beyond which a value is an outlier.
pub(super) const FAR: f64 = 3.0;

/// Takes a second look at the rows, now that it is known what to look for, and
/// says what should be cleaned.
pub(super) struct Adviser {
    pub(super) found: Found,
    /// Columns whose names are not clean, and all names when they are.
    pub(super) unclean: Vec<usize>,
    pub(super) clean_names: Vec<String>,
    pub(super) sparse: Vec<usize>,
    pub(super) single: Vec<usize>,
    pub(super) fixed: Counted,
    pub(super) upper: Counted,
    pub(super) lower: Counted,
    pub(super) money: Counted,
    pub(super) dates: Counted,
    pub(super) gaps: Gaps,
    pub(super) far: Counted,
    fences: Vec<[f64; 2]>,
    pub(super) numbers: Numbers,
    _hold: Hold,
}

/// Columns that a step is about, and what it would change.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) columns: Vec<usize>,
    /// Cells of each column.
    pub(super) cells: Vec<u64>,
    pub(super) rows: u64,
}

/// Columns with gaps.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    pub(super) columns: Vec<usize>,
    /// What fills each of them, and whether anything does.
    pub(super) strategies: Vec<(Option<Strategy>, bool)>,
    /// Rows in which none of them has one.
    pub(super) complete: u64,
    /// Rows in which a gap is filled.
    pub(super) filled: u64,
}

/// Columns of numbers over the rows in which all of them have a value.
pub(super) struct Numbers {
    pub(super) columns: Vec<usize>,
    pub(super) pairs: Pairs,
    pub(super) rows: u64,
}

impl Counted {
    fn of(columns: Vec<usize>) -> Self {
        Counted {
            cells: vec![0; columns.len()],
            columns,
            rows: 0,
        }
    }

    pub(super) fn all_cells(&self) -> u64 {
        self.cells.iter().sum()
    }

    /// Counts where `changed` says that the cells of a column would change.
    fn push(
        &mut self,
        mut changed: impl FnMut(usize, usize) -> Result<Option<BooleanBuffer>>,
    ) -> Result<()> {
        let mut any = None;
        for (n, column) in self.columns.iter().enumerate() {
            if let Some(changed) = changed(n, *column)? {
                self.cells[n] += changed.count_set_bits() as u64;
                any = either(any, &changed);
            }
        }
        self.rows += any.map_or(0, |any| any.count_set_bits() as u64);
        Ok(())
    }
}

impl Adviser {
    pub(super) fn new(found: Found, env: &Env) -> Result<Self> {
        let names: Vec<&str> = found
            .columns
            .iter()
            .map(|c| c.field.name().as_str())
            .collect();
        let places = 0..names.len();
        let unclean: Vec<usize> = places
            .clone()
            .filter(|at| names::clean(names[*at]) != names[*at])
            .collect();
        let clean_names = names::clean_all(&names, &unclean);
        let has_rows = found.rows > 0;
        let column = |at: &usize| &found.columns[*at];
        let across = |at: &usize| &found.across.columns[*at];
        let rate = |at: &usize| column(at).nulls as f64 / found.rows as f64;
        let mut sparse: Vec<usize> = places
            .clone()
            .filter(|at| has_rows && rate(at) >= SPARSE)
            .collect();
        if sparse.len() == names.len() {
            sparse.clear();
        }
        let has_one = |at: &usize| found.rows > 1 && column(at).distinct == 1;
        let mut single: Vec<usize> = places.clone().filter(has_one).collect();
        single.retain(|at| !sparse.contains(at));
        if sparse.len() + single.len() == names.len() {
            single.clear();
        }
        let going: Vec<bool> = places
            .map(|at| sparse.contains(&at) || single.contains(&at))
            .collect();
        let staying = || (0..going.len()).filter(|at| has_rows && !going[*at]);
        let is_text = |at: &usize| is_plain_text(&column(at).field);
        let cased = |upper: bool| {
            let most = move |at: &usize| match &across(at).forms {
                Forms::Case(cases) => cases.most_are_upper() == Some(upper),
                _ => false,
            };
            Counted::of(staying().filter(most).collect())
        };
        let is_fixed = |at: &usize| is_text(at) && column(at).invalid > 0;
        let is_money =
            |at: &usize| matches!(&across(at).forms, Forms::Numbers(seen) if seen.is_money());
        let is_read = |at: &usize| matches!(&across(at).forms, Forms::Dates(seen) if seen.read > 0);
        let (fences, far) = fences(&found, staying()).into_iter().unzip();
        let numbers: Vec<usize> = staying()
            .filter(|at| column(at).kind.is_number() && column(at).std.is_some_and(|std| std > 0.0))
            .take(MOST_NUMBERS)
            .collect();
        let gaps = Gaps::of(&found, staying());
        let pairs = Pairs::new(numbers.len());
        let mut hold = env.hold();
        hold.try_set(pairs.bytes())?;
        Ok(Adviser {
            fixed: Counted::of(staying().filter(is_fixed).collect()),
            upper: cased(true),
            lower: cased(false),
            money: Counted::of(staying().filter(is_money).collect()),
            dates: Counted::of(staying().filter(is_read).collect()),
            numbers: Numbers {
                columns: numbers,
                pairs,
                rows: 0,
            },
            far: Counted::of(far),
            fences,
            gaps,
            unclean,
            clean_names,
            sparse,
            single,
            found,
            _hold: hold,
        })
    }

    /// Whether the rows have to be pushed once more.
    pub(super) fn wants_rows(&self) -> bool {
        let counted = [
            &self.fixed,
            &self.upper,
            &self.lower,
            &self.money,
            &self.dates,
            &self.far,
        ];
        counted.iter().any(|counted| !counted.columns.is_empty())
            || !self.gaps.columns.is_empty()
            || self.numbers.columns.len() > 1
    }

    /// The next batch of the second look, with the cells of all columns.
    pub(super) fn push(&mut self, batch: &RecordBatch, cells: &[Cells]) -> Result<()> {
        let rows = batch.num_rows();
        let columns = &self.found.columns;
        self.fixed.push(|_, at| {
            let array = batch.column(at);
            changed(array, &fix(array, columns[at].kind).array)
        })?;
        for (counted, case) in [
            (&mut self.upper, Case::Upper),
            (&mut self.lower, Case::Lower),
        ] {
            counted.push(|_, at| {
                let array = batch.column(at);
                let blanked = blank_to_null(array);
                changed(array, &case::convert(&blanked.array, case)?.array)
            })?;
        }
        let written = |at: usize| {
            let there = present(batch.column(at), Missing::Blanks);
            let all = || BooleanBuffer::new_set(rows);
            Ok(Some(there.map_or_else(all, |there| there.into_inner())))
        };
        self.money.push(|_, at| written(at))?;
        self.dates.push(|_, at| written(at))?;
        let fences = &self.fences;
        self.far
            .push(|n, at| Ok(beyond(cells[at].floats.as_ref(), fences[n])))?;
        self.gaps.push(batch);
        self.numbers.push(cells, rows)
    }

    /// What should be done.
    pub(super) fn finish(self) -> Result<Advice> {
        Ok(Advice {
            suggestions: super::advice::suggestions(&self),
            kinds: self.kinds(),
        })
    }

    /// What columns mean, where steps can read them as that: text with `10%` in
    /// it is no column of numbers to them.
    fn kinds(&self) -> Vec<(String, ColumnKind)> {
        let columns = self.found.columns.iter().zip(&self.found.across.columns);
        let readable = columns.filter(|(_, across)| match &across.forms {
            Forms::Numbers(seen) => seen.is_bare(),
            Forms::Any | Forms::Case(_) | Forms::Dates(_) => true,
        });
        readable
            .map(|(column, _)| (column.field.name().clone(), column.kind))
            .collect()
    }
}

/// Where the two differ; none where they are the same.
fn changed(before: &ArrayRef, after: &ArrayRef) -> Result<Option<BooleanBuffer>> {
    if std::sync::Arc::ptr_eq(before, after) {
        return Ok(None);
    }
    Ok(Some(distinct(before, after)?.values().clone()))
}

/// Columns of numbers, and between which values the others lie. Text counts where
/// a step reads all of it as numbers, if need be once it is reformatted.
fn fences(found: &Found, columns: impl Iterator<Item = usize>) -> Vec<([f64; 2], usize)> {
    let fence = |at: usize| {
        let column = &found.columns[at];
        let is_read = match &found.across.columns[at].forms {
            Forms::Numbers(seen) => seen.others == 0,
            _ => column.field.data_type().is_numeric(),
        };
        let (mean, std) = column.mean.zip(column.std.filter(|std| *std > 0.0))?;
        let far = FAR * std;
        (is_read && column.kind.is_number()).then_some(([mean - far, mean + far], at))
    };
    columns.filter_map(fence).collect()
}

/// Where values lie beyond; none where none does.
fn beyond(floats: Option<&Float64Array>, [low, high]: [f64; 2]) -> Option<BooleanBuffer> {
    let floats = floats?;
    let values = floats.values();
    let is_far = |value: f64| value < low || value > high;
    if !values.iter().any(|value| is_far(*value)) {
        return None;
    }
    let far = BooleanBuffer::collect_bool(values.len(), |row| is_far(values[row]));
    Some(match floats.nulls() {
        None => far,
        Some(nulls) => &far & nulls.inner(),
    })
}

impl Gaps {
    fn of(found: &Found, columns: impl Iterator<Item = usize>) -> Self {
        let thresholds = Thresholds::default();
        let is_series = time_column(found).is_some();
        let gaps = columns.filter(|at| found.across.columns[*at].runs.missing > 0);
        let columns: Vec<usize> = gaps.collect();
        let strategy = |at: &usize| {
            let strategy = thresholds.column(&facts(found, *at), is_series);
            let column = &found.columns[*at];
            let fills = match strategy {
                None => false,
                Some(Strategy::Constant) => default_value(&column.field, column.kind).is_some(),
                Some(_) => true,
            };
            (strategy, fills)
        };
        Gaps {
            strategies: columns.iter().map(strategy).collect(),
            columns,
            complete: 0,
            filled: 0,
        }
    }

    fn push(&mut self, batch: &RecordBatch) {
        let rows = batch.num_rows();
        let (mut missing, mut filled) = (None, None);
        for (at, (_, fills)) in self.columns.iter().zip(&self.strategies) {
            let Some(there) = present(batch.column(*at), Missing::Blanks) else {
                continue;
            };
            let gaps = !there.inner();
            missing = either(missing, &gaps);
            if *fills {
                filled = either(filled, &gaps);
            }
        }
        let count = |gaps: Option<BooleanBuffer>| gaps.map_or(0, |gaps| gaps.count_set_bits());
        self.complete += (rows - count(missing)) as u64;
        self.filled += count(filled) as u64;
    }
}

/// The first column of dates with few gaps, which makes rows a time series.
pub(super) fn time_column(found: &Found) -> Option<usize> {
    let most = Thresholds::default().datetime_missing_rate;
    let is_time = |at: &usize| {
        let rate = found.across.columns[*at].runs.rate();
        found.columns[*at].kind == ColumnKind::Datetime && rate <= most
    };
    (0..found.columns.len()).find(is_time)
}

/// What the rules of `impute` go by.
pub(super) fn facts(found: &Found, at: usize) -> Facts {
    let (column, runs) = (&found.columns[at], found.across.columns[at].runs);
    Facts {
        kind: column.kind,
        count: runs.count(),
        missing_rate: runs.rate(),
        longest_run: runs.longest,
        starts: runs.starts,
        skew: column.skew,
        mode_ratio: column.mode_ratio,
    }
}

impl Numbers {
    fn push(&mut self, cells: &[Cells], rows: usize) -> Result<()> {
        if self.columns.len() < 2 {
            return Ok(());
        }
        let floats = |at: &usize| numbers_of(&cells[*at], rows);
        let mut floats: Vec<Float64Array> = self.columns.iter().map(floats).collect();
        let there = floats.iter().fold(None, |all, floats| {
            arrow::buffer::NullBuffer::union(all.as_ref(), floats.nulls())
        });
        if let Some(there) = there.filter(|there| there.null_count() > 0) {
            let kept = arrow::array::BooleanArray::new(there.into_inner(), None);
            for floats in &mut floats {
                let filtered = filter(floats, &kept)?;
                *floats = arrow::array::AsArray::as_primitive(&filtered).clone();
            }
        }
        self.rows += floats.first().map_or(0, |floats| floats.len() as u64);
        self.pairs.push(&floats.iter().collect::<Vec<_>>());
        Ok(())
    }
}
