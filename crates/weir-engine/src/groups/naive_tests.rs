//! Steps against a plain evaluation, with memory enough and with so little that
//! everything is sorted.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::steps::testing::through;

/// A row: key, second key, number, float.
type Row = (Option<String>, Option<i64>, Option<i64>, Option<f64>);

fn table() -> impl Strategy<Value = (Vec<Row>, usize)> {
    let key = prop_oneof![
        1 => Just(None),
        4 => "[a-d]{0,1}".prop_map(Some),
        1 => Just(Some("a key that is longer than sixteen bytes".to_owned())),
        1 => "[éü]{1,9}".prop_map(Some),
    ];
    let second = prop_oneof![1 => Just(None), 5 => (0_i64..3).prop_map(Some)];
    let number = prop_oneof![1 => Just(None), 5 => (-50_i64..50).prop_map(Some), 1 => Just(Some((1 << 53) + 1))];
    // Halves, so that sums are exact in any order.
    let float =
        prop_oneof![1 => Just(None), 5 => (-9_i32..9).prop_map(|n| Some(f64::from(n) / 2.0))];
    let row = (key, second, number, float);
    (prop::collection::vec(row, 0..60), 1_usize..9)
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("j", DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
    ]))
}

fn batches(rows: &[Row], cut: usize) -> Vec<RecordBatch> {
    let batch = |rows: &[Row]| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(
                rows.iter()
                    .map(|row| row.0.as_deref())
                    .collect::<StringArray>(),
            ),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<Float64Array>()),
        ];
        RecordBatch::try_new(schema(), columns).unwrap()
    };
    rows.chunks(cut).map(batch).collect()
}

/// What a request may hold here. So many bytes more than this are the room of
/// its tables, and one: see `most_of`.
pub(super) const LIMIT: usize = 64 << 20;

/// Rooms that are asked for in this way.
pub(super) const MOST_ROOM: usize = 1 << 16;

/// The rows that come of a step: the same with room for tables, with none, and
/// with `room` bytes.
fn answer(rows: &[Row], cut: usize, room: usize, step: &Value) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let given = |bytes: usize| {
        let steps = json!([step]);
        let out = runtime.block_on(through(schema(), batches(rows, cut), &steps, &[], bytes));
        let out = out.unwrap_or_else(|error| panic!("{step}: {error:?}"));
        out.rows().as_array().unwrap().clone()
    };
    let answer = given(LIMIT);
    assert_eq!(answer, given(LIMIT + 1), "no room: {step}");
    assert_eq!(answer, given(LIMIT + 1 + room), "{room} bytes: {step}");
    answer
}

/// The key of a row; a row with a null in it has none.
fn group_of(row: &Row) -> Option<(String, i64)> {
    Some((row.0.clone()?, row.1?))
}

fn groups(rows: &[Row]) -> HashMap<(String, i64), Vec<&Row>> {
    let mut groups: HashMap<_, Vec<&Row>> = HashMap::new();
    for row in rows {
        if let Some(key) = group_of(row) {
            groups.entry(key).or_default().push(row);
        }
    }
    groups
}

/// A function over numbers, evaluated plainly.
fn plain(function: &str, values: &[Option<i64>]) -> Value {
    let known: Vec<i64> = values.iter().flatten().copied().collect();
    let mut sorted = known.clone();
    sorted.sort_unstable();
    let half = sorted.len() / 2;
    let middle = match (sorted.len(), sorted.len() % 2) {
        (0, _) => json!(null),
        (_, 1) => json!(sorted[half] as f64),
        _ => json!((i128::from(sorted[half - 1]) + i128::from(sorted[half])) as f64 / 2.0),
    };
    sorted.dedup();
    match function {
        "sum" => json!(known.iter().sum::<i64>()),
        "count" => json!(known.len()),
        "count_distinct" => json!(sorted.len()),
        "min" => json!(sorted.first()),
        "max" => json!(sorted.last()),
        "first" => json!(known.first()),
        "last" => json!(known.last()),
        "median" => middle,
        _ => json!(null),
    }
}

fn same(left: &Value, right: &Value) -> bool {
    left == right || left.as_f64().is_some() && left.as_f64() == right.as_f64()
}

const FUNCTIONS: [&str; 8] = [
    "sum",
    "count",
    "count_distinct",
    "min",
    "max",
    "first",
    "last",
    "median",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn broadcasts_are_those_of_a_plain_evaluation(
        (rows, cut) in table(),
        room in 0..8000_usize,
        function in prop::sample::select(&FUNCTIONS[..]),
        masked in any::<bool>(),
    ) {
        let mut step = json!({"op": function, "columns": ["n"], "group_by": ["k", "j"], "names": ["r"]});
        if masked {
            step["condition"] = json!("f > 0");
        }
        let made = answer(&rows, cut, room, &step);
        prop_assert_eq!(made.len(), rows.len());
        let groups = groups(&rows);
        for (row, made) in rows.iter().zip(made) {
            let expected = match group_of(row).map(|key| &groups[&key]) {
                None => json!(null),
                Some(group) => {
                    let counted = group.iter().filter(|row| !masked || row.3.is_some_and(|f| f > 0.0));
                    let values: Vec<Option<i64>> = counted.map(|row| row.2).collect();
                    if values.is_empty() { json!(null) } else { plain(function, &values) }
                }
            };
            prop_assert!(same(&made["r"], &expected), "{} {} {}", function, made, expected);
            prop_assert_eq!(&made["n"], &json!(row.2));
        }
        let whole = json!({"op": function, "columns": ["n", "f"]});
        answer(&rows, cut, room, &whole);
    }

    #[test]
    fn aggregates_are_those_of_a_plain_evaluation(
        (rows, cut) in table(),
        room in 0..8000_usize,
        with_median in any::<bool>(),
    ) {
        let functions = if with_median { &FUNCTIONS[..] } else { &["sum", "count", "min", "max", "first", "last"][..] };
        let wanted: Vec<Value> = functions
            .iter()
            .map(|function| json!({"function": function, "column": "n", "name": function}))
            .chain(["min", "max", "first", "last", "average", "std"].map(|f| json!({"function": f, "column": "f"})))
            .chain([json!({"function": "max", "column": "k", "name": "t"}), json!({"function": "count", "name": "all"})])
            .collect();
        let step = json!({"op": "aggregate", "group_by": ["k", "j"], "aggregations": wanted});
        let made = answer(&rows, cut, room, &step);
        let mut order: Vec<(Option<String>, Option<i64>)> = Vec::new();
        let mut groups: HashMap<_, Vec<Option<i64>>> = HashMap::new();
        for row in &rows {
            let key = (row.0.clone(), row.1);
            if !groups.contains_key(&key) {
                order.push(key.clone());
            }
            groups.entry(key).or_default().push(row.2);
        }
        prop_assert_eq!(made.len(), order.len());
        for (key, made) in order.iter().zip(made) {
            prop_assert_eq!((&made["k"], &made["j"]), (&json!(key.0), &json!(key.1)));
            prop_assert_eq!(&made["t"], &json!(key.0));
            prop_assert_eq!(&made["all"], &json!(groups[key].len()));
            for function in functions {
                let expected = plain(function, &groups[key]);
                prop_assert!(same(&made[*function], &expected), "{} {} {}", function, made, expected);
            }
        }
    }

    #[test]
    fn rows_that_stay_are_those_of_a_plain_evaluation(
        (rows, cut) in table(),
        room in 0..8000_usize,
        keep in prop::sample::select(&["first", "last", "none"][..]),
    ) {
        let step = json!({"op": "drop_duplicates", "columns": ["k", "j"], "keep": keep});
        let made = answer(&rows, cut, room, &step);
        let key = |row: &Row| (row.0.clone(), row.1);
        let stays = |at: usize| {
            let equal: Vec<usize> = (0..rows.len()).filter(|n| key(&rows[*n]) == key(&rows[at])).collect();
            match keep {
                "first" => equal.first() == Some(&at),
                "last" => equal.last() == Some(&at),
                _ => equal.len() == 1,
            }
        };
        let expected: Vec<Value> = (0..rows.len()).filter(|at| stays(*at)).map(|at| json!(rows[at].2)).collect();
        let made: Vec<Value> = made.iter().map(|row| row["n"].clone()).collect();
        prop_assert_eq!(made, expected);
        answer(&rows, cut, room, &json!({"op": "drop_duplicates", "keep": keep}));
    }

    #[test]
    fn moves_are_those_of_a_plain_evaluation(
        (rows, cut) in table(),
        room in 0..300_000_usize,
        periods in prop_oneof![-3_i64..4, -20_i64..20],
        by_groups in any::<bool>(),
        is_down in any::<bool>(),
    ) {
        let room = room.min(MOST_ROOM - 1);
        let group_by = if by_groups { json!(["k", "j"]) } else { json!([]) };
        let op = if is_down { "shift_down" } else { "shift_up" };
        let step = json!({"op": op, "column": "k", "periods": periods, "group_by": group_by, "fill": "x", "name": "r"});
        let made = answer(&rows, cut, room, &step);
        let step = json!({"op": "diff", "column": "f", "periods": if is_down { periods } else { -periods }, "group_by": group_by, "name": "r"});
        let apart = answer(&rows, cut, room, &step);
        let far = if is_down { -periods } else { periods };
        for at in 0..rows.len() {
            let peers: Vec<usize> = match (by_groups, group_of(&rows[at])) {
                (false, _) => (0..rows.len()).collect(),
                (true, None) => Vec::new(),
                (true, key) => (0..rows.len()).filter(|n| group_of(&rows[*n]) == key).collect(),
            };
            let place = peers.iter().position(|n| *n == at);
            let other = place.map(|place| usize::try_from(place as i64 + far).ok().and_then(|n| peers.get(n)));
            let expected = match other {
                None => json!(null),
                Some(None) => json!("x"),
                Some(Some(n)) => json!(rows[*n].0),
            };
            prop_assert_eq!(&made[at]["r"], &expected);
            let before = other.flatten().and_then(|n| rows[*n].3);
            let expected = rows[at].3.zip(before).map(|(now, before)| now - before);
            prop_assert_eq!(&apart[at]["r"], &json!(expected));
        }
    }
}

#[test]
fn moves_beyond_what_is_kept_in_a_queue() {
    let rows: Vec<Row> = (0..40_000).map(|n| (None, None, Some(n), None)).collect();
    for (op, first, last) in [
        ("shift_down", json!(null), json!(19_999)),
        ("shift_up", json!(20_000), json!(null)),
    ] {
        let step = json!({"op": op, "column": "n", "periods": 20_000, "name": "r"});
        let made = answer(&rows, 7000, 0, &step);
        assert_eq!((&made[0]["r"], &made[39_999]["r"]), (&first, &last), "{op}");
    }
}

#[test]
fn many_groups_come_back_in_their_order() {
    let rows: Vec<Row> = (0..30_000_i64)
        .map(|n| {
            (
                Some(format!("{}", n * 7919 % 11_000)),
                Some(0),
                Some(n % 5),
                None,
            )
        })
        .collect();
    let wanted: Vec<Value> = ["sum", "median", "count_distinct"]
        .iter()
        .map(|function| json!({"function": function, "column": "n"}))
        .collect();
    for wanted in [&wanted[..1], &wanted[..]] {
        let step = json!({"op": "aggregate", "group_by": ["k"], "aggregations": wanted});
        assert_eq!(answer(&rows, 4096, 60_000, &step).len(), 11_000);
    }
    let step = json!({"op": "median", "columns": ["n"], "group_by": ["k"]});
    assert_eq!(answer(&rows, 4096, 60_000, &step).len(), 30_000);
}
