//! Arrow: streams whose messages say what is not so.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, NullArray, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow::ipc::{CompressionType, MetadataVersion};

use super::{CUT, Case};

const MEDIA: &str = "application/vnd.apache.arrow.stream";

fn batch(column: ArrayRef) -> RecordBatch {
    let field = Field::new("a", column.data_type().clone(), true);
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap()
}

fn stream(batch: &RecordBatch, options: IpcWriteOptions) -> Vec<u8> {
    let schema = batch.schema();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn written(column: ArrayRef) -> Vec<u8> {
    stream(&batch(column), IpcWriteOptions::default())
}

fn packed(values: &[i64]) -> Vec<u8> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5).unwrap();
    let options = options
        .try_with_compression(Some(CompressionType::ZSTD))
        .unwrap();
    stream(&batch(Arc::new(Int64Array::from(values.to_vec()))), options)
}

/// Every place that holds `from` as 8 bytes holds `to`.
fn patched(mut bytes: Vec<u8>, from: i64, to: i64) -> Vec<u8> {
    let mut found = 0;
    for at in 0..bytes.len() - 8 {
        if bytes[at..at + 8] == from.to_le_bytes() {
            bytes[at..at + 8].copy_from_slice(&to.to_le_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is nowhere");
    bytes
}

fn message(length: u32, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff; 4];
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(rest);
    out
}

fn case(
    name: &'static str,
    bytes: Vec<u8>,
    body: (u16, &'static str),
    file: (u16, &'static str),
) -> Case {
    Case::new(name, bytes)
        .body(MEDIA, body.0, body.1)
        .file("a.arrows", file.0, file.1)
}

fn broken(name: &'static str, bytes: Vec<u8>) -> Case {
    case(name, bytes, (400, "malformed"), (424, "data"))
}

fn large(name: &'static str, bytes: Vec<u8>, code: &'static str) -> Case {
    case(name, bytes, (413, code), (413, code))
}

/// A list in a list in a list …
fn nested(levels: usize) -> DataType {
    (0..levels).fold(DataType::Int32, |inner, _| {
        DataType::List(Arc::new(Field::new("item", inner, true)))
    })
}

pub fn cases() -> Vec<Case> {
    const ROWS: usize = 100_003;
    let numbers = || written(Arc::new(Int64Array::from(vec![7; ROWS])));
    let schema = |fields: Vec<Field>| {
        let schema = Schema::new(fields);
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    };
    let wide = (0..20_000).map(|n| Field::new(format!("c{n}"), DataType::Int8, true));
    let keys = Int32Array::from(vec![0; 1_000_000]);
    let long = StringArray::from(vec!["a".repeat(1 << 20)]);
    let dictionary = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(long)).unwrap();
    let nulls = written(Arc::new(NullArray::new(ROWS)));
    let values: Vec<i64> = (0..1_003).map(|n| n * 977 % 1_013).collect();
    let file = {
        let batch = batch(Arc::new(Int64Array::from(vec![7; 3])));
        let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    };
    let mut cut = numbers();
    cut.truncate(cut.len() / 2);
    vec![
        broken("arrow: 1.2 GiB in 4 bytes", vec![0x00, 0x1b, 0x00, 0x48]),
        large(
            "arrow: a description of 1.2 GiB",
            message(0x4800_1b00, &[0; 8]),
            "too_large",
        ),
        large(
            "arrow: a description of 4 GiB",
            message(u32::MAX, &[0; 8]),
            "too_large",
        ),
        broken(
            "arrow: a description of noise",
            message(4_096, &[0xa5; 4_096]),
        ),
        large(
            "arrow: 8 EiB of data",
            patched(numbers(), 800_064, i64::MAX),
            "too_large",
        ),
        broken("arrow: less than no data", patched(numbers(), 800_064, -8)),
        broken(
            "arrow: a buffer beyond its message",
            patched(numbers(), 800_024, 1 << 50),
        ),
        broken(
            "arrow: 2^60 rows of a few numbers",
            patched(numbers(), ROWS as i64, 1 << 60),
        ),
        large(
            "arrow: 2^40 rows of nothing",
            patched(nulls, ROWS as i64, 1 << 40),
            "decoded_too_large",
        ),
        large(
            "arrow: a packed buffer of 1 TiB",
            patched(packed(&values), 8_024, 1 << 40),
            "too_large",
        ),
        large(
            "arrow: a packed buffer of 400 MiB",
            patched(packed(&values), 8_024, 400 << 20),
            "decoded_too_large",
        ),
        large(
            "arrow: packed buffers of 8 EiB together",
            patched(packed(&values), 8_024, i64::MAX),
            "too_large",
        ),
        large(
            "arrow: a million rows of one 1 MiB text",
            written(Arc::new(dictionary)),
            "too_large",
        ),
        broken(
            "arrow: lists 150 levels deep",
            schema(vec![Field::new("a", nested(150), true)]),
        ),
        case(
            "arrow: 20,000 columns",
            schema(wide.collect()),
            (422, "too_many_columns"),
            (422, "too_many_columns"),
        ),
        broken("arrow: a stream that breaks off", cut),
        case(
            "arrow: a file without its footer",
            file[..file.len() - 10].to_vec(),
            (200, CUT),
            (200, CUT),
        )
        .preview(424, "data"),
    ]
}
