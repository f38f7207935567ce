//! Reading Parquet: pushed-down filters against a plain reading, bytes that are
//! not read, and bytes that are hostile.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use proptest::prelude::*;
use weir_core::evaluate::compile;
use weir_core::{Comparison, Operand, Predicate, Value};
use weir_formats::decode::DecodeLimits;
use weir_formats::parquet::read::{ParquetFile, ParquetScan};

const COLUMNS: [&str; 8] = ["i", "u", "f", "s", "b", "d", "day", "at"];

fn column<T, A: FromIterator<Option<T>>>(rows: &[u64], of: impl Fn(u64) -> Option<T>) -> A {
    rows.iter().map(|row| of(*row)).collect()
}

/// Values from seeds: nearly ordered, so that statistics can rule pieces out,
/// with nulls, NaN, both zeros and extremes between.
fn table(seeds: &[u64]) -> RecordBatch {
    let some = |seed: u64, every: u64| !seed.is_multiple_of(every);
    let floats = [f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY];
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(column::<_, Int64Array>(seeds, |s| {
            some(s, 5).then_some(s as i64 - 50)
        })),
        Arc::new(column::<_, UInt32Array>(seeds, |s| {
            some(s, 7).then_some(if s % 11 == 0 { u32::MAX } else { s as u32 })
        })),
        Arc::new(column::<_, Float64Array>(seeds, |s| {
            some(s, 6).then(|| {
                floats
                    .get((s % 13) as usize)
                    .copied()
                    .unwrap_or(s as f64 / 4.0 - 10.0)
            })
        })),
        Arc::new(column::<_, StringArray>(seeds, |s| {
            some(s, 4).then(|| match s % 9 {
                0 => String::new(),
                1 => format!("é{s:03}"),
                2 => "x".repeat(100) + &s.to_string(),
                _ => format!("k{s:03}"),
            })
        })),
        Arc::new(column::<_, BooleanArray>(seeds, |s| {
            some(s, 3).then_some(s % 2 == 0)
        })),
        Arc::new(
            column::<_, Decimal128Array>(seeds, |s| {
                some(s, 8).then_some(i128::from(s) * 25 - 1_000)
            })
            .with_precision_and_scale(20, 2)
            .unwrap(),
        ),
        Arc::new(column::<_, Date32Array>(seeds, |s| {
            some(s, 5).then_some(s as i32)
        })),
        Arc::new(
            column::<_, TimestampMicrosecondArray>(seeds, |s| {
                some(s, 5).then_some(s as i64 * 3_600_000_000)
            })
            .with_timezone("UTC"),
        ),
    ];
    let fields = COLUMNS
        .iter()
        .zip(&arrays)
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), arrays).unwrap()
}

fn written(batch: &RecordBatch, group: usize, page: usize, statistics: EnabledStatistics) -> Bytes {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .set_data_page_row_count_limit(page)
        .set_write_batch_size(page)
        .set_statistics_enabled(statistics)
        .set_column_index_truncate_length(Some(4))
        .set_statistics_truncate_length(Some(4))
        .build();
    bytes_of(batch, properties)
}

fn bytes_of(batch: &RecordBatch, properties: WriterProperties) -> Bytes {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn open(bytes: Bytes) -> weir_core::Result<ParquetFile> {
    ParquetFile::open(Arc::new(bytes), &DecodeLimits::default())
}

fn read(file: &ParquetFile, scan: &ParquetScan<'_>) -> weir_core::Result<RecordBatch> {
    let mut rows = file.scan(scan)?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.next()? {
        batches.push(batch);
    }
    Ok(concat_batches(rows.schema(), &batches)?)
}

fn value(column: &'static str) -> BoxedStrategy<Value> {
    let text = |text: String| Value::Text(text);
    match column {
        "i" => (-60_i64..320).prop_map(Value::Int).boxed(),
        "u" => prop_oneof![
            (0_i64..320).prop_map(Value::Int),
            Just(Value::Int(i64::from(u32::MAX)))
        ]
        .boxed(),
        "f" => prop_oneof![
            (-80_i64..500).prop_map(|n| Value::Number(format!("{}", n as f64 / 8.0))),
            Just(Value::Int(0)),
        ]
        .boxed(),
        "s" => prop_oneof![
            "k[0-2][0-9]{2}".prop_map(text),
            Just(text(String::new())),
            Just(text("é1".into())),
            Just(text("xxxxx".into()))
        ]
        .boxed(),
        "d" => (-2_000_i64..8_000)
            .prop_map(|n| Value::Number(format!("{}", n as f64 / 4.0)))
            .boxed(),
        "day" => (0_i32..300)
            .prop_map(|n| {
                Value::Text(
                    (chrono::NaiveDate::default() + chrono::Days::new(n as u64)).to_string(),
                )
            })
            .boxed(),
        _ => (0_i64..300)
            .prop_map(|n| {
                Value::Text(
                    chrono::DateTime::from_timestamp(n * 3_600, 0)
                        .unwrap()
                        .to_rfc3339(),
                )
            })
            .boxed(),
    }
}

fn leaf() -> impl Strategy<Value = Predicate> {
    let ops = prop::sample::select(vec![
        Comparison::Eq,
        Comparison::Ne,
        Comparison::Lt,
        Comparison::Le,
        Comparison::Gt,
        Comparison::Ge,
    ]);
    let ordered = prop::sample::select(vec!["i", "u", "f", "s", "d", "day", "at"]);
    let named = prop::sample::select(COLUMNS.to_vec());
    prop_oneof![
        4 => (ordered.clone().prop_flat_map(|column| (Just(column), value(column))), ops).prop_map(|((column, value), op)| Predicate::Compare {
            column: column.into(), op, right: Operand::Value(value),
        }),
        1 => any::<bool>().prop_map(|b| Predicate::Compare { column: "b".into(), op: Comparison::Eq, right: Operand::Value(Value::Bool(b)) }),
        1 => ordered.clone().prop_flat_map(|column| (Just(column), prop::collection::vec(value(column), 0..4)))
            .prop_map(|(column, values)| Predicate::In { column: column.into(), values }),
        1 => ordered.prop_flat_map(|column| (Just(column), value(column), value(column)))
            .prop_map(|(column, low, high)| Predicate::Between { column: column.into(), low, high }),
        1 => prop::sample::select(vec!["", "k", "k1", "k25", "é", "xxxx", "xxxxx", "z"])
            .prop_map(|prefix| Predicate::StartsWith { column: "s".into(), prefix: prefix.into() }),
        1 => named.clone().prop_map(|name| Predicate::IsNull(name.into())),
        1 => named.clone().prop_map(|name| Predicate::IsNotNull(name.into())),
        1 => named.prop_map(|name| Predicate::IsNullOrEmpty(name.into())),
        1 => Just(Predicate::Compare { column: "i".into(), op: Comparison::Lt, right: Operand::Column("u".into()) }),
    ]
}

fn predicate() -> impl Strategy<Value = Predicate> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::Or),
            inner.prop_map(|part| Predicate::Not(Box::new(part))),
        ]
    })
}

fn seeds() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0_u64..300, 1..200).prop_map(|mut seeds| {
        // Ordered in the main, with some out of place.
        seeds.sort_unstable();
        let count = seeds.len();
        if count > 10 {
            seeds.swap(3, count - 2);
        }
        seeds
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_pushed_filter_keeps_the_rows_of_a_plain_one(
        seeds in seeds(),
        filter in prop::collection::vec(predicate(), 1..3),
        (group, page) in (1_usize..80, 1_usize..30),
        statistics in prop::sample::select(vec![EnabledStatistics::None, EnabledStatistics::Chunk, EnabledStatistics::Page]),
        (limit, batch_rows) in (prop::option::of(0_u64..50), prop::option::of(1_usize..20)),
        places in prop::collection::vec(0_usize..COLUMNS.len(), 0..4),
    ) {
        let batch = table(&seeds);
        let file = open(written(&batch, group, page, statistics)).unwrap();
        let scan = ParquetScan { columns: places.clone(), filter: &filter, hints: &[], limit, batch_rows };
        let mut expected = batch.clone();
        for part in &filter {
            let mask = compile(part, &batch.schema()).unwrap().eval(&expected).unwrap();
            expected = filter_record_batch(&expected, &mask).unwrap();
        }
        let kept = limit.map_or(expected.num_rows(), |limit| expected.num_rows().min(limit as usize));
        let expected = expected.slice(0, kept).project(&places).unwrap();
        let given = read(&file, &scan).unwrap();
        prop_assert_eq!(given.num_rows(), kept);
        for (one, other) in given.columns().iter().zip(expected.columns()) {
            prop_assert_eq!(&format!("{one:?}"), &format!("{other:?}"));
        }
        // What only rules pieces out may keep more, but never loses a row.
        let hints = ParquetScan { columns: vec![0], filter: &[], hints: &filter, limit: None, batch_rows };
        prop_assert!(read(&file, &hints).unwrap().num_rows() >= kept);
    }

    /// Whatever a byte is changed to, reading ends with rows or with an error.
    #[test]
    fn damaged_files_end_in_an_error(place in 0_usize..4_000, byte in any::<u8>(), cut in prop::option::of(0_usize..4_000)) {
        let batch = table(&(0..60).collect::<Vec<_>>());
        let mut bytes = written(&batch, 20, 7, EnabledStatistics::Page).to_vec();
        let place = bytes.len() - 1 - place % bytes.len();
        bytes[place] = byte;
        if let Some(cut) = cut {
            bytes.truncate(cut % bytes.len());
        }
        let filter = [Predicate::Compare { column: "i".into(), op: Comparison::Gt, right: Operand::Value(Value::Int(5)) }];
        let outcome = open(bytes.into()).and_then(|file| {
            let every = (0..file.schema().fields().len()).collect();
            read(&file, &ParquetScan { columns: every, filter: &filter, ..ParquetScan::default() })
        });
        if let Err(error) = outcome {
            prop_assert_ne!(error.kind(), weir_core::Kind::Internal, "{:?}", error);
        }
    }
}

#[test]
fn one_column_with_a_selective_filter_reads_little() {
    let rows = 400_000;
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("wide", DataType::Utf8, false),
        Field::new("n", DataType::Int32, false),
    ]);
    let batch = RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int64Array::from_iter_values(0..rows)),
            Arc::new(StringArray::from_iter_values(
                (0..rows).map(|row| format!("{:032x}", row * 0x9E37_79B9)),
            )),
            Arc::new(Int32Array::from_iter_values(
                (0..rows).map(|row| (row * 7919 % 100_003) as i32),
            )),
        ],
    )
    .unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100_000))
        .set_data_page_row_count_limit(5_000)
        // A dictionary is read whole, whatever is needed of it.
        .set_dictionary_enabled(false)
        .build();
    let bytes = bytes_of(&batch, properties);
    let size = bytes.len() as u64;
    let file = open(bytes).unwrap();
    let filter = [Predicate::Between {
        column: "id".into(),
        low: Value::Int(250_000),
        high: Value::Int(250_009),
    }];
    let given = read(
        &file,
        &ParquetScan {
            columns: vec![2],
            filter: &filter,
            ..ParquetScan::default()
        },
    );
    assert_eq!(given.unwrap().num_rows(), 10);
    let share = file.bytes_read() as f64 / size as f64;
    assert!(share < 0.03, "{share} of the file was read");
    assert!(file.bytes_of(&[2]) < size / 4);
}

#[test]
fn what_is_no_parquet_is_told() {
    for bytes in [
        &b""[..],
        b"PAR1",
        b"PAR1PAR1",
        b"not a parquet file at all",
        b"PAR1\xff\xff\xff\x7fPAR1",
    ] {
        let error = open(Bytes::from_static(bytes)).err().unwrap();
        assert_eq!(error.stable_code(), "data", "{bytes:?}: {error}");
    }
    let error = open(Bytes::from_static(b"PAR1xxxxxxxx\x04\0\0\0PARE"))
        .err()
        .unwrap();
    assert_eq!(error.stable_code(), "encrypted");
}
