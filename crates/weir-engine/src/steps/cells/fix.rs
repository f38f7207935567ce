//! The step that marks values which are not valid. What a column means is told
//! by the caller, or found out of its first rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::{StreamExt, TryStreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{BatchStream, Result};
use weir_values::ColumnKind;
use weir_values::detect::Detector;
use weir_values::trim::fix;

use super::change::{Cells, Work, is_plain_text};
use crate::steps::at::At;
use crate::steps::env::Env;
use crate::steps::frame::Frame;
use crate::steps::function::RowFunction;
use crate::steps::operator::{Operator, later};
use crate::steps::pipeline::Step;
use crate::steps::report::Tally;

/// Marks texts that are no valid value of what their column means: mail
/// addresses, phone numbers and postal codes become `invalid`, numbers and dates
/// null.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixSyntaxErrors {
    /// The columns; those that are no text stay. What they mean is taken from
    /// `column_types`, else found out.
    pub columns: Vec<String>,
}

impl Step for FixSyntaxErrors {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let places: BTreeSet<usize> = frame.indices(&self.columns, at)?.into_iter().collect();
        let mut told: Vec<(usize, Arc<dyn RowFunction>, Vec<usize>)> = Vec::new();
        let mut unknown = Vec::new();
        for place in places {
            let field = frame.field(place);
            frame.tally().count("changed", field.name(), 0);
            match frame.kind_of(place) {
                _ if !is_plain_text(field) => {}
                Some(kind) => {
                    frame.tally().set_of("types", field.name(), kind.name());
                    let cells = Cells::new(Work::Fix { kind }, field, frame.tally())?;
                    told.push((place, Arc::new(cells), vec![place]));
                }
                None => unknown.push(place),
            }
        }
        let frame = frame.replace_all(told)?;
        if unknown.is_empty() {
            return Ok(frame);
        }
        let fix = FixDetected {
            columns: unknown,
            tally: frame.tally(),
        };
        frame.operate(Arc::new(fix))
    }
}

/// Finds out what columns mean and marks what is not valid.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FixDetected {
    columns: Vec<usize>,
    #[serde(skip)]
    tally: Arc<Tally>,
}

impl FixDetected {
    /// Reads until every column is known, then gives all rows.
    async fn known(
        self: Arc<Self>,
        mut input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let fields = schema.fields();
        let detectors = self.columns.iter().map(|at| {
            let field = &fields[*at];
            Detector::new(field.name(), field.data_type())
        });
        let mut detectors: Vec<Detector> = detectors.collect();
        let mut spool = env.spool(&schema);
        let mut hold = env.hold();
        while !detectors.iter().all(Detector::is_done)
            && let Some(batch) = input.try_next().await?
        {
            for (detector, at) in detectors.iter_mut().zip(&self.columns) {
                detector.push(batch.column(*at))?;
            }
            hold.try_set(detectors.iter().map(Detector::bytes).sum())?;
            spool.push(batch).await?;
        }
        let mut kinds = Vec::with_capacity(self.columns.len());
        for (detector, at) in detectors.iter().zip(&self.columns) {
            let kind = detector.finish().kind;
            self.tally.set_of("types", fields[*at].name(), kind.name());
            kinds.push(kind);
        }
        drop(detectors);
        drop(hold);
        let rows = spool.done().await?.read().chain(input);
        let rows = rows.map(move |batch| self.fixed(&batch?, &kinds));
        Ok(rows.boxed())
    }

    fn fixed(&self, batch: &RecordBatch, kinds: &[ColumnKind]) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        for (at, kind) in self.columns.iter().zip(kinds) {
            let changed = fix(&columns[*at], *kind);
            let name = batch.schema_ref().field(*at).name();
            self.tally.count("changed", name, changed.cells as u64);
            columns[*at] = changed.array;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = batch.schema();
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

impl Operator for FixDetected {
    fn name(&self) -> &'static str {
        "weir_fix"
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(self.known(input, schema, env))
    }
}
