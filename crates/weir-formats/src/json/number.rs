//! Numbers in JSON: every digit, never NaN.

use arrow::datatypes::i256;

/// The largest integer a JavaScript number holds exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;

pub(super) fn write_integer<I>(value: I, js_safe: bool, out: &mut Vec<u8>)
where
    I: itoa::Integer + Copy + TryInto<i64>,
{
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    let is_safe = || {
        value
            .try_into()
            .is_ok_and(|v: i64| v.unsigned_abs() <= MAX_SAFE)
    };
    write_maybe_quoted(digits, js_safe && !is_safe(), out);
}

fn write_maybe_quoted(bytes: &[u8], quoted: bool, out: &mut Vec<u8>) {
    if quoted {
        out.push(b'"');
    }
    out.extend_from_slice(bytes);
    if quoted {
        out.push(b'"');
    }
}

pub(super) fn write_f64(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

pub(super) fn write_f32(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

pub(super) fn write_decimal(value: i128, scale: i8, js_safe: bool, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    write_scaled(buffer.format(value), scale, js_safe, out);
}

pub(super) fn write_decimal256(value: i256, scale: i8, js_safe: bool, out: &mut Vec<u8>) {
    match value.to_i128() {
        Some(small) => write_decimal(small, scale, js_safe, out),
        None => write_scaled(&value.to_string(), scale, js_safe, out),
    }
}

/// Puts the decimal point into `text`, a whole number with an optional minus.
fn write_scaled(text: &str, scale: i8, quoted: bool, out: &mut Vec<u8>) {
    if quoted {
        out.push(b'"');
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.len() < text.len() {
        out.push(b'-');
    }
    let digits = digits.as_bytes();
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        out.extend_from_slice(digits);
        if digits != b"0" {
            out.resize(out.len() + places, b'0');
        }
    } else if digits.len() > places {
        let (whole, fraction) = digits.split_at(digits.len() - places);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + places - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
    if quoted {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(value: i128, scale: i8) -> String {
        let mut out = Vec::new();
        write_decimal(value, scale, false, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_keep_their_places() {
        assert_eq!(decimal(0, 2), "0.00");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(12345, 2), "123.45");
        assert_eq!(decimal(-12, 2), "-0.12");
        assert_eq!(decimal(7, -3), "7000");
        assert_eq!(decimal(0, -3), "0");
        assert_eq!(decimal(i128::MIN, 0), i128::MIN.to_string());
        let mut out = Vec::new();
        write_decimal256(i256::MAX, 76, true, &mut out);
        assert_eq!(out.len(), 2 + 78);
    }

    #[test]
    fn unsafe_integers_are_quoted_on_demand() {
        let show = |value: i64| {
            let mut out = Vec::new();
            write_integer(value, true, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(show(9_007_199_254_740_991), "9007199254740991");
        assert_eq!(show(-9_007_199_254_740_991), "-9007199254740991");
        assert_eq!(show(9_007_199_254_740_992), "\"9007199254740992\"");
        assert_eq!(show(i64::MIN), "\"-9223372036854775808\"");
    }
}
