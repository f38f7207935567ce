//! Rows profiled.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value, json};
use weir_core::{BatchStream, Context, Result};
use weir_values::ColumnKind;
use weir_values::sketch::Distinct as Sketch;

use super::across::FoundAcross;
use super::adviser::Adviser;
use super::again::time_index;
use super::first::{Counting, FirstFound, Reading};
use super::statistics::{Finished, Room, share};
use super::suggest::{Found, FoundColumn};
use super::{Profile, ProfileOptions, ProfiledColumn};
use crate::read::Engine;
use crate::steps::{Enter, Env, Operator, Side, Spooled};

/// The share of a request's memory that parts of values fill.
const PARTS: usize = 4;

impl Engine {
    /// Statistics, types and suggestions of `rows`, within the memory of `ctx`.
    /// Beyond it: 413 `too_large_to_compute`, unless `approximate`.
    pub async fn profile(
        &self,
        rows: Side,
        options: &ProfileOptions,
        ctx: &Context,
    ) -> Result<Profile> {
        let kept = self.profile_kept(rows, options, ctx).await?;
        Ok(kept.profile)
    }

    /// The same, with the rows.
    pub(super) async fn profile_kept(
        &self,
        rows: Side,
        options: &ProfileOptions,
        ctx: &Context,
    ) -> Result<Kept> {
        let enter = Arc::new(Enter);
        let schema = enter.schema(&rows.schema)?;
        let env = Env::new(self.task(&ctx.memory), ctx);
        // It is asked again after its end.
        let input = enter.run(rows.stream.fuse().boxed(), rows.schema, env.clone());
        let reading = Reading {
            kinds: given(&schema, options)?,
            schema,
            clean: options.clean,
            approximate: options.approximate,
            env,
        };
        // Not on the threads that serve requests.
        let work = ctx.compute.spawn(profiled(reading, input));
        ctx.bounded(async { work.await? }).await
    }
}

/// A profile, and the rows that it is of.
pub(super) struct Kept {
    pub(super) profile: Profile,
    pub(super) schema: SchemaRef,
    pub(super) rows: Spooled,
}

/// What the caller says that columns mean.
fn given(schema: &SchemaRef, options: &ProfileOptions) -> Result<Vec<Option<ColumnKind>>> {
    let pointer = options.kinds_at.as_deref().unwrap_or("/column_types");
    let mut kinds = vec![None; schema.fields().len()];
    for (name, kind) in &options.kinds {
        let Ok(index) = schema.index_of(name) else {
            let at = format!("{pointer}/{}", weir_core::config::escape_pointer(name));
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            return Err(weir_core::source::unknown_column(name, &names, &at));
        };
        kinds[index] = Some(*kind);
    }
    Ok(kinds)
}

async fn profiled(reading: Reading, input: BatchStream) -> Result<Kept> {
    let FirstFound {
        columns,
        across,
        spooled,
        hold,
    } = reading.first(input).await?;
    let mut columns = finished(columns, &reading.env).await?;
    drop(hold);
    let (dataset, correlations) = dataset(&columns, &across);
    let is_estimate = across.is_estimate;
    let found = found(&reading, &columns, across);
    let mut adviser = Adviser::new(found, &reading.env)?;
    reading.second(&mut columns, &spooled, &mut adviser).await?;
    let advice = adviser.finish()?;
    let mut estimates = Map::new();
    let mut shown = Vec::with_capacity(columns.len());
    for (mut column, correlations) in columns.into_iter().zip(correlations) {
        if !column.estimates.is_empty() {
            estimates.insert(column.name.clone(), Value::Object(column.estimates));
        }
        if let Some(correlations) = correlations {
            let name = "correlations".to_owned();
            column.statistics.insert(name, Value::Object(correlations));
        }
        shown.push(ProfiledColumn {
            name: column.name,
            detected: column.detected,
            statistics: column.statistics,
        });
    }
    let profile = Profile {
        dataset,
        columns: shown,
        suggestions: advice.suggestions,
        kinds: advice.kinds,
        approximate: reading.approximate.then(|| {
            let mut about = json!({"columns": estimates});
            if is_estimate {
                let error = json!({"standard_error_of_rows": Sketch::ERROR});
                about["dataset"] =
                    json!({"duplicate_row_count": error, "duplicate_row_rate": error});
            }
            about
        }),
    };
    Ok(Kept {
        profile,
        schema: reading.schema,
        rows: spooled,
    })
}

/// Statistics of all columns, two at a time.
async fn finished(columns: Vec<Counting>, env: &Env) -> Result<Vec<Finished>> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let room = Room {
        most: env.request_limit() / PARTS / processors,
        env,
    };
    let mut columns: Vec<(usize, usize, Counting)> = columns
        .into_iter()
        .enumerate()
        .map(|(at, mut counting)| (counting.column.bytes().0, at, counting))
        .collect();
    // The largest first, so that none is left alone in the end.
    columns.sort_by_key(|(bytes, ..)| std::cmp::Reverse(*bytes));
    let room = &room;
    let finish = |(_, at, counting): (usize, usize, Counting)| async move {
        Ok::<_, weir_core::Error>((at, counting.column.finish(room).await?))
    };
    let done = futures::stream::iter(columns)
        .map(finish)
        .buffer_unordered(processors);
    let mut done: Vec<(usize, Finished)> = done.try_collect().await?;
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, column)| column).collect())
}

fn found(reading: &Reading, columns: &[Finished], across: FoundAcross) -> Found {
    let fields = reading.schema.fields().iter().zip(columns);
    let columns_found = fields.map(|(field, column)| FoundColumn {
        field: Arc::clone(field),
        kind: column.detected.kind,
        nulls: column.runs.missing,
        distinct: column.distinct,
        invalid: column.invalid,
        mean: column.mean,
        std: column.std,
        skew: column.skew,
        mode_ratio: column.mode_ratio,
    });
    Found {
        rows: columns
            .first()
            .map_or(across.rows, |column| column.runs.rows),
        columns: columns_found.collect(),
        across,
    }
}

fn is_number(column: &Finished) -> bool {
    column.statistics.contains_key("histogram")
}

/// Correlations of a column with others, by their names.
type Correlations = Map<String, Value>;

/// What holds for the rows as a whole, and correlations of each column of numbers.
fn dataset(
    columns: &[Finished],
    across: &FoundAcross,
) -> (Map<String, Value>, Vec<Option<Correlations>>) {
    let rows = columns
        .first()
        .map_or(across.rows, |column| column.runs.rows);
    let width = columns.len() as u64;
    let cells = rows * width;
    let sum = |part: fn(&Finished) -> u64| columns.iter().map(part).sum::<u64>();
    let nulls = sum(|column| column.runs.missing);
    let invalid = sum(|column| column.invalid);
    let empty = sum(|column| u64::from(column.runs.count() == 0));
    let present = |part: u64| match cells {
        0 => 1.0,
        cells => share(part, cells),
    };
    let index = time_index(columns);
    let names: Vec<&str> = index.iter().map(|at| columns[*at].name.as_str()).collect();
    let shown = json!({
        "row_count": rows,
        "column_count": width,
        "total_null_value_count": nulls,
        "total_null_value_rate": share(nulls, cells),
        "total_invalid_value_count": invalid,
        "total_invalid_value_rate": share(invalid, cells),
        "duplicate_row_count": across.duplicate_rows,
        "duplicate_row_rate": share(across.duplicate_rows, rows),
        "empty_column_count": empty,
        "empty_column_rate": share(empty, width),
        "completeness": present(cells - nulls),
        "validity": present(cells.saturating_sub(nulls + invalid)),
        "is_timeseries": !names.is_empty(),
        "timeseries_index": names,
    });
    let numbers = columns.iter().filter(|column| is_number(column)).count();
    let mut left = numbers - across.uncorrelated.min(numbers);
    let mut correlations: Vec<Option<Correlations>> = columns
        .iter()
        .map(|column| {
            let is_held = is_number(column) && left > 0;
            left -= usize::from(is_held);
            is_held.then(Map::new)
        })
        .collect();
    for (a, b, r) in &across.correlations {
        for (own, other) in [(*a, *b), (*b, *a)] {
            let Some(column) = columns.get(other) else {
                continue;
            };
            if let Some(map) = correlations.get_mut(own).and_then(Option::as_mut) {
                map.insert(column.name.clone(), super::shown::float(*r));
            }
        }
    }
    let dataset = match shown {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    (dataset, correlations)
}
