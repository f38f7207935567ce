//! Row functions that must know which row they are at, for errors that name it.
//! They run in order, one batch after the other.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{BatchStream, Error, Result, config};

use super::change::Cells;
use crate::steps::add_column::Calculation;
use crate::steps::env::Env;
use crate::steps::function::RowFunction;
use crate::steps::operator::{Arguments, Operator, failed};

/// A row function that can be told how many rows came before.
pub(crate) trait Placed: RowFunction {
    /// The values for `rows` rows that stand behind `before` others.
    fn call_from(&self, inputs: &[ArrayRef], rows: usize, before: u64) -> Result<ArrayRef>;
}

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Slot {
    /// In the place of the column there.
    At(usize),
    /// Behind all columns, under this name.
    Last(String),
}

struct Change {
    slot: Slot,
    function: Arc<dyn Placed>,
    inputs: Vec<usize>,
}

/// The operator.
pub(crate) struct Numbered {
    changes: Vec<Change>,
    /// Pointer of errors about cells.
    pointer: String,
}

impl fmt::Debug for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Numbered").field(&self.args()).finish()
    }
}

impl Numbered {
    /// Errors about cells point to `pointer`.
    pub(crate) fn new(pointer: String) -> Self {
        Numbered {
            changes: Vec::new(),
            pointer,
        }
    }

    /// Adds a function over the columns at `inputs`.
    #[must_use]
    pub(crate) fn with(
        mut self,
        slot: Slot,
        function: Arc<dyn Placed>,
        inputs: Vec<usize>,
    ) -> Self {
        self.changes.push(Change {
            slot,
            function,
            inputs,
        });
        self
    }

    pub(crate) fn make(args: Value) -> Result<Arc<dyn Operator>> {
        #[derive(Deserialize)]
        struct Written {
            slot: Slot,
            function: String,
            args: Value,
            inputs: Vec<usize>,
        }
        #[derive(Deserialize)]
        struct Args {
            changes: Vec<Written>,
            pointer: String,
        }
        let args: Args = config::decode(args)?;
        let mut numbered = Numbered::new(args.pointer);
        for change in args.changes {
            let function: Arc<dyn Placed> = match change.function.as_str() {
                "weir_cells" => Arc::new(Cells::read(change.args)?),
                "weir_calculation" => Arc::new(Calculation::read(change.args)?),
                other => return Err(Error::internal(format!("no numbered function {other}"))),
            };
            numbered = numbered.with(change.slot, function, change.inputs);
        }
        Ok(Arc::new(numbered))
    }

    fn batch(&self, batch: &RecordBatch, schema: &SchemaRef, before: u64) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut columns = batch.columns().to_vec();
        for change in &self.changes {
            let inputs = change.inputs.iter().map(|at| Arc::clone(batch.column(*at)));
            let inputs: Vec<ArrayRef> = inputs.collect();
            let made = change.function.call_from(&inputs, rows, before);
            let made = made.map_err(|error| error.repointed(|_| self.pointer.clone()))?;
            match change.slot {
                Slot::At(at) => columns[at] = made,
                Slot::Last(_) => columns.push(made),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

impl Arguments for Numbered {
    fn args(&self) -> Value {
        let written = self.changes.iter().map(|change| {
            let function = &change.function;
            json!({"slot": change.slot, "function": function.name(), "args": function.args(), "inputs": change.inputs})
        });
        json!({"changes": written.collect::<Vec<_>>(), "pointer": self.pointer})
    }
}

impl Operator for Numbered {
    fn name(&self) -> &'static str {
        "weir_numbered"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let mut fields: Vec<FieldRef> = input.fields().to_vec();
        for change in &self.changes {
            let given = change
                .inputs
                .iter()
                .map(|at| Arc::clone(&input.fields()[*at]));
            let given: Vec<FieldRef> = given.collect();
            let field: Field = change.function.field(&given)?.with_nullable(true);
            match &change.slot {
                Slot::At(at) => {
                    let name = fields[*at].name().clone();
                    fields[*at] = Arc::new(field.with_name(name));
                }
                Slot::Last(name) => fields.push(Arc::new(field.with_name(name))),
            }
        }
        let metadata = input.metadata().clone();
        Ok(Arc::new(Schema::new_with_metadata(fields, metadata)))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, _: Env) -> BatchStream {
        let schema = match self.schema(&schema) {
            Ok(schema) => schema,
            Err(error) => return failed(error),
        };
        let mut before = 0_u64;
        let rows = input.map(move |batch| {
            let batch = batch?;
            let made = self.batch(&batch, &schema, before);
            before += batch.num_rows() as u64;
            made
        });
        rows.boxed()
    }
}
