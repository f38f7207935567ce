//! What a decoder gives back: the rows that were written, an error with its
//! place, and never a panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::*;
use proptest::prelude::*;
use weir_core::types::{field_type_name, parse_field};
use weir_core::{Error, Kind};
use weir_formats::decode::{CsvIn, DecodeLimits, DecodeOptions, decoder};
use weir_formats::{ArrowCodec, EncodeOptions, Format, Output, encoder};

const READ: [Format; 4] = [Format::Csv, Format::Json, Format::Ndjson, Format::Arrow];

fn read(
    format: Format,
    bytes: &[u8],
    options: &DecodeOptions,
    chunk: usize,
) -> Result<RecordBatch, Error> {
    let mut decoder = decoder(format, options.clone())?;
    let mut out = Vec::new();
    for piece in bytes.chunks(chunk.max(1)) {
        decoder.push(piece, &mut out)?;
    }
    decoder.finish(&mut out)?;
    let schema = decoder.schema().unwrap();
    Ok(concat_batches(&schema, &out).unwrap())
}

fn text(format: Format, text: &str) -> Result<RecordBatch, Error> {
    read(format, text.as_bytes(), &DecodeOptions::default(), 1 << 20)
}

fn types(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let shown = |field: &FieldRef| format!("{} {}", field.name(), field_type_name(field));
    schema.fields().iter().map(shown).collect()
}

/// The rows as NDJSON, which is easy to compare.
fn rows(batch: &RecordBatch) -> String {
    let bytes = write(Format::Ndjson, batch, &EncodeOptions::default());
    String::from_utf8(bytes).unwrap()
}

fn write(format: Format, batch: &RecordBatch, options: &EncodeOptions) -> Vec<u8> {
    let mut encoder = encoder(format, &batch.schema(), options).unwrap();
    let mut out = Output::default();
    encoder.start(&mut out).unwrap();
    encoder.batch(batch, &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    out.concat()
}

const ALL_TYPES: [(&str, &str); 16] = [
    ("b", "bool"),
    ("i", "int64"),
    ("u", "uint64"),
    ("s", "int8"),
    ("f", "float64"),
    ("g", "float32"),
    ("d", "decimal(38,10)"),
    ("t", "string"),
    ("y", "binary"),
    ("day", "date"),
    ("at", "timestamp(us)"),
    ("utc", "timestamp(ns, UTC)"),
    ("clock", "time"),
    ("list", "list<int64>"),
    ("rec", "struct<a: int64, b: string>"),
    ("doc", "json"),
];

type Seed = (Option<i64>, f64, String);

fn json_cell(type_name: &str, seed: &Seed) -> serde_json::Value {
    let (Some(i), f, t) = (seed.0, seed.1, &seed.2) else {
        return serde_json::Value::Null;
    };
    let number = |text: String| serde_json::from_str(&text).unwrap();
    let micros = i.rem_euclid(4_000_000_000_000_000);
    let moment = chrono::DateTime::from_timestamp_micros(micros).unwrap();
    match type_name {
        "bool" => (i % 2 == 0).into(),
        "int64" => i.into(),
        "uint64" => (i as u64).into(),
        "int8" => (i as i8).into(),
        "float64" => number(format!("{f:?}")),
        "float32" => number(format!("{:?}", (i % 16_000_000) as f32 / 64.0)),
        "decimal(38,10)" => number(format!("{i}.{:010}", i.unsigned_abs() % 10_000_000_000)),
        "string" => t.clone().into(),
        "binary" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(t).into()
        }
        "date" => moment.format("%Y-%m-%d").to_string().into(),
        "timestamp(us)" => moment.format("%Y-%m-%dT%H:%M:%S%.6f").to_string().into(),
        "timestamp(ns, UTC)" => moment.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string().into(),
        "time" => moment.format("%H:%M:%S%.6f").to_string().into(),
        "list<int64>" => serde_json::json!([i, null, 1]),
        "struct<a: int64, b: string>" => serde_json::json!({ "a": i, "b": t }),
        _ => serde_json::json!([t, { "k": i }]),
    }
}

fn typed() -> DecodeOptions {
    let fields = ALL_TYPES.map(|(name, text)| Arc::new(parse_field(name, text).unwrap()));
    DecodeOptions {
        csv: CsvIn {
            header: Some(true),
            delimiter: Some(b','),
            quote: Some(b'"'),
            ..CsvIn::default()
        },
        types: fields.to_vec(),
        batch_rows: 7,
        ..DecodeOptions::default()
    }
}

/// A table of every type, made by the JSON reader from values that this test wrote.
fn table(seeds: &[Seed]) -> (Vec<serde_json::Value>, RecordBatch) {
    let row = |seed: &Seed| {
        let cell = |(name, text): (&str, &str)| (name.to_owned(), json_cell(text, seed));
        serde_json::Value::Object(ALL_TYPES.into_iter().map(cell).collect())
    };
    let rows: Vec<serde_json::Value> = seeds.iter().map(row).collect();
    let bytes = serde_json::to_vec(&rows).unwrap();
    let batch = read(Format::Json, &bytes, &typed(), 64).unwrap();
    (rows, batch)
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let finite = any::<f64>().prop_filter("finite", |f| f.is_finite());
    prop::collection::vec(
        (
            prop::option::weighted(0.8, any::<i64>()),
            finite,
            any::<String>(),
        ),
        1..20,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_format_gives_back_what_was_written(seeds in seeds(), chunk in 1_usize..200) {
        let (values, batch) = table(&seeds);
        let shown: Vec<serde_json::Value> = rows(&batch).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (row, value) in shown.iter().zip(&values) {
            for name in ["b", "i", "u", "s", "t", "y", "day", "list", "rec", "doc"] {
                prop_assert_eq!(&row[name], &value[name]);
            }
        }
        for format in READ {
            let bytes = write(format, &batch, &EncodeOptions::default());
            let back = read(format, &bytes, &typed(), chunk).unwrap();
            prop_assert_eq!(rows(&back), rows(&batch), "{:?}", format);
            prop_assert_eq!(back, batch.clone(), "{:?}", format);
        }
        for codec in [ArrowCodec::Lz4, ArrowCodec::Zstd] {
            let options = EncodeOptions { arrow_compression: Some(codec), ..EncodeOptions::default() };
            let back = read(Format::Arrow, &write(Format::Arrow, &batch, &options), &typed(), chunk).unwrap();
            prop_assert_eq!(back, batch.clone());
        }
    }

    /// However the bytes come, the answer is the same.
    #[test]
    fn pieces_change_nothing(parts in prop::collection::vec(prop::sample::select(vec![
        "a", "1", ",", ";", "\n", "\r\n", "\r", "\"", "\"\"", "{", "}", "[", "]", ":", "\"k\":", "null", " ", "\\", "\u{fc}", "-1.5", "true",
    ]), 0..40), chunk in 1_usize..6) {
        let text = parts.concat();
        for format in READ {
            let whole = read(format, text.as_bytes(), &DecodeOptions::default(), 1 << 20);
            let pieces = read(format, text.as_bytes(), &DecodeOptions::default(), chunk);
            match (whole, pieces) {
                (Ok(a), Ok(b)) => prop_assert_eq!(a, b, "{:?}", text),
                (Err(a), Err(b)) => prop_assert_eq!(a.message(), b.message(), "{:?}", text),
                (a, b) => prop_assert!(false, "{:?} {:?}: {:?} {:?}", format, text, a, b),
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 1_usize..300) {
        for format in READ {
            let _ = read(format, &bytes, &DecodeOptions::default(), chunk);
        }
    }

    #[test]
    fn no_damage_to_arrow_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(), seeds in seeds()) {
        let (_, batch) = table(&seeds);
        for arrow_compression in [None, Some(ArrowCodec::Lz4)] {
            let mut bytes = write(Format::Arrow, &batch, &EncodeOptions { arrow_compression, ..EncodeOptions::default() });
            let whole = bytes.len();
            let cut = cut.index(whole);
            prop_assert!(read(Format::Arrow, &bytes[..cut], &DecodeOptions::default(), 100).is_err());
            bytes[at.index(whole)] = byte;
            let _ = read(Format::Arrow, &bytes, &DecodeOptions::default(), 100);
        }
    }
}

#[test]
fn dialects_are_found_out() {
    let expected = "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y, z\"}\n";
    for (name, text) in [
        ("comma", "a,b\n1,x\n2,\"y, z\"\n"),
        ("crlf", "a,b\r\n1,x\r\n2,\"y, z\"\r\n"),
        ("no last break", "a,b\n1,x\n2,\"y, z\""),
        ("old mac", "a,b\r1,x\r2,\"y, z\"\r"),
        ("semicolon", "a;b\n1;x\n2;y, z\n"),
        ("tab", "a\tb\n1\tx\n2\ty, z\n"),
        ("pipe", "a|b\n1|x\n2|y, z\n"),
        ("single quotes", "a,b\n1,'x'\n2,'y, z'\n"),
        ("bom", "\u{feff}a,b\n1,x\n2,\"y, z\"\n"),
        ("blank lines", "\na,b\n\n1,x\n2,\"y, z\"\n\n"),
        ("quoted names", "\"a\",\"b\"\n\"1\",x\n2,\"y, z\"\n"),
    ] {
        assert_eq!(
            rows(&self::text(Format::Csv, text).unwrap()),
            expected,
            "{name}"
        );
    }
    let utf16: Vec<u8> = "\u{feff}a,b\n1,x\n2,\"y, z\"\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let found = read(Format::Csv, &utf16, &DecodeOptions::default(), 3).unwrap();
    assert_eq!(rows(&found), expected, "utf-16");
}

#[test]
fn a_header_is_told_from_data() {
    for (text, expected) in [
        ("id,name\n1,x\n", vec!["id int64", "name string"]),
        ("1,x\n2,y\n", vec!["column_1 int64", "column_2 string"]),
        ("a,b\nc,d\n", vec!["a string", "b string"]),
        (
            "a,a,\n1,2,3\n",
            vec!["a int64", "a_2 int64", "column_3 int64"],
        ),
        ("only\n", vec!["only string"]),
    ] {
        assert_eq!(
            types(&self::text(Format::Csv, text).unwrap()),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_cell_may_be_larger_than_the_sample() {
    let cell = "x,\n".repeat(4 << 20);
    let input = format!("id,blob\n7,\"{cell}\"\n");
    let found = read(
        Format::Csv,
        input.as_bytes(),
        &DecodeOptions::default(),
        64 << 10,
    )
    .unwrap();
    assert_eq!(types(&found), ["id int64", "blob string"]);
    assert_eq!(
        found.column(1).as_string::<i32>().value(0).len(),
        cell.len()
    );
}

#[test]
fn csv_options_are_followed() {
    let options = DecodeOptions {
        csv: CsvIn {
            comment: Some(b'#'),
            escape: Some(b'\\'),
            encoding: Some("windows-1252".to_owned()),
            null_values: vec!["NA".to_owned()],
            skip_rows: 1,
            ..CsvIn::default()
        },
        ..DecodeOptions::default()
    };
    let bytes = b"exported by x\n# note\nn,t\nNA,\"a\\\"b\"\n5,gr\xfc\xdf\\,e\n# end\n";
    for chunk in [1, 1000] {
        let found = read(Format::Csv, bytes, &options, chunk).unwrap();
        assert_eq!(
            rows(&found),
            "{\"n\":null,\"t\":\"a\\\"b\"}\n{\"n\":5,\"t\":\"grüß,e\"}\n"
        );
    }
}

#[test]
fn null_and_empty_text_stay_apart() {
    let found = text(Format::Csv, "a,b\n,\"\"\nx,y\n").unwrap();
    assert_eq!(
        rows(&found),
        "{\"a\":null,\"b\":\"\"}\n{\"a\":\"x\",\"b\":\"y\"}\n"
    );
    let lone: RecordBatch = text(Format::Ndjson, "{\"a\":null}\n{\"a\":\"x\"}\n").unwrap();
    assert_eq!(
        write(Format::Csv, &lone, &EncodeOptions::default()),
        b"a\r\n\"\"\r\nx\r\n"
    );
}

#[test]
fn json_types_lose_no_digit() {
    let line = |cells: &[&str]| {
        cells
            .iter()
            .map(|cell| format!("{{\"v\":{cell}}}\n"))
            .collect::<String>()
    };
    for (cells, expected) in [
        (vec!["1", "-2"], "int64"),
        (vec!["18446744073709551615"], "uint64"),
        (vec!["18446744073709551615", "-1"], "decimal(20,0)"),
        (vec!["123456789012345678901234567890"], "decimal(30,0)"),
        (vec!["1", "0.5", "1e-7"], "float64"),
        (vec!["0.10000000000000001"], "float64"),
        (vec!["9007199254740993", "0.5"], "decimal(17,1)"),
        (vec!["0.1234567890123456789012"], "decimal(22,22)"),
        (vec!["1e999"], "json"),
        (vec!["true", "null"], "bool"),
        (vec!["\"2024-01-01\""], "string"),
        (vec!["1", "\"a\""], "json"),
        (vec!["null"], "json"),
        (vec!["[1,2]", "[]"], "list<int64>"),
        (
            vec!["{\"a\":1}", "{\"b\":[{\"c\":null}]}"],
            "struct<a: int64, b: list<struct<c: json>>>",
        ),
        (vec!["{}"], "json"),
    ] {
        let found = text(Format::Ndjson, &line(&cells)).unwrap();
        assert_eq!(types(&found), [format!("v {expected}")], "{cells:?}");
        let array = format!("[{}]", line(&cells).trim().replace('\n', ","));
        assert_eq!(text(Format::Json, &array).unwrap(), found);
    }
}

#[test]
fn json_comes_in_every_documented_shape() {
    let expected = "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":null}\n";
    for text in [
        "[{\"a\":1,\"b\":\"x\"},{\"a\":2}]",
        " [ { \"a\" : 1 , \"b\" : \"x\" } , { \"b\" : null, \"a\" : 2 } ] \n",
        "[[\"a\",\"b\"],[1,\"x\"],[2,null]]",
        "{\"columns\":[{\"name\":\"a\",\"type\":\"int64\"},{\"name\":\"b\"}],\"rows\":[[1,\"x\"],[2,null]]}",
        "{\"columns\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"rows\":[{\"b\":\"x\",\"a\":1},{\"a\":2}],\"row_count\":2,\"truncated\":false,\"elapsed_ms\":1.5}",
        "{\"rows\":[[1,\"x\"],[2,null]],\"columns\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
        "\u{feff}[{\"\\u0061\":1,\"b\":\"x\"},{\"a\":2}]",
    ] {
        assert_eq!(
            rows(&self::text(Format::Json, text).unwrap()),
            expected,
            "{text}"
        );
    }
    let none = text(
        Format::Json,
        "{\"columns\":[{\"name\":\"a\",\"type\":\"timestamp(ms, UTC)\"}],\"rows\":[]}",
    )
    .unwrap();
    assert_eq!(
        (types(&none), none.num_rows()),
        (vec!["a timestamp(ms, UTC)".to_owned()], 0)
    );
    assert_eq!(text(Format::Json, "[]").unwrap().num_columns(), 0);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let many: String = (0..12_000).map(|n| format!("{n},x\n")).collect();
    for (format, input, expected) in [
        (
            Format::Csv,
            format!("n,t\n{many}oops,y\n"),
            "row 12002 (line 12002), column `n`: the value does not fit the type int64",
        ),
        (
            Format::Csv,
            "a,b\n1,\"two\nlines\"\n3\n".to_owned(),
            "row 3 (line 4), 1 fields where the first row has 2",
        ),
        (
            Format::Csv,
            "a,b\n1,\"open\n".to_owned(),
            "row 2 (line 2), a quoted field is not closed before the end",
        ),
        (
            Format::Csv,
            "a,b\n1,\"x\"y\n".to_owned(),
            "row 2 (line 2), something follows the closing quote of a field",
        ),
        (
            Format::Csv,
            String::new(),
            "the input has neither a header nor rows",
        ),
        (
            Format::Ndjson,
            "{\"a\":1}\n{\"a\":2\n".to_owned(),
            "row 2 (line 2), the row is not valid JSON",
        ),
        (
            Format::Ndjson,
            "{\"a\":1}\n[1]\n".to_owned(),
            "row 2 (line 2), the row is not an object",
        ),
        (
            Format::Ndjson,
            "{\"a\":1,\"a\":2}\n".to_owned(),
            "row 1 (line 1), the row has the key `a` twice",
        ),
        (
            Format::Ndjson,
            "{\"a\":01}\n".to_owned(),
            "row 1 (line 1), column `a`: the value is not valid JSON",
        ),
        (
            Format::Json,
            "[{\"a\":1},{\"a\":".to_owned(),
            "row 2 (line 1), the JSON text ends before it is complete",
        ),
        (
            Format::Json,
            "[{\"a\":1}] x".to_owned(),
            "something follows the end of the JSON text",
        ),
        (
            Format::Json,
            "{\"data\":[]}".to_owned(),
            "an object with rows has no key `data`",
        ),
        (
            Format::Json,
            "[[\"a\"],[1,2]]".to_owned(),
            "row 2 (line 1), the row has 2 or more values for 1 columns",
        ),
    ] {
        let error = text(format, &input).unwrap_err();
        assert!(error.message().contains(expected), "{format:?}: {error}");
        assert!(matches!(error.kind(), Kind::Source(_)), "{error:?}");
    }
    let lines: String = (0..10_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let error = text(Format::Ndjson, &format!("{lines}{{\"n\":1,\"late\":2}}\n")).unwrap_err();
    assert!(
        error.message().contains(
            "row 10001 (line 10001), the row has the key `late`, which no row before has"
        ),
        "{error}"
    );
    let options = DecodeOptions {
        columns: Some(vec!["n".to_owned()]),
        ..DecodeOptions::default()
    };
    let whole = read(
        Format::Ndjson,
        format!("{lines}{{\"n\":1,\"late\":2}}\n").as_bytes(),
        &options,
        1 << 20,
    );
    assert_eq!(whole.unwrap().num_rows(), 10_001);
}

#[test]
fn columns_and_types_are_chosen_by_name() {
    let options = DecodeOptions {
        types: vec![Arc::new(parse_field("id", "string").unwrap())],
        columns: Some(vec!["v".to_owned(), "id".to_owned()]),
        ..DecodeOptions::default()
    };
    for (format, text) in [
        (Format::Csv, "id,x,v\n007,1,2.5\n"),
        (Format::Ndjson, "{\"id\":\"007\",\"x\":1,\"v\":2.5}\n"),
    ] {
        let found = read(format, text.as_bytes(), &options, 5).unwrap();
        assert_eq!(types(&found), ["v float64", "id string"]);
        assert_eq!(rows(&found), "{\"v\":2.5,\"id\":\"007\"}\n");
    }
    let error = read(Format::Csv, b"ids,v\n1,2\n", &options, 5).unwrap_err();
    assert_eq!(
        (error.kind(), error.stable_code()),
        (Kind::Invalid, "unknown_column")
    );
}

#[test]
fn bombs_are_refused_before_they_are_unpacked() {
    let refused = |format, bytes: &[u8], code: &str| {
        let error = read(format, bytes, &DecodeOptions::default(), 1 << 16).unwrap_err();
        assert_eq!(error.stable_code(), code, "{error:?}");
    };
    let too_large = |format, bytes: &[u8], options: &DecodeOptions| {
        let error = read(format, bytes, options, 1 << 16).unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge, "{error:?}");
        error
    };
    let plain = DecodeOptions::default();
    // 1.1 GiB announced in four bytes.
    too_large(Format::Arrow, &[0x00, 0x1b, 0x00, 0x48, 0, 0, 0, 0], &plain);
    refused(
        Format::Csv,
        ",".repeat(1_000_000).as_bytes(),
        "too_many_columns",
    );
    let keys: String = (0..10_001).map(|n| format!("\"k{n}\":1,")).collect();
    let wide = format!("{{{keys}\"z\":1}}\n");
    refused(Format::Ndjson, wide.as_bytes(), "too_many_columns");
    let deep = format!("[{{\"a\":{}{}}}]", "[".repeat(200), "]".repeat(200));
    refused(Format::Json, deep.as_bytes(), "too_deep");
    let small = DecodeOptions {
        limits: DecodeLimits {
            max_cell_bytes: 1_000,
            ..DecodeLimits::default()
        },
        ..DecodeOptions::default()
    };
    let cell = "x".repeat(2_000);
    for (format, text) in [
        (Format::Csv, format!("a,b\n1,\"{cell}\n")),
        (Format::Ndjson, format!("{{\"a\":\"{cell}")),
        (Format::Json, format!("[{{\"a\":\"{cell}")),
    ] {
        assert!(
            too_large(format, text.as_bytes(), &small)
                .message()
                .contains("1000 bytes")
        );
    }
    // Empty objects become 9,000 nulls each.
    let keys: String = (0..9_000).map(|n| format!("\"k{n}\":1,")).collect();
    let wide = format!("{{{}\"z\":1}}\n{}", keys, "{}\n".repeat(40_000));
    let error = too_large(Format::Ndjson, wide.as_bytes(), &plain);
    assert_eq!(error.stable_code(), "decoded_too_large");
}

#[test]
fn arrow_files_dictionaries_and_views_are_read() {
    let dictionary: DictionaryArray<Int8Type> = ["a", "b", "a"].into_iter().collect();
    let view = StringViewArray::from_iter_values(["x", "y", "a text longer than twelve bytes"]);
    let batch = RecordBatch::try_from_iter([
        ("d", Arc::new(dictionary) as ArrayRef),
        ("v", Arc::new(view) as ArrayRef),
    ])
    .unwrap();
    let mut stream = Vec::new();
    let mut writer =
        arrow::ipc::writer::StreamWriter::try_new(&mut stream, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let mut file = Vec::new();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(&mut file, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    for bytes in [&stream, &file] {
        for chunk in [1, 10_000] {
            let found = read(Format::Arrow, bytes, &DecodeOptions::default(), chunk).unwrap();
            assert_eq!(types(&found), ["d string", "v string"]);
            assert_eq!(rows(&found), rows(&batch));
        }
        assert!(
            read(
                Format::Arrow,
                &bytes[..bytes.len() - 4],
                &DecodeOptions::default(),
                100
            )
            .is_err()
        );
    }
}
