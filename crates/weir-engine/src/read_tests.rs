//! The residue: filter, order, limit and columns over a scan that pushed nothing.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use weir_core::Account;
use weir_core::task::Compute;
use weir_core::{Nulls, Order, PushDown, Pushed, Read, Scan, StreamId, Target};

use super::{Engine, EngineLimits};
use crate::parse_condition;

fn memory(bytes: usize) -> Account {
    weir_core::Memory::new(bytes, bytes).account()
}

fn engine(dir: &std::path::Path) -> Engine {
    Engine::new(EngineLimits {
        spill_dir: dir.to_path_buf(),
        spill_bytes: 1 << 30,
    })
    .unwrap()
}

fn scan(batches: Vec<RecordBatch>, conjuncts: usize) -> Scan {
    Scan {
        schema: batches[0].schema(),
        stream: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
        pushed: Pushed {
            filter: vec![PushDown::No; conjuncts],
            ..Pushed::default()
        },
        estimate: None,
    }
}

fn rows(n: i64) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
    ]);
    let keys = Int64Array::from_iter((0..n).map(|i| (i % 10 != 0).then_some((i * 7919) % n)));
    let texts = StringArray::from_iter_values((0..n).map(|i| format!("{:050}", i % 100)));
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(texts)]).unwrap()
}

fn read() -> Read {
    Read::all(Target::Stream(StreamId::from_parts(["t"])))
}

fn by(column: &str, nulls: Nulls) -> Order {
    Order {
        column: column.into(),
        ascending: true,
        nulls,
    }
}

#[tokio::test]
async fn filter_order_limit_and_columns_in_that_order() {
    let dir = tempfile::tempdir().unwrap();
    let read = Read {
        filter: parse_condition("k >= 5 and s contains '1$'", "/filter")
            .unwrap()
            .conjuncts(),
        order: vec![by("k", Nulls::Last)],
        limit: Some(2),
        columns: Some(vec!["s".into(), "k".into()]),
        ..read()
    };
    let answer = engine(dir.path())
        .finish(
            scan(vec![rows(1000)], 2),
            &read,
            &memory(64 << 20),
            &Compute::current(),
        )
        .unwrap();
    assert_eq!(answer.residue, ["filter", "order_by", "limit", "columns"]);
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await.unwrap();
    let keys: Vec<i64> = batches
        .iter()
        .flat_map(|b| b.column(1).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[0] >= 5 && keys[0] < keys[1]);
    assert_eq!(answer.schema.field(0).name(), "s");
}

#[tokio::test]
async fn sorting_spills_and_stays_stable() {
    let dir = tempfile::tempdir().unwrap();
    let batches: Vec<RecordBatch> = (0..40).map(|_| rows(10_000)).collect();
    let read = Read {
        order: vec![by("s", Nulls::First)],
        ..read()
    };
    let answer = engine(dir.path())
        .finish(
            scan(batches, 0),
            &read,
            &memory(16 << 20),
            &Compute::current(),
        )
        .unwrap();
    let sorted: Vec<RecordBatch> = answer.stream.try_collect().await.unwrap();
    let count: usize = sorted.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(count, 400_000);
    let firsts = sorted[0].column(0).as_primitive::<Int64Type>();
    let expected = rows(10_000);
    let expected = expected.column(0).as_primitive::<Int64Type>();
    for (place, row) in (0..50).zip((0..10_000).step_by(100)) {
        assert_eq!(firsts.is_null(place), expected.is_null(row));
        if !firsts.is_null(place) {
            assert_eq!(firsts.value(place), expected.value(row), "row {row}");
        }
    }
    assert_eq!(
        std::fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .filter(|e| std::fs::read_dir(e.path()).is_ok_and(|mut d| d.next().is_some()))
            .count(),
        0
    );
}

#[tokio::test]
async fn nothing_left_passes_through() {
    let dir = tempfile::tempdir().unwrap();
    let answer = engine(dir.path())
        .finish(
            scan(vec![rows(10)], 0),
            &read(),
            &memory(1 << 20),
            &Compute::current(),
        )
        .unwrap();
    assert!(answer.residue.is_empty());
}

#[tokio::test]
async fn unknown_columns_have_pointers() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let pointer = |read: &Read| {
        engine
            .finish(
                scan(vec![rows(10)], read.filter.len()),
                read,
                &memory(1 << 20),
                &Compute::current(),
            )
            .err()
            .unwrap()
            .fields()[0]
            .pointer
            .clone()
    };
    assert_eq!(
        pointer(&Read {
            columns: Some(vec!["s".into(), "kk".into()]),
            ..read()
        }),
        "/columns/1"
    );
    assert_eq!(
        pointer(&Read {
            order: vec![by("kk", Nulls::Last)],
            ..read()
        }),
        "/order_by/0"
    );
    let filter = parse_condition("kk == 1", "/filter").unwrap().conjuncts();
    assert_eq!(pointer(&Read { filter, ..read() }), "/filter");
}
