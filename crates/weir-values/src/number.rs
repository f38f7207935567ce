//! Numbers read out of text: a sign, digits, decimals, an exponent and blanks
//! around, and nothing else (no commas, no hex, no `_`, no `inf`). Whole
//! numbers and decimals never pass through a float, so that no digit is lost.

use arrow::array::Float64Array;
use arrow::array::Float64Builder;
use arrow::datatypes::i256;

use crate::texts::Texts;

/// The number nearest to the text; `None` when it is none or beyond all floats.
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let may_be = |b: &u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    // The standard reader takes words (`inf`, `nan`) as well.
    if !text.as_bytes().iter().all(may_be) {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A number as it is written.
#[derive(Debug, Clone, Copy)]
struct Written<'a> {
    is_negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// Exponents are held to this, which is beyond every number that can be kept.
const FAR: i64 = 1_000_000_000;

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

fn written(text: &str) -> Option<Written<'_>> {
    let (is_negative, rest) = signed(text.trim().as_bytes());
    let (whole, rest) = digits(rest);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => digits(rest),
        rest => (&rest[..0], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', rest @ ..] => {
            let (is_negative, rest) = signed(rest);
            let (digits, []) = digits(rest) else {
                return None;
            };
            if digits.is_empty() {
                return None;
            }
            let size = digits.iter().fold(0_i64, |size, digit| {
                (size * 10 + i64::from(digit - b'0')).min(FAR)
            });
            if is_negative { -size } else { size }
        }
        _ => return None,
    };
    Some(Written {
        is_negative,
        whole,
        fraction,
        exponent,
    })
}

impl Written<'_> {
    /// How many digits stand before the point once it moved `places` to the right.
    fn point(&self, places: i64) -> i64 {
        self.whole.len() as i64 + self.exponent + places
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        let digits = self.whole.iter().chain(self.fraction);
        digits.map(|digit| digit - b'0')
    }

    /// The digits before `point`, zeros in front left out, zeros behind put in;
    /// `None` when they are more than `most`.
    fn before(&self, point: i64, most: usize) -> Option<Vec<u8>> {
        let point = usize::try_from(point.max(0)).ok()?;
        let given = self.digits().take(point);
        let mut kept: Vec<u8> = given.skip_while(|digit| *digit == 0).collect();
        if kept.is_empty() {
            return Some(kept);
        }
        let length = self.whole.len() + self.fraction.len();
        let behind = point.saturating_sub(length);
        if kept.len() + behind > most {
            return None;
        }
        kept.resize(kept.len() + behind, 0);
        Some(kept)
    }

    /// The digit just behind `point`.
    fn behind(&self, point: i64) -> u8 {
        let at = usize::try_from(point).ok();
        at.and_then(|at| self.digits().nth(at)).unwrap_or(0)
    }
}

/// The whole number, what stands behind the point cut off; `None` when it is no
/// number or beyond 64 bits.
pub fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    if (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        let digits = text.bytes().map(|b| i64::from(b - b'0'));
        return Some(digits.fold(0, |value, digit| value * 10 + digit));
    }
    let written = written(text)?;
    // Counted down, because there is one more number below zero than above it.
    let below = written
        .before(written.point(0), 19)?
        .into_iter()
        .try_fold(0_i64, |value, digit| {
            value.checked_mul(10)?.checked_sub(i64::from(digit))
        })?;
    if written.is_negative {
        Some(below)
    } else {
        below.checked_neg()
    }
}

/// The number in units of `10^-scale`, half away from zero; `None` when it is
/// no number or has more than `precision` digits.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Option<i256> {
    let written = written(text)?;
    let point = written.point(i64::from(scale));
    let length = written.whole.len() + written.fraction.len();
    // As nearly all are: few digits, none of them cut off.
    let behind = usize::try_from(point)
        .ok()
        .and_then(|point| point.checked_sub(length));
    if let Some(behind) = behind
        && length + behind <= usize::from(precision.min(38))
    {
        let digits = written.digits().chain(std::iter::repeat_n(0, behind));
        let value = digits.fold(0_i128, |value, digit| value * 10 + i128::from(digit));
        return Some(i256::from_i128(if written.is_negative {
            -value
        } else {
            value
        }));
    }
    let kept = written.before(point, usize::from(precision))?;
    let ten = i256::from_i128(10);
    let mut value = kept.into_iter().fold(i256::ZERO, |value, digit| {
        value
            .wrapping_mul(ten)
            .wrapping_add(i256::from_i128(i128::from(digit)))
    });
    if point >= 0 && written.behind(point) >= 5 {
        value = value.wrapping_add(i256::ONE);
        let limit = ten.checked_pow(u32::from(precision))?;
        if value >= limit {
            return None;
        }
    }
    Some(if written.is_negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// What stands for money, beside blanks and commas.
const SYMBOLS: [&str; 8] = ["$", "€", "¥", "₹", "元", "£", "Rs", "CAD"];

/// The text without symbols of currencies, blanks and thousands commas; and
/// whether it stood in parentheses. `None` when something else is left over.
fn bare(text: &str, out: &mut String) -> Option<bool> {
    out.clear();
    let (mut opened, mut closed) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if (c.is_ascii_digit() || c == '.') && !closed {
            out.push(c);
            rest = after;
        } else if c.is_whitespace() {
            rest = after;
        } else if let Some(behind) = SYMBOLS.iter().find_map(|symbol| rest.strip_prefix(symbol)) {
            rest = behind;
        } else {
            match c {
                '(' if out.is_empty() && !opened => opened = true,
                ')' if opened && !closed && !out.is_empty() => closed = true,
                ',' => {
                    let is_whole = !out.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'));
                    let stands_between = out.ends_with(|c: char| c.is_ascii_digit())
                        && after.starts_with(|c: char| c.is_ascii_digit());
                    if !is_whole || !stands_between {
                        return None;
                    }
                }
                _ if closed || !c.is_ascii() => return None,
                _ => out.push(c),
            }
            rest = after;
        }
    }
    let is_signed = out.starts_with(['-', '+']);
    (opened == closed && !(opened && is_signed)).then_some(opened)
}

/// An amount of money as people write it: `$1,234.50`, `5 €`, `(5.00)` for −5.
pub fn currency(text: &str) -> Option<f64> {
    currency_with(text, &mut String::new())
}

/// [`currency`] with room to work in.
fn currency_with(text: &str, room: &mut String) -> Option<f64> {
    if let Some(plain) = number(text.strip_prefix('$').unwrap_or(text)) {
        return Some(plain);
    }
    let is_negative = bare(text, room)?;
    let value = number(room)?;
    Some(if is_negative { -value } else { value })
}

fn read(texts: &Texts<'_>, mut one: impl FnMut(&str) -> Option<f64>) -> Float64Array {
    let mut numbers = Float64Builder::with_capacity(texts.len());
    for text in texts.iter() {
        numbers.append_option(text.and_then(&mut one));
    }
    numbers.finish()
}

/// [`number`] of every cell; what cannot be read is null.
pub fn numbers(texts: &Texts<'_>) -> Float64Array {
    read(texts, number)
}

/// [`currency`] of every cell; what cannot be read is null.
pub fn currencies(texts: &Texts<'_>) -> Float64Array {
    let mut room = String::new();
    read(texts, |text| currency_with(text, &mut room))
}

#[cfg(test)]
#[path = "number_tests.rs"]
mod tests;
