//! Steps that bring columns of numbers to one scale. One pass finds it, a second
//! one applies it.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::{StreamExt, TryStreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_core::types::field_type_name;
use weir_core::{BatchStream, Error, Result, config};
use weir_values::imputation::Strategy;
use weir_values::missing::Missing;
use weir_values::moments::Moments;
use weir_values::scale::{Scale, without};
use weir_values::texts::is_text;

use super::at::At;
use super::env::Env;
use super::facts::{Column, Gather, Reads, Wanted, spooled};
use super::fill::{Gap, retyped};
use super::frame::Frame;
use super::impute::gaps;
use super::operator::{Operator, later};
use super::pipeline::Step;
use super::report::Tally;
use super::shape::no_repeats;

/// Brings columns between 0 and 1.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// Columns of numbers. One whose values are all the same becomes null.
    pub columns: Vec<String>,
}

impl Step for Normalize {
    fn check(&self, at: &At) -> Result<()> {
        no_repeats("columns", &self.columns, at)
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        scaled(frame, &self.columns, By::Range, at)
    }
}

/// Brings columns around 0, in standard deviations.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standardize {
    /// Columns of numbers. One whose values are all the same becomes null.
    pub columns: Vec<String>,
    /// What is taken off the count that the variance is divided by: 0 for a whole
    /// population, 1 for a sample.
    #[serde(default, deserialize_with = "config::whole")]
    pub ddof: u64,
}

impl Step for Standardize {
    fn check(&self, at: &At) -> Result<()> {
        no_repeats("columns", &self.columns, at)
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let by = By::Deviation { ddof: self.ddof };
        scaled(frame, &self.columns, by, at)
    }
}

fn scaled(frame: Frame, columns: &[String], by: By, at: &At) -> Result<Frame> {
    let gaps = gaps(&frame, columns, at)?;
    for gap in &gaps {
        let place = frame.index(&gap.name, &gap.pointer)?;
        let field = frame.field(place);
        let data_type = field.data_type();
        let is_number = data_type.is_numeric()
            || data_type == &DataType::Boolean
            || (is_text(data_type) && gap.is_number());
        if !is_number {
            let (name, shown) = (&gap.name, field_type_name(field));
            let message = format!("the column `{name}` is a {shown}, no number");
            return Err(Error::invalid(&gap.pointer, message).hint(
                "say in column_types that it is a number, or convert it with convert_type first",
            ));
        }
    }
    let tally = frame.tally();
    frame.operate(Arc::new(Rescale { by, gaps, tally }))
}

/// How columns are scaled.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Range,
    Deviation { ddof: u64 },
}

/// Scales columns.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rescale {
    by: By,
    gaps: Vec<Gap>,
    #[serde(skip)]
    tally: Arc<Tally>,
}

impl Rescale {
    /// The scale of a column, which is reported.
    fn scale(&self, name: &str, moments: &Moments) -> Option<Scale> {
        let extreme = |whole: Option<i128>, float: Option<f64>| {
            let whole = whole.and_then(|whole| i64::try_from(whole).ok());
            whole.map_or_else(|| json!(float), |whole| json!(whole))
        };
        let range = moments.whole_range();
        match self.by {
            By::Range => {
                let min = extreme(range.map(|range| range.0), moments.min());
                let max = extreme(range.map(|range| range.1), moments.max());
                self.tally.set_of("min", name, min);
                self.tally.set_of("max", name, max);
                Scale::normalize(moments)
            }
            By::Deviation { ddof } => {
                self.tally.set_of("mean", name, json!(moments.mean()));
                self.tally.set_of("std", name, json!(moments.std(ddof)));
                Scale::standardize(moments, ddof)
            }
        }
    }

    async fn rows(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let mut columns = Vec::with_capacity(self.gaps.len());
        for gap in &self.gaps {
            let column = gap.column(&schema, Strategy::Average, Missing::Nulls)?;
            columns.push(column);
        }
        let wanted = Wanted {
            moments: true,
            ..Wanted::default()
        };
        let wanted = columns
            .iter()
            .map(|column| (column.clone(), wanted.clone()));
        let mut gather = Gather::new(wanted.collect(), &schema, &env)?;
        let spooled = spooled(input, &schema, &env, &mut gather).await?;
        let facts = gather.finish(&spooled).await?;
        let mut scales = Vec::with_capacity(columns.len());
        for (column, facts) in columns.into_iter().zip(facts) {
            let moments = facts.moments.unwrap_or_default();
            let scale = self.scale(&column.name, &moments);
            scales.push((column, scale));
        }
        let made = self.schema(&schema)?;
        let mut before = 0;
        let rows = spooled.read().and_then(move |batch| {
            let scaled = apply(&batch, &made, &scales, before);
            before += batch.num_rows() as u64;
            futures::future::ready(scaled)
        });
        Ok(rows.boxed())
    }
}

fn apply(
    batch: &RecordBatch,
    schema: &SchemaRef,
    scales: &[(Column, Option<Scale>)],
    before: u64,
) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    for (column, scale) in scales {
        debug_assert_eq!(column.reads, Reads::Numbers);
        let (array, _) = column.read(batch, before)?;
        columns[column.index] = match scale {
            Some(scale) => scale.apply(&array)?,
            None => without(&array),
        };
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

impl Operator for Rescale {
    fn name(&self) -> &'static str {
        "weir_rescale"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let place = |gap: &Gap| weir_core::evaluate::index_of(input, &gap.name);
        let places = self.gaps.iter().map(place).collect::<Result<Vec<_>>>()?;
        let types: Vec<(usize, DataType)> = places
            .into_iter()
            .map(|place| (place, DataType::Float64))
            .collect();
        Ok(retyped(input, &types))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(self.rows(input, schema, env))
    }
}
