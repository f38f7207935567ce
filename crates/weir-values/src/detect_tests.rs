use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, NullArray,
    StringArray,
};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use ColumnKind::*;

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn kind(name: &str, values: &[&str]) -> ColumnKind {
    detect(name, &texts(values)).unwrap().kind
}

fn numbers(name: &str, values: &[f64]) -> Detected {
    detect(
        name,
        &(Arc::new(Float64Array::from(values.to_vec())) as ArrayRef),
    )
    .unwrap()
}

#[test]
fn stored_types_speak_for_themselves() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]);
    let arrays: [(ArrayRef, ColumnKind); 5] = [
        (Arc::new(Date32Array::from(vec![1])), Datetime),
        (Arc::new(BooleanArray::from(vec![true])), TrueOrFalse),
        (Arc::new(lists), List),
        (Arc::new(NullArray::new(3)), Text),
        (Arc::new(Int64Array::from(vec![None, None])), Number),
    ];
    for (array, expected) in arrays {
        assert_eq!(detect("a", &array).unwrap().kind, expected);
    }
}

#[test]
fn numbers_by_their_values_and_names() {
    assert_eq!(numbers("n", &[1.0, 2.0, 500.0]).kind, Number);
    assert_eq!(numbers("n", &[1.0, 2.5]).kind, NumberWithDecimals);
    assert_eq!(numbers("n", &[]).kind, NumberWithDecimals);
    let phones = [5e9, 5e9 + 1.0, 5e9 + 2.0, 5e9 + 3.0, 7.0];
    let found = numbers("Home Phone", &phones);
    assert_eq!((found.kind, found.confidence), (PhoneNumber, 0.8));
    assert_eq!(numbers("home", &phones).kind, Number);
    assert_eq!(numbers("ZIP", &[100.0, 99_999.0]).kind, ZipCode);
    assert_eq!(numbers("PostCode", &[99.0, 500.0]).kind, Number);
    assert_eq!(numbers("flag", &[0.0, 1.0, -0.0]).kind, TrueOrFalse);
    assert_eq!(numbers("flag", &[0.0, 0.0]).kind, Number);
    assert_eq!(numbers("flag", &[2.0, 3.0]).kind, Number);
}

#[test]
fn texts_by_what_they_look_like() {
    assert_eq!(kind("a", &["", "  ", "\"\""]), Text);
    assert_eq!(kind("a", &["Yes", "no", " TRUE ", ""]), TrueOrFalse);
    assert_eq!(kind("a", &["1", "0"]), TrueOrFalse);
    assert_eq!(kind("a", &["1,234", "$5", "'7'", "1.0"]), Number);
    assert_eq!(kind("a", &["1.5", "2"]), NumberWithDecimals);
    assert_eq!(kind("a", &["10%", "2"]), NumberWithDecimals);
    assert_eq!(
        kind("a", &["9223372036854775807", "-9223372036854775808"]),
        Number
    );
    assert_eq!(kind("a", &["9223372036854775808", "1"]), Category);
    assert_eq!(kind("d", &["2020-01-01", "x"]), Datetime);
    assert_eq!(kind("d", &["Jan 5, 2020", "5/6/20", "x"]), Datetime);
    assert_eq!(kind("m", &["a@b.co", "x", "y"]), Email);
    assert_eq!(kind("m", &["a@b.co", "x", "y", "z"]), Text);
    assert_eq!(kind("phone", &["(555) 123-4567", "x", "y"]), PhoneNumber);
    assert_eq!(kind("fax", &["(555) 123-4567", "x", "y"]), Text);
    assert_eq!(kind("zip", &["12345", "1234-5678", "x"]), ZipCode);
    assert_eq!(kind("zip", &["02134", "00501"]), ZipCode);
    assert_eq!(kind("Landline", &["5551234567", "5551234568"]), PhoneNumber);
    assert_eq!(kind("l", &["[1, 2]", "(3)", "x"]), List);
}

#[test]
fn categories_come_again() {
    let few: Vec<String> = (0..100).map(|n| format!("c{}", n % 10)).collect();
    let few: Vec<&str> = few.iter().map(String::as_str).collect();
    assert_eq!(kind("c", &few), Category);
    let found = detect("c", &texts(&few)).unwrap();
    assert_eq!((found.rule, found.confidence), ("repeated_values", 0.9));
    let many: Vec<String> = (0..1000).map(|n| format!("c{}", n % 256)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(kind("c", &many), CategoryHighCardinality);
    assert_eq!(kind("c", &["a", "b", "c", "d", "d"]), Text);
    let words = vec!["w"; 41].join(" ");
    assert_eq!(kind("c", &[&words, &words, &words]), Text);
    let words = vec!["w"; 40].join(" ");
    assert_eq!(kind("c", &[&words, &words, &words]), Category);
}

#[test]
fn only_the_first_rows_count() {
    let mut detector = Detector::new("a", &DataType::Utf8);
    let numbers: Vec<String> = (0..60_000).map(|n| n.to_string()).collect();
    let array: ArrayRef = Arc::new(StringArray::from(numbers));
    detector.push(&array).unwrap();
    assert!(!detector.is_done());
    detector.push(&array).unwrap();
    assert!(detector.is_done());
    detector.push(&texts(&["words"])).unwrap();
    assert_eq!(detector.finish().kind, Number);
    assert!(detector.bytes() > 0);
}

proptest! {
    #[test]
    fn any_text_has_a_kind(name in ".*", values in prop::collection::vec(".{0,20}", 0..40)) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let found = detect(&name, &texts(&values)).unwrap();
        prop_assert!((0.0..=1.0).contains(&found.confidence));
        let mut detector = Detector::new(&name, &DataType::Utf8);
        for value in &values {
            detector.push(&texts(&[value])).unwrap();
        }
        prop_assert_eq!(detector.finish(), found);
    }
}
