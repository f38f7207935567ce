//! The engine against a naive reading of its rules; and what is rendered in
//! either form of a filter against what is parsed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod naive;
mod render;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::{StreamExt, TryStreamExt};
use naive::{Row, keeps, order_of};
use proptest::prelude::*;
use render::{OPS, condition, tree};
use serde_json::json;
use weir_core::task::Compute;
use weir_core::{
    Comparison, Nulls, Operand, Order, Predicate, PushDown, Pushed, Read, Scan, StreamId, Target,
    Value,
};
use weir_engine::{Engine, EngineLimits, parse_condition, parse_filter, parse_predicate};

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let whole = || prop::option::of(prop_oneof![-3_i64..4, Just(i64::MAX), Just(i64::MIN)]);
    let float = prop::option::of(prop_oneof![
        (-3_i8..4).prop_map(|v| f64::from(v) / 2.0),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
    ]);
    let decimal = prop::option::of(-300_i128..300);
    let text = prop::option::of("[abé \u{1F427}]{0,3}");
    let row = (
        whole(),
        whole(),
        float,
        decimal,
        text,
        prop::option::of(any::<bool>()),
    );
    let row = row.prop_map(|(i, j, f, d, s, b)| Row { i, j, f, d, s, b });
    prop::collection::vec(row, 1..40)
}

fn batch(rows: &[Row]) -> RecordBatch {
    let decimals: Decimal128Array = rows.iter().map(|row| row.d).collect();
    let columns: [(&str, ArrayRef); 7] = [
        (
            "i",
            Arc::new(rows.iter().map(|row| row.i).collect::<Int64Array>()),
        ),
        (
            "j",
            Arc::new(rows.iter().map(|row| row.j).collect::<Int64Array>()),
        ),
        (
            "f",
            Arc::new(rows.iter().map(|row| row.f).collect::<Float64Array>()),
        ),
        (
            "d",
            Arc::new(decimals.with_precision_and_scale(20, 2).unwrap()),
        ),
        (
            "s",
            Arc::new(
                rows.iter()
                    .map(|row| row.s.as_deref())
                    .collect::<StringArray>(),
            ),
        ),
        (
            "b",
            Arc::new(rows.iter().map(|row| row.b).collect::<BooleanArray>()),
        ),
        (
            "row",
            Arc::new(Int64Array::from_iter_values(0..rows.len() as i64)),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3_i64..4).prop_map(Value::Int),
        Just(Value::Int(i64::MAX)),
        (-300_i32..300).prop_map(|v| Value::Number(format!("{:.2}", f64::from(v) / 100.0))),
        Just(Value::Number("1.005".into())),
        Just(Value::Number("99999999999999999999".into())),
    ]
}

fn text() -> impl Strategy<Value = String> {
    "[abé '\"\\\\]{0,3}"
}

fn made(column: &str, op: Comparison, right: Operand) -> Predicate {
    Predicate::Compare {
        column: column.into(),
        op,
        right,
    }
}

fn compare() -> impl Strategy<Value = Predicate> {
    let op = || prop::sample::select(OPS.to_vec());
    prop_oneof![
        (prop::sample::select(vec!["i", "f", "d"]), op(), number())
            .prop_map(|(column, op, value)| made(column, op, Operand::Value(value))),
        (op(), text()).prop_map(|(op, text)| made("s", op, Operand::Value(Value::Text(text)))),
        (any::<bool>(), any::<bool>()).prop_map(|(eq, value)| {
            let op = if eq { Comparison::Eq } else { Comparison::Ne };
            made("b", op, Operand::Value(Value::Bool(value)))
        }),
        op().prop_map(|op| made("i", op, Operand::Column("j".into()))),
    ]
}

fn leaf() -> impl Strategy<Value = Predicate> {
    let column = || prop::sample::select(vec!["i", "f", "d", "s", "b"]);
    let pattern = prop::sample::select(vec!["^a", "b$", "é", "a.b"]);
    prop_oneof![
        4 => compare(),
        1 => prop::collection::vec(number(), 0..3)
            .prop_map(|values| Predicate::In { column: "i".into(), values }),
        1 => (number(), number())
            .prop_map(|(low, high)| Predicate::Between { column: "d".into(), low, high }),
        1 => (pattern, any::<bool>()).prop_map(|(pattern, negated)| {
            Predicate::Contains { column: "s".into(), pattern: pattern.into(), negated }
        }),
        1 => text().prop_map(|prefix| Predicate::StartsWith { column: "s".into(), prefix }),
        1 => column().prop_map(|c| Predicate::IsNull(c.into())),
        1 => column().prop_map(|c| Predicate::IsNotNull(c.into())),
        1 => column().prop_map(|c| Predicate::IsNullOrEmpty(c.into())),
        1 => column().prop_map(|c| Predicate::IsBlank(c.into())),
    ]
}

fn predicate() -> impl Strategy<Value = Predicate> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::Or),
            inner.prop_map(|part| Predicate::Not(Box::new(part))),
        ]
    })
}

fn order() -> impl Strategy<Value = Vec<Order>> {
    let column = prop::sample::select(vec!["i", "f", "d", "s", "b"]);
    let key = (column, any::<bool>(), any::<bool>()).prop_map(|(column, ascending, first)| Order {
        column: column.into(),
        ascending,
        nulls: if first { Nulls::First } else { Nulls::Last },
    });
    prop::collection::vec(key, 1..4)
}

fn read() -> Read {
    Read::all(Target::Stream(StreamId::from_parts(["t"])))
}

/// What the engine makes of `read` when the source pushes nothing down.
fn finished(batches: Vec<RecordBatch>, read: &Read) -> Vec<RecordBatch> {
    let dir = tempfile::tempdir().unwrap();
    let limits = EngineLimits {
        spill_dir: dir.path().to_path_buf(),
        spill_bytes: 1 << 30,
    };
    let scan = Scan {
        schema: batches[0].schema(),
        stream: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
        pushed: Pushed {
            filter: vec![PushDown::No; read.filter.len()],
            ..Pushed::default()
        },
        estimate: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer = Engine::new(limits)
        .unwrap()
        .finish(
            scan,
            read,
            &weir_core::Account::unbounded(),
            &Compute::new(runtime.handle().clone()),
        )
        .unwrap();
    let batches: Vec<RecordBatch> = runtime.block_on(answer.stream.try_collect()).unwrap();
    assert!(batches.iter().all(|batch| batch.schema() == answer.schema));
    batches
}

/// The numbers of the rows that come, in their order; the rows are given in
/// two batches.
fn numbers(rows: &[Row], read: &Read) -> Vec<i64> {
    let whole = batch(rows);
    let half = rows.len() / 2;
    let halves = vec![whole.slice(0, half), whole.slice(half, rows.len() - half)];
    let row = |batch: &RecordBatch| {
        batch
            .column_by_name("row")
            .unwrap()
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    };
    finished(halves, read).iter().flat_map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_residue_keeps_what_the_rules_keep(rows in rows(), predicate in predicate()) {
        let read = Read { filter: predicate.clone().conjuncts(), ..read() };
        let kept = rows.iter().zip(0_i64..).filter(|(row, _)| keeps(&predicate, row));
        let expected: Vec<i64> = kept.map(|(_, number)| number).collect();
        prop_assert_eq!(numbers(&rows, &read), expected);
    }

    #[test]
    fn a_rendered_tree_parses_to_itself(predicate in predicate()) {
        let json = tree(&predicate);
        prop_assert_eq!(&parse_predicate(&json, "/filter").unwrap(), &predicate);
        let wrapped = json!({ "predicate": json });
        prop_assert_eq!(parse_filter(&wrapped, "/filter").unwrap(), predicate.conjuncts());
    }

    #[test]
    fn a_rendered_condition_parses_to_itself(predicate in predicate()) {
        if let Some(text) = condition(&predicate) {
            prop_assert_eq!(parse_condition(&text, "/filter").unwrap(), predicate, "{}", text);
        }
    }

    #[test]
    fn orders_are_stable_and_put_nulls_where_they_belong(
        rows in rows(), order in order(), limit in prop::option::of(0_u64..50)
    ) {
        let mut sorted: Vec<usize> = (0..rows.len()).collect();
        sorted.sort_by(|a, b| order_of(&rows[*a], &rows[*b], &order));
        sorted.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        let expected: Vec<i64> = sorted.into_iter().map(|row| row as i64).collect();
        let read = Read { order, limit, ..read() };
        prop_assert_eq!(numbers(&rows, &read), expected);
    }
}

#[test]
fn repeated_names_survive_and_can_be_told_apart() {
    let column = |values: [i64; 2]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let field = || Field::new("a", DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![field(), field()]));
    let batch = RecordBatch::try_new(schema, vec![column([1, 2]), column([20, 10])]).unwrap();
    let values = |batch: &RecordBatch, index: usize| {
        batch
            .column(index)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    };
    let key = Order {
        column: "a_2".into(),
        ascending: true,
        nulls: Nulls::Last,
    };
    let sorted = finished(
        vec![batch.clone()],
        &Read {
            order: vec![key],
            ..read()
        },
    );
    assert_eq!(sorted[0].num_columns(), 2);
    assert_eq!(
        (values(&sorted[0], 0), values(&sorted[0], 1)),
        (vec![2, 1], vec![10, 20])
    );
    let filter = parse_condition("a_2 > 15", "/filter").unwrap().conjuncts();
    let kept = finished(
        vec![batch],
        &Read {
            filter,
            columns: Some(vec!["a_2".into()]),
            ..read()
        },
    );
    assert_eq!(kept[0].schema().field(0).name(), "a_2");
    assert_eq!(values(&kept[0], 0), [20]);
}
