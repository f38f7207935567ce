//! Every type into every other.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type, TimeUnit, i256};
use proptest::prelude::*;

use super::*;

fn field(array: &ArrayRef) -> Field {
    Field::new("a", array.data_type().clone(), true)
}

/// The cells as text, `-` for null, and how many could not be read.
fn cells(array: ArrayRef, target: &str) -> (Vec<String>, usize) {
    let target: Target = target.parse().unwrap();
    let converted = convert(&array, &field(&array), target).unwrap();
    assert_eq!(
        converted.array.data_type(),
        &target.type_from(&field(&array))
    );
    assert_eq!(converted.unreadable > 0, converted.first.is_some());
    (shown(&converted.array), converted.unreadable)
}

fn shown(array: &ArrayRef) -> Vec<String> {
    let texts = texts_of(array).unwrap();
    let texts = Texts::of(&texts).unwrap();
    texts
        .iter()
        .map(|text| text.unwrap_or("-").to_owned())
        .collect()
}

fn text(cells: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(cells.to_vec()))
}

#[test]
fn text_becomes_what_it_says() {
    let (made, wrong) = cells(
        text(&["12", " ", "x", "1.9", "9223372036854775808"]),
        "int64",
    );
    assert_eq!(
        (made, wrong),
        (["12", "-", "-", "1", "-"].map(String::from).to_vec(), 2)
    );
    let (made, wrong) = cells(text(&["YES", "off", "T", "2", " 1 ", ""]), "bool");
    assert_eq!(
        (made, wrong),
        (
            ["true", "false", "true", "-", "true", "-"]
                .map(String::from)
                .to_vec(),
            1
        )
    );
    let (made, wrong) = cells(text(&["1.255", "1e2", "1000000"]), "decimal(6,2)");
    assert_eq!(
        (made, wrong),
        (["1.26", "100.00", "-"].map(String::from).to_vec(), 1)
    );
    let (made, wrong) = cells(
        text(&["1/2/2020 10:00", "soon", "2020-01-01T23:00-02:00"]),
        "date",
    );
    assert_eq!(
        (made, wrong),
        (
            ["2020-01-02", "-", "2020-01-02"].map(String::from).to_vec(),
            1
        )
    );
    let (made, _) = cells(text(&["1/2/2020 10:00"]), "timestamp");
    assert_eq!(made, ["2020-01-02T10:00:00"]);
    let large: ArrayRef = Arc::new(LargeStringArray::from(vec!["1"]));
    assert_eq!(
        convert(&large, &field(&large), Target::Text)
            .unwrap()
            .array
            .data_type(),
        &DataType::LargeUtf8
    );
    assert_eq!(
        cells(Arc::new(StringViewArray::from(vec!["1.5"])), "float64").0,
        ["1.5"]
    );
}

#[test]
fn the_first_cell_that_cannot_be_read_is_told() {
    let array = text(&["1", "", &"y".repeat(50), "z"]);
    let converted = convert(&array, &field(&array), Target::Int64).unwrap();
    let error = converted.first.unwrap().error("a", 100);
    assert_eq!(
        error.message(),
        format!(
            "column `a`, row 102: `{}…` is not a whole number of 64 bits",
            "y".repeat(40)
        )
    );
    assert_eq!(converted.unreadable, 2);
}

#[test]
fn numbers_become_other_numbers() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![
        1.9,
        -1.9,
        1e300,
        -9.223_372_036_854_776e18,
        9.223_372_036_854_776e18,
        -0.0,
    ]));
    let (made, wrong) = cells(floats.clone(), "int64");
    assert_eq!(
        (made, wrong),
        (
            ["1", "-1", "-", "-9223372036854775808", "-", "0"]
                .map(String::from)
                .to_vec(),
            2
        )
    );
    assert_eq!(
        cells(floats.clone(), "bool").0,
        ["true", "true", "true", "true", "true", "false"]
    );
    assert_eq!(cells(floats, "string").0[..3], ["1.9", "-1.9", "1e300"]);
    let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 5]));
    assert_eq!(
        cells(unsigned.clone(), "int64"),
        (vec!["-".into(), "5".into()], 1)
    );
    assert_eq!(
        cells(unsigned.clone(), "decimal(38,2)").0[0],
        "18446744073709551615.00"
    );
    assert_eq!(cells(unsigned, "string").0[0], "18446744073709551615");
    let small: ArrayRef = Arc::new(Int8Array::from(vec![-5]));
    for (target, made) in [
        ("int64", "-5"),
        ("float64", "-5.0"),
        ("decimal(3,1)", "-5.0"),
        ("string", "-5"),
        ("bool", "true"),
    ] {
        assert_eq!(cells(small.clone(), target).0, [made], "{target}");
    }
    let singles: ArrayRef = Arc::new(Float32Array::from(vec![0.1, f32::NAN]));
    assert_eq!(cells(singles.clone(), "string").0[0], "0.1");
    assert_eq!(cells(singles, "decimal(5,3)").0[0], "0.100");
    let large: ArrayRef = Arc::new(Int64Array::from(vec![9_007_199_254_740_993]));
    assert_eq!(
        cells(large.clone(), "decimal(20,2)").0,
        ["9007199254740993.00"]
    );
    assert_eq!(cells(large, "decimal(10,0)"), (vec!["-".into()], 1));
}

#[test]
fn decimals_keep_their_digits() {
    let decimals = |p, s, values: Vec<i128>| -> ArrayRef {
        Arc::new(
            Decimal128Array::from(values)
                .with_precision_and_scale(p, s)
                .unwrap(),
        )
    };
    assert_eq!(
        cells(
            decimals(38, 2, vec![199, -199, 900_719_925_474_099_399]),
            "int64"
        )
        .0,
        ["1", "-1", "9007199254740993"]
    );
    assert_eq!(
        cells(decimals(10, 2, vec![150, 0]), "string").0,
        ["1.50", "0.00"]
    );
    assert_eq!(
        cells(decimals(10, 2, vec![150, 0]), "bool").0,
        ["true", "false"]
    );
    assert_eq!(cells(decimals(10, 1, vec![3]), "float64").0, ["0.3"]);
    assert_eq!(
        cells(
            decimals(30, 10, vec![123_456_789_012_345_678_901]),
            "float64"
        )
        .0,
        ["12345678901.234568"]
    );
    assert_eq!(
        cells(decimals(10, 3, vec![1_255]), "decimal(5,2)").0,
        ["1.26"]
    );
    assert_eq!(
        cells(decimals(10, 0, vec![1_255]), "decimal(3,0)"),
        (vec!["-".into()], 1)
    );
    let wide: ArrayRef = Arc::new(
        Decimal256Array::from(vec![i256::from_i128(i128::MAX)])
            .with_precision_and_scale(76, 0)
            .unwrap(),
    );
    assert_eq!(cells(wide.clone(), "bool").0, ["true"]);
    assert_eq!(cells(wide.clone(), "int64"), (vec!["-".into()], 1));
    assert_eq!(cells(wide, "string").0, [i128::MAX.to_string()]);
    let narrow: ArrayRef = Arc::new(
        Decimal32Array::from(vec![15])
            .with_precision_and_scale(5, 1)
            .unwrap(),
    );
    for (target, made) in [
        ("int64", "1"),
        ("float64", "1.5"),
        ("decimal(9,2)", "1.50"),
        ("string", "1.5"),
        ("bool", "true"),
    ] {
        assert_eq!(cells(narrow.clone(), target).0, [made], "{target}");
    }
}

#[test]
fn moments_become_text_days_and_counts() {
    let zoned: ArrayRef =
        Arc::new(TimestampNanosecondArray::from(vec![-1]).with_timezone("Europe/Berlin"));
    assert_eq!(
        cells(zoned.clone(), "timestamp").0,
        ["1969-12-31T23:59:59.999999"]
    );
    assert_eq!(cells(zoned.clone(), "date").0, ["1969-12-31"]);
    assert_eq!(cells(zoned.clone(), "int64").0, ["-1"]);
    assert_eq!(
        cells(zoned.clone(), "string").0,
        ["1969-12-31T23:59:59.999999999Z"]
    );
    assert_eq!(cells(zoned, "bool"), (vec!["-".into()], 1));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![-43_000, 1]));
    assert_eq!(
        cells(days.clone(), "timestamp").0,
        ["1852-04-09T00:00:00", "1970-01-02T00:00:00"]
    );
    assert_eq!(cells(days.clone(), "int64").0, ["-43000", "1"]);
    assert_eq!(cells(days, "decimal(7,1)").0, ["-43000.0", "1.0"]);
    let ends: ArrayRef = Arc::new(Date32Array::from(vec![i32::MIN, i32::MAX]));
    assert_eq!(
        cells(ends, "string").0,
        ["-5877641-06-23", "+5881580-07-11"]
    );
    let counts: ArrayRef = Arc::new(Int64Array::from(vec![1, i64::MAX]));
    assert_eq!(
        cells(counts.clone(), "date"),
        (vec!["1970-01-02".into(), "-".into()], 1)
    );
    assert_eq!(
        cells(counts, "timestamp").0[0],
        "1970-01-01T00:00:00.000001"
    );
    let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
    assert_eq!(cells(far, "timestamp"), (vec!["-".into()], 1));
    let times: ArrayRef = Arc::new(Time64NanosecondArray::from(vec![3_600_000_000_001]));
    assert_eq!(cells(times, "string").0, ["01:00:00.000000001"]);
}

#[test]
fn nested_values_and_bytes_become_text() {
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
    ]));
    assert_eq!(cells(lists.clone(), "string").0, ["[1,null]", "-"]);
    assert_eq!(cells(lists, "int64"), (vec!["-".into(), "-".into()], 1));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"12".as_slice(), b"\xff"]));
    assert_eq!(
        cells(bytes.clone(), "string"),
        (vec!["12".into(), "-".into()], 1)
    );
    assert_eq!(cells(bytes, "int64"), (vec!["12".into(), "-".into()], 1));
    let nulls: ArrayRef = Arc::new(NullArray::new(2));
    for target in ["int64", "string", "bool", "date", "decimal(5,2)"] {
        assert_eq!(
            cells(nulls.clone(), target),
            (vec!["-".into(), "-".into()], 0),
            "{target}"
        );
    }
    let words: DictionaryArray<Int32Type> = vec!["1", "x", "1"].into_iter().collect();
    assert_eq!(
        cells(Arc::new(words), "int64"),
        (vec!["1".into(), "-".into(), "1".into()], 1)
    );
}

#[test]
fn json_is_read_as_what_it_holds() {
    let array = text(&["1", "\"2\"", "null", "[3]", "true", "\"\"", "\"a\\nb\""]);
    let json = weir_core::types::field_of_type("a", "json").unwrap();
    let whole = convert(&array, &json, Target::Int64).unwrap();
    assert_eq!(shown(&whole.array), ["1", "2", "-", "-", "-", "-", "-"]);
    assert_eq!(whole.unreadable, 3);
    let plain = convert(&array, &json, Target::Text).unwrap();
    assert_eq!(
        shown(&plain.array),
        ["1", "2", "-", "[3]", "true", "", "a\nb"]
    );
    assert_eq!(plain.unreadable, 0);
}

#[test]
fn types_are_read_by_name() {
    assert_eq!(
        "decimal(50,3)".parse::<Target>().unwrap().data_type(),
        DataType::Decimal256(50, 3)
    );
    assert_eq!(
        "timestamp".parse::<Target>().unwrap().data_type(),
        DataType::Timestamp(TimeUnit::Microsecond, None)
    );
    for bad in [
        "int46",
        "decimal",
        "decimal(80,1)",
        "json",
        "",
        "int32",
        "decimal(2,3)",
    ] {
        assert_eq!(
            bad.parse::<Target>().unwrap_err().stable_code(),
            "unknown_type",
            "{bad}"
        );
    }
}

const TARGETS: [&str; 7] = [
    "int64",
    "float64",
    "decimal(20,3)",
    "string",
    "bool",
    "date",
    "timestamp",
];

proptest! {
    #[test]
    fn numbers_come_back_from_text(values in prop::collection::vec(prop::option::of(any::<i64>()), 0..20)) {
        let array: ArrayRef = Arc::new(Int64Array::from(values));
        for way in ["string", "decimal(19,0)", "timestamp"] {
            let there = convert(&array, &field(&array), way.parse().unwrap()).unwrap().array;
            let back = convert(&there, &field(&there), Target::Int64).unwrap().array;
            prop_assert_eq!(&array, &back, "{}", way);
        }
    }

    #[test]
    fn floats_come_back_from_text(values in prop::collection::vec(prop::num::f64::NORMAL, 0..20)) {
        let array: ArrayRef = Arc::new(Float64Array::from(values));
        let there = convert(&array, &field(&array), Target::Text).unwrap().array;
        let back = convert(&there, &field(&there), Target::Float64).unwrap().array;
        prop_assert_eq!(&array, &back);
    }

    #[test]
    fn every_pair_gives_the_type_and_no_panic(cells in prop::collection::vec(prop::option::of("[-0-9.:TZa ]{0,12}"), 0..6)) {
        let array: ArrayRef = Arc::new(StringArray::from(cells));
        for first in TARGETS {
            let made = convert(&array, &field(&array), first.parse().unwrap()).unwrap().array;
            for second in TARGETS {
                let target: Target = second.parse().unwrap();
                let twice = convert(&made, &field(&made), target).unwrap();
                prop_assert_eq!(twice.array.len(), array.len());
                let expected = target.data_type();
                prop_assert_eq!(twice.array.data_type(), &expected);
                let again = convert(&twice.array, &field(&twice.array), target).unwrap();
                prop_assert_eq!(again.unreadable, 0);
                prop_assert_eq!(&again.array, &twice.array);
            }
        }
    }
}
