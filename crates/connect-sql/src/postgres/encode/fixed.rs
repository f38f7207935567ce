//! Types of fixed width: a read and a byte swap.

use arrow::array::cast::AsArray;
use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{ArrowNativeType, IntervalMonthDayNano};

use super::Cells;

struct Fixed<N: ArrowNativeType, F> {
    values: ScalarBuffer<N>,
    append: F,
}

impl<N, F> Cells for Fixed<N, F>
where
    N: ArrowNativeType,
    F: Fn(N, &mut Vec<u8>) -> Result<(), &'static str> + Send,
{
    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        (self.append)(self.values[row], out)
    }
}

/// Cells of an array of `T`, of which each value becomes `W` bytes.
pub fn fixed<T, const W: usize>(
    array: &ArrayRef,
    bytes: impl Fn(T::Native) -> Result<[u8; W], &'static str> + Send + 'static,
) -> Box<dyn Cells>
where
    T: ArrowPrimitiveType,
{
    Box::new(Fixed {
        values: array.as_primitive::<T>().values().clone(),
        append: move |value, out: &mut Vec<u8>| {
            out.extend_from_slice(&bytes(value)?);
            Ok(())
        },
    })
}

struct Boolean(BooleanArray);

impl Cells for Boolean {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.push(u8::from(self.0.value(row)));
        Ok(())
    }
}

/// `bool`.
pub fn boolean(array: &ArrayRef) -> Box<dyn Cells> {
    Box::new(Boolean(array.as_boolean().clone()))
}

/// Days from 1970 to 2000, where the server counts from.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// `date`; the ends of the range would mean infinity.
pub fn date(days: i32) -> Result<[u8; 4], &'static str> {
    let shifted = days.checked_sub(EPOCH_DAYS);
    let fine = shifted.filter(|days| *days != i32::MIN);
    fine.map(i32::to_be_bytes).ok_or(BEYOND)
}

/// `timestamp`; the ends of the range would mean infinity.
pub fn timestamp(micros: i64) -> Result<[u8; 8], &'static str> {
    let shifted = micros.checked_sub(EPOCH_MICROS);
    let fine = shifted.filter(|micros| *micros != i64::MIN);
    fine.map(i64::to_be_bytes).ok_or(BEYOND)
}

const BEYOND: &str = "a date beyond what PostgreSQL can hold";

/// `interval`: nanoseconds become microseconds.
pub fn interval(value: IntervalMonthDayNano) -> Result<[u8; 16], &'static str> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(value.nanoseconds / 1_000).to_be_bytes());
    bytes[8..12].copy_from_slice(&value.days.to_be_bytes());
    bytes[12..].copy_from_slice(&value.months.to_be_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_counts_from_2000() {
        assert_eq!(date(EPOCH_DAYS), Ok([0; 4]));
        assert_eq!(timestamp(EPOCH_MICROS + 1), Ok(1_i64.to_be_bytes()));
        assert!(date(i32::MIN).is_err() && date(i32::MIN + EPOCH_DAYS).is_err());
        assert!(timestamp(i64::MIN + EPOCH_MICROS).is_err());
    }
}
