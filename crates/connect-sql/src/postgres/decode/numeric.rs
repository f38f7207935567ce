//! `numeric` from its base-10000 digits straight into 128 or 256 bits.
//!
//! The value is `Σ digit[i] × 10000^(weight − i)`; what is stored is the value
//! times `10^scale`. The server strips zero digits at both ends, so a value of
//! declared scale has at most three decimal places too many in its last digit,
//! and those are zeros.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, PrimitiveArray};
use arrow::datatypes::{Decimal128Type, Decimal256Type, DecimalType, i256};

use super::{Decoder, Misfit, take, take_i16};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

const TOO_LARGE: Misfit = Misfit::Malformed("a numeric beyond its declared precision");
const TOO_FINE: Misfit = Misfit::Malformed("a numeric beyond its declared scale");

/// Head and digits of one value.
struct Digits<'a> {
    /// Big-endian pairs, each below 10000.
    digits: &'a [u8],
    /// Power of 10 that the digits, read as one whole number, are to be multiplied by.
    exponent: i32,
    negative: bool,
}

impl<'a> Digits<'a> {
    fn read(mut value: &'a [u8], scale: i32) -> Result<Self, Misfit> {
        let count = take_i16(&mut value)?;
        let weight = take_i16(&mut value)?;
        let sign = u16::from_be_bytes(*take(&mut value)?);
        let _shown_scale = take_i16(&mut value)?;
        let negative = match sign {
            0 => false,
            NEGATIVE => true,
            NAN => return Err(Misfit::Unrepresentable("NaN")),
            INFINITY | MINUS_INFINITY => return Err(Misfit::Unrepresentable("infinity")),
            _ => return Err(Misfit::Malformed("a numeric sign that is not known")),
        };
        if usize::try_from(count).ok().map(|count| count * 2) != Some(value.len()) {
            return Err(Misfit::Malformed(
                "a numeric with another number of digits than it says",
            ));
        }
        let exponent = 4 * (i32::from(weight) - i32::from(count) + 1) + scale;
        Ok(Digits {
            digits: value,
            exponent,
            negative,
        })
    }

    fn iter(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.digits
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// The last digit without the decimal places that are beyond the scale,
    /// and the factor that makes room for what is left of it.
    fn trimmed(&self, digit: u16) -> Result<(u16, u16), Misfit> {
        let cut = match self.exponent {
            0.. => return Ok((digit, 10_000)),
            -1 => 10,
            -2 => 100,
            -3 => 1_000,
            _ => return Err(TOO_FINE),
        };
        if !digit.is_multiple_of(cut) {
            return Err(TOO_FINE);
        }
        Ok((digit / cut, 10_000 / cut))
    }
}

/// Whole powers of ten that fit.
const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut index = 1;
    while index < 39 {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

fn to_i128(value: &[u8], scale: i32) -> Result<i128, Misfit> {
    let digits = Digits::read(value, scale)?;
    let count = digits.digits.len() / 2;
    if count == 0 {
        return Ok(0);
    }
    let whole = if count <= 4 {
        // Sixteen decimal digits at most: 64 bits are enough, and quicker.
        let mut sum = 0_u64;
        for (index, digit) in digits.iter().enumerate() {
            let (digit, factor) = if index + 1 == count {
                digits.trimmed(digit)?
            } else {
                (digit, 10_000)
            };
            sum = sum * u64::from(factor) + u64::from(digit);
        }
        i128::from(sum)
    } else {
        let mut sum = 0_i128;
        for (index, digit) in digits.iter().enumerate() {
            let (digit, factor) = if index + 1 == count {
                digits.trimmed(digit)?
            } else {
                (digit, 10_000)
            };
            let raised = sum.checked_mul(i128::from(factor)).ok_or(TOO_LARGE)?;
            sum = raised.checked_add(i128::from(digit)).ok_or(TOO_LARGE)?;
        }
        sum
    };
    let power = POWERS
        .get(digits.exponent.max(0) as usize)
        .ok_or(TOO_LARGE)?;
    let value = whole.checked_mul(*power).ok_or(TOO_LARGE)?;
    Ok(if digits.negative { -value } else { value })
}

fn to_i256(value: &[u8], scale: i32) -> Result<i256, Misfit> {
    let digits = Digits::read(value, scale)?;
    let count = digits.digits.len() / 2;
    let mut sum = i256::ZERO;
    for (index, digit) in digits.iter().enumerate() {
        let (digit, factor) = if index + 1 == count {
            digits.trimmed(digit)?
        } else {
            (digit, 10_000)
        };
        let raised = sum
            .checked_mul(i256::from_i128(factor.into()))
            .ok_or(TOO_LARGE)?;
        sum = raised
            .checked_add(i256::from_i128(digit.into()))
            .ok_or(TOO_LARGE)?;
    }
    if sum == i256::ZERO {
        return Ok(sum);
    }
    let power = u32::try_from(digits.exponent.max(0)).unwrap_or(u32::MAX);
    if power > 76 {
        return Err(TOO_LARGE);
    }
    let power = i256::from_i128(10).checked_pow(power).ok_or(TOO_LARGE)?;
    let value = sum.checked_mul(power).ok_or(TOO_LARGE)?;
    Ok(if digits.negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// Values of one precision and scale.
struct Decimals<T: DecimalType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
    precision: u8,
    scale: i8,
    /// 10^precision: what no value reaches.
    bound: T::Native,
    read: fn(&[u8], i32) -> Result<T::Native, Misfit>,
}

/// Up to 38 digits.
pub struct Decimal128;

impl Decimal128 {
    /// A decoder; `precision` is at most 38.
    pub fn boxed(precision: u8, scale: i8) -> Box<dyn Decoder> {
        let bound = POWERS[usize::from(precision.min(38))];
        Box::new(Decimals::<Decimal128Type>::new(
            precision, scale, bound, to_i128,
        ))
    }
}

/// Up to 76 digits.
pub struct Decimal256;

impl Decimal256 {
    /// A decoder; `precision` is at most 76.
    pub fn boxed(precision: u8, scale: i8) -> Box<dyn Decoder> {
        let bound = i256::from_i128(10).wrapping_pow(u32::from(precision.min(76)));
        Box::new(Decimals::<Decimal256Type>::new(
            precision, scale, bound, to_i256,
        ))
    }
}

impl<T: DecimalType> Decimals<T> {
    fn new(
        precision: u8,
        scale: i8,
        bound: T::Native,
        read: fn(&[u8], i32) -> Result<T::Native, Misfit>,
    ) -> Self {
        Decimals {
            values: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            precision,
            scale,
            bound,
            read,
        }
    }
}

impl<T: DecimalType> Decoder for Decimals<T>
where
    T::Native: std::ops::Neg<Output = T::Native>,
{
    #[inline]
    fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        let value = (self.read)(value, self.scale.into())?;
        if value >= self.bound || value <= -self.bound {
            return Err(TOO_LARGE);
        }
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
        let array = array.with_precision_and_scale(self.precision, self.scale);
        Ok(Arc::new(array.map_err(|_| TOO_LARGE)?))
    }
}

#[cfg(test)]
mod tests;
