//! The null rules and the meaning of types, case by case.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema};

use weir_core::evaluate::compile;

use crate::parse_condition;

fn batch() -> RecordBatch {
    let fields = vec![
        Field::new("i", DataType::Int64, true),
        Field::new("j", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("day", DataType::Date32, true),
    ];
    let big = 9_007_199_254_740_993;
    let decimals = Decimal128Array::from(vec![Some(150), Some(0), None, Some(-150)]);
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(Int64Array::from(vec![Some(1), Some(big), None, Some(-5)])),
            Arc::new(Int64Array::from(vec![Some(1), Some(2), None, None])),
            Arc::new(Float64Array::from(vec![
                Some(1.5),
                Some(-0.0),
                None,
                Some(f64::NAN),
            ])),
            Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
            Arc::new(StringArray::from(vec![
                Some("abc"),
                Some(""),
                None,
                Some("02134"),
            ])),
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                None,
                Some(true),
            ])),
            Arc::new(Date32Array::from(vec![
                Some(0),
                Some(19_723),
                None,
                Some(-1),
            ])),
        ],
    )
    .unwrap()
}

fn kept(condition: &str) -> Vec<usize> {
    let batch = batch();
    let predicate = parse_condition(condition, "/filter").unwrap();
    let mask = compile(&predicate, batch.schema_ref())
        .unwrap()
        .eval(&batch)
        .unwrap();
    assert_eq!(mask.null_count(), 0, "{condition}");
    (0..mask.len()).filter(|row| mask.value(*row)).collect()
}

use arrow::array::Array;

#[test]
fn null_rules() {
    for (condition, rows) in [
        ("i == 1", vec![0]),
        ("i != 1", vec![1, 2, 3]),
        ("i < 5", vec![0, 3]),
        ("i == j", vec![0]),
        ("i != j", vec![1, 2, 3]),
        ("s == null", vec![1, 2]),
        ("s != null", vec![0, 3]),
        ("f == null", vec![2, 3]),
        ("s contains '^a'", vec![0]),
        ("s not contains '^a'", vec![1, 2, 3]),
        ("b == true", vec![0, 3]),
        ("i == 1 or i == -5", vec![0, 3]),
        ("i != 1 and b == true", vec![3]),
    ] {
        assert_eq!(kept(condition), rows, "{condition}");
    }
}

#[test]
fn types_compare_exactly() {
    for (condition, rows) in [
        ("i == 9007199254740993", vec![1]),
        ("i == 9007199254740992", vec![]),
        ("i > 0.5", vec![0, 1]),
        ("i < 1e3", vec![0, 3]),
        ("i > 99999999999999999999", vec![]),
        ("f == 0", vec![1]),
        ("f >= 1.5", vec![0]),
        ("d == 1.5", vec![0]),
        ("d == 1.500", vec![0]),
        ("d > 1.499999", vec![0]),
        ("s == 02134", vec![3]),
        ("s > '0'", vec![0, 3]),
        ("day >= 2024-01-01", vec![1]),
        ("day == '1970-01-01'", vec![0]),
    ] {
        assert_eq!(kept(condition), rows, "{condition}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let batch = batch();
    for condition in [
        "i == 'x'",
        "s > 5",
        "b > true",
        "day == 5",
        "day == 'soon'",
        "i contains 'x'",
        "s contains '('",
        "i == s",
        "k == 1",
    ] {
        let predicate = parse_condition(condition, "/filter").unwrap();
        let error = compile(&predicate, batch.schema_ref()).unwrap_err();
        assert_eq!(error.fields()[0].pointer, "/filter", "{condition}: {error}");
    }
}
