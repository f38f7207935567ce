//! Every step over a column of every type that a source may give: what cannot be
//! done is refused, and nothing that a caller sends is a fault of ours.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray, new_null_array,
};
use arrow::compute::{cast, concat};
use arrow::datatypes::{
    DataType, Field, Fields, Int64Type, IntervalUnit, Schema, SchemaRef, TimeUnit,
};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use weir_core::evaluate::is_text;
use weir_core::{Kind, Result};
use weir_values::ColumnKind;

use super::testing::{context, engine};
use super::{Ask, At, Others, Pipeline, Side, TransformOptions};
use crate::read::Engine;

fn types() -> Vec<DataType> {
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let members = Fields::from(vec![Field::new("a", DataType::Int64, true)]);
    let entries = Fields::from(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", DataType::Int64, true),
    ]);
    let entries = Field::new("entries", DataType::Struct(entries), false);
    vec![
        DataType::Null,
        DataType::Boolean,
        DataType::Int8,
        DataType::Int64,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal32(5, 2),
        DataType::Decimal64(10, -2),
        DataType::Decimal128(38, 10),
        DataType::Decimal256(76, 20),
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
        DataType::FixedSizeBinary(2),
        DataType::Date32,
        DataType::Date64,
        DataType::Time32(TimeUnit::Second),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())),
        DataType::Duration(TimeUnit::Millisecond),
        DataType::Interval(IntervalUnit::YearMonth),
        DataType::Interval(IntervalUnit::DayTime),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        DataType::List(item(DataType::Int64)),
        DataType::LargeList(item(DataType::Float64)),
        DataType::FixedSizeList(item(DataType::Int64), 2),
        DataType::Struct(members),
        DataType::Map(Arc::new(entries), false),
    ]
}

/// Some values and a null of a type; nulls alone where there is no way to make any.
fn values(data_type: &DataType) -> ArrayRef {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(0), Some(1)]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![
        Some("ab"),
        None,
        Some(""),
        Some("1"),
    ]));
    let lists = [
        Some(vec![Some(1), None]),
        None,
        Some(vec![Some(2), Some(3)]),
        Some(vec![Some(1), None]),
    ];
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
    if let DataType::Struct(fields) = data_type {
        return Arc::new(StructArray::new(fields.clone(), vec![numbers], None));
    }
    let fixed = matches!(data_type, DataType::FixedSizeBinary(_));
    let made = [numbers, texts, lists].into_iter().filter(|_| !fixed);
    let cast = |array: ArrayRef| {
        cast(&array, data_type)
            .ok()
            .filter(|made| made.null_count() < 4)
    };
    let made = made.filter_map(cast).next();
    made.unwrap_or_else(|| new_null_array(data_type, 4))
}

fn table(data_type: &DataType) -> (SchemaRef, Vec<RecordBatch>) {
    let fields = vec![
        Field::new("x", data_type.clone(), true),
        Field::new("n", DataType::Int64, true),
        Field::new("t", DataType::Utf8, true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let once = values(data_type);
    let x = concat(&[once.as_ref(), once.as_ref(), once.as_ref()]).unwrap();
    let n = Int64Array::from_iter((0..12).map(|n| (n != 7).then_some(n)));
    let t = StringArray::from_iter((0..12).map(|n| (n != 5).then(|| (n % 3).to_string())));
    let columns = vec![x, Arc::new(n) as ArrayRef, Arc::new(t)];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    (schema, vec![batch.slice(0, 5), batch.slice(5, 7)])
}

/// The same table beside itself.
struct Itself(SchemaRef, Vec<RecordBatch>);

#[async_trait]
impl Others for Itself {
    async fn open(&self, _: &Ask, _: &At) -> Result<Side> {
        Ok(side(&self.0, &self.1))
    }
}

fn side(schema: &SchemaRef, batches: &[RecordBatch]) -> Side {
    let batches: Vec<_> = batches.iter().cloned().map(Ok).collect();
    Side {
        schema: Arc::clone(schema),
        stream: futures::stream::iter(batches).boxed(),
    }
}

/// Steps over the column `x`, and what they are given beside it.
fn steps() -> Vec<Value> {
    let mut steps = vec![
        json!({"op": "rename", "names": {"x": "y"}}),
        json!({"op": "fix_syntax_errors", "columns": ["x"]}),
        json!({"op": "diff", "column": "x", "group_by": ["t"]}),
        json!({"op": "diff", "column": "n", "group_by": ["x"]}),
        json!({"op": "shift_down", "column": "x", "group_by": ["x"]}),
        json!({"op": "shift_up", "column": "x", "fill": 1}),
        json!({"op": "shift_up", "column": "x", "fill": "1"}),
        json!({"op": "drop_duplicates", "columns": ["x"]}),
        json!({"op": "drop_duplicates", "columns": ["x"], "keep": "none"}),
        json!({"op": "sort_rows", "by": [{"column": "x"}, {"column": "n", "ascending": false}]}),
        json!({"op": "drop_nulls", "columns": ["x"]}),
        json!({"op": "remove_outliers", "columns": ["x", "n"], "method": "iqr"}),
        json!({"op": "remove_outliers", "columns": ["x", "n"], "method": "lof"}),
        json!({"op": "filter_rows", "where": "x = x"}),
        json!({"op": "filter_rows", "condition": "x == n or x > 1 or x == 'a' or x contains 'a'"}),
        json!({"op": "sql", "query": "select x, count(*) as n from input group by x order by x"}),
        json!({"op": "sql", "query": "select max(x) as m, count(distinct x) as n from input"}),
        json!({"op": "sql", "query": "select a.x, row_number() over (order by a.x) as n from input a join input b on a.x = b.x"}),
        json!({"op": "add_column", "name": "z", "expression": "coalesce(x, null)"}),
        json!({"op": "add_column", "name": "z", "expression": "cast(x as text)"}),
        json!({"op": "add_column", "name": "z", "expression": "x || x"}),
        json!({"op": "add_column", "name": "z", "udf": "if_else", "condition": "n > 1", "then": {"column": "x"}, "else": 1}),
        json!({"op": "add_column", "name": "z", "udf": "date_trunc", "columns": ["x"], "date_part": "week"}),
        json!({"op": "add_column", "name": "z", "udf": "formatted_date", "columns": ["x"], "format": "%Y"}),
        json!({"op": "add_column", "name": "z", "udf": "substring", "columns": ["x"], "start": 0, "stop": 1}),
        json!({"op": "replace", "columns": ["x"], "pattern": "1", "replacement": "b", "whole_cell": true}),
        json!({"op": "replace", "columns": ["x"], "pattern": "1", "replacement": "b", "regex": true}),
        json!({"op": "aggregate", "group_by": ["x"], "aggregations": [{"function": "count"}]}),
        json!({"op": "sum", "columns": ["n"], "group_by": ["x"]}),
        json!({"op": "sum", "columns": ["n"], "window_seconds": 5, "timestamp_a": "x", "timestamp_b": "x"}),
        json!({"op": "impute", "columns": ["t"], "strategy": "sequential", "order_by": ["x"]}),
        json!({"op": "impute", "columns": ["x"], "strategy": "column", "source_column": "t"}),
        json!({"op": "impute", "columns": ["t"], "strategy": "column", "source_column": "x"}),
        json!({"op": "fill_nulls", "columns": ["x"], "method": "constant", "value": "1"}),
        json!({"op": "fill_nulls", "columns": ["x"], "method": "bfill"}),
        json!({"op": "normalize", "columns": ["x"]}),
        json!({"op": "standardize", "columns": ["x"]}),
    ];
    for op in ["lowercase", "trim_whitespace", "clean_column_names"] {
        steps.push(json!({"op": op, "columns": ["x"]}));
    }
    for mode in ["caps", "currency", "date", "trim"] {
        steps.push(json!({"op": "reformat", "mode": mode, "columns": ["x"], "case": "upper"}));
    }
    for to in [
        "int64",
        "float64",
        "decimal(10,2)",
        "string",
        "bool",
        "date",
        "timestamp",
    ] {
        steps.push(json!({"op": "convert_type", "columns": ["x"], "type": to}));
        steps.push(json!({"op": "convert_type", "columns": ["x"], "type": to, "on_error": "fail"}));
    }
    for strategy in [
        "average",
        "median",
        "mode",
        "constant",
        "random",
        "sequential",
        "row_rm",
        "auto",
    ] {
        steps.push(json!({"op": "impute", "columns": ["x"], "strategy": strategy}));
    }
    for op in [
        "average",
        "sum",
        "min",
        "max",
        "median",
        "count",
        "count_distinct",
        "first",
        "last",
    ] {
        steps.push(json!({"op": op, "columns": ["x"], "group_by": ["t"]}));
    }
    for function in ["std", "var", "min", "first", "median", "count_distinct"] {
        let one = json!({"function": function, "column": "x"});
        steps.push(json!({"op": "aggregate", "group_by": ["t"], "aggregations": [one]}));
    }
    for udf in ["addition", "difference", "multiply", "divide"] {
        steps.push(json!({"op": "add_column", "name": "z", "udf": udf, "columns": ["x", "n"]}));
        steps.push(
            json!({"op": "add_column", "name": "z", "udf": udf, "columns": ["x"], "value": 2}),
        );
    }
    for how in ["left", "inner", "full", "semi", "anti"] {
        steps.push(json!({"op": "join", "data": [], "left_on": ["x"], "how": how}));
    }
    steps
}

async fn done(
    engine: &Engine,
    (schema, batches): &(SchemaRef, Vec<RecordBatch>),
    step: &Value,
    kind: Option<ColumnKind>,
    memory: usize,
) -> Result<()> {
    let options = TransformOptions {
        kinds: kind
            .map(|kind| ("x".to_owned(), kind))
            .into_iter()
            .collect(),
        others: Some(Arc::new(Itself(Arc::clone(schema), batches.clone()))),
        ..TransformOptions::default()
    };
    let pipeline = Pipeline::parse(std::slice::from_ref(step), "/steps")?;
    let ctx = context(memory);
    let out = engine
        .transform(side(schema, batches), &pipeline, &options, &ctx)
        .await?;
    let _rows: Vec<RecordBatch> = out.stream.try_collect().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_type_of_a_column_makes_a_fault_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut faults = Vec::new();
    for data_type in types() {
        let table = table(&data_type);
        let mut ways = vec![(None, 64 << 20), (None, 1 << 16)];
        if is_text(&data_type) {
            ways.push((Some(ColumnKind::Number), 64 << 20));
            ways.push((Some(ColumnKind::Datetime), 64 << 20));
        }
        for step in steps() {
            for (kind, memory) in ways.iter().copied() {
                let Err(error) = done(&engine, &table, &step, kind, memory).await else {
                    continue;
                };
                if error.kind() == Kind::Internal {
                    faults.push(format!(
                        "{data_type} {kind:?} {step}: {:?}",
                        error.log_detail()
                    ));
                    break;
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
