//! The second pass over all rows: charts, outliers, and what advice needs.

use std::sync::Arc;

use weir_core::Result;

use super::adviser::Adviser;
use super::cells::{Cells, ReadColumn};
use super::first::Reading;
use super::second::{Second, Series};
use super::spread::spread;
use super::statistics::Finished;
use crate::steps::Spooled;

/// Columns of dates that rows can be ordered by.
const MOST_MISSING: f64 = 0.1;

/// The places of columns by which rows can be ordered in time.
pub(super) fn time_index(columns: &[Finished]) -> Vec<usize> {
    let is_index = |column: &Finished| {
        let is_date = column.detected.kind == weir_values::ColumnKind::Datetime;
        is_date && column.runs.rows > 0 && column.runs.rate() <= MOST_MISSING
    };
    let places = columns.iter().enumerate();
    places
        .filter(|(_, column)| is_index(column))
        .map(|(at, _)| at)
        .collect()
}

struct Look {
    read: ReadColumn,
    second: Second,
}

impl Reading {
    /// Looks at the rows again, if something needs that.
    pub(super) async fn second(
        &self,
        columns: &mut [Finished],
        spooled: &Spooled,
        adviser: &mut Adviser,
    ) -> Result<()> {
        let index = time_index(columns)
            .into_iter()
            .find(|at| columns[*at].dates.is_some());
        let line = index.and_then(|at| columns[at].line());
        let looks = columns.iter_mut().enumerate().map(|(at, column)| {
            let mut second = std::mem::take(&mut column.second);
            second.index = at;
            second.line = column.line();
            let own = second.line.map(|line| Series::new(line, false));
            let of_numbers = second.histogram.is_some().then_some(line).flatten();
            second.series = own.or_else(|| of_numbers.map(|line| Series::new(line, true)));
            let read = ReadColumn {
                index: at,
                name: column.name.clone(),
                kind: column.detected.kind,
            };
            Look { read, second }
        });
        let wants_all = adviser.wants_rows();
        let mut looks: Vec<Look> = looks
            .filter(|look| wants_all || look.second.is_needed())
            .collect();
        if looks.is_empty() {
            return Ok(());
        }
        let index = index.and_then(|at| looks.iter().find(|look| look.read.index == at));
        let index = index.map(|look| (look.read.clone(), look.second.clone()));
        let mut rows = spooled.read();
        let mut next = self.chunk(&mut rows).await?;
        while let Some(chunk) = next.take() {
            let (batches, index, clean) = (Arc::clone(&chunk), index.clone(), self.clean);
            let placed = self.env.compute().blocking(move || {
                let Some((read, second)) = index else {
                    return Ok(Vec::new());
                };
                let place = |batch: &arrow::record_batch::RecordBatch| {
                    let cells = read.read(batch.column(read.index), clean)?;
                    Ok(second.places(&cells))
                };
                batches.iter().map(place).collect::<Result<Vec<_>>>()
            });
            let places = Arc::new(placed.await??);
            let batches = Arc::clone(&chunk);
            let look = move |look: &mut Look| {
                let mut read = Vec::with_capacity(batches.len());
                for (at, batch) in batches.iter().enumerate() {
                    let cells = look.read.read(batch.column(look.read.index), clean)?;
                    let places = places.get(at).and_then(Option::as_deref);
                    look.second.push(&cells, places)?;
                    if wants_all {
                        read.push(cells);
                    }
                }
                Ok(read)
            };
            let looked = spread(looks, &self.env, |_| 0, look);
            let (looked, more) = futures::try_join!(looked, self.chunk(&mut rows))?;
            let cells;
            (looks, cells) = looked;
            next = more;
            if wants_all {
                let mut columns: Vec<_> = cells.into_iter().map(Vec::into_iter).collect();
                for batch in chunk.iter() {
                    let cells: Vec<Cells> = columns.iter_mut().filter_map(Iterator::next).collect();
                    adviser.push(batch, &cells)?;
                }
            }
        }
        for look in looks {
            columns[look.read.index].complete(look.second);
        }
        Ok(())
    }
}
