//! Every Arrow type with nulls and extremes: what comes out of a reader is
//! what went in, digit by digit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::ipc::reader::StreamReader;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, TimeDelta};
use proptest::prelude::*;
use serde_json::Value;
use weir_formats::{ArrowCodec, EncodeOptions, Format, Output, Shape, encoder};

fn batch(columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn of(array: impl Array + 'static) -> RecordBatch {
    let field = Field::new("v", array.data_type().clone(), true);
    batch(vec![(field, Arc::new(array) as ArrayRef)])
}

fn encode(format: Format, batches: &[RecordBatch], options: &EncodeOptions) -> Vec<u8> {
    let mut encoder = encoder(format, &batches[0].schema(), options).unwrap();
    let mut out = Output::default();
    encoder.start(&mut out).unwrap();
    for batch in batches {
        encoder.batch(batch, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out.concat()
}

/// The values of the column `v`, read back by another JSON reader, from the
/// array, from the lines, and from rows that are lists.
fn values(batch: &RecordBatch, options: &EncodeOptions) -> Vec<Value> {
    let array = encode(Format::Json, &[batch.clone(), batch.clone()], options);
    let rows: Vec<HashMap<String, Value>> = serde_json::from_slice(&array).unwrap();
    let found: Vec<Value> = rows
        .into_iter()
        .map(|mut row| row.remove("v").unwrap())
        .collect();
    let (first, second) = found.split_at(batch.num_rows());
    assert_eq!(first, second);
    let lines =
        String::from_utf8(encode(Format::Ndjson, std::slice::from_ref(batch), options)).unwrap();
    let by_line: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["v"].clone())
        .collect();
    assert_eq!(first, by_line);
    let options = EncodeOptions {
        shape: Shape::Arrays,
        ..options.clone()
    };
    let array = encode(Format::Json, std::slice::from_ref(batch), &options);
    let rows: Vec<Vec<Value>> = serde_json::from_slice(&array).unwrap();
    assert_eq!(rows[0], [Value::from("v")]);
    assert!(rows[1..].iter().map(|row| &row[0]).eq(first));
    first.to_vec()
}

fn plain() -> EncodeOptions {
    EncodeOptions::default()
}

/// The written form of numbers, the text of strings, `None` for null.
fn texts(batch: &RecordBatch) -> Vec<Option<String>> {
    let text = |value: Value| match value {
        Value::Null => None,
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    values(batch, &plain()).into_iter().map(text).collect()
}

fn sliced(batch: &RecordBatch) -> RecordBatch {
    batch.slice(1, batch.num_rows().saturating_sub(2).max(1))
}

fn integers<T>(seeds: &[Option<i64>], make: impl Fn(i64) -> T::Native)
where
    T: ArrowPrimitiveType,
    T::Native: ToString,
{
    let given: Vec<Option<T::Native>> = seeds.iter().map(|seed| seed.map(&make)).collect();
    let array = PrimitiveArray::<T>::from_iter(given.iter().copied());
    let expected: Vec<Option<String>> = given
        .iter()
        .map(|v| v.as_ref().map(ToString::to_string))
        .collect();
    let batch = of(array);
    assert_eq!(texts(&batch), expected);
    assert_eq!(texts(&sliced(&batch)), expected[1..expected.len() - 1]);
}

/// A decimal of 18 digits is below this.
const WIDE: i64 = 1_000_000_000_000_000_000;

fn seeds() -> impl Strategy<Value = Vec<Option<i64>>> {
    let seed = prop_oneof![
        any::<i64>(),
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0),
        -100_i64..100
    ];
    prop::collection::vec(prop::option::weighted(0.8, seed), 3..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whole_numbers(seeds in seeds()) {
        integers::<Int8Type>(&seeds, |v| v as i8);
        integers::<Int16Type>(&seeds, |v| v as i16);
        integers::<Int32Type>(&seeds, |v| v as i32);
        integers::<Int64Type>(&seeds, |v| v);
        integers::<UInt8Type>(&seeds, |v| v as u8);
        integers::<UInt16Type>(&seeds, |v| v as u16);
        integers::<UInt32Type>(&seeds, |v| v as u32);
        integers::<UInt64Type>(&seeds, |v| v as u64);
    }

    #[test]
    fn decimals(seeds in seeds(), high in any::<i64>(), scale in -4_i8..=38) {
        let wide = |seed: i64| (i128::from(high) << 60) ^ i128::from(seed);
        let given: Vec<Option<i128>> = seeds.iter().map(|s| s.map(wide)).collect();
        let array = Decimal128Array::from(given.clone()).with_precision_and_scale(38, scale).unwrap();
        let show = |v: i128| Decimal128Type::format_decimal(v, 38, scale);
        let expected: Vec<Option<String>> = given.iter().map(|v| v.map(show)).collect();
        prop_assert_eq!(texts(&of(array)), expected);
        let given: Vec<Option<i256>> = given.iter().map(|v| v.map(|v| i256::from_i128(v).wrapping_mul(i256::from_i128(v)))).collect();
        let array = Decimal256Array::from(given.clone()).with_precision_and_scale(76, scale).unwrap();
        let show = |v: i256| Decimal256Type::format_decimal(v, 76, scale);
        let expected: Vec<Option<String>> = given.iter().map(|v| v.map(show)).collect();
        prop_assert_eq!(texts(&of(array)), expected);
        let scale = scale.clamp(0, 9);
        let array = Decimal32Array::from_iter(seeds.iter().map(|s| s.map(|v| (v % 1_000_000_000) as i32)));
        let expected: Vec<Option<String>> = seeds.iter()
            .map(|s| s.map(|v| Decimal32Type::format_decimal((v % 1_000_000_000) as i32, 9, scale))).collect();
        prop_assert_eq!(texts(&of(array.with_precision_and_scale(9, scale).unwrap())), expected);
        let array = Decimal64Array::from_iter(seeds.iter().map(|s| s.map(|v| v % WIDE)));
        let expected: Vec<Option<String>> = seeds.iter()
            .map(|s| s.map(|v| Decimal64Type::format_decimal(v % WIDE, 18, scale))).collect();
        prop_assert_eq!(texts(&of(array.with_precision_and_scale(18, scale).unwrap())), expected);
    }

    #[test]
    fn floats(given in prop::collection::vec(prop::option::of(any::<f64>()), 3..20)) {
        let read = |text: Option<String>| text.map(|t| t.parse::<f64>().unwrap().to_bits());
        let finite = |v: &Option<f64>| v.filter(|v| v.is_finite()).map(f64::to_bits);
        let expected: Vec<Option<u64>> = given.iter().map(finite).collect();
        let found: Vec<Option<u64>> = texts(&of(Float64Array::from(given.clone()))).into_iter().map(read).collect();
        prop_assert_eq!(found, expected);
        let single: Vec<Option<f32>> = given.iter().map(|v| v.map(|v| v as f32)).collect();
        let read = |text: Option<String>| text.map(|t| t.parse::<f32>().unwrap().to_bits());
        let expected: Vec<Option<u32>> = single.iter().map(|v| v.filter(|v| v.is_finite()).map(f32::to_bits)).collect();
        let found: Vec<Option<u32>> = texts(&of(Float32Array::from(single))).into_iter().map(read).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn texts_and_bytes(given in prop::collection::vec(prop::option::of(any::<String>()), 3..12)) {
        let batch = of(StringArray::from(given.clone()));
        prop_assert_eq!(texts(&batch), given.clone());
        prop_assert_eq!(texts(&of(StringViewArray::from_iter(given.clone()))), given.clone());
        prop_assert_eq!(texts(&of(LargeStringArray::from(given.clone()))), given.clone());
        let dictionary: DictionaryArray<Int8Type> = given.iter().map(|t| t.as_deref()).collect();
        prop_assert_eq!(texts(&of(dictionary)), given.clone());
        let bytes: Vec<Option<&[u8]>> = given.iter().map(|t| t.as_deref().map(str::as_bytes)).collect();
        let decode = |text: Option<String>| text.map(|t| String::from_utf8(STANDARD.decode(t).unwrap()).unwrap());
        for array in [
            Arc::new(BinaryArray::from_opt_vec(bytes.clone())) as ArrayRef,
            Arc::new(LargeBinaryArray::from_opt_vec(bytes.clone())),
            Arc::new(BinaryViewArray::from_iter(bytes)),
        ] {
            let field = Field::new("v", array.data_type().clone(), true);
            let found: Vec<Option<String>> = texts(&self::batch(vec![(field, array)])).into_iter().map(decode).collect();
            prop_assert_eq!(&found, &given);
        }
    }

    #[test]
    fn dates_and_moments(days in prop::collection::vec(prop::option::of(-700_000_i32..2_900_000), 3..12), micros in 0_i64..86_400_000_000) {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let date = |day: i32| epoch + TimeDelta::days(day.into());
        let found = texts(&of(Date32Array::from(days.clone())));
        for (found, day) in found.iter().zip(&days) {
            let read = found.as_ref().map(|t| NaiveDate::parse_from_str(t, "%Y-%m-%d").unwrap());
            prop_assert_eq!(read, day.map(date));
        }
        let moments: Vec<Option<i64>> = days.iter().map(|d| d.map(|d| i64::from(d) * 86_400_000_000 + micros)).collect();
        for zone in ["UTC", "+05:30", "America/New_York", "Europe/Amsterdam"] {
            let found = texts(&of(TimestampMicrosecondArray::from(moments.clone()).with_timezone(zone)));
            for (found, moment) in found.iter().zip(&moments) {
                // Local mean time has seconds in its offset, which RFC 3339 cannot say.
                let Some(text) = found.as_ref().filter(|t| t.len() - t.rfind(['+', '-', 'Z']).unwrap() <= 6) else { continue };
                let read = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
                prop_assert_eq!(Some(read), *moment);
            }
        }
    }

    #[test]
    fn nested(lists in prop::collection::vec(prop::option::of(prop::collection::vec(prop::option::of((any::<i64>(), any::<String>())), 0..4)), 3..8)) {
        let fields: Fields = vec![Field::new("a", DataType::Int64, true), Field::new("b\"", DataType::Utf8, true)].into();
        let items: Vec<&Option<(i64, String)>> = lists.iter().flatten().flatten().collect();
        let ids: Int64Array = items.iter().map(|i| i.as_ref().map(|i| i.0)).collect();
        let names: StringArray = items.iter().map(|i| i.as_ref().map(|i| i.1.clone())).collect();
        let nulls = items.iter().map(|i| i.is_some()).collect::<Vec<bool>>().into();
        let structs = StructArray::new(fields.clone(), vec![Arc::new(ids), Arc::new(names)], Some(nulls));
        let lengths = lists.iter().map(|l| l.as_ref().map_or(0, Vec::len));
        let valid = lists.iter().map(Option::is_some).collect::<Vec<bool>>().into();
        let item = Arc::new(Field::new("item", DataType::Struct(fields), true));
        let array = ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(structs), Some(valid));
        let expected: Vec<Value> = lists.iter().map(|list| match list {
            None => Value::Null,
            Some(items) => items.iter().map(|i| match i {
                None => Value::Null,
                Some((a, b)) => serde_json::json!({ "a": a, "b\"": b }),
            }).collect(),
        }).collect();
        let batch = of(array);
        prop_assert_eq!(values(&batch, &plain()), expected.clone());
        prop_assert_eq!(values(&sliced(&batch), &plain()), expected[1..expected.len() - 1].to_vec());
    }

    #[test]
    fn js_safe_loses_nothing(given in prop::collection::vec(any::<i64>(), 3..10)) {
        let options = EncodeOptions { js_safe: true, ..plain() };
        let found = values(&of(Int64Array::from(given.clone())), &options);
        for (found, given) in found.iter().zip(given) {
            match found {
                // What a JavaScript reader does with it.
                Value::Number(n) => prop_assert_eq!(n.to_string().parse::<f64>().unwrap() as i64, given),
                Value::String(s) => prop_assert_eq!(s.parse::<i64>().unwrap(), given),
                other => prop_assert!(false, "{}", other),
            }
        }
    }
}

const TEXTS: [Option<&str>; 3] = [Some("a\"\\\n\u{1F427}\0"), None, Some("")];

fn longs() -> Vec<Option<i64>> {
    vec![Some(i64::MIN), None, Some(i64::MAX)]
}

fn ints() -> Vec<Option<i32>> {
    vec![Some(i32::MIN), None, Some(i32::MAX)]
}

fn scalars() -> Vec<ArrayRef> {
    let sparse = [Some([0_u8; 16]), None, Some([255; 16])];
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(sparse.into_iter(), 16);
    let halves = vec![Some(half::f16::MAX), None, Some(half::f16::NAN)];
    let floats = vec![Some(f64::NEG_INFINITY), None, Some(f64::MIN_POSITIVE)];
    vec![
        Arc::new(NullArray::new(3)),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int64Array::from(longs())),
        Arc::new(UInt64Array::from(vec![Some(0), None, Some(u64::MAX)])),
        Arc::new(Float16Array::from(halves)),
        Arc::new(Float64Array::from(floats)),
        Arc::new(Decimal256Array::from(vec![
            Some(i256::MIN),
            None,
            Some(i256::MAX),
        ])),
        Arc::new(StringArray::from(TEXTS.to_vec())),
        Arc::new(StringViewArray::from_iter(TEXTS)),
        Arc::new(BinaryViewArray::from_iter(TEXTS)),
        Arc::new(fixed.unwrap()),
    ]
}

fn times() -> Vec<ArrayRef> {
    let days = IntervalDayTime::new(i32::MIN, i32::MAX);
    let nanos = IntervalMonthDayNano::new(i32::MIN, i32::MAX, i64::MIN);
    vec![
        Arc::new(Date32Array::from(ints())),
        Arc::new(Date64Array::from(longs())),
        Arc::new(Time32SecondArray::from(ints())),
        Arc::new(Time32MillisecondArray::from(ints())),
        Arc::new(Time64MicrosecondArray::from(longs())),
        Arc::new(Time64NanosecondArray::from(longs())),
        Arc::new(TimestampSecondArray::from(longs())),
        Arc::new(TimestampSecondArray::from(longs()).with_timezone("Europe/Berlin")),
        Arc::new(TimestampMillisecondArray::from(longs()).with_timezone("-12:00")),
        Arc::new(TimestampMicrosecondArray::from(longs()).with_timezone("UTC")),
        Arc::new(TimestampNanosecondArray::from(longs()).with_timezone("Asia/Tokyo")),
        Arc::new(DurationSecondArray::from(longs())),
        Arc::new(DurationNanosecondArray::from(longs())),
        Arc::new(IntervalYearMonthArray::from(ints())),
        Arc::new(IntervalDayTimeArray::from(vec![Some(days), None, None])),
        Arc::new(IntervalMonthDayNanoArray::from(vec![
            Some(nanos),
            None,
            None,
        ])),
    ]
}

fn map() -> MapArray {
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("k\"");
    map.values().append_value(i64::MAX);
    for is_valid in [true, false, true] {
        map.append(is_valid).unwrap();
    }
    map.finish()
}

fn structured() -> Vec<ArrayRef> {
    let dictionary: DictionaryArray<Int32Type> = TEXTS.into_iter().collect();
    let ends = Int32Array::from(vec![1, 3]);
    let values = Int64Array::from(vec![None, Some(i64::MAX)]);
    let pairs = [Some([Some(i16::MIN), None]), None, Some([Some(1), Some(2)])];
    let list = ListArray::from_iter_primitive::<Float32Type, _, _>([
        Some(vec![Some(f32::NAN), None, Some(f32::MIN_POSITIVE)]),
        None,
        Some(vec![]),
    ]);
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let view = cast(&list, &DataType::ListView(Arc::clone(&item))).unwrap();
    let large = cast(&list, &DataType::LargeList(item)).unwrap();
    vec![
        Arc::new(dictionary),
        Arc::new(RunArray::<Int32Type>::try_new(&ends, &values).unwrap()),
        Arc::new(map()),
        Arc::new(FixedSizeListArray::from_iter_primitive::<Int16Type, _, _>(
            pairs, 2,
        )),
        Arc::new(list),
        view,
        large,
    ]
}

/// One batch with every type, each with a null and its extremes, and one name
/// for all columns, which is a case of its own.
fn everything() -> RecordBatch {
    let column = |array: ArrayRef| (Field::new("c", array.data_type().clone(), true), array);
    let arrays = [scalars(), times(), structured()].into_iter().flatten();
    batch(arrays.map(column).collect())
}

#[test]
fn every_type_is_valid_json_with_unique_names() {
    let batch = everything();
    for js_safe in [false, true] {
        let options = EncodeOptions { js_safe, ..plain() };
        let text = encode(Format::Json, std::slice::from_ref(&batch), &options);
        let rows: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(&text).unwrap();
        assert_eq!(rows.len(), 3);
        for row in &rows {
            assert_eq!(row.len(), batch.num_columns());
            assert!(row.contains_key("c") && row.contains_key("c_2") && row.contains_key("c_34"));
        }
        let nulls = rows[1].iter().filter(|(_, value)| value.is_null()).count();
        // Only the run-end encoded column has a value in the middle row.
        assert_eq!(nulls, batch.num_columns() - 1);
    }
}

#[test]
fn a_few_values_as_they_are_written() {
    let text = encode(Format::Ndjson, &[everything()], &plain());
    let line: Value = serde_json::from_slice(text.split(|b| *b == b'\n').next().unwrap()).unwrap();
    let written = [
        ("c_3", "-9223372036854775808"),
        ("c_5", "65504.0"),
        ("c_6", "null"),
        ("c_11", "\"AAAAAAAAAAAAAAAAAAAAAA==\""),
        ("c_12", "\"-5877641-06-23\""),
        ("c_25", "\"P-178956970Y-8M\""),
        (
            "c_27",
            "\"P-178956970Y-8M2147483647DT-2562047H-47M-16.854775808S\"",
        ),
        ("c_30", "{\"k\\\"\":9223372036854775807}"),
        ("c_31", "[-32768,null]"),
        ("c_32", "[null,null,1.1754944e-38]"),
    ];
    for (name, expected) in written {
        assert_eq!(line[name].to_string(), expected, "{name}");
    }
}

/// What plain readers get: the same values without views, dictionaries and runs.
fn same_values(found: &RecordBatch, given: &RecordBatch) {
    for (found, given) in found.columns().iter().zip(given.columns()) {
        let given = cast(given, found.data_type()).unwrap();
        assert_eq!(found.to_data(), given.to_data(), "{}", found.data_type());
    }
}

fn has_odd_type(schema: &Schema) -> bool {
    schema.fields().iter().any(|field| {
        let kind = format!("{:?}", field.data_type());
        ["View", "Dictionary", "RunEnd"]
            .iter()
            .any(|odd| kind.contains(odd))
    })
}

#[test]
fn arrow_reads_back_plain_or_modern() {
    let given = everything();
    for (arrow_modern, arrow_compression) in [
        (false, None),
        (true, None),
        (false, Some(ArrowCodec::Zstd)),
        (false, Some(ArrowCodec::Lz4)),
    ] {
        let options = EncodeOptions {
            arrow_modern,
            arrow_compression,
            metadata: vec![("weir.run_id".into(), "r".into())],
            ..plain()
        };
        let bytes = encode(Format::Arrow, &[given.clone(), given.slice(1, 2)], &options);
        let reader = StreamReader::try_new(&bytes[..], None).unwrap();
        let schema = reader.schema();
        assert_eq!(schema.metadata()["weir.run_id"], "r");
        assert_eq!(schema.field(1).name(), "c_2");
        assert_eq!(has_odd_type(&schema), arrow_modern);
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
        assert_eq!(batches.len(), 2);
        if !arrow_modern {
            same_values(&batches[0], &given);
        }
        assert_eq!(batches[1].num_rows(), 2);
    }
}

#[test]
fn json_columns_are_embedded() {
    let metadata = HashMap::from([("ARROW:extension:name".to_owned(), "arrow.json".to_owned())]);
    let field = Field::new("v", DataType::Utf8, true).with_metadata(metadata);
    let texts = StringArray::from(vec![Some("{\"a\":[1,\n2]}"), Some("{"), None, Some("null")]);
    let found = values(&batch(vec![(field, Arc::new(texts))]), &plain());
    let expected = [
        serde_json::json!({ "a": [1, 2] }),
        "{".into(),
        Value::Null,
        Value::Null,
    ];
    assert_eq!(found, expected);
}

#[test]
fn uuids_are_written_as_such() {
    let metadata = HashMap::from([("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())]);
    let field = Field::new("v", DataType::FixedSizeBinary(16), true).with_metadata(metadata);
    let bytes: Vec<u8> = (0..16).collect();
    let array = FixedSizeBinaryArray::try_from_iter([bytes].into_iter()).unwrap();
    let found = texts(&batch(vec![(field, Arc::new(array))]));
    assert_eq!(
        found,
        [Some("00010203-0405-0607-0809-0a0b0c0d0e0f".to_owned())]
    );
}
