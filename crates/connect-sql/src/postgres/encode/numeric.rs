//! `numeric`: digits to the base 10000. Zeros at both ends are left out, as the
//! server itself does.

use arrow::array::cast::AsArray;
use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{Decimal128Type, Decimal256Type, i256};

use super::Cells;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
/// Digits behind the point that the server takes.
const MOST_SCALE: usize = 16_383;
/// Digits before the point that the server takes.
const MOST_WHOLE: usize = 131_072;

struct Decimal128(ScalarBuffer<i128>, i8);

impl Cells for Decimal128 {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let value = self.0[row];
        let mut digits = [0_u8; 40];
        let mut rest = value.unsigned_abs();
        let mut start = digits.len();
        while rest > 0 {
            start -= 1;
            digits[start] = (rest % 10) as u8;
            rest /= 10;
        }
        from_digits(value < 0, &digits[start..], self.1.into(), out)
    }
}

struct Decimal256(ScalarBuffer<i256>, i8);

impl Cells for Decimal256 {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let text = self.0[row].to_string();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.as_str()),
        };
        let digits: Vec<u8> = digits.bytes().map(|byte| byte - b'0').collect();
        from_digits(negative, &digits, self.1.into(), out)
    }
}

struct Text(StringArray);

impl Cells for Text {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        from_text(self.0.value(row).trim(), out)
    }
}

/// Decimals of 128 bits.
pub fn decimal128(array: &ArrayRef, scale: i8) -> Box<dyn Cells> {
    let values = array.as_primitive::<Decimal128Type>().values().clone();
    Box::new(Decimal128(values, scale))
}

/// Decimals of 256 bits.
pub fn decimal256(array: &ArrayRef, scale: i8) -> Box<dyn Cells> {
    let values = array.as_primitive::<Decimal256Type>().values().clone();
    Box::new(Decimal256(values, scale))
}

/// Numbers written as text, exponents included.
pub fn text(array: &ArrayRef) -> Box<dyn Cells> {
    Box::new(Text(array.as_string::<i32>().clone()))
}

const NOT_A_NUMBER: &str = "not a number";

fn from_text(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if text.eq_ignore_ascii_case("nan") {
        head(0, 0, NAN, 0, out);
        return Ok(());
    }
    let (negative, text) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse::<i32>().map_err(|_| NOT_A_NUMBER)?)
        }
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let both = || whole.bytes().chain(fraction.bytes());
    if both().next().is_none() || !both().all(|byte| byte.is_ascii_digit()) {
        return Err(NOT_A_NUMBER);
    }
    let digits: Vec<u8> = both().map(|byte| byte - b'0').collect();
    let scale = i32::try_from(fraction.len()).map_err(|_| TOO_LONG)?;
    let scale = scale.checked_sub(exponent).ok_or(TOO_LONG)?;
    from_digits(negative, &digits, scale, out)
}

const TOO_LONG: &str = "a number with more digits than PostgreSQL can hold";

/// The number `digits × 10^-scale`; `digits` are decimal, the highest first.
fn from_digits(
    negative: bool,
    digits: &[u8],
    scale: i32,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let digits = &digits[zeros..];
    let shown = usize::try_from(scale.max(0)).map_err(|_| TOO_LONG)?;
    if shown > MOST_SCALE {
        return Err(TOO_LONG);
    }
    if digits.is_empty() {
        head(0, 0, 0, shown, out);
        return Ok(());
    }
    // Digits before the point, which may be fewer than none.
    let length = i32::try_from(digits.len()).map_err(|_| TOO_LONG)?;
    let whole = length.checked_sub(scale).ok_or(TOO_LONG)?;
    if whole > MOST_WHOLE as i32 {
        return Err(TOO_LONG);
    }
    // Groups of four stand on the point: the first may need zeros before it.
    let weight = (whole - 1).div_euclid(4);
    let lead = usize::try_from((weight + 1) * 4 - whole).unwrap_or(0);
    let place = out.len();
    head(
        0,
        i16::try_from(weight).map_err(|_| TOO_LONG)?,
        if negative { NEGATIVE } else { 0 },
        shown,
        out,
    );
    let (mut group, mut filled, mut count, mut kept) = (0_u16, lead, 0_u16, 0_u16);
    let mut end = out.len();
    let mut put = |group: u16, out: &mut Vec<u8>| {
        out.extend_from_slice(&group.to_be_bytes());
        count += 1;
        if group != 0 {
            (kept, end) = (count, out.len());
        }
    };
    for digit in digits {
        group = group * 10 + u16::from(*digit);
        filled += 1;
        if filled == 4 {
            put(group, out);
            (group, filled) = (0, 0);
        }
    }
    if filled > 0 {
        for _ in filled..4 {
            group *= 10;
        }
        put(group, out);
    }
    out.truncate(end);
    out[place..place + 2].copy_from_slice(&kept.to_be_bytes());
    Ok(())
}

fn head(count: u16, weight: i16, sign: u16, shown: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(shown as u16).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::postgres::decode::{self, Decoder};

    fn through(bytes: &[u8], scale: i8) -> i128 {
        let mut decoder: Box<dyn Decoder> = decode::Decimal128::boxed(38, scale);
        decoder.push(bytes).unwrap();
        let array = decoder.finish().unwrap();
        array.as_primitive::<Decimal128Type>().value(0)
    }

    fn written(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        from_text(text, &mut out).unwrap();
        out
    }

    #[test]
    fn known_numbers_have_known_bytes() {
        // count, weight, sign, scale, digits
        let bytes =
            |parts: &[u16]| -> Vec<u8> { parts.iter().flat_map(|p| p.to_be_bytes()).collect() };
        assert_eq!(written("0"), bytes(&[0, 0, 0, 0]));
        assert_eq!(written("1"), bytes(&[1, 0, 0, 0, 1]));
        assert_eq!(
            written("-12345.678"),
            bytes(&[3, 1, 0x4000, 3, 1, 2345, 6780])
        );
        assert_eq!(written("0.0001"), bytes(&[1, 0xffff, 0, 4, 1]));
        assert_eq!(written("1e20"), bytes(&[1, 5, 0, 0, 1]));
        assert_eq!(written("1.50"), bytes(&[2, 0, 0, 2, 1, 5000]));
        assert_eq!(written("nan"), bytes(&[0, 0, 0xC000, 0]));
        for bad in [
            "", "-", ".", "1e", "0x1", "inf", "1e200000", "1e-20000", "1.2.3",
        ] {
            assert!(from_text(bad, &mut Vec::new()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_decimal_comes_back(value in any::<i128>(), scale in 0_i8..=37) {
            let value = value % 10_i128.pow(37);
            let mut out = Vec::new();
            let cells = Decimal128(vec![value].into(), scale);
            cells.write(0, &mut out).unwrap();
            prop_assert_eq!(through(&out, scale), value);
            let mut wide = Vec::new();
            let cells = Decimal256(vec![i256::from_i128(value)].into(), scale);
            cells.write(0, &mut wide).unwrap();
            prop_assert_eq!(wide, out);
        }

        #[test]
        fn any_float_is_written_as_it_shows(value in -1e27_f64..1e27) {
            let text = format!("{value:.10}");
            let exact: String = text.replace('.', "");
            prop_assert_eq!(through(&written(&text), 10).to_string(), exact.parse::<i128>().unwrap_or_default().to_string());
        }
    }
}
