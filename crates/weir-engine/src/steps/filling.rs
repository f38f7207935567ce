//! Columns with their gaps filled: what each gap gets, once the facts are known.

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, UInt64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use weir_core::types::field_type_name;
use weir_core::{BatchStream, Error, Result};
use weir_values::dice::Dice;
use weir_values::fill::{Forward, with_picks, with_value};
use weir_values::imputation::Strategy;
use weir_values::moments::Moments;
use weir_values::order::Number;
use weir_values::texts::is_text;

use super::facts::{Column, Facts, Reads};

/// What gaps get.
pub(super) enum With {
    /// Nothing: they stay.
    Nothing,
    /// One value.
    Value(ArrayRef),
    /// Values of a pool, by chance.
    Picks(ArrayRef, Dice),
    /// The last value before them.
    Forward(Forward),
}

/// A column whose gaps are filled.
pub(super) struct Filling {
    pub(super) column: Column,
    /// The type that it has then.
    pub(super) to: DataType,
    pub(super) with: With,
}

impl Filling {
    fn filled(&mut self, batch: &RecordBatch, before: u64) -> Result<ArrayRef> {
        let (mut array, there) = self.column.read(batch, before)?;
        if array.data_type() != &self.to {
            array = exactly(&array, &self.to, &self.column)?;
        }
        match &mut self.with {
            With::Nothing => Ok(array),
            With::Value(value) => with_value(&array, there.as_ref(), value),
            With::Forward(forward) => forward.push(&array, there.as_ref()),
            With::Picks(pool, dice) => {
                let size = pool.len() as u64;
                with_picks(&array, there.as_ref(), pool, || dice.below(size) as usize)
            }
        }
    }
}

/// `rows` with their gaps filled; `schema` is that of the result.
pub(super) fn filled(
    rows: BatchStream,
    schema: SchemaRef,
    mut fillings: Vec<Filling>,
) -> BatchStream {
    let mut before = 0_u64;
    rows.and_then(move |batch| {
        let batch = fill(&batch, &schema, &mut fillings, before);
        before += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        futures::future::ready(batch)
    })
    .boxed()
}

fn fill(
    batch: &RecordBatch,
    schema: &SchemaRef,
    fillings: &mut [Filling],
    before: u64,
) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    for filling in fillings {
        columns[filling.column.index] = filling.filled(batch, before)?;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// The type of a column whose gaps get an average: decimals keep theirs, all other
/// numbers become floats. Text must be given as a number.
pub(super) fn averaged_type(schema: &Schema, column: &Column, is_number: bool) -> Result<DataType> {
    let field = schema.field(column.index);
    match field.data_type() {
        data_type if data_type.is_decimal() => Ok(data_type.clone()),
        data_type if data_type.is_numeric() => Ok(DataType::Float64),
        data_type if is_text(data_type) && is_number => Ok(DataType::Float64),
        data_type => {
            let message = format!(
                "the column `{}` has no average, it is a {}",
                column.name,
                field_type_name(field)
            );
            let hint = match is_text(data_type) {
                true => {
                    "say in column_types that it is a number, convert it with convert_type, or use another strategy"
                }
                false => "use mode, constant or sequential",
            };
            Err(Error::invalid(&column.pointer, message).hint(hint))
        }
    }
}

/// Whole numbers that floats hold exactly.
const EXACT: i128 = 1 << 53;

/// The array as one of type `to`; 422 where whole numbers would lose digits.
fn exactly(array: &ArrayRef, to: &DataType, column: &Column) -> Result<ArrayRef> {
    if array.data_type().is_integer() {
        let mut moments = Moments::new();
        moments.push(array)?;
        let fits = |value: i128| (-EXACT..=EXACT).contains(&value);
        if moments
            .whole_range()
            .is_some_and(|(min, max)| !fits(min) || !fits(max))
        {
            let message = format!(
                "the column `{}` holds whole numbers beyond 2^53, which a column with an average cannot hold exactly",
                column.name
            );
            return Err(Error::invalid(&column.pointer, message)
                .code("out_of_range")
                .hint("leave the column out of `columns`, or use mode, constant or sequential"));
        }
    }
    Ok(cast(array, to)?)
}

/// The mean or the median of a column of whole numbers, where it is whole too.
fn whole_value(strategy: Strategy, facts: &Facts) -> Option<i128> {
    if strategy != Strategy::Median {
        let moments = facts.moments.as_ref()?;
        let (sum, count) = (moments.whole_sum()?, i128::from(moments.count()));
        return (count > 0 && sum % count == 0).then(|| sum / count);
    }
    match facts.quantiles.first().copied().flatten()? {
        Number::Int(value) => Some(value.into()),
        Number::Uint(value) => Some(value.into()),
        Number::Float(value) => {
            let whole = value as i128;
            (value.fract() == 0.0 && (-EXACT..=EXACT).contains(&whole)).then_some(whole)
        }
    }
}

/// What fills a column of the type `from`, of the type that is left for it: whole
/// numbers stay whole where the value is.
pub(super) fn settled(
    strategy: Strategy,
    facts: &Facts,
    from: &DataType,
    to: &DataType,
) -> Result<ArrayRef> {
    if from.is_integer() && to == &DataType::Float64 {
        if facts.runs.count() == 0 {
            return Ok(new_null_array(from, 1));
        }
        if let Some(value) = whole_value(strategy, facts) {
            let value: ArrayRef = match i64::try_from(value) {
                Ok(value) => Arc::new(Int64Array::from(vec![value])),
                Err(_) => Arc::new(UInt64Array::from(vec![value as u64])),
            };
            return Ok(cast(&value, from)?);
        }
    }
    averaged(strategy, facts, to)
}

/// The mean or the median as a value of the type `to`; null of no values.
pub(super) fn averaged(strategy: Strategy, facts: &Facts, to: &DataType) -> Result<ArrayRef> {
    let value = match strategy {
        Strategy::Median => facts
            .quantiles
            .first()
            .copied()
            .flatten()
            .map(|q| q.to_f64()),
        _ => facts.moments.as_ref().and_then(Moments::mean),
    };
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![value]));
    if is_text(to) {
        let text = value.map_or(serde_json::Value::Null, serde_json::Value::from);
        return Ok(super::constant::text_array(text.to_string(), to));
    }
    Ok(cast(&floats, to)?)
}

/// 422: no value is there that could be taken.
pub(super) fn nothing_there(column: &Column, strategy: Strategy) -> Error {
    let message = format!(
        "every value of the column `{}` is missing, `{}` has none to take",
        column.name,
        strategy.name()
    );
    Error::invalid(&column.pointer, message)
        .code("all_missing")
        .hint("fill the column with a constant, or remove it")
}

/// How the column is read where `strategy` fills it.
pub(super) fn reads(strategy: Strategy) -> Reads {
    match strategy {
        Strategy::Average | Strategy::Median => Reads::Numbers,
        _ => Reads::Plain,
    }
}
