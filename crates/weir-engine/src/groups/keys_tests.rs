use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{Field, Float64Type, Int32Type, Int64Type};
use proptest::prelude::*;

use super::*;

fn ids_of(keys: &mut GroupKeys, columns: &[ArrayRef]) -> (Vec<u32>, Vec<u32>) {
    let (mut ids, mut fresh) = (Vec::new(), Vec::new());
    let rows = KeyRows::of(columns, columns[0].len()).unwrap();
    keys.ids(&rows, &mut ids, &mut fresh).unwrap();
    (ids, fresh)
}

fn once(nulls: NullKeys, columns: &[ArrayRef]) -> Vec<u32> {
    ids_of(&mut GroupKeys::new(nulls), columns).0
}

#[test]
fn numbers_count_up_in_order_of_appearance() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(7),
        None,
        Some(i64::MAX),
        Some(7),
        Some(i64::MAX - 1),
        None,
    ]));
    let columns = [column];
    assert_eq!(once(NullKeys::Group, &columns), [0, 1, 2, 0, 3, 1]);
    assert_eq!(once(NullKeys::Nobody, &columns), [0, NONE, 1, 0, 2, NONE]);
}

#[test]
fn zeros_are_equal_and_nan_is_null() {
    let column: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(0.0),
        Some(-0.0),
        Some(f64::NAN),
        None,
        Some(1.0),
    ]));
    assert_eq!(
        once(NullKeys::Group, &[Arc::clone(&column)]),
        [0, 0, 1, 1, 2]
    );
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"; 5]));
    assert_eq!(once(NullKeys::Group, &[text, column]), [0, 0, 1, 1, 2]);
}

#[test]
fn the_empty_text_is_a_key_and_neighbours_do_not_run_together() {
    let left: ArrayRef = Arc::new(StringArray::from(vec!["", "a", "ab", "", "é", "a"]));
    let right: ArrayRef = Arc::new(LargeStringArray::from(vec![
        Some("ab"),
        Some("b"),
        Some(""),
        None,
        Some("ü"),
        Some("b"),
    ]));
    let columns = [left, right];
    assert_eq!(once(NullKeys::Group, &columns), [0, 1, 2, 3, 4, 1]);
    assert_eq!(once(NullKeys::Nobody, &columns), [0, 1, 2, NONE, 3, 1]);
}

#[test]
fn lists_decimals_and_dictionaries_are_keys() {
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![Some(1), None]),
        Some(vec![]),
    ]));
    assert_eq!(once(NullKeys::Group, &[Arc::clone(&lists)]), [0, 1, 0, 2]);
    assert_eq!(once(NullKeys::Nobody, &[lists]), [0, NONE, 0, 1]);
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b"), Some("a")]
        .into_iter()
        .collect();
    assert_eq!(once(NullKeys::Group, &[Arc::new(dictionary)]), [0, 1, 2, 0]);
    let decimals = Decimal128Array::from(vec![Some(5), Some(5), None]);
    assert_eq!(once(NullKeys::Group, &[Arc::new(decimals)]), [0, 0, 1]);
    assert_eq!(
        once(NullKeys::Group, &[Arc::new(NullArray::new(3))]),
        [0, 0, 0]
    );
}

#[test]
fn zeros_in_lists_and_structures_are_equal() {
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(vec![
        Some(vec![Some(0.0), None]),
        Some(vec![Some(-0.0), None]),
        Some(vec![Some(1.0)]),
    ]));
    assert_eq!(once(NullKeys::Group, &[Arc::clone(&lists)]), [0, 0, 1]);
    let field = Field::new("a", lists.data_type().clone(), true);
    let nested = StructArray::new(vec![field].into(), vec![lists], None);
    let nested: ArrayRef = Arc::new(nested);
    assert_eq!(once(NullKeys::Group, &[nested.slice(1, 2)]), [0, 1]);
    assert_eq!(once(NullKeys::Group, &[nested]), [0, 0, 1]);
}

#[test]
fn a_frozen_table_finds_and_adds_nothing() {
    let mut keys = GroupKeys::new(NullKeys::Group);
    let first: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    ids_of(&mut keys, &[first]);
    keys.freeze();
    let second: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), Some(2), None]));
    let (ids, fresh) = ids_of(&mut keys, &[second]);
    assert_eq!(ids, [UNKNOWN, 1, UNKNOWN]);
    assert!(fresh.is_empty());
    assert_eq!(keys.len(), 2);
}

#[test]
fn without_columns_all_rows_are_one_group() {
    let mut keys = GroupKeys::new(NullKeys::Nobody);
    let (mut ids, mut fresh) = (Vec::new(), Vec::new());
    let rows = |rows| KeyRows::of(&[], rows).unwrap();
    keys.ids(&rows(0), &mut ids, &mut fresh).unwrap();
    assert!(ids.is_empty() && keys.len() == 0);
    keys.ids(&rows(3), &mut ids, &mut fresh).unwrap();
    assert_eq!((ids, fresh, keys.len()), (vec![0, 0, 0], vec![0], 1));
}

type Row = (Option<i64>, Option<String>, Option<f64>);

fn row() -> impl Strategy<Value = Row> {
    let number = prop_oneof![
        Just(None),
        (-3_i64..3).prop_map(Some),
        Just(Some(i64::MIN)),
        any::<i64>().prop_map(Some)
    ];
    let text = prop_oneof![
        Just(None),
        "[ab]{0,2}".prop_map(Some),
        Just(Some("a text of more than sixteen bytes".to_owned())),
        "[a\u{0}é]{0,20}".prop_map(Some),
    ];
    let float = prop_oneof![
        Just(None),
        Just(Some(0.0)),
        Just(Some(-0.0)),
        (-2_i8..2).prop_map(|n| Some(f64::from(n) / 4.0))
    ];
    (number, text, float)
}

fn columns(rows: &[Row], width: usize) -> Vec<ArrayRef> {
    let all: [ArrayRef; 3] = [
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.1.as_deref())
                .collect::<StringViewArray>(),
        ),
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
    ];
    all[..width].to_vec()
}

proptest! {
    #[test]
    fn groups_are_those_of_a_plain_map(
        rows in prop::collection::vec(row(), 0..200),
        width in 1_usize..4,
        cut in 1_usize..50,
    ) {
        let mut known = HashMap::new();
        let mut keys = GroupKeys::new(NullKeys::Group);
        for part in rows.chunks(cut) {
            let before = keys.len();
            let (ids, fresh) = ids_of(&mut keys, &columns(part, width));
            prop_assert_eq!(fresh.len(), keys.len() - before);
            for (row, id) in part.iter().zip(ids) {
                let float = row.2.map(|x| (x + 0.0).to_bits());
                let key = (
                    row.0,
                    row.1.clone().filter(|_| width > 1),
                    float.filter(|_| width > 2),
                );
                let next = known.len() as u32;
                prop_assert_eq!(*known.entry((key, row.1.is_some() && width > 1)).or_insert(next), id);
            }
        }
        prop_assert!(keys.bytes() <= keys.bytes_with(0));
    }
}
