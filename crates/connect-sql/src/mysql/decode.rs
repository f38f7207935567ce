//! Fields of the binary protocol into Arrow arrays.

use std::sync::Arc;

use arrow::array::builder::{BooleanBuilder, NullBufferBuilder};
use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::datatypes::{DataType, i256};

use crate::shared::decode::{Decoder, Misfit};

/// Values of one native type each, as `read` makes them of their bytes.
pub struct Scalar<T: ArrowPrimitiveType, F> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
    data_type: DataType,
    read: F,
}

impl<T, F> Scalar<T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(&[u8]) -> Result<T::Native, Misfit> + Send + 'static,
{
    /// A decoder of arrays of `data_type`.
    pub fn boxed(data_type: &DataType, read: F) -> Box<dyn Decoder> {
        Box::new(Scalar::<T, F> {
            values: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            data_type: data_type.clone(),
            read,
        })
    }
}

impl<T, F> Decoder for Scalar<T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(&[u8]) -> Result<T::Native, Misfit> + Send + 'static,
{
    #[inline]
    fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        self.values.push((self.read)(value)?);
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

/// Truth values: whatever is not 0 is true.
#[derive(Default)]
pub struct Truth(BooleanBuilder);

impl Decoder for Truth {
    fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        self.0.append_value(value.iter().any(|byte| *byte != 0));
        Ok(())
    }

    fn push_null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, Misfit> {
        Ok(Arc::new(self.0.finish()))
    }
}

/// The bytes, if there are so many.
#[inline]
pub fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Misfit> {
    bytes
        .try_into()
        .map_err(|_| Misfit::Malformed("not of its type's width"))
}

/// `bit(n)`: the highest byte first.
pub fn bits(bytes: &[u8]) -> Result<u64, Misfit> {
    if bytes.len() > 8 {
        return Err(Misfit::Malformed("more than 64 bits"));
    }
    Ok(bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

const NO_DATE: Misfit = Misfit::Unrepresentable("a date with a month or day of 0");
const MALFORMED: Misfit = Misfit::Malformed("a date of unknown form");

/// Days since 1970 of the first four bytes; none at all mean `0000-00-00`.
pub fn date(bytes: &[u8]) -> Result<i32, Misfit> {
    let Some(([low, high, month, day], _)) = bytes.split_first_chunk::<4>() else {
        return Err(if bytes.is_empty() { NO_DATE } else { MALFORMED });
    };
    let year = i32::from(u16::from_le_bytes([*low, *high]));
    let (month, day) = (u32::from(*month), u32::from(*day));
    if month == 0 || day == 0 {
        return Err(NO_DATE);
    }
    let date = chrono::NaiveDate::from_ymd_opt(year, month, day);
    // With ALLOW_INVALID_DATES a server takes 31 February.
    let date = date.ok_or(Misfit::Unrepresentable(
        "a day that the month does not have",
    ))?;
    Ok(chrono::Datelike::num_days_from_ce(&date) - EPOCH)
}

/// Days from the first year to 1970.
const EPOCH: i32 = 719_163;

const DAY: i64 = 86_400_000_000;

/// Microseconds since 1970.
pub fn timestamp(bytes: &[u8]) -> Result<i64, Misfit> {
    let days = i64::from(date(bytes)?);
    let time = match bytes.len() {
        4 => 0,
        7 => clock(&bytes[4..7]),
        11 => clock(&bytes[4..7]) + micros(&bytes[7..])?,
        _ => return Err(MALFORMED),
    };
    Ok(days * DAY + time)
}

fn clock(bytes: &[u8]) -> i64 {
    let seconds = bytes
        .iter()
        .fold(0, |sum, part| sum * 60 + i64::from(*part));
    seconds * 1_000_000
}

fn micros(bytes: &[u8]) -> Result<i64, Misfit> {
    exact(bytes).map(|bytes| i64::from(u32::from_le_bytes(bytes)))
}

/// Microseconds of a `time`, which has a sign and days.
pub fn time(bytes: &[u8]) -> Result<i64, Misfit> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(MALFORMED);
    };
    let days = i64::from(u32::from_le_bytes([head[1], head[2], head[3], head[4]]));
    if days > 1_000 {
        return Err(MALFORMED);
    }
    let parts = if rest.is_empty() { 0 } else { micros(rest)? };
    let whole = days * DAY + clock(&head[5..]) + parts;
    Ok(if head[0] == 0 { whole } else { -whole })
}

/// Digits of a decimal, and how many there are after the point.
fn digits(bytes: &[u8]) -> Result<(bool, impl Iterator<Item = u8>, usize), Misfit> {
    let (negative, bytes) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    let point = bytes.iter().position(|byte| *byte == b'.');
    let places = point.map_or(0, |at| bytes.len() - at - 1);
    let plain = bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| byte.is_ascii_digit() || Some(at) == point);
    if !plain || bytes.len() > 100 {
        return Err(Misfit::Malformed("a decimal that is not understood"));
    }
    let digits = bytes
        .iter()
        .filter(|byte| **byte != b'.')
        .map(|byte| byte - b'0');
    Ok((negative, digits, places))
}

const TOO_LARGE: Misfit = Misfit::Malformed("a decimal beyond its declared precision");

/// A decimal of this scale from its text.
pub fn decimal128(bytes: &[u8], scale: usize) -> Result<i128, Misfit> {
    let (negative, digits, places) = digits(bytes)?;
    let zeros = scale.checked_sub(places).ok_or(TOO_LARGE)?;
    let mut sum = 0_i128;
    for digit in digits.chain(std::iter::repeat_n(0, zeros)) {
        let raised = sum.checked_mul(10).ok_or(TOO_LARGE)?;
        sum = raised.checked_add(i128::from(digit)).ok_or(TOO_LARGE)?;
    }
    Ok(if negative { -sum } else { sum })
}

/// The same in 256 bits.
pub fn decimal256(bytes: &[u8], scale: usize) -> Result<i256, Misfit> {
    let (negative, digits, places) = digits(bytes)?;
    let zeros = scale.checked_sub(places).ok_or(TOO_LARGE)?;
    let (mut sum, ten) = (i256::ZERO, i256::from_i128(10));
    for digit in digits.chain(std::iter::repeat_n(0, zeros)) {
        let raised = sum.checked_mul(ten).ok_or(TOO_LARGE)?;
        sum = raised
            .checked_add(i256::from_i128(i128::from(digit)))
            .ok_or(TOO_LARGE)?;
    }
    Ok(if negative { -sum } else { sum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_and_times_are_read() {
        assert_eq!(date(&[0xb2, 7, 1, 2]), Ok(1));
        assert_eq!(date(&[]), Err(NO_DATE));
        assert_eq!(date(&[0xe8, 7, 0, 1]), Err(NO_DATE));
        assert!(matches!(
            date(&[0xe8, 7, 2, 31]),
            Err(Misfit::Unrepresentable(_))
        ));
        assert_eq!(date(&[1]), Err(MALFORMED));
        assert_eq!(timestamp(&[0xb2, 7, 1, 1, 1, 2, 3]), Ok(3_723_000_000));
        assert_eq!(
            timestamp(&[0xb1, 7, 12, 31, 23, 59, 59, 0x3f, 0x42, 0x0f, 0]),
            Ok(-1)
        );
        assert_eq!(time(&[]), Ok(0));
        assert_eq!(time(&[1, 34, 0, 0, 0, 22, 59, 59]), Ok(-3_020_399_000_000));
        assert_eq!(bits(&[1, 0]), Ok(256));
    }

    proptest! {
        #[test]
        fn decimals_are_their_digits(value: i64, scale in 0_usize..18) {
            let negative = if value < 0 { "-" } else { "" };
            let digits = format!("{:0>19}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(19 - scale);
            let point = if scale > 0 { "." } else { "" };
            let text = format!("{negative}{whole}{point}{fraction}");
            prop_assert_eq!(decimal128(text.as_bytes(), scale), Ok(i128::from(value)));
            prop_assert_eq!(decimal256(text.as_bytes(), scale + 1), Ok(i256::from_i128(i128::from(value) * 10)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = (date(&bytes), timestamp(&bytes), time(&bytes), decimal128(&bytes, 2), bits(&bytes));
        }
    }
}
