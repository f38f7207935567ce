//! Rows brought together by key: sorted by it, and each with the number of its
//! group, which counts up. Within a group rows keep their order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use futures::StreamExt;
use weir_core::{BatchStream, Nulls, Order, Result};

use super::keys::{NullKeys, key_nulls};
use super::lanes::encoded;
use crate::steps::Env;

/// The number of a row's group, in the order of keys.
pub(crate) const GROUP: &str = "weir.group";

/// The number of a row.
pub(crate) const PLACE: &str = "weir.place";

/// An order by one column.
pub(crate) fn by(column: &str) -> Order {
    Order {
        column: column.to_owned(),
        ascending: true,
        nulls: Nulls::First,
    }
}

/// `[group, place, values…]`: the rows of `input`, whose first `keys` columns are
/// the key and whose others are `values`, group by group. Rows without a group
/// are left out.
pub(crate) fn in_groups(
    env: &Env,
    input: BatchStream,
    keys: usize,
    nulls: NullKeys,
    values: &[FieldRef],
) -> Result<(BatchStream, SchemaRef)> {
    let schema = |first: Field| {
        let place = Field::new(PLACE, DataType::UInt64, false);
        let head = [Arc::new(first), Arc::new(place)];
        let fields: Vec<FieldRef> = head.into_iter().chain(values.iter().cloned()).collect();
        Arc::new(Schema::new(fields))
    };
    let keyed = schema(Field::new(GROUP, DataType::Binary, false));
    let grouped = schema(Field::new(GROUP, DataType::UInt64, false));
    let mut before = 0_u64;
    let given = Arc::clone(&keyed);
    let rows = input
        .map(move |batch| {
            let batch = batch?;
            let rows = batch.num_rows();
            let (key, values) = batch.columns().split_at(keys);
            let first: ArrayRef = match keys {
                0 => Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n(
                    [0_u8; 0], rows,
                ))),
                _ => Arc::new(encoded(key)?),
            };
            let places = UInt64Array::from_iter_values(before..before + rows as u64);
            before += rows as u64;
            let mut columns: Vec<ArrayRef> = vec![first, Arc::new(places)];
            columns.extend_from_slice(values);
            let batch = RecordBatch::try_new(Arc::clone(&given), columns)?;
            match key_nulls(key).filter(|_| nulls == NullKeys::Nobody) {
                None => Ok(batch),
                Some(nulls) => {
                    let kept = BooleanArray::new(nulls.into_inner(), None);
                    Ok(filter_record_batch(&batch, &kept)?)
                }
            }
        })
        .boxed();
    let sorted = match keys {
        0 => rows,
        _ => env.sort(rows, &keyed, &[by(GROUP)])?,
    };
    let (counted, out) = (Arc::clone(&grouped), grouped);
    let mut numbers = Numbers::default();
    let stream = sorted.map(move |batch| {
        let batch = batch?;
        let mut columns = batch.columns().to_vec();
        columns[0] = Arc::new(numbers.of(columns[0].as_binary()));
        Ok(RecordBatch::try_new(Arc::clone(&counted), columns)?)
    });
    Ok((stream.boxed(), out))
}

/// Counts keys up as they change.
#[derive(Default)]
struct Numbers {
    last: Option<(Vec<u8>, u64)>,
}

impl Numbers {
    fn of(&mut self, keys: &BinaryArray) -> UInt64Array {
        let rows = keys.len();
        if rows == 0 {
            return UInt64Array::from(Vec::<u64>::new());
        }
        let mut number = match &self.last {
            None => 0,
            Some((last, number)) => number + u64::from(last != keys.value(0)),
        };
        let mut numbers = Vec::with_capacity(rows);
        numbers.push(number);
        for row in 1..rows {
            number += u64::from(keys.value(row) != keys.value(row - 1));
            numbers.push(number);
        }
        self.last = Some((keys.value(rows - 1).to_vec(), number));
        UInt64Array::from(numbers)
    }
}
