//! Every Arrow type with nulls and extremes, there and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DictionaryArray, DurationMicrosecondArray, FixedSizeBinaryArray, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, LargeStringArray,
    ListArray, NullArray, StringArray, StringViewArray, StructArray, Time32MillisecondArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::compute::cast;
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, IntervalMonthDayNano, Schema, i256};
use arrow::record_batch::RecordBatch;
use weir_core::WriteMode;

use super::Aim;
use crate::{Outcome, ensure, ok};

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Of five values one is null, one an extreme.
    fn some<T>(
        &mut self,
        rows: usize,
        extremes: &[T],
        mut any: impl FnMut(u64) -> T,
    ) -> Vec<Option<T>>
    where
        T: Clone,
    {
        let one = |_| match self.roll() % 5 {
            0 => None,
            1 if !extremes.is_empty() => {
                let place = self.roll() as usize % extremes.len();
                Some(extremes[place].clone())
            }
            _ => Some(any(self.roll())),
        };
        (0..rows).map(one).collect()
    }
}

const TEXTS: [&str; 7] = [
    "",
    " ",
    "a,b\"c\nd\r\n'e;",
    "ä€😀",
    "null",
    "\\N\\t",
    "=1+1",
];

fn text(roll: u64) -> String {
    let length = roll % 20;
    (0..length)
        .map(|at| char::from(b'a' + ((roll >> (at % 8)) % 26) as u8))
        .collect()
}

/// A moment between 1900 and 2100, in seconds.
fn moment(roll: u64) -> i64 {
    (roll % 6_311_433_600) as i64 - 2_208_988_800
}

/// `rows` rows of every type, the same for the same seed. The first column is
/// `id`, which counts.
pub fn batch(seed: u64, rows: usize) -> RecordBatch {
    let mut dice = Dice(seed);
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    let mut add = |name: &str, array: ArrayRef| {
        columns.push((Field::new(name, array.data_type().clone(), true), array));
    };
    add("id", Arc::new(Int64Array::from_iter_values(0..rows as i64)));
    numbers(&mut dice, rows, &mut add);
    texts(&mut dice, rows, &mut add);
    moments(&mut dice, rows, &mut add);
    nested(&mut dice, rows, &mut add);
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    RecordBatch::try_new(Arc::clone(&schema), arrays)
        .unwrap_or_else(|_| RecordBatch::new_empty(schema))
}

type Add<'a> = dyn FnMut(&str, ArrayRef) + 'a;

fn numbers(dice: &mut Dice, rows: usize, add: &mut Add<'_>) {
    add(
        "bool",
        Arc::new(BooleanArray::from(dice.some(rows, &[], |r| r % 2 == 0))),
    );
    add(
        "int8",
        Arc::new(Int8Array::from(
            dice.some(rows, &[i8::MIN, i8::MAX], |r| r as i8),
        )),
    );
    add(
        "int16",
        Arc::new(Int16Array::from(dice.some(
            rows,
            &[i16::MIN, i16::MAX],
            |r| r as i16,
        ))),
    );
    add(
        "int32",
        Arc::new(Int32Array::from(dice.some(
            rows,
            &[i32::MIN, i32::MAX],
            |r| r as i32,
        ))),
    );
    add(
        "int64",
        Arc::new(Int64Array::from(dice.some(
            rows,
            &[i64::MIN, i64::MAX],
            |r| r as i64,
        ))),
    );
    add(
        "uint8",
        Arc::new(UInt8Array::from(dice.some(rows, &[u8::MAX], |r| r as u8))),
    );
    add(
        "uint16",
        Arc::new(UInt16Array::from(
            dice.some(rows, &[u16::MAX], |r| r as u16),
        )),
    );
    add(
        "uint32",
        Arc::new(UInt32Array::from(
            dice.some(rows, &[u32::MAX], |r| r as u32),
        )),
    );
    add(
        "uint64",
        Arc::new(UInt64Array::from(dice.some(rows, &[u64::MAX], |r| r))),
    );
    let floats = [0.1_f32, -0.0, f32::MAX, f32::MIN_POSITIVE];
    let float = |r: u64| (r as i32) as f32 / 64.0;
    add(
        "float32",
        Arc::new(Float32Array::from(dice.some(rows, &floats, float))),
    );
    let floats = [0.1, -0.0, f64::MAX, f64::MIN_POSITIVE, 1e-300];
    let float = |r: u64| (r as i64) as f64 / 1_024.0;
    add(
        "float64",
        Arc::new(Float64Array::from(dice.some(rows, &floats, float))),
    );
    let most = 10_i128.pow(38) - 1;
    let decimal = |r: u64| i128::from(r as i64) * 1_000_003;
    let values = Decimal128Array::from(dice.some(rows, &[most, -most, 1, 10_000, 0], decimal));
    add(
        "decimal",
        described(values.with_precision_and_scale(38, 10)),
    );
    let values = Decimal128Array::from(dice.some(rows, &[999, -1, 0], |r| i128::from(r % 1_000)));
    add(
        "small_decimal",
        described(values.with_precision_and_scale(3, 3)),
    );
    let wide = i256::from_i128(most).wrapping_mul(i256::from_i128(10_i128.pow(30)));
    let wider =
        |r: u64| i256::from_i128(i128::from(r) << 60).wrapping_mul(i256::from_i128(1 << 40));
    let values = Decimal256Array::from(dice.some(rows, &[wide, i256::ONE], wider));
    add(
        "wide_decimal",
        described(values.with_precision_and_scale(76, 20)),
    );
}

/// An array, or an empty one that no comparison takes.
fn described<A: Array + 'static>(array: Result<A, arrow::error::ArrowError>) -> ArrayRef {
    array.map_or_else(
        |_| Arc::new(NullArray::new(0)) as ArrayRef,
        |array| Arc::new(array),
    )
}

fn texts(dice: &mut Dice, rows: usize, add: &mut Add<'_>) {
    let extremes = TEXTS.map(str::to_owned);
    let mut some = || dice.some(rows, &extremes, text);
    add("name", Arc::new(StringArray::from(some())));
    add("large_text", Arc::new(LargeStringArray::from(some())));
    add("view_text", Arc::new(StringViewArray::from_iter(some())));
    let words = some();
    let words: DictionaryArray<Int32Type> = words.iter().map(Option::as_deref).collect();
    add("words", Arc::new(words));
    let bytes = dice.some(rows, &[vec![0, 255, 10, 92], Vec::new()], |r| {
        r.to_be_bytes().to_vec()
    });
    add("binary", Arc::new(BinaryArray::from_iter(bytes)));
    let fixed = dice.some(rows, &[[0; 4], [255; 4]], |r| (r as u32).to_be_bytes());
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed.into_iter(), 4);
    add("fixed_binary", described(fixed));
    add("nothing", Arc::new(NullArray::new(rows)));
}

fn moments(dice: &mut Dice, rows: usize, add: &mut Add<'_>) {
    let day = |r: u64| (moment(r) / 86_400) as i32;
    add(
        "date",
        Arc::new(Date32Array::from(dice.some(
            rows,
            &[-719_162, 2_932_896, 0],
            day,
        ))),
    );
    let micros = 86_400_000_000_u64;
    let time = |r: u64| (r % micros) as i64;
    add(
        "time",
        Arc::new(Time64MicrosecondArray::from(dice.some(
            rows,
            &[0, micros as i64 - 1],
            time,
        ))),
    );
    let time = |r: u64| (r % 86_400_000) as i32;
    add(
        "time_ms",
        Arc::new(Time32MillisecondArray::from(dice.some(
            rows,
            &[0, 86_399_999],
            time,
        ))),
    );
    let micro = |r: u64| moment(r) * 1_000_000 + (r % 1_000_000) as i64;
    let ends = [-62_135_596_800_000_000, 253_402_300_799_999_999, -1];
    let some = dice.some(rows, &ends, micro);
    add("at", Arc::new(TimestampMicrosecondArray::from(some)));
    let some = TimestampMicrosecondArray::from(dice.some(rows, &ends, micro));
    add("at_utc", Arc::new(some.with_timezone("UTC")));
    let milli = |r: u64| moment(r) * 1_000 + (r % 1_000) as i64;
    let some = TimestampMillisecondArray::from(dice.some(rows, &[-1, 0], milli));
    add("at_zone", Arc::new(some.with_timezone("Europe/Vienna")));
    add(
        "at_second",
        Arc::new(TimestampSecondArray::from(dice.some(
            rows,
            &[-1, 0],
            moment,
        ))),
    );
    let span = |r: u64| (r as i64) / 1_000_000;
    add(
        "duration",
        Arc::new(DurationMicrosecondArray::from(dice.some(
            rows,
            &[0, -1],
            span,
        ))),
    );
    let span = |r: u64| {
        IntervalMonthDayNano::new(
            (r % 1_000) as i32 - 500,
            (r % 77) as i32 - 30,
            (r as i32 as i64) * 1_000,
        )
    };
    add(
        "interval",
        Arc::new(IntervalMonthDayNanoArray::from(dice.some(rows, &[], span))),
    );
}

fn nested(dice: &mut Dice, rows: usize, add: &mut Add<'_>) {
    let items = |r: u64| {
        (0..r % 4)
            .map(|at| (!(r + at).is_multiple_of(5)).then_some((r >> at) as i64))
            .collect()
    };
    let lists: Vec<Option<Vec<Option<i64>>>> = dice.some(rows, &[Vec::new()], items);
    add(
        "list",
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)),
    );
    let ids: ArrayRef = Arc::new(Int64Array::from(dice.some(rows, &[], |r| r as i64)));
    let texts: ArrayRef = Arc::new(StringArray::from(dice.some(
        rows,
        &TEXTS.map(str::to_owned),
        text,
    )));
    let fields = vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
    ];
    add(
        "record",
        described(StructArray::try_new(fields.into(), vec![ids, texts], None)),
    );
}

/// The columns that the target has types for.
fn taken(aim: &Aim<'_>, batch: &RecordBatch) -> Result<RecordBatch, String> {
    let schema = batch.schema();
    let places: Vec<usize> = (0..batch.num_columns())
        .filter(|place| {
            !aim.expect
                .left_out
                .contains(&schema.field(*place).name().as_str())
        })
        .collect();
    batch.project(&places).map_err(|error| error.to_string())
}

async fn there_and_back(aim: &Aim<'_>, name: &str, sent: &RecordBatch) -> Outcome {
    let written = aim.write(name, WriteMode::Replace, &[], sent).await;
    let written = ok("the write", written)?;
    let rows = sent.num_rows() as u64;
    ensure(
        written.rows == rows,
        format!("{} rows written, not {rows}", written.rows),
    )?;
    let Some(came) = aim.read(name).await? else {
        return Err("the stream is not there".into());
    };
    ensure(
        came.num_rows() == sent.num_rows(),
        format!("{} rows came", came.num_rows()),
    )?;
    if came.num_columns() == 0 {
        return Ok(());
    }
    let schema = sent.schema();
    for (field, sent) in schema.fields().iter().zip(sent.columns()) {
        let name = field.name();
        let Some(came) = came.column_by_name(name) else {
            return Err(format!("no column `{name}` came back"));
        };
        same(name, sent, came, aim.expect.lossy.contains(&name.as_str()))?;
    }
    Ok(())
}

fn same(name: &str, sent: &ArrayRef, came: &ArrayRef, lossy: bool) -> Outcome {
    let (before, after) = (sent.logical_nulls(), came.logical_nulls());
    let is_null = |nulls: &Option<arrow::buffer::NullBuffer>, row| {
        nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    };
    for row in 0..sent.len() {
        let as_before = is_null(&before, row) == is_null(&after, row);
        ensure(
            as_before,
            format!("`{name}`: row {row} is null on one side only"),
        )?;
    }
    if lossy || *sent.data_type() == DataType::Null {
        return Ok(());
    }
    let type_ = came.data_type();
    let back = cast(came, sent.data_type());
    let back = back.map_err(|error| format!("`{name}` came back as {type_}: {error}"))?;
    if sent.data_type().is_nested() {
        return ensure(
            back.to_data() == sent.to_data(),
            format!("`{name}` changed"),
        );
    }
    let differs = distinct(&back, sent).map_err(|error| format!("`{name}`: {error}"))?;
    match differs.values().set_indices().next() {
        None => Ok(()),
        Some(row) => Err(format!(
            "`{name}` changed in row {row}: {:?} to {:?}",
            sent.slice(row, 1),
            back.slice(row, 1)
        )),
    }
}

pub(super) async fn every_type(aim: &Aim<'_>) -> Outcome {
    there_and_back(aim, "types", &taken(aim, &batch(0, 200))?).await
}

pub(super) async fn random(aim: &Aim<'_>) -> Outcome {
    for seed in 1..12 {
        // Sizes around those at which batches are cut, too.
        let rows = [1, 7, 1_000, 3, 64, 2_048][seed as usize % 6];
        let sent = taken(aim, &batch(seed, rows))?;
        there_and_back(aim, "random", &sent)
            .await
            .map_err(|what| format!("seed {seed}: {what}"))?;
    }
    Ok(())
}

pub(super) async fn empty(aim: &Aim<'_>) -> Outcome {
    let sent = taken(aim, &batch(0, 0))?;
    there_and_back(aim, "empty", &sent).await
}
