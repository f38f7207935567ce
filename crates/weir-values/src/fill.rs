//! Putting values where they are missing.

use std::sync::Arc;

use arrow::array::UInt64Array;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, Scalar,
};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use weir_core::Result;

/// `array` with `value`, an array of its type with one row, where nothing is
/// `present`.
pub fn with_value(
    array: &ArrayRef,
    present: Option<&NullBuffer>,
    value: &ArrayRef,
) -> Result<ArrayRef> {
    let Some(present) = present else {
        return Ok(Arc::clone(array));
    };
    if value.is_null(0) && Some(present) == array.nulls() {
        return Ok(Arc::clone(array));
    }
    match array.data_type() {
        DataType::Float64 if value.is_valid(0) => Ok(plain::<Float64Type>(array, present, value)),
        DataType::Int64 if value.is_valid(0) => Ok(plain::<Int64Type>(array, present, value)),
        _ => {
            let there = BooleanArray::new(present.inner().clone(), None);
            Ok(zip(&there, array, &Scalar::new(Arc::clone(value)))?)
        }
    }
}

fn plain<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    present: &NullBuffer,
    value: &ArrayRef,
) -> ArrayRef {
    let array: &PrimitiveArray<T> = array.as_primitive();
    let fill = value.as_primitive::<T>().value(0);
    let mut values = array.values().to_vec();
    let mut last = 0;
    for (start, end) in present.valid_slices() {
        values[last..start].fill(fill);
        last = end;
    }
    values[last..].fill(fill);
    Arc::new(PrimitiveArray::<T>::new(values.into(), None))
}

/// `array` with the values of `other`, of the same type and length, where
/// nothing is `present`.
pub fn with_column(
    array: &ArrayRef,
    present: Option<&NullBuffer>,
    other: &ArrayRef,
) -> Result<ArrayRef> {
    let Some(present) = present else {
        return Ok(Arc::clone(array));
    };
    let there = BooleanArray::new(present.inner().clone(), None);
    Ok(zip(&there, array, other)?)
}

/// `array` with values of `pool`, of the same type, where nothing is `present`:
/// `pick` says which, row by row.
pub fn with_picks(
    array: &ArrayRef,
    present: Option<&NullBuffer>,
    pool: &ArrayRef,
    mut pick: impl FnMut() -> usize,
) -> Result<ArrayRef> {
    let Some(present) = present else {
        return Ok(Arc::clone(array));
    };
    let source = |row: usize| match present.is_valid(row) {
        true => (0, row),
        false => (1, pick()),
    };
    let places: Vec<(usize, usize)> = (0..array.len()).map(source).collect();
    Ok(interleave(&[array.as_ref(), pool.as_ref()], &places)?)
}

/// Fills each missing value with the last one before it, from batch to batch.
#[derive(Debug, Default)]
pub struct Forward(Option<ArrayRef>);

impl Forward {
    /// The next batch of the column.
    pub fn push(&mut self, array: &ArrayRef, present: Option<&NullBuffer>) -> Result<ArrayRef> {
        let rows = array.len();
        let Some(present) = present else {
            if rows > 0 {
                self.0 = Some(one(array, rows - 1)?);
            }
            return Ok(Arc::clone(array));
        };
        // Row 0 of the first source is what came before, if anything did.
        let carried = self.0.take();
        let mut last = carried.as_ref().map(|_| (1, 0));
        let place = |row: usize| {
            if present.is_valid(row) {
                last = Some((0, row));
            }
            last.unwrap_or((0, row))
        };
        let places: Vec<(usize, usize)> = (0..rows).map(place).collect();
        let mut sources: Vec<&dyn Array> = vec![array.as_ref()];
        sources.extend(carried.as_deref());
        let filled = interleave(&sources, &places)?;
        self.0 = match last {
            Some((0, row)) => Some(one(array, row)?),
            Some(_) => carried,
            None => None,
        };
        Ok(filled)
    }
}

/// Fills each missing value of a batch with the next one: of the batch, else of
/// `after`, which is the first one of the batches behind it.
pub fn backward(
    array: &ArrayRef,
    present: Option<&NullBuffer>,
    after: Option<&ArrayRef>,
) -> Result<ArrayRef> {
    let Some(present) = present else {
        return Ok(Arc::clone(array));
    };
    let mut next = after.map(|_| (1, 0));
    let mut places = vec![(0, 0); array.len()];
    for row in (0..array.len()).rev() {
        if present.is_valid(row) {
            next = Some((0, row));
        }
        places[row] = next.unwrap_or((0, row));
    }
    let mut sources: Vec<&dyn Array> = vec![array.as_ref()];
    sources.extend(after.map(|after| after.as_ref()));
    Ok(interleave(&sources, &places)?)
}

/// The first value that is there, on its own: it keeps no batch alive.
pub fn first(array: &ArrayRef, present: Option<&NullBuffer>) -> Result<Option<ArrayRef>> {
    let row = match present {
        None => (!array.is_empty()).then_some(0),
        Some(present) => present.valid_indices().next(),
    };
    row.map(|row| one(array, row)).transpose()
}

/// One row of an array, copied.
pub fn one(array: &ArrayRef, row: usize) -> Result<ArrayRef> {
    let taken = take(array, &UInt64Array::from(vec![row as u64]), None)?;
    // The rows of a view share the buffers of their batch.
    Ok(match taken.data_type() {
        DataType::Utf8View => Arc::new(taken.as_string_view().gc()),
        DataType::BinaryView => Arc::new(taken.as_binary_view().gc()),
        _ => taken,
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray, StringViewArray};
    use proptest::prelude::*;

    use super::*;
    use crate::missing::{Missing, present};

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn there(array: &ArrayRef) -> Option<NullBuffer> {
        present(array, Missing::Blanks)
    }

    #[test]
    fn one_value_for_all_gaps() {
        let array = texts(&[Some("a"), None, Some(" "), Some("b")]);
        let value = texts(&[Some("x")]);
        let filled = with_value(&array, there(&array).as_ref(), &value).unwrap();
        let expected = texts(&[Some("a"), Some("x"), Some("x"), Some("b")]);
        assert_eq!(&filled, &expected);
        let none = texts(&[None]);
        let filled = with_value(&array, there(&array).as_ref(), &none).unwrap();
        assert_eq!(&filled, &texts(&[Some("a"), None, None, Some("b")]));
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(1.0), None]));
        let value: ArrayRef = Arc::new(Float64Array::from(vec![2.5]));
        let filled = with_value(&numbers, there(&numbers).as_ref(), &value).unwrap();
        let expected: ArrayRef = Arc::new(Float64Array::from(vec![2.5, 1.0, 2.5]));
        assert_eq!(&filled, &expected);
    }

    #[test]
    fn views_stay_views() {
        let long = "a text that is too long to stand inside of a view";
        let array: ArrayRef = Arc::new(StringViewArray::from(vec![None, Some(long), None]));
        let value = one(&array, 1).unwrap();
        let filled = with_value(&array, there(&array).as_ref(), &value).unwrap();
        let expected: ArrayRef = Arc::new(StringViewArray::from(vec![long; 3]));
        assert_eq!(&filled, &expected);
        let filled = Forward::default()
            .push(&array, there(&array).as_ref())
            .unwrap();
        let expected: ArrayRef =
            Arc::new(StringViewArray::from(vec![None, Some(long), Some(long)]));
        assert_eq!(&filled, &expected);
    }

    fn whole(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    proptest! {
        #[test]
        fn forward_and_backward_are_mirror_images(
            values in prop::collection::vec(prop::option::of(0_i64..100), 0..80),
            size in 1_usize..9,
        ) {
            let mut forward = Forward::default();
            let mut ahead = Vec::new();
            for batch in values.chunks(size) {
                let array = whole(batch);
                let filled = forward.push(&array, there(&array).as_ref()).unwrap();
                ahead.extend(filled.as_primitive::<Int64Type>().iter());
            }
            let mut expected = values.clone();
            for at in 1..expected.len() {
                expected[at] = expected[at].or(expected[at - 1]);
            }
            prop_assert_eq!(ahead, expected);

            let mut after = None;
            let mut back = Vec::new();
            for batch in values.chunks(size).rev() {
                let array = whole(batch);
                let present = there(&array);
                let filled = backward(&array, present.as_ref(), after.as_ref()).unwrap();
                back.extend(filled.as_primitive::<Int64Type>().iter().rev());
                after = first(&array, present.as_ref()).unwrap().or(after);
            }
            let mut expected: Vec<_> = values.iter().rev().copied().collect();
            for at in 1..expected.len() {
                expected[at] = expected[at].or(expected[at - 1]);
            }
            prop_assert_eq!(back, expected);
        }

        #[test]
        fn picks_fill_gaps_only(values in prop::collection::vec(prop::option::of(0_i64..9), 1..50)) {
            let array = whole(&values);
            let pool = whole(&[Some(100), Some(101)]);
            let mut next = 0;
            let pick = || { next += 1; next % 2 };
            let filled = with_picks(&array, there(&array).as_ref(), &pool, pick).unwrap();
            for (before, after) in values.iter().zip(filled.as_primitive::<Int64Type>()) {
                match before {
                    Some(value) => prop_assert_eq!(Some(*value), after),
                    None => prop_assert!(after >= Some(100)),
                }
            }
        }
    }
}
