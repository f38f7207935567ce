//! Suggestions in words and steps, in the order in which they are best applied.

use serde_json::{Map, Value, json};
use weir_values::imputation::{RowChoice, Strategy, Thresholds};
use weir_values::sketch::Distinct as Sketch;

use super::adviser::{Adviser, Counted, facts, time_column};
use super::collinear::collinear;
use super::suggest::{Suggestion, id};

/// Columns that a reason names.
const NAMED: usize = 5;

/// The seed of steps that draw by chance, so that they can be run again.
const SEED: u64 = 42;

/// Standard errors of an estimate beyond which it tells something.
const SURE: f64 = 3.0;

/// What should be done, in the order of the specification.
pub(super) fn suggestions(seen: &Adviser) -> Vec<Suggestion> {
    let case = |counted, case| counted_case(seen, counted, case);
    let all = [
        clean_names(seen),
        sparse(seen),
        single(seen),
        fixed(seen),
        case(&seen.upper, "upper"),
        case(&seen.lower, "lower"),
        money(seen),
        dates(seen),
        impute(seen),
        predicted(seen),
        duplicates(seen),
        outliers(seen),
    ];
    all.into_iter().flatten().collect()
}

/// A suggestion about `columns` that changes nothing yet.
fn suggestion(
    seen: &Adviser,
    id: &'static str,
    columns: &[usize],
    step: Value,
    reason: String,
) -> Suggestion {
    let name = |at: &usize| seen.found.columns[*at].field.name().clone();
    Suggestion {
        id,
        reason,
        step,
        columns: columns.iter().map(name).collect(),
        rows: 0,
        cells: 0,
        facts: Map::new(),
    }
}

/// Names of columns, each with what is to be said of it: `a` (1), `b` (2), and 3 more.
fn listed(seen: &Adviser, columns: &[usize], said: impl Fn(usize) -> String) -> String {
    let name = |(n, at): (usize, &usize)| {
        let name: String = seen.found.columns[*at]
            .field
            .name()
            .chars()
            .take(64)
            .collect();
        match said(n) {
            said if said.is_empty() => format!("`{name}`"),
            said => format!("`{name}` ({said})"),
        }
    };
    let names: Vec<String> = columns.iter().enumerate().take(NAMED).map(name).collect();
    let names = names.join(", ");
    match columns.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

/// A share as people write it.
fn percent(part: u64, whole: u64) -> String {
    let share = part as f64 / whole as f64 * 100.0;
    let text = format!("{share:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

fn named(seen: &Adviser, columns: &[usize]) -> Vec<Value> {
    let name = |at: &usize| Value::from(seen.found.columns[*at].field.name().as_str());
    columns.iter().map(name).collect()
}

impl Suggestion {
    fn with(mut self, rows: u64, cells: u64) -> Self {
        self.rows = rows;
        self.cells = cells;
        self
    }

    fn because(mut self, facts: impl Iterator<Item = Value>) -> Self {
        self.facts = self.columns.iter().cloned().zip(facts).collect();
        self
    }
}

fn clean_names(seen: &Adviser) -> Option<Suggestion> {
    let columns = &seen.unclean;
    let new = |n: usize| seen.clean_names[columns[n]].clone();
    let names = listed(seen, columns, new);
    let reason = format!(
        "Names of columns are not in lower case, of letters, digits and `_` alone: {names}."
    );
    let step = json!({"op": "clean_column_names", "columns": named(seen, columns)});
    let made = suggestion(seen, id::CLEAN_COLUMN_NAMES, columns, step, reason);
    let facts = (0..columns.len()).map(|n| json!({"name": new(n)}));
    (!columns.is_empty()).then(|| made.because(facts))
}

/// A step that removes columns.
fn removal(seen: &Adviser, id: &'static str, columns: &[usize], reason: String) -> Suggestion {
    let step = json!({"op": "remove_column", "columns": named(seen, columns)});
    let rows = seen.found.rows;
    suggestion(seen, id, columns, step, reason).with(rows, rows * columns.len() as u64)
}

fn sparse(seen: &Adviser) -> Option<Suggestion> {
    let (columns, rows) = (&seen.sparse, seen.found.rows);
    let nulls = |n: usize| seen.found.columns[columns[n]].nulls;
    let names = listed(seen, columns, |n| percent(nulls(n), rows));
    let reason = format!("At least 80 % of the values are missing: {names}.");
    let facts =
        (0..columns.len()).map(|n| json!({"null_value_rate": nulls(n) as f64 / rows as f64}));
    let made = || removal(seen, id::REMOVE_SPARSE_COLUMNS, columns, reason).because(facts);
    (!columns.is_empty()).then(made)
}

fn single(seen: &Adviser) -> Option<Suggestion> {
    let columns = &seen.single;
    let names = listed(seen, columns, |_| String::new());
    let reason = format!("All values that are there are the same: {names}.");
    let made = || removal(seen, id::REMOVE_SINGLE_VALUE_COLUMNS, columns, reason);
    (!columns.is_empty()).then(made)
}

/// Those of the columns in which something would change, and in how many cells.
fn changing(counted: &Counted) -> (Vec<usize>, Vec<u64>) {
    let both = counted
        .columns
        .iter()
        .copied()
        .zip(counted.cells.iter().copied());
    both.filter(|(_, cells)| *cells > 0).unzip()
}

fn fixed(seen: &Adviser) -> Option<Suggestion> {
    let (columns, cells) = changing(&seen.fixed);
    let kind = |n: usize| seen.found.columns[columns[n]].kind;
    let names = listed(seen, &columns, |n| format!("{} of {}", cells[n], kind(n)));
    let (all, rows) = (seen.fixed.all_cells(), seen.fixed.rows);
    let reason = format!("Values are not valid for what their column means: {names}.");
    let step = json!({"op": "fix_syntax_errors", "columns": named(seen, &columns)});
    let facts =
        (0..columns.len()).map(|n| json!({"type": kind(n), "invalid_value_count": cells[n]}));
    let made = suggestion(seen, id::FIX_SYNTAX_ERRORS, &columns, step, reason);
    (!columns.is_empty()).then(|| made.with(rows, all).because(facts))
}

fn counted_case(seen: &Adviser, counted: &Counted, case: &str) -> Option<Suggestion> {
    let (columns, cells) = changing(counted);
    let names = listed(seen, &columns, |n| cells[n].to_string());
    let most = match case {
        "upper" => "capitals",
        _ => "small letters",
    };
    let all = counted.all_cells();
    let reason =
        format!("Values differ by case alone, and most are in {most}; {all} are not: {names}.");
    let step =
        json!({"op": "reformat", "mode": "caps", "case": case, "columns": named(seen, &columns)});
    let facts = cells
        .iter()
        .map(|cells| json!({"case": case, "changed": cells}));
    let made = suggestion(seen, id::REFORMAT_CAPS, &columns, step, reason);
    (!columns.is_empty()).then(|| made.with(counted.rows, all).because(facts))
}

fn money(seen: &Adviser) -> Option<Suggestion> {
    let (columns, cells) = changing(&seen.money);
    let forms = |n: usize| match &seen.found.across.columns[columns[n]].forms {
        super::forms::Forms::Numbers(seen) => *seen,
        _ => super::forms::Numbers::default(),
    };
    let odd = |n: usize| forms(n).dressed + forms(n).words;
    let names = listed(seen, &columns, |n| format!("{} of {}", odd(n), cells[n]));
    let reason =
        format!("Numbers are kept as text, and some have more around them than digits: {names}.");
    let step = json!({"op": "reformat", "mode": "currency", "columns": named(seen, &columns)});
    let facts = (0..columns.len()).map(|n| {
        json!({"values": cells[n], "decorated": forms(n).dressed, "unreadable": forms(n).words})
    });
    let made = suggestion(seen, id::REFORMAT_CURRENCY, &columns, step, reason);
    (!columns.is_empty()).then(|| {
        made.with(seen.money.rows, seen.money.all_cells())
            .because(facts)
    })
}

fn dates(seen: &Adviser) -> Option<Suggestion> {
    let (columns, cells) = changing(&seen.dates);
    let read = |n: usize| match &seen.found.across.columns[columns[n]].forms {
        super::forms::Forms::Dates(seen) => seen.read,
        _ => 0,
    };
    let names = listed(seen, &columns, |n| {
        format!("{} of {} can be read", read(n), cells[n])
    });
    let reason = format!("Dates are kept as text: {names}.");
    let step = json!({"op": "reformat", "mode": "date", "columns": named(seen, &columns)});
    let facts = (0..columns.len())
        .map(|n| json!({"values": cells[n], "unreadable": cells[n].saturating_sub(read(n))}));
    let made = suggestion(seen, id::REFORMAT_DATES, &columns, step, reason);
    (!columns.is_empty()).then(|| {
        made.with(seen.dates.rows, seen.dates.all_cells())
            .because(facts)
    })
}

fn impute(seen: &Adviser) -> Option<Suggestion> {
    let (gaps, found) = (&seen.gaps, &seen.found);
    if gaps.columns.is_empty() {
        return None;
    }
    let missing = |n: usize| found.across.columns[gaps.columns[n]].runs.missing;
    let choice = Thresholds::default().rows(gaps.complete, found.rows);
    let rows = found.rows - gaps.complete;
    let (rows, cells, how) = match choice {
        RowChoice::Nothing => return None,
        RowChoice::Remove => (
            rows,
            rows * found.columns.len() as u64,
            "Few rows miss a value",
        ),
        RowChoice::Columns => {
            let filled = gaps
                .strategies
                .iter()
                .enumerate()
                .filter(|(_, (_, fills))| *fills);
            let cells = filled.map(|(n, _)| missing(n)).sum();
            (gaps.filled, cells, "Values are missing")
        }
    };
    if cells == 0 {
        return None;
    }
    let strategy = |n: usize| match (choice, gaps.strategies[n].0) {
        (RowChoice::Columns, Some(strategy)) => strategy.name(),
        (RowChoice::Columns, None) => "no_action",
        _ => Strategy::RowRm.name(),
    };
    let names = listed(seen, &gaps.columns, |n| {
        format!("{}: {}", percent(missing(n), found.rows), strategy(n))
    });
    let complete = percent(gaps.complete, found.rows);
    let reason = format!("{how}, {complete} of the rows are complete: {names}.");
    let step = json!({"op": "impute", "strategy": "auto", "seed": SEED, "columns": named(seen, &gaps.columns)});
    let time = time_column(found).map(|at| found.columns[at].field.name());
    let facts = (0..gaps.columns.len()).map(|n| {
        let known = facts(found, gaps.columns[n]);
        let strategy = strategy(n);
        let mut said = json!({
            "strategy": strategy,
            "type": known.kind,
            "missing": missing(n),
            "missing_rate": known.missing_rate,
            "longest_missing_run": known.longest_run,
        });
        if strategy != Strategy::RowRm.name() {
            if known.kind.is_number() {
                said["skew"] = json!(known.skew);
            } else {
                said["mode_ratio"] = json!(known.mode_ratio);
            }
        }
        if strategy == Strategy::Sequential.name() {
            said["order_by"] = json!(time.into_iter().collect::<Vec<_>>());
        }
        said
    });
    let made = suggestion(seen, id::IMPUTE, &gaps.columns, step, reason);
    Some(made.with(rows, cells).because(facts))
}

fn predicted(seen: &Adviser) -> Option<Suggestion> {
    let numbers = &seen.numbers;
    let found = collinear(&numbers.pairs, numbers.columns.len(), numbers.rows);
    let columns: Vec<usize> = found.iter().map(|(at, _)| numbers.columns[*at]).collect();
    let names = listed(seen, &columns, |n| match found[n].1 {
        Some(factor) => format!("variance inflation factor {factor:.2}"),
        None => "exactly".to_owned(),
    });
    let reason = format!("Other columns of numbers predict these: {names}.");
    let facts = found.iter().map(
        |(_, factor)| json!({"variance_inflation_factor": factor, "is_exact": factor.is_none()}),
    );
    let made = || removal(seen, id::REMOVE_COLLINEAR_COLUMNS, &columns, reason).because(facts);
    (!columns.is_empty()).then(made)
}

fn duplicates(seen: &Adviser) -> Option<Suggestion> {
    let (rows, all) = (seen.found.across.duplicate_rows, seen.found.rows);
    let is_estimate = seen.found.across.is_estimate;
    let about = if is_estimate { "About " } else { "" };
    let reason = format!("{about}{rows} of {all} rows repeat another row.");
    let made = suggestion(
        seen,
        id::DROP_DUPLICATES,
        &[],
        json!({"op": "drop_duplicates"}),
        reason,
    );
    let cells = rows * seen.found.columns.len() as u64;
    // What an estimate is off by is no reason.
    let least = match is_estimate {
        true => all as f64 * SURE * Sketch::ERROR,
        false => 0.0,
    };
    (rows as f64 > least).then(|| made.with(rows, cells))
}

fn outliers(seen: &Adviser) -> Option<Suggestion> {
    let (columns, cells) = changing(&seen.far);
    let names = listed(seen, &columns, |n| cells[n].to_string());
    let rows = seen.far.rows;
    let reason = format!(
        "Values lie more than 3 standard deviations from the mean of their column: {names}."
    );
    let step =
        json!({"op": "remove_outliers", "method": "zscore", "columns": named(seen, &columns)});
    let facts = cells.iter().map(|cells| json!({"outliers": cells}));
    let made = suggestion(seen, id::REMOVE_OUTLIERS, &columns, step, reason);
    let gone = rows * seen.found.columns.len() as u64;
    (!columns.is_empty()).then(|| made.with(rows, gone).because(facts))
}
