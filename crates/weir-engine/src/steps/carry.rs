//! Filling gaps from neighbours: forwards on the stream, in the order of columns
//! where one is given, and backwards over a spool.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use weir_core::evaluate::index_of;
use weir_core::{BatchStream, Nulls, Order, Result};
use weir_values::ColumnKind;
use weir_values::fill::{Forward, backward, first};
use weir_values::imputation::Strategy;
use weir_values::missing::{Missing, present};
use weir_values::texts::{Texts, is_text};
use weir_values::{moment, number};

use super::env::Env;
use super::facts::Column;
use super::fill::Gap;
use super::filling::{Filling, With, filled};
use super::operator::{Operator, failed, later};
use super::report::Tally;

/// A column that rows are ordered by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) name: String,
    /// What the caller says that it means: text that is a number or a date is
    /// ordered as such, and what cannot be read is last.
    pub(super) kind: Option<ColumnKind>,
}

const KEY: &str = "weir.key";

impl Key {
    fn data_type(&self, schema: &Schema) -> Result<Option<DataType>> {
        let field = schema.field(index_of(schema, &self.name)?);
        Ok(match self.kind {
            _ if !is_text(field.data_type()) => None,
            Some(kind) if kind.is_number() => Some(DataType::Float64),
            Some(ColumnKind::Datetime) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
            _ => None,
        })
    }

    fn read(&self, batch: &RecordBatch) -> Result<Option<ArrayRef>> {
        let column = batch.column(index_of(&batch.schema(), &self.name)?);
        Ok(Texts::of(column).map(|texts| match self.kind {
            Some(ColumnKind::Datetime) => Arc::new(moment::dates(&texts)) as ArrayRef,
            _ => Arc::new(number::numbers(&texts)),
        }))
    }
}

/// `input` in the order of `keys`, missing ones last.
pub(super) fn ordered(
    input: BatchStream,
    schema: &SchemaRef,
    keys: &[Key],
    env: &Env,
) -> Result<BatchStream> {
    if keys.is_empty() {
        return Ok(input);
    }
    let width = schema.fields().len();
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    let mut orders = Vec::with_capacity(keys.len());
    let mut read = Vec::new();
    for key in keys {
        let column = match key.data_type(schema)? {
            None => key.name.clone(),
            Some(data_type) => {
                let name = format!("{KEY}.{}", read.len());
                fields.push(Arc::new(Field::new(&name, data_type, true)));
                read.push(key.clone());
                name
            }
        };
        orders.push(Order {
            column,
            ascending: true,
            nulls: Nulls::Last,
        });
    }
    let wide = Arc::new(Schema::new(fields));
    let made = Arc::clone(&wide);
    let keyed = input.map(move |batch| {
        let batch = batch?;
        let mut columns = batch.columns().to_vec();
        for key in &read {
            columns.extend(key.read(&batch)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&made), columns)?)
    });
    let sorted = env.sort(keyed.boxed(), &wide, &orders)?;
    let schema = Arc::clone(schema);
    let plain = sorted.map(move |batch| {
        let columns = batch?.columns()[..width].to_vec();
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
    });
    Ok(plain.boxed())
}

/// Fills each gap with the value before it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Carry {
    pub(super) gaps: Vec<Gap>,
    pub(super) order: Vec<Key>,
    /// Whether blank text is missing too.
    pub(super) blanks: bool,
    #[serde(skip)]
    pub(super) tally: Arc<Tally>,
}

impl Carry {
    fn rows(&self, input: BatchStream, schema: SchemaRef, env: &Env) -> Result<BatchStream> {
        let sorted = ordered(input, &schema, &self.order, env)?;
        let missing = missing_of(self.blanks);
        let mut fillings = Vec::with_capacity(self.gaps.len());
        for gap in &self.gaps {
            let column = gap.column(&schema, Strategy::Sequential, missing)?;
            fillings.push(Filling {
                to: column.data_type(&schema),
                column,
                with: With::Forward(Forward::default()),
            });
        }
        let counted = counted(sorted, &fillings, Arc::clone(&self.tally));
        let rows = filled(counted, schema, fillings);
        Ok(rows)
    }
}

fn missing_of(blanks: bool) -> Missing {
    if blanks {
        Missing::Blanks
    } else {
        Missing::Nulls
    }
}

/// Counts the gaps that are filled: those with a value somewhere before them.
fn counted(rows: BatchStream, fillings: &[Filling], tally: Arc<Tally>) -> BatchStream {
    let columns: Vec<Column> = fillings
        .iter()
        .map(|filling| filling.column.clone())
        .collect();
    let mut begun = vec![false; columns.len()];
    for column in &columns {
        tally.count("filled", &column.name, 0);
    }
    rows.map(move |batch| {
        let batch = batch?;
        for (column, begun) in columns.iter().zip(&mut begun) {
            let (array, there) = column.read(&batch, 0)?;
            let gaps = match there {
                None => {
                    *begun |= !array.is_empty();
                    continue;
                }
                Some(there) if *begun => there.null_count(),
                Some(there) => match there.valid_indices().next() {
                    None => 0,
                    Some(start) => {
                        *begun = true;
                        there.null_count() - start
                    }
                },
            };
            tally.count("filled", &column.name, gaps as u64);
        }
        Ok(batch)
    })
    .boxed()
}

impl Operator for Carry {
    fn name(&self) -> &'static str {
        "weir_carry"
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        self.rows(input, schema, &env).unwrap_or_else(failed)
    }
}

/// Fills each gap with the value behind it. A run of gaps may be longer than
/// memory, so rows are spooled; of each batch the first value stays in mind.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Back {
    pub(super) gaps: Vec<Gap>,
    #[serde(skip)]
    pub(super) tally: Arc<Tally>,
}

/// The first value of a column in each batch that has one, with the number of
/// the batch.
type Firsts = VecDeque<(u64, ArrayRef)>;

impl Back {
    async fn rows(
        self: Arc<Self>,
        mut input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let mut columns = Vec::with_capacity(self.gaps.len());
        for gap in &self.gaps {
            let index = index_of(&schema, &gap.name)?;
            self.tally.count("filled", &gap.name, 0);
            columns.push((index, Firsts::new()));
        }
        let mut spool = env.spool(&schema);
        let mut hold = env.hold();
        let mut batches = 0;
        while let Some(batch) = input.next().await.transpose()? {
            let mut bytes = hold.bytes();
            for (index, firsts) in &mut columns {
                let array = batch.column(*index);
                let value = first(array, present(array, Missing::Nulls).as_ref())?;
                if let Some(value) = value {
                    bytes += value.get_array_memory_size();
                    firsts.push_back((batches, value));
                }
            }
            batches += 1;
            hold.set(bytes).await?;
            spool.push(batch).await?;
        }
        let spooled = spool.done().await?;
        let mut number = 0;
        let rows = spooled.read().and_then(move |batch| {
            let _held = &hold;
            let filled = self.filled(&batch, number, &mut columns);
            number += 1;
            futures::future::ready(filled)
        });
        Ok(rows.boxed())
    }

    /// The batch of that number with its gaps filled.
    fn filled(
        &self,
        batch: &RecordBatch,
        number: u64,
        columns: &mut [(usize, Firsts)],
    ) -> Result<RecordBatch> {
        let mut made = batch.columns().to_vec();
        for ((index, firsts), gap) in columns.iter_mut().zip(&self.gaps) {
            while firsts.front().is_some_and(|(of, _)| *of <= number) {
                firsts.pop_front();
            }
            let array = batch.column(*index);
            let there = present(array, Missing::Nulls);
            let after = firsts.front().map(|(_, value)| value);
            made[*index] = backward(array, there.as_ref(), after)?;
            let gaps = there.map_or(0, |there| there.null_count());
            let left = made[*index].logical_null_count();
            self.tally.count("filled", &gap.name, (gaps - left) as u64);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            batch.schema(),
            made,
            &options,
        )?)
    }
}

impl Operator for Back {
    fn name(&self) -> &'static str {
        "weir_back"
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(self.rows(input, schema, env))
    }
}
