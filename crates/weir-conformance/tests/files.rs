//! The suite over local files, in a real folder.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use common::{context, expect};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use weir_conformance::{Expect, ExpectSink, check_all, check_sink, passed, verdict};
use weir_core::StreamId;
use weir_tests::conformance::recorded;

const ROWS: i64 = 20_000;

fn rows(from: i64, count: i64) -> RecordBatch {
    let some = |row: i64, every: i64| row % every != 0;
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("Good Col", DataType::Utf8, true),
        Field::new("amount", DataType::Float64, true),
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
    ]);
    let all = from..from + count;
    let texts: StringArray = all
        .clone()
        .map(|row| some(row, 3).then(|| format!("text {}", row * 7919 % 1000)))
        .collect();
    let amounts: Float64Array = all
        .clone()
        .map(|row| some(row, 4).then_some(row as f64 / 8.0))
        .collect();
    let at: TimestampMicrosecondArray = all
        .clone()
        .map(|row| some(row, 5).then_some(row * 1_000_003))
        .collect();
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int64Array::from_iter_values(all)),
            Arc::new(texts),
            Arc::new(amounts),
            Arc::new(at.with_timezone("UTC")),
        ],
    )
    .unwrap()
}

fn write(path: &Path, batch: &RecordBatch) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(3_000))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

const SERVER: &str = "files of this machine: Parquet, Arrow, CSV and NDJSON, alone and as folders";

async fn conforms(stream: &str, order_by: &str) {
    let home = tempfile::tempdir().unwrap();
    let odd = home.path().join("data/Odd folder.x");
    std::fs::create_dir_all(&odd).unwrap();
    write(&odd.join("my \"rows\".parquet"), &rows(0, ROWS));
    std::fs::create_dir(odd.join("parts")).unwrap();
    for part in 0..4 {
        let path = odd.join(format!("parts/{part}.parquet"));
        write(&path, &rows(part * ROWS / 4, ROWS / 4));
    }
    std::fs::write(home.path().join("data/a-b.csv"), "a,b\n1,2\n").unwrap();
    std::fs::write(home.path().join("data/.hidden.csv"), "a,b\n1,2\n").unwrap();
    let connector = connect_files::entry(connect_files::Rules {
        paths: connect_files::PathRules {
            roots: vec![home.path().to_owned()],
            ..Default::default()
        },
        ..Default::default()
    });
    let config = serde_json::json!({"root": home.path().join("data")});
    let expect = Expect {
        stream: StreamId::parse(stream, "/stream").unwrap(),
        ..expect(&[], ROWS as u64, order_by)
    };
    let cases = check_all(&*connector, config, &context(), expect).await;
    assert_eq!(verdict(&cases), Ok(()), "{stream} by {order_by}");
    recorded("files", "source", SERVER, &passed(&cases));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_conforms() {
    for order_by in ["id", "Good Col", "amount", "at"] {
        conforms("Odd folder.x/my \"rows\".parquet", order_by).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_read_as_one_conforms() {
    conforms("Odd folder.x/parts/", "amount").await;
}

async fn conforms_as_a_sink(expect: ExpectSink) {
    let home = tempfile::tempdir().unwrap();
    let connector = connect_files::entry(connect_files::Rules {
        paths: connect_files::PathRules {
            roots: vec![home.path().to_owned()],
            ..Default::default()
        },
        ..Default::default()
    });
    let config = serde_json::json!({"root": home.path()});
    let name = (expect.stream)("x").to_string();
    let cases = check_sink(&*connector, config, &context(), expect).await;
    assert_eq!(verdict(&cases), Ok(()), "{name}");
    recorded("files", "sink", SERVER, &passed(&cases));
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().flatten().collect();
    let hidden = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    assert!(!left.iter().any(hidden), "{left:?}");
}

fn path(name: &str, suffix: &str) -> StreamId {
    StreamId::parse(&format!("{name}.{suffix}"), "/stream").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_keep_types_conform_as_a_sink() {
    type Kept = (fn(&str) -> StreamId, &'static [&'static str]);
    let kept: [Kept; 2] = [
        (|name| path(name, "arrow"), &[]),
        // Parquet knows spans of days and milliseconds only.
        (|name| path(name, "parquet"), &["interval"]),
    ];
    for (stream, lossy) in kept {
        conforms_as_a_sink(ExpectSink {
            stream,
            append: false,
            keys: false,
            left_out: &[],
            lossy,
        })
        .await;
    }
}

/// Text keeps values, and types are found again: what they are is looked at by
/// the tests of formats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_text_conform_as_a_sink() {
    for stream in [
        |name: &str| path(name, "csv"),
        |name: &str| path(name, "ndjson.gz"),
    ] {
        conforms_as_a_sink(ExpectSink {
            stream,
            append: true,
            keys: false,
            left_out: &["nothing"],
            lossy: &[
                "bool",
                "uint64",
                "decimal",
                "small_decimal",
                "wide_decimal",
                "binary",
                "fixed_binary",
                "date",
                "time",
                "time_ms",
                "at",
                "at_utc",
                "at_zone",
                "at_second",
                "duration",
                "interval",
                "list",
                "record",
                "float32",
                "float64",
                "large_text",
                "view_text",
                "words",
                "name",
                "int8",
                "int16",
                "int32",
                "int64",
                "uint8",
                "uint16",
                "uint32",
            ],
        })
        .await;
    }
}
