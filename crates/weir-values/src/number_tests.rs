//! What counts as a number and what does not.

use arrow::datatypes::i256;
use proptest::prelude::*;

use super::{currency, decimal, integer, number};

#[test]
fn numbers_are_read_with_sign_decimals_exponent_and_blanks() {
    for (text, value) in [
        ("1", 1.0),
        (" 1.5\t", 1.5),
        ("+2", 2.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1E-2", 0.01),
        ("\u{a0}7\u{2003}", 7.0),
        ("1e-999", 0.0),
    ] {
        assert_eq!(number(text), Some(value), "{text:?}");
    }
}

#[test]
fn other_text_is_no_number() {
    for text in [
        "", " ", "1,000", "0x10", "1_000", "inf", "-inf", "nan", "NaN", "infinity", "١٢", "1e999",
        ".", "e5", "1e", "--1", "+-1", "1 2", "1.2.3", "1e5.5", "½", "$5", "true", "1f",
    ] {
        assert_eq!(number(text), None, "{text:?}");
        assert_eq!(integer(text), None, "{text:?}");
        assert_eq!(decimal(text, 38, 2), None, "{text:?}");
    }
}

#[test]
fn whole_numbers_keep_every_digit() {
    for (text, value) in [
        ("9007199254740993", 9_007_199_254_740_993),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
        ("9223372036854775807.0", i64::MAX),
        ("9.223372036854775807e18", i64::MAX),
        ("1.5", 1),
        ("-1.9", -1),
        ("1e3", 1000),
        ("12345e-2", 123),
        ("1e-30", 0),
        ("000000000000000000000000012", 12),
        ("0e99999999999999999999", 0),
        (" +3. ", 3),
        ("100000000000000000000000e-20", 1000),
    ] {
        assert_eq!(integer(text), Some(value), "{text:?}");
    }
    for text in [
        "9223372036854775808",
        "-9223372036854775809",
        "1e19",
        "1e99999999999999999999",
    ] {
        assert_eq!(integer(text), None, "{text:?}");
    }
}

#[test]
fn decimals_keep_every_digit() {
    let whole = |value: i128| Some(i256::from_i128(value));
    assert_eq!(decimal("1.23", 10, 2), whole(123));
    assert_eq!(decimal("1.235", 10, 2), whole(124));
    assert_eq!(decimal("-1.235", 10, 2), whole(-124));
    assert_eq!(decimal("1.2349", 10, 2), whole(123));
    assert_eq!(decimal("0.005", 10, 2), whole(1));
    assert_eq!(decimal("0.0005", 10, 2), whole(0));
    assert_eq!(decimal("0.09", 10, 0), whole(0));
    assert_eq!(decimal("9.99", 2, 1), None);
    assert_eq!(decimal("99.95", 3, 1), None);
    assert_eq!(decimal("1e2", 4, 1), whole(1000));
    assert_eq!(decimal("1e4", 4, 1), None);
    assert_eq!(decimal("150", 3, -2), whole(2));
    assert_eq!(decimal("50", 3, -3), whole(0));
    assert_eq!(
        decimal("12345678901234567890123456789012345678", 38, 0),
        whole(12_345_678_901_234_567_890_123_456_789_012_345_678)
    );
    let long = "9".repeat(76);
    assert_eq!(
        decimal(&long, 76, 0).map(|value| value.to_string()),
        Some(long.clone())
    );
    assert_eq!(decimal(&format!("{long}.5"), 76, 0), None);
}

#[test]
fn money_is_read_as_people_write_it() {
    for (text, value) in [
        ("$1,234.50", 1234.5),
        ("-$5", -5.0),
        ("$-5", -5.0),
        ("(5.00)", -5.0),
        ("($5.00)", -5.0),
        ("$(5.00)", -5.0),
        ("€ 1 234", 1234.0),
        ("5.00 CAD", 5.0),
        ("Rs 1,00,000", 100_000.0),
        ("¥1,000,000", 1e6),
        ("5元", 5.0),
        ("£.5", 0.5),
        ("₹1e3", 1000.0),
        (" 12 ", 12.0),
    ] {
        assert_eq!(currency(text), Some(value), "{text:?}");
    }
    for text in [
        "", "$", "()", "(5", "5)", "(-5)", "5 USD", "rs 5", "1.000,5", ",5", "5,", "1,,000", "abc",
        "10%", "$inf", "5)(", "(5)5", "12−", "0x5",
    ] {
        assert_eq!(currency(text), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn whole_numbers_come_back(value: i64, zeros in 0_usize..3) {
        prop_assert_eq!(integer(&value.to_string()), Some(value));
        prop_assert_eq!(integer(&format!(" {value}.{}", "0".repeat(zeros))), Some(value));
        prop_assert_eq!(decimal(&value.to_string(), 38, 3), Some(i256::from_i128(i128::from(value) * 1000)));
    }

    #[test]
    fn floats_come_back(value in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
        prop_assert_eq!(number(&value.to_string()), Some(value));
        prop_assert_eq!(currency(&format!("${value:e}")), Some(value));
    }

    #[test]
    fn the_readers_agree_on_what_is_a_number(text in "[-+ .,eE0-9$()]{0,9}") {
        let is_number = number(&text).is_some();
        prop_assert_eq!(is_number, number(&text).is_some() && super::written(&text).is_some());
        if let Some(value) = number(&text) && value.abs() < 9e15 {
            prop_assert_eq!(integer(&text), Some(value.trunc() as i64));
            prop_assert_eq!(currency(&text), Some(value));
        }
    }

    #[test]
    fn no_text_is_too_odd(text in ".{0,12}") {
        let _ = (number(&text), integer(&text), decimal(&text, 5, 2), currency(&text));
    }
}
