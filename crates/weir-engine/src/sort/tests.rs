//! Rows sorted in memory and with runs on disk, against a plain stable sort.

use arrow::array::{AsArray, Float64Array, Int32Array, StringArray, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, UInt64Type};
use weir_core::memory::Memory;
use weir_values::dice::Dice;

use super::*;
use crate::{Engine, EngineLimits};

const LITTLE: usize = 3 << 20;
const MUCH: usize = 512 << 20;

/// Batches of a whole number, a float, a text and the place of the row. Many
/// texts begin alike.
fn batches(rows: usize) -> (SchemaRef, Vec<RecordBatch>) {
    let mut dice = Dice::new(7, 0);
    let fields = vec![
        Field::new("n", DataType::Int32, true),
        Field::new("x", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("place", DataType::UInt64, false),
    ];
    let schema = Arc::new(Schema::new(fields));
    let mut made = Vec::new();
    let mut before = 0;
    while before < rows {
        let size = (dice.below(900) as usize + 1).min(rows - before);
        let numbers = (0..size).map(|_| (dice.below(9) > 0).then(|| dice.below(50) as i32 - 25));
        let numbers = Int32Array::from_iter(numbers.collect::<Vec<_>>());
        let floats = (0..size).map(|_| match dice.below(12) {
            0 => None,
            1 => Some(f64::NAN),
            2 => Some(-0.0),
            3 => Some(0.0),
            n => Some((dice.below(40) as f64 - 20.0) * n as f64),
        });
        let floats = Float64Array::from_iter(floats.collect::<Vec<_>>());
        let texts = (0..size).map(|_| match dice.below(9) {
            0 => None,
            1 => Some(String::new()),
            n => Some(format!("the same beginning of all {}", dice.below(n * 30))),
        });
        let texts = StringArray::from_iter(texts.collect::<Vec<_>>());
        let places = UInt64Array::from_iter_values(before as u64..(before + size) as u64);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(numbers),
            Arc::new(floats),
            Arc::new(texts),
            Arc::new(places),
        ];
        made.push(RecordBatch::try_new(Arc::clone(&schema), columns).unwrap());
        before += size;
    }
    (schema, made)
}

fn by(column: &str, ascending: bool, nulls: Nulls) -> Order {
    Order {
        column: column.to_owned(),
        ascending,
        nulls,
    }
}

/// Places of the rows in their order.
async fn sorted(
    batches: &[RecordBatch],
    schema: &SchemaRef,
    order: &[Order],
    limit: Option<u64>,
    bytes: usize,
) -> Vec<u64> {
    let dir = tempfile::tempdir().unwrap();
    let limits = EngineLimits {
        spill_dir: dir.path().to_path_buf(),
        spill_bytes: 1 << 30,
    };
    let engine = Engine::new(limits).unwrap();
    let task = engine.task(&Memory::new(bytes, bytes).account());
    let pool = Arc::clone(task.memory_pool());
    let rows: Vec<_> = batches.iter().cloned().map(Ok).collect();
    let rows = futures::stream::iter(rows).boxed();
    let compute = Compute::current();
    let rows = sort(rows, schema, order, limit, task, &compute).unwrap();
    let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    assert_eq!(pool.reserved(), 0);
    let all = concat_batches(schema, &rows).unwrap();
    all.column(3).as_primitive::<UInt64Type>().values().to_vec()
}

/// The same by the standard library.
fn plain(batches: &[RecordBatch], schema: &SchemaRef, order: &[Order]) -> Vec<u64> {
    let all = concat_batches(schema, batches).unwrap();
    let keys = keys(schema, order).unwrap();
    let columns: Vec<ArrayRef> = keys.iter().map(|key| key.values(&all).unwrap()).collect();
    let compare = |a: usize, b: usize| {
        let pairs = keys.iter().zip(&columns).map(|(key, column)| {
            let options = key.options;
            arrow::array::make_comparator(column, column, options).unwrap()(a, b)
        });
        pairs.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    };
    let mut places: Vec<usize> = (0..all.num_rows()).collect();
    places.sort_by(|a, b| compare(*a, *b));
    places.into_iter().map(|place| place as u64).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_disk_give_the_order_of_a_plain_sort() {
    let (schema, batches) = batches(4_000);
    let orders = [
        vec![by("n", true, Nulls::Last)],
        vec![by("n", false, Nulls::First), by("x", true, Nulls::First)],
        vec![by("x", false, Nulls::Last), by("n", true, Nulls::First)],
        vec![by("s", true, Nulls::Last)],
        vec![by("s", false, Nulls::First), by("x", false, Nulls::Last)],
    ];
    for order in orders {
        let wanted = plain(&batches, &schema, &order);
        for bytes in [MUCH, 640 << 10] {
            let found = sorted(&batches, &schema, &order, None, bytes).await;
            assert!(found == wanted, "{order:?} within {bytes} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outgrows_memory_on_its_way_is_sorted_all_the_same() {
    let (schema, batches) = batches(60_000);
    let order = [by("s", true, Nulls::Last), by("n", false, Nulls::First)];
    let much = sorted(&batches, &schema, &order, None, MUCH).await;
    let little = sorted(&batches, &schema, &order, None, LITTLE).await;
    assert!(much == little);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rows_of_many_are_those_of_all() {
    let (schema, batches) = batches(120_000);
    let order = [by("x", true, Nulls::Last)];
    let all = sorted(&batches, &schema, &order, None, MUCH).await;
    for limit in [10, 110_000, 1_000_000] {
        let found = sorted(&batches, &schema, &order, Some(limit), MUCH).await;
        let wanted = all.len().min(limit as usize);
        assert!(found == all[..wanted], "{limit}");
    }
}
