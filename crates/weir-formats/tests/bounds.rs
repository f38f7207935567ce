//! Damaged inputs: whatever is cut and changed, reading ends with rows or with
//! a clear error, and takes no more memory than a bound.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Int32Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterVersion};
use proptest::prelude::*;
use weir_core::Kind;
use weir_formats::decode::{DecodeLimits, DecodeOptions, decoder};
use weir_formats::parquet::read::{ParquetFile, ParquetScan};
use weir_formats::{ArrowCodec, EncodeOptions, Format, Output, encoder, excel};
use weir_tests::xlsx::workbook;

/// What reading a damaged input of some kilobytes may take.
const BOUND: usize = 96 << 20;

/// Counts what is allocated and not given back.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(held, Ordering::Relaxed);
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to write; it passes everything on"
)]
// SAFETY: every call goes to the system's allocator with what it was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` allocates at most at one time; one at a time.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let outcome = work();
    (outcome, MOST.load(Ordering::Relaxed).saturating_sub(before))
}

fn batch() -> RecordBatch {
    let texts = (0..300).map(|n| (n % 7 > 0).then(|| format!("text {}", n % 13)));
    let lists = (0..300).map(|n| Some((0..n % 5).map(Some)));
    let fields = vec![
        Field::new("n", DataType::Int64, false),
        Field::new("t", DataType::Utf8, true),
        Field::new_list("l", Field::new_list_field(DataType::Int32, true), true),
        Field::new("i", DataType::Int32, false),
    ];
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(Int64Array::from_iter_values((0..300).map(|n| n * n))),
            Arc::new(StringArray::from_iter(texts)),
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
            Arc::new(Int32Array::from_iter_values(0..300)),
        ],
    )
    .unwrap()
}

fn parquet(kind: usize) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .set_data_page_row_count_limit(40);
    let text = "t".into();
    let properties = match kind {
        0 => properties.set_compression(Compression::SNAPPY),
        1 => properties.set_compression(Compression::ZSTD(Default::default())),
        2 => properties.set_compression(Compression::GZIP(Default::default())),
        3 => properties
            .set_dictionary_enabled(false)
            .set_column_encoding(text, Encoding::DELTA_BYTE_ARRAY),
        4 => properties
            .set_dictionary_enabled(false)
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_compression(Compression::BROTLI(Default::default()))
            .set_column_encoding(text, Encoding::DELTA_LENGTH_BYTE_ARRAY),
        _ => properties.set_compression(Compression::LZ4_RAW),
    };
    let batch = batch();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn arrow(compression: Option<ArrowCodec>) -> Vec<u8> {
    let batch = batch();
    let options = EncodeOptions {
        arrow_compression: compression,
        ..EncodeOptions::default()
    };
    let mut encoder = encoder(Format::Arrow, &batch.schema(), &options).unwrap();
    let mut out = Output::default();
    encoder.start(&mut out).unwrap();
    encoder.batch(&batch, &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    out.take().concat()
}

fn read_parquet(bytes: Vec<u8>) -> weir_core::Result<usize> {
    let file = ParquetFile::open(Arc::new(Bytes::from(bytes)), &DecodeLimits::default())?;
    let mut rows = file.scan(&ParquetScan {
        columns: (0..file.schema().fields().len()).collect(),
        ..ParquetScan::default()
    })?;
    let mut count = 0;
    while let Some(batch) = rows.next()? {
        count += batch.num_rows();
    }
    Ok(count)
}

fn read_arrow(bytes: &[u8]) -> weir_core::Result<usize> {
    let mut decoder = decoder(Format::Arrow, DecodeOptions::default())?;
    let mut out = Vec::new();
    for piece in bytes.chunks(1_000) {
        decoder.push(piece, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out.iter().map(RecordBatch::num_rows).sum())
}

fn read_sheet(bytes: &[u8]) -> weir_core::Result<usize> {
    let options = excel::Options {
        header: true,
        ..excel::Options::default()
    };
    let limits = DecodeLimits::default();
    let sheet = excel::read(Cursor::new(bytes), bytes.len() as u64, &options, &limits)?;
    Ok(sheet.rows())
}

fn sheet() -> Vec<u8> {
    let rows: String = (1..40)
        .map(|n| format!(r#"<row r="{n}"><c r="A{n}"><v>{n}</v></c><c r="C{n}" t="inlineStr"><is><t>a</t></is></c></row>"#))
        .collect();
    workbook(&[("a", &rows)])
}

/// Some bytes changed, and perhaps the end cut off.
#[derive(Debug, Clone)]
struct Damage {
    changes: Vec<(prop::sample::Index, u8)>,
    cut: Option<prop::sample::Index>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = prop::collection::vec(change, 1..6);
    let cut = prop::option::weighted(0.2, any::<prop::sample::Index>());
    (changes, cut).prop_map(|(changes, cut)| Damage { changes, cut })
}

impl Damage {
    fn of(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let length = bytes.len();
        for (place, byte) in &self.changes {
            bytes[place.index(length)] = *byte;
        }
        if let Some(cut) = &self.cut {
            bytes.truncate(cut.index(length));
        }
        bytes
    }
}

fn held_to(
    name: &str,
    read: impl FnOnce() -> weir_core::Result<usize>,
) -> Result<(), TestCaseError> {
    let (outcome, peak) = peak_of(read);
    prop_assert!(peak < BOUND, "{name} took {peak} bytes");
    if let Err(error) = outcome {
        prop_assert_ne!(error.kind(), Kind::Internal, "{}: {:?}", name, error);
        prop_assert!(!error.message().is_empty());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn parquet_takes_no_more_than_the_bound(kind in 0_usize..6, damage in damage()) {
        let bytes = damage.of(parquet(kind));
        held_to("parquet", || read_parquet(bytes))?;
    }

    #[test]
    fn arrow_takes_no_more_than_the_bound(codec in 0_usize..3, damage in damage()) {
        let codec = [None, Some(ArrowCodec::Lz4), Some(ArrowCodec::Zstd)][codec];
        let bytes = damage.of(arrow(codec));
        held_to("arrow", || read_arrow(&bytes))?;
    }

    #[test]
    fn sheets_take_no_more_than_the_bound(damage in damage()) {
        let bytes = damage.of(sheet());
        held_to("xlsx", || read_sheet(&bytes))?;
    }
}

#[test]
fn what_is_whole_is_read() {
    for kind in 0..6 {
        assert_eq!(read_parquet(parquet(kind)).unwrap(), 300, "{kind}");
    }
    for codec in [None, Some(ArrowCodec::Lz4), Some(ArrowCodec::Zstd)] {
        assert_eq!(read_arrow(&arrow(codec)).unwrap(), 300, "{codec:?}");
    }
    assert_eq!(read_sheet(&sheet()).unwrap(), 38);
}
