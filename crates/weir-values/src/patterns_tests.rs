//! The shapes against the regular expressions that define them.

use proptest::prelude::*;
use regex::Regex;

use super::*;

fn holds(matches: fn(&str) -> bool, yes: &[&str], no: &[&str]) {
    for text in yes {
        assert!(matches(text), "{text:?} should match");
    }
    for text in no {
        assert!(!matches(text), "{text:?} should not match");
    }
}

#[test]
fn shapes_are_known() {
    holds(
        is_email,
        &["a@b.c", "a.b+c#d-e_f@g-h.co.uk", "A1@b.-"],
        &[
            "", "@b.c", "a@b", "a@.c", "a@b.", "a b@c.d", "a@b@c.d", "é@b.c", "a@b_c.d",
        ],
    );
    holds(
        is_number,
        &[
            "1", "-1", ".5", "5.", "1,234.5", "$1", "-$1.5", "- $ 5", "10%", "10 %", "5€", "5 CAD",
            "Rs 5", "元5", "1,00,000", "$5 CAD", "5%",
        ],
        &[
            "", "-", "$", ".", "+1", "1e5", "1,", ",1", "1,,2", "1.2.3", "1.2,3", "abc", "10%%",
            "5€€", "--1", "%", "1 2",
        ],
    );
    holds(
        is_integer,
        &["1", "1.0", "3.", "1,234", "$5", "5 €", "-7.000"],
        &["1.5", ".5", "10%", "1e3", "", ".", "+1"],
    );
    assert!(is_integer(".0"));
    holds(
        is_zip_code,
        &[
            "123",
            "1234",
            "12345",
            "12345-6789",
            "12345 6789",
            "123-4567",
        ],
        &[
            "12",
            "123456",
            "12345-678",
            "12345-67890",
            "12345--6789",
            "1234a",
            "12345-",
            "",
        ],
    );
    holds(
        is_phone_number,
        &[
            "5551234567",
            "555-123-4567",
            "(555) 123-4567",
            "+1 555 123 4567",
            "1-555-123-4567",
            "+15551234567",
            "555.123.4567 x12",
            "555-123-4567x9",
            "+123 (555) 123.4567",
            "(555)123-4567",
            "15551234567",
            "1 (555) 123-4567 ",
        ],
        &[
            "",
            "555-1234",
            "+5551234567",
            "55-51234567",
            "555-123-45678-9",
            "5551234567x",
            "555123456a",
            "+ 1 555 123 4567",
            "12345555123456 7",
            "555/123/4567",
            "123412345678901",
            "555-123-4567 y5",
            "+",
        ],
    );
    holds(
        is_list,
        &["[]", "[1, 2]", "(a)", "[[1]]"],
        &["", "[", "[1", "1]", "[1)", "x[1]"],
    );
    holds(
        is_datetime,
        &[
            "2020-01-02",
            "2020/1/2",
            "1/2/2020",
            "01-02-20",
            "99-12-31",
            "99-99-99",
            "2020-01-02T03:04:05Z",
            "2020-01-02 03:04",
            "1/2/20 3:04 pm",
            "Jan 5, 2020",
            "january 5 2020 and more",
            "May 5,20",
        ],
        &[
            "",
            "2020",
            "2020-01",
            "2020.01.02",
            "2020-01-02 foo",
            "2020-01-02x",
            "5 January 2020",
            "Jan 2020",
            "Foo 5, 2020",
            "2020-01-0222",
            "2020-001-02",
            " 2020-01-02",
            "20200102",
            "10:30",
            "January5 2020",
        ],
    );
}

#[test]
fn blank_and_placeholder_texts_are_valid() {
    for kind in ColumnKind::ALL {
        for text in ["", "  ", "invalid", "missing value", " invalid"] {
            assert!(is_valid(kind, text), "{kind:?} {text:?}");
        }
    }
    assert!(is_valid(ColumnKind::Email, " a@b.c "));
    assert!(!is_valid(ColumnKind::Email, "a@b"));
    assert!(!is_valid(ColumnKind::Number, "1e5"));
    assert!(is_valid(ColumnKind::Text, "a@b"));
    assert!(is_valid(ColumnKind::List, "a@b"));
}

const NUMBER: &str = r"^-?\s*(?:(?:[$€¥₹£元]|Rs|CAD)\s*)?(?:[0-9]+(?:,[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:\s*(?:[$€¥₹£元]|Rs|CAD))?(?:\s*%)?$";
const PHONE: &str =
    r"^[-. ()]*(?:\+?\d{1,3})?[-. ()]*\d{3}[-. ()]*\d{3}[-. ()]*\d{4}[-. ()]*(?:x\d+)?$";
const DATETIME: &str =
    r"(?i)^(?:\d{1,4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/]\d{1,2}[-/]\d{1,4})(?:$|[t ]\d{1,2}:\d{2})";

fn regex(pattern: &str) -> Regex {
    Regex::new(&pattern.replace(r"\d", "[0-9]")).unwrap()
}

proptest! {
    #[test]
    fn numbers_are_those_of_the_expression(text in "(-|- )?(\\$|Rs ?|€)?[0-9,.]{0,6}( ?(€|CAD))?( ?%)?") {
        prop_assert_eq!(is_number(&text), regex(NUMBER).is_match(&text), "{}", text);
    }

    #[test]
    fn phone_numbers_are_those_of_the_expression(
        text in "[( ]?\\+?[0-9]{0,3}[-. ()]{0,2}[0-9]{3}[-. )]{0,2}[0-9]{3}[- ]?[0-9]{3,5}( x[0-9]{0,2})?"
    ) {
        prop_assert_eq!(is_phone_number(&text), regex(PHONE).is_match(&text), "{}", text);
    }

    #[test]
    fn dates_are_those_of_the_expression(text in "[0-9]{1,5}[-/.][0-9]{1,3}[-/][0-9]{1,5}([Tt x][0-9]{1,3}:[0-9]{0,3}z?)?") {
        prop_assert_eq!(is_datetime(&text), regex(DATETIME).is_match(&text), "{}", text);
    }

    #[test]
    fn mail_addresses_are_those_of_the_expression(text in "[aB1_.+#@é -]{0,10}") {
        let email = regex(r"^[A-Za-z0-9_.+#-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+$");
        prop_assert_eq!(is_email(&text), email.is_match(&text), "{}", text);
    }

    #[test]
    fn no_text_is_too_odd(text in ".{0,12}") {
        for kind in ColumnKind::ALL {
            let _ = is_valid(kind, &text);
        }
        let _ = (is_integer(&text), is_list(&text));
    }
}
