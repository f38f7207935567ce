//! Literal, by pattern and by whole cells.

use std::sync::Arc;

use arrow::array::*;
use proptest::prelude::*;

use super::*;

fn column(cells: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(cells.to_vec()))
}

fn texts(array: &ArrayRef) -> Vec<Option<String>> {
    let texts = Texts::of(array).unwrap();
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

fn replaced(replacer: &Replacer, cells: &[&str]) -> Vec<String> {
    let changed = replacer.replace(&column(cells)).unwrap();
    texts(&changed.array)
        .into_iter()
        .map(Option::unwrap)
        .collect()
}

#[test]
fn literals_stay_inside_their_cells() {
    let replacer = Replacer::literal("aa", "$1").unwrap();
    assert_eq!(
        replaced(&replacer, &["a", "a", "aaa", "", "aa", "ba", "ab"]),
        ["a", "a", "$1a", "", "$1", "ba", "ab"]
    );
    let replacer = Replacer::literal(".", "").unwrap();
    assert_eq!(replaced(&replacer, &["a.b.", "..", "x"]), ["ab", "", "x"]);
    assert!(Replacer::literal("", "x").is_err());
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert!(Arc::ptr_eq(
        &replacer.replace(&numbers).unwrap().array,
        &numbers
    ));
}

#[test]
fn null_cells_are_left_alone() {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 2, 4]));
    let hidden = StringArray::new(
        offsets,
        b"xxxx".to_vec().into(),
        Some(vec![true, false].into()),
    );
    let changed = Replacer::literal("x", "yy")
        .unwrap()
        .replace(&(Arc::new(hidden) as ArrayRef))
        .unwrap();
    assert_eq!(texts(&changed.array), [Some("yyyy".to_owned()), None]);
    assert_eq!(changed.cells, 1);
}

#[test]
fn texts_do_not_grow_without_end() {
    let (cell, long) = ("a".repeat(1 << 20), "b".repeat(1 << 20));
    for array in [
        column(&[&cell]),
        Arc::new(LargeStringArray::from(vec![cell.as_str()])) as ArrayRef,
        Arc::new(StringViewArray::from(vec![cell.as_str()])),
    ] {
        for replacer in [
            Replacer::literal("a", &long).unwrap(),
            Replacer::regex("a", &long, false).unwrap(),
            Replacer::regex("(a+)", &"$1".repeat(1 << 19), false).unwrap(),
        ] {
            let error = replacer.replace(&array).unwrap_err();
            assert_eq!(error.stable_code(), "too_large_to_compute");
        }
    }
}

#[test]
fn groups_are_named_in_both_ways() {
    let swap =
        |replacement: &str| Replacer::regex(r"(?P<a>\w+) (\w+)", replacement, false).unwrap();
    for replacement in ["$2 $1", r"\2 \1", "${2} ${a}", r"\g<2> \g<a>", "$2 $a"] {
        assert_eq!(
            replaced(&swap(replacement), &["x y", "z"]),
            ["y x", "z"],
            "{replacement}"
        );
    }
    for (replacement, made) in [
        ("$10", "x0"),
        (r"\1g", "xg"),
        ("$$1", "$1"),
        (r"\\1", r"\1"),
        ("$9", "$9"),
        (r"\d $ \", r"\d $ \"),
        ("$0!", "x y!"),
        ("${zz}", "${zz}"),
    ] {
        assert_eq!(
            replaced(&swap(replacement), &["x y"]),
            [made],
            "{replacement}"
        );
    }
    let optional = Replacer::regex("(a)|(b)", "<$1$2>", false).unwrap();
    assert_eq!(replaced(&optional, &["ab"]), ["<a><b>"]);
    let whole = Replacer::regex("a|ab", "x", true).unwrap();
    assert_eq!(replaced(&whole, &["ab", "a", "abc"]), ["x", "x", "abc"]);
    let edges = Replacer::regex(r"^\s+|\s+$", "", false).unwrap();
    assert_eq!(replaced(&edges, &[" a ", "b"]), ["a", "b"]);
}

#[test]
fn bad_patterns_are_told() {
    for pattern in ["(", "[a", "(?=a)", "a{1000}{1000}{100}", "x)|(y"] {
        assert_eq!(
            Replacer::regex(pattern, "", true)
                .unwrap_err()
                .stable_code(),
            "invalid_pattern",
            "{pattern}"
        );
    }
}

#[test]
fn whole_cells_of_every_type_are_replaced() {
    let check = |array: ArrayRef, pattern: &str, replacement: &str, expected: ArrayRef| {
        let field = Field::new("a", array.data_type().clone(), true);
        let one = |text| value_of(&field, text).unwrap().unwrap();
        let changed = whole_cells(&array, &one(pattern), &one(replacement)).unwrap();
        assert_eq!(&changed.array, &expected);
    };
    check(
        Arc::new(Int64Array::from(vec![Some(-1), Some(i64::MAX), None])),
        "9223372036854775807",
        "0",
        Arc::new(Int64Array::from(vec![Some(-1), Some(0), None])),
    );
    check(
        Arc::new(Float64Array::from(vec![0.0, -0.0, 1.5])),
        "0",
        "2",
        Arc::new(Float64Array::from(vec![2.0, 2.0, 1.5])),
    );
    check(
        Arc::new(UInt64Array::from(vec![u64::MAX, 1])),
        "18446744073709551615",
        "7",
        Arc::new(UInt64Array::from(vec![7, 1])),
    );
    check(
        Arc::new(BooleanArray::from(vec![true, false])),
        "true",
        "no",
        Arc::new(BooleanArray::from(vec![false, false])),
    );
    check(
        Arc::new(Date32Array::from(vec![0, 1])),
        "1970-01-02",
        "1970-01-01",
        Arc::new(Date32Array::from(vec![0, 0])),
    );
    check(column(&["a", "aa"]), "a", "b", column(&["b", "aa"]));
    let zoned = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampSecondArray::from(values).with_timezone("+02:00"))
    };
    check(
        zoned(vec![0, 60]),
        "1970-01-01T02:00+02:00",
        "1970-01-01T00:01Z",
        zoned(vec![60, 60]),
    );
    let decimal = |values: Vec<i128>| -> ArrayRef {
        Arc::new(
            Decimal128Array::from(values)
                .with_precision_and_scale(5, 2)
                .unwrap(),
        )
    };
    check(decimal(vec![150, 15]), "1.5", "2", decimal(vec![200, 15]));
    let whole = Field::new("a", DataType::Int8, true);
    for text in ["300", "1.5", "x"] {
        assert!(value_of(&whole, text).unwrap().is_none(), "{text}");
    }
    assert!(value_of(&whole, "1.0").unwrap().is_some());
}

proptest! {
    #[test]
    fn a_sweep_gives_what_each_cell_gives(
        cells in prop::collection::vec(prop::option::of("[abé]{0,6}"), 0..12), pattern in "[abé]{1,3}", replacement in "[abé$]{0,3}", from in 0_usize..4
    ) {
        let from = from.min(cells.len());
        let replacer = Replacer::literal(&pattern, &replacement).unwrap();
        let expected: Vec<Option<String>> = cells[from..].iter().map(|cell| cell.as_ref().map(|cell| cell.replace(&pattern, &replacement))).collect();
        for array in [
            Arc::new(StringArray::from(cells.clone())) as ArrayRef,
            Arc::new(LargeStringArray::from(cells.clone())),
            Arc::new(cells.iter().map(Option::as_deref).collect::<StringViewArray>()),
        ] {
            let changed = replacer.replace(&array.slice(from, cells.len() - from)).unwrap();
            prop_assert_eq!(changed.array.data_type(), array.data_type());
            prop_assert_eq!(&texts(&changed.array), &expected);
        }
    }

    #[test]
    fn no_replacement_is_too_odd(pattern in ".{0,8}", replacement in r"[\\$0-3a{}<>g]{0,8}", cell in ".{0,8}") {
        if let Ok(replacer) = Replacer::regex(&pattern, &replacement, false) {
            let _ = replacer.replace(&column(&[&cell])).unwrap();
        }
    }
}
