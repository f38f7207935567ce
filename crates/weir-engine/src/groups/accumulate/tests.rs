use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, i256};

use super::super::keys::NONE;
use super::*;

fn run(function: Function, groups: usize, parts: &[(Vec<u32>, ArrayRef)]) -> Result<ArrayRef> {
    let field = Field::new("x", parts[0].1.data_type().clone(), true);
    let measure = Measure {
        function,
        column: 0,
        name: "y".into(),
        of: "x".into(),
        pointer: "/steps/0/columns/0".into(),
        read: Default::default(),
    };
    let schema = Schema::new(vec![field]);
    let result = measure.field(&schema)?;
    let input = measure.input(&schema);
    let mut accumulator = measure.accumulator(&input);
    accumulator.grow(groups);
    for (ids, values) in parts {
        accumulator.update(ids, &cast(values, &input)?)?;
    }
    let array = accumulator.finish()?;
    assert_eq!(array.len(), groups);
    assert_eq!(array.data_type(), result.data_type(), "{function:?}");
    Ok(array)
}

fn of(function: Function, groups: usize, ids: &[u32], values: ArrayRef) -> Result<ArrayRef> {
    run(function, groups, &[(ids.to_vec(), values)])
}

fn longs(array: &ArrayRef) -> Vec<Option<i64>> {
    array.as_primitive::<Int64Type>().iter().collect()
}

fn floats(array: &ArrayRef) -> Vec<Option<f64>> {
    array
        .as_primitive::<arrow::datatypes::Float64Type>()
        .iter()
        .collect()
}

const ARITHMETIC: [Function; 5] = [
    Function::Average,
    Function::Sum,
    Function::Median,
    Function::Std,
    Function::Var,
];

#[test]
fn whole_numbers_are_exact_to_the_last_digit() {
    let big = 9_007_199_254_740_993_i64;
    let values =
        || -> ArrayRef { Arc::new(Int64Array::from(vec![Some(big), Some(big), None, Some(1)])) };
    let ids = [0, 0, 1, NONE];
    assert_eq!(
        longs(&of(Function::Sum, 2, &ids, values()).unwrap()),
        [Some(2 * big), Some(0)]
    );
    assert_eq!(
        longs(&of(Function::Max, 2, &ids, values()).unwrap()),
        [Some(big), None]
    );
    assert_eq!(
        longs(&of(Function::Count, 2, &ids, values()).unwrap()),
        [Some(2), Some(0)]
    );
    assert_eq!(
        longs(&of(Function::CountDistinct, 2, &ids, values()).unwrap()),
        [Some(1), Some(0)]
    );
    assert_eq!(
        floats(&of(Function::Average, 2, &ids, values()).unwrap())[1],
        None
    );
}

#[test]
fn a_sum_that_overflows_is_told_and_never_wrapped() {
    let most: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
    let error = of(Function::Sum, 1, &[0, 0], Arc::clone(&most)).unwrap_err();
    assert_eq!(error.stable_code(), "overflow");
    assert!(error.message().contains("`x`"));
    // On the way there is room.
    let back: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1, -1]));
    assert_eq!(
        longs(&of(Function::Sum, 1, &[0; 3], back).unwrap()),
        [Some(i64::MAX)]
    );
    assert_eq!(
        floats(&of(Function::Average, 1, &[0; 2], most).unwrap()),
        [Some(2_f64.powi(62))]
    );
    let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    assert!(of(Function::Sum, 1, &[0], Arc::clone(&unsigned)).is_err());
    let median = of(Function::Median, 1, &[0], unsigned).unwrap();
    assert_eq!(floats(&median), [Some(u64::MAX as f64)]);
    let wide = Decimal128Array::from(vec![10_i128.pow(38) - 1; 2]);
    let wide: ArrayRef = Arc::new(wide.with_precision_and_scale(38, 2).unwrap());
    assert!(of(Function::Sum, 1, &[0; 2], wide).is_err());
}

#[test]
fn floats_keep_what_rounding_would_lose() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 1e100, 1.0, -1e100]));
    assert_eq!(
        floats(&of(Function::Sum, 1, &[0; 4], values).unwrap()),
        [Some(2.0)]
    );
    let tenths: ArrayRef = Arc::new(Float64Array::from(vec![0.1; 10]));
    assert_eq!(
        floats(&of(Function::Sum, 1, &[0; 10], tenths).unwrap()),
        [Some(1.0)]
    );
    let huge: ArrayRef = Arc::new(Float64Array::from(vec![1e308, 1e308]));
    assert_eq!(
        floats(&of(Function::Average, 1, &[0; 2], Arc::clone(&huge)).unwrap()),
        [Some(1e308)]
    );
    assert_eq!(
        floats(&of(Function::Median, 1, &[0; 2], Arc::clone(&huge)).unwrap()),
        [Some(1e308)]
    );
    assert_eq!(
        floats(&of(Function::Sum, 1, &[0; 2], huge).unwrap()),
        [None]
    );
}

#[test]
fn medians_are_exact_in_every_type() {
    let ids = [0, 1, 0, 0, 1, 2];
    let values: ArrayRef = Arc::new(Int64Array::from(vec![5, 1, 3, 4, 2, 9]));
    let medians = of(Function::Median, 4, &ids, values).unwrap();
    assert_eq!(floats(&medians), [Some(4.0), Some(1.5), Some(9.0), None]);
    let decimals = Decimal128Array::from(vec![Some(10), Some(25), None]);
    let decimals: ArrayRef = Arc::new(decimals.with_precision_and_scale(5, 1).unwrap());
    let one = |function| floats(&of(function, 1, &[0; 3], Arc::clone(&decimals)).unwrap());
    assert_eq!(one(Function::Median), [Some(1.75)]);
    assert_eq!(one(Function::Average), [Some(1.75)]);
    let wide: ArrayRef = Arc::new(
        Decimal256Array::from(vec![i256::from_i128(-3), i256::from_i128(-5)])
            .with_precision_and_scale(50, 1)
            .unwrap(),
    );
    assert_eq!(
        floats(&of(Function::Average, 1, &[0; 2], wide).unwrap()),
        [Some(-0.4)]
    );
    let truths: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true]));
    assert_eq!(
        floats(&of(Function::Median, 1, &[0; 3], Arc::clone(&truths)).unwrap()),
        [Some(1.0)]
    );
    assert_eq!(
        longs(&of(Function::Sum, 1, &[0; 3], truths).unwrap()),
        [Some(2)]
    );
}

#[test]
fn values_are_picked_in_their_own_type() {
    let ids = [0, 0, 1, 0, 2];
    let columns: Vec<(ArrayRef, [ArrayRef; 4])> = vec![
        (
            Arc::new(StringArray::from(vec![
                None,
                Some("b"),
                None,
                Some("Ä"),
                Some(""),
            ])),
            [
                Arc::new(StringArray::from(vec![Some("b"), None, Some("")])),
                Arc::new(StringArray::from(vec![Some("Ä"), None, Some("")])),
                Arc::new(StringArray::from(vec![Some("b"), None, Some("")])),
                Arc::new(StringArray::from(vec![Some("Ä"), None, Some("")])),
            ],
        ),
        (
            Arc::new(Date32Array::from(vec![
                None,
                Some(-9),
                None,
                Some(-10),
                Some(3),
            ])),
            [
                Arc::new(Date32Array::from(vec![Some(-10), None, Some(3)])),
                Arc::new(Date32Array::from(vec![Some(-9), None, Some(3)])),
                Arc::new(Date32Array::from(vec![Some(-9), None, Some(3)])),
                Arc::new(Date32Array::from(vec![Some(-10), None, Some(3)])),
            ],
        ),
        (
            Arc::new(BooleanArray::from(vec![
                None,
                Some(true),
                None,
                Some(false),
                Some(true),
            ])),
            [
                Arc::new(BooleanArray::from(vec![Some(false), None, Some(true)])),
                Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)])),
                Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)])),
                Arc::new(BooleanArray::from(vec![Some(false), None, Some(true)])),
            ],
        ),
    ];
    let functions = [
        Function::Min,
        Function::Max,
        Function::First,
        Function::Last,
    ];
    for (column, expected) in columns {
        for (function, expected) in functions.into_iter().zip(expected) {
            let result = of(function, 3, &ids, Arc::clone(&column)).unwrap();
            assert_eq!(&result, &expected, "{function:?}");
        }
    }
}

#[test]
fn every_type_has_a_first_and_a_last() {
    let types = [
        "int8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "decimal(5,2)",
        "decimal(50,2)",
        "string",
        "binary",
        "date",
        "time",
        "timestamp(ns, UTC)",
        "duration",
        "interval",
        "json",
        "list<struct<a: int8, b: string>>",
        "bool",
    ];
    for name in types {
        let field = weir_core::types::field_of_type("x", name).unwrap();
        let empty = new_null_array(field.data_type(), 2);
        for function in [
            Function::First,
            Function::Last,
            Function::Count,
            Function::CountDistinct,
        ] {
            let result = of(function, 2, &[0, 1], Arc::clone(&empty)).unwrap();
            assert!(
                function == Function::Count
                    || function == Function::CountDistinct
                    || result.logical_null_count() == 2,
                "{name}"
            );
        }
        if !field.data_type().is_nested() && name != "interval" {
            of(Function::Min, 2, &[0, 1], Arc::clone(&empty)).unwrap();
        }
    }
    let lists = || {
        ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            None,
            Some(vec![Some(1)]),
            Some(vec![]),
        ])
    };
    let last = of(Function::Last, 2, &[0, 0, 0], Arc::new(lists())).unwrap();
    assert!(last.is_valid(0) && last.is_null(1));
    assert_eq!(last.as_list::<i32>().value(0).len(), 0);
}

#[test]
fn what_has_no_numbers_is_refused_with_its_type() {
    for name in ["string", "date", "list<int8>", "json"] {
        let field = weir_core::types::field_of_type("x", name).unwrap();
        for function in ARITHMETIC {
            let error = function.result(&field, "/steps/0/columns/0").unwrap_err();
            assert!(
                error.message().contains(function.name()),
                "{}",
                error.message()
            );
        }
    }
    let list = weir_core::types::field_of_type("x", "list<int8>").unwrap();
    assert!(Function::Min.result(&list, "").is_err());
    assert!(Function::CountDistinct.result(&list, "").is_ok());
}

#[test]
fn a_column_without_values_has_no_mean_and_the_sum_0() {
    let nothing: ArrayRef = Arc::new(NullArray::new(2));
    let one = |function| of(function, 1, &[0, 0], Arc::clone(&nothing)).unwrap();
    assert_eq!(longs(&one(Function::Sum)), [Some(0)]);
    assert_eq!(floats(&one(Function::Average)), [None]);
    assert_eq!(one(Function::Min).data_type(), &DataType::Null);
    assert_eq!(longs(&one(Function::Count)), [Some(0)]);
}

#[test]
fn the_spread_of_a_sample() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![
        1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0,
    ]));
    let std = floats(&of(Function::Std, 2, &[0; 10], Arc::clone(&values)).unwrap());
    assert!((std[0].unwrap() - 30.152_390_728_873_666).abs() < 1e-12);
    assert_eq!(std[1], None);
    let one: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    assert_eq!(floats(&of(Function::Var, 1, &[0], one).unwrap()), [None]);
}

#[test]
fn the_arena_of_texts_is_swept() {
    let parts: Vec<(Vec<u32>, ArrayRef)> = (0..40)
        .map(|n| {
            let text = "x".repeat(60_000 + n);
            (
                vec![0, 1],
                Arc::new(StringArray::from(vec![text.clone(), text])) as ArrayRef,
            )
        })
        .collect();
    let result = run(Function::Max, 2, &parts).unwrap();
    assert_eq!(result.as_string::<i32>().value(1).len(), 60_039);
}
