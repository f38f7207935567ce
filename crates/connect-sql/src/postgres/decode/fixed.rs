//! Types of fixed width: a byte swap and an append.

use std::sync::Arc;

use arrow::array::builder::{BooleanBufferBuilder, NullBufferBuilder};
use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano};

use super::{Decoder, Misfit};

/// Values of `N` bytes; `read` gives `None` for one that Arrow cannot hold.
pub struct Fixed<T: ArrowPrimitiveType, F, const N: usize> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
    data_type: DataType,
    read: F,
    lossy: &'static str,
}

impl<T, F, const N: usize> Fixed<T, F, N>
where
    T: ArrowPrimitiveType,
    F: Fn([u8; N]) -> Option<T::Native> + Send + 'static,
{
    /// A decoder of arrays of `data_type`; `lossy` names what cannot be held.
    pub fn boxed(data_type: &DataType, lossy: &'static str, read: F) -> Box<dyn Decoder> {
        Box::new(Fixed::<T, F, N> {
            values: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            data_type: data_type.clone(),
            read,
            lossy,
        })
    }
}

impl<T, F, const N: usize> Decoder for Fixed<T, F, N>
where
    T: ArrowPrimitiveType,
    F: Fn([u8; N]) -> Option<T::Native> + Send + 'static,
{
    #[inline]
    fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        let bytes: [u8; N] = value
            .try_into()
            .map_err(|_| Misfit::Malformed("not of its type's width"))?;
        let value = (self.read)(bytes).ok_or(Misfit::Unrepresentable(self.lossy))?;
        self.values.push(value);
        self.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, Misfit> {
        let fresh = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, fresh);
        let array = PrimitiveArray::<T>::new(values.into(), self.nulls.finish());
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }
}

/// `bool`.
pub fn boolean() -> Box<dyn Decoder> {
    Box::new(Boolean {
        values: BooleanBufferBuilder::new(0),
        nulls: NullBufferBuilder::new(0),
    })
}

struct Boolean {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Decoder for Boolean {
    fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        let [byte] = value else {
            return Err(Misfit::Malformed("not of its type's width"));
        };
        self.values.append(*byte != 0);
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_null(&mut self) {
        self.values.append(false);
        self.nulls.append_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, Misfit> {
        Ok(Arc::new(BooleanArray::new(
            self.values.finish(),
            self.nulls.finish(),
        )))
    }
}

/// `interval`: microseconds, days, months. The microseconds become nanoseconds,
/// which hold some 292 years of hours.
pub fn interval(bytes: [u8; 16]) -> Option<IntervalMonthDayNano> {
    let value = u128::from_be_bytes(bytes);
    let microseconds = (value >> 64) as u64 as i64;
    let days = (value >> 32) as u32 as i32;
    let months = value as u32 as i32;
    Some(IntervalMonthDayNano::new(
        months,
        days,
        microseconds.checked_mul(1000)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_keep_their_three_parts() {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(-5_i64).to_be_bytes());
        bytes[8..12].copy_from_slice(&7_i32.to_be_bytes());
        bytes[12..].copy_from_slice(&(-13_i32).to_be_bytes());
        assert_eq!(
            interval(bytes),
            Some(IntervalMonthDayNano::new(-13, 7, -5000))
        );
        bytes[..8].copy_from_slice(&i64::MAX.to_be_bytes());
        assert_eq!(interval(bytes), None);
    }
}
