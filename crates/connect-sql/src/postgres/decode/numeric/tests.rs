use proptest::prelude::*;

use super::*;

/// The wire form of `unscaled / 10^scale`, made the slow way, from text.
fn wire(negative: bool, digits: &str, scale: usize) -> Vec<u8> {
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let whole = format!("{whole:0>width$}", width = whole.len().div_ceil(4) * 4);
    let fraction = format!(
        "{fraction:0<width$}",
        width = fraction.len().div_ceil(4) * 4
    );
    let groups = |text: &str| -> Vec<u16> {
        text.as_bytes()
            .chunks(4)
            .map(|g| std::str::from_utf8(g).unwrap().parse().unwrap())
            .collect()
    };
    let mut weight = whole.len() as i32 / 4 - 1;
    let mut all = groups(&whole);
    all.extend(groups(&fraction));
    while all.first() == Some(&0) {
        all.remove(0);
        weight -= 1;
    }
    while all.last() == Some(&0) {
        all.pop();
    }
    let sign = if negative && !all.is_empty() {
        NEGATIVE
    } else {
        0
    };
    let weight = if all.is_empty() { 0 } else { weight };
    let mut bytes = Vec::new();
    for part in [all.len() as u16, weight as u16, sign, scale as u16]
        .into_iter()
        .chain(all)
    {
        bytes.extend(part.to_be_bytes());
    }
    bytes
}

proptest! {
    #[test]
    fn values_up_to_38_digits(digits in "[0-9]{1,38}", scale in 0_usize..=38, negative: bool) {
        let scale = scale.min(digits.len());
        let expected: i128 = digits.parse().unwrap();
        let expected = if negative { -expected } else { expected };
        prop_assert_eq!(to_i128(&wire(negative, &digits, scale), scale as i32), Ok(expected));
    }

    #[test]
    fn values_up_to_76_digits(digits in "[0-9]{1,76}", scale in 0_usize..=76, negative: bool) {
        let scale = scale.min(digits.len());
        let expected = i256::from_string(&digits).unwrap();
        let expected = if negative { expected.wrapping_neg() } else { expected };
        prop_assert_eq!(to_i256(&wire(negative, &digits, scale), scale as i32), Ok(expected));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), scale in -80_i8..80) {
        let mut narrow = Decimal128::boxed(38, scale.clamp(0, 38));
        let _ = narrow.push(&bytes);
        let mut wide = Decimal256::boxed(76, scale.clamp(0, 76));
        let _ = wide.push(&bytes);
        let _ = (to_i128(&bytes, scale.into()), to_i256(&bytes, scale.into()));
    }
}

#[test]
fn what_decimals_cannot_hold_is_named() {
    let special = |sign: u16| [0, 0, 0, 0, (sign >> 8) as u8, sign as u8, 0, 0];
    assert_eq!(
        to_i128(&special(NAN), 2),
        Err(Misfit::Unrepresentable("NaN"))
    );
    assert_eq!(
        to_i256(&special(INFINITY), 2),
        Err(Misfit::Unrepresentable("infinity"))
    );
    assert_eq!(
        to_i128(&special(MINUS_INFINITY), 2),
        Err(Misfit::Unrepresentable("infinity"))
    );
    assert_eq!(to_i128(&wire(false, "12345", 3), 2), Err(TOO_FINE));
    assert_eq!(to_i128(&wire(false, "12340", 3), 2), Ok(1234));
    assert_eq!(
        Decimal128::boxed(3, 0).push(&wire(false, "1000", 0)),
        Err(TOO_LARGE)
    );
}
