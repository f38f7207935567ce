//! One value of each group: the smallest, largest, first or last.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, NullBufferBuilder,
    PrimitiveArray,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int32Type, Int64Type,
    UInt64Type,
};
use weir_core::Result;

use super::physical::{converted, kept_as};
use super::texts::Texts;
use super::{Accumulator, for_valid};

/// Which value of a group is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Min,
    Max,
    First,
    Last,
}

/// What keeps a value of type `input` for each group.
pub(super) fn pick(keep: Keep, input: &DataType) -> Box<dyn Accumulator> {
    match kept_as(input) {
        Some(DataType::Int32) => Pick::<Int32Type>::of(keep, input, DataType::Int32),
        Some(DataType::Int64) => Pick::<Int64Type>::of(keep, input, DataType::Int64),
        Some(DataType::UInt64) => Pick::<UInt64Type>::of(keep, input, DataType::UInt64),
        Some(DataType::Float32) => Pick::<Float32Type>::of(keep, input, DataType::Float32),
        Some(DataType::Float64) => Pick::<Float64Type>::of(keep, input, DataType::Float64),
        Some(wide @ DataType::Decimal128(_, _)) => Pick::<Decimal128Type>::of(keep, input, wide),
        Some(wide @ DataType::Decimal256(_, _)) => Pick::<Decimal256Type>::of(keep, input, wide),
        _ => Box::new(Texts::new(keep, input)),
    }
}

struct Pick<T: ArrowPrimitiveType> {
    keep: Keep,
    result: DataType,
    kept: DataType,
    values: Vec<T::Native>,
    set: Vec<bool>,
}

impl<T: ArrowPrimitiveType> Pick<T> {
    fn of(keep: Keep, result: &DataType, kept: DataType) -> Box<dyn Accumulator> {
        Box::new(Pick::<T> {
            keep,
            result: result.clone(),
            kept,
            values: Vec::new(),
            set: Vec::new(),
        })
    }

    #[inline]
    fn take(
        &mut self,
        ids: &[u32],
        values: &PrimitiveArray<T>,
        wins: impl Fn(T::Native, T::Native) -> bool,
    ) {
        let natives = values.values();
        for_valid(ids, values.nulls(), |row| {
            let id = ids[row] as usize;
            if let (Some(value), Some(set)) = (self.values.get_mut(id), self.set.get_mut(id))
                && (!*set || wins(natives[row], *value))
            {
                *value = natives[row];
                *set = true;
            }
        });
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Pick<T> {
    fn grow(&mut self, groups: usize) {
        self.values.resize(groups, T::Native::default());
        self.set.resize(groups, false);
    }

    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()> {
        let values = converted(values, &self.kept)?;
        let values = values.as_primitive::<T>();
        match self.keep {
            Keep::Min => self.take(ids, values, |new, old| new.is_lt(old)),
            Keep::Max => self.take(ids, values, |new, old| new.is_gt(old)),
            Keep::First => self.take(ids, values, |_, _| false),
            Keep::Last => self.take(ids, values, |_, _| true),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let mut nulls = NullBufferBuilder::new(self.set.len());
        for set in std::mem::take(&mut self.set) {
            nulls.append(set);
        }
        let values = std::mem::take(&mut self.values).into();
        let array = PrimitiveArray::<T>::new(values, nulls.finish());
        let array: ArrayRef = Arc::new(array.with_data_type(self.kept.clone()));
        converted(&array, &self.result)
    }

    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.set.capacity()
    }
}
