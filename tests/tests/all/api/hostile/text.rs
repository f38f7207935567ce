//! Text: what never ends, nests without end, or is packed to nothing.

use std::io::Write as _;

use super::{CUT, Case, Content, gzipped};

const CSV: &str = "text/csv";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

fn repeated(head: &[u8], unit: &[u8], times: usize, tail: &[u8]) -> Content {
    Content {
        head: head.to_vec(),
        unit: unit.to_vec(),
        times,
        tail: tail.to_vec(),
    }
}

/// A zstd frame that asks for a window of 2 GiB.
fn wide_window() -> Vec<u8> {
    let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    packer.include_contentsize(false).unwrap();
    packer.window_log(27).unwrap();
    packer.write_all(b"a,b\n1,2\n").unwrap();
    let mut bytes = packer.finish().unwrap();
    // Magic, descriptor, window: exponent 21 is 2 GiB.
    bytes[5] = 21 << 3;
    bytes
}

pub fn cases() -> Vec<Case> {
    let mut all = structured();
    all.extend(tables());
    all.extend(packed());
    all
}

fn structured() -> Vec<Case> {
    let deep = |open: &[u8], close: &[u8]| {
        let (open, close) = (open.repeat(10_000), close.repeat(10_000));
        [&b"[{\"a\":"[..], &open, b"1", &close, b"}]"].concat()
    };
    let object = |keys: usize| {
        let keys: Vec<String> = (0..keys).map(|n| format!("\"c{n}\":1")).collect();
        format!("[{{{}}}]", keys.join(",")).into_bytes()
    };
    let lists = deep(b"[", b"]");
    let objects = deep(b"{\"a\":", b"}");
    let line = |text: &[u8]| [&text[1..text.len() - 1], b"\n"].concat();
    let mib = vec![b'a'; 1 << 20];
    vec![
        Case::new("json: lists 10,000 deep", lists.clone())
            .body(JSON, 400, "too_deep")
            .file("a.json", 424, "too_deep"),
        Case::new("json: objects 10,000 deep", objects.clone())
            .body(JSON, 400, "too_deep")
            .file("a.json", 424, "too_deep"),
        Case::new(
            "json: the body itself 10,000 deep",
            deep(b"[", b"]")[6..].to_vec(),
        )
        .body(JSON, 400, "too_deep")
        .file("a.json", 424, "too_deep"),
        Case::new("ndjson: objects 10,000 deep", line(&objects))
            .body(NDJSON, 400, "too_deep")
            .file("a.ndjson", 424, "too_deep"),
        Case::new("json: 100,000 columns", object(100_000))
            .body(JSON, 422, "too_many_columns")
            .file("a.json", 422, "too_many_columns"),
        Case::new("json: a body of 17 MiB", repeated(b"[\"", &mib, 17, b"\"]")).body(
            JSON,
            413,
            "json_too_large",
        ),
        Case::new(
            "json: never closed",
            repeated(b"[{\"a\": \"", b"a", 100_000, b""),
        )
        .body(JSON, 400, "malformed")
        .file("a.json", 424, "data"),
        Case::new(
            "ndjson: one line of 100 MiB",
            repeated(b"{\"a\":\"", &mib, 100, b"\"}"),
        )
        .body(NDJSON, 413, "too_large")
        .file("a.ndjson", 413, "too_large"),
        Case::new("ndjson: new keys in every line", {
            let line = |n: usize| format!("{{\"k{n}\":1}}\n");
            (0..100_000).map(line).collect::<String>().into_bytes()
        })
        .body(NDJSON, 413, "decoded_too_large")
        .file("a.ndjson", 413, "decoded_too_large"),
    ]
}

fn tables() -> Vec<Case> {
    let mib = vec![b'a'; 1 << 20];
    vec![
        Case::new(
            "csv: a million columns",
            repeated(b"a", &b",a".repeat(1_000), 1_000, b"\n1\n"),
        )
        .body(CSV, 422, "too_many_columns")
        .file("a.csv", 422, "too_many_columns"),
        Case::new(
            "csv: a quote open for 100 MiB",
            repeated(b"a,b\n1,\"", &mib, 100, b""),
        )
        .body(CSV, 413, "too_large")
        .file("a.csv", 413, "too_large"),
        Case::new("csv: one line of 100 MiB", repeated(b"", &mib, 100, b""))
            .body(CSV, 413, "too_large")
            .file("a.csv", 413, "too_large"),
        Case::new(
            "csv: NUL for 100 MiB",
            repeated(b"", &vec![0; 1 << 20], 100, b""),
        )
        .body(CSV, 413, "too_large")
        .file("a.csv", 413, "too_large"),
        Case::new(
            "csv: UTF-16 cut in a pair",
            b"\xff\xfea\0,\0b\0\n\0\x3d\xd8".to_vec(),
        )
        .body(CSV, 422, "data")
        .file("a.csv", 424, "data"),
        Case::new("csv: UTF-16 of lone halves", {
            let mut text = b"\xfe\xff".to_vec();
            text.extend(b"\xdc\x00\xd8\x00".repeat(100_000));
            text
        })
        .body(CSV, 422, "data")
        .file("a.csv", 424, "data"),
        Case::new("csv: rows of other lengths", b"a,b\n1,2\n1,2,3\n".to_vec())
            .body(CSV, 422, "data")
            .file("a.csv", 424, "data"),
        Case::new(
            "csv: bytes that are no text",
            b"a,b\n1,\xff\xfe\xfd\n".repeat(1_000),
        )
        .body(CSV, 422, "data")
        .file("a.csv", 424, "data"),
    ]
}

fn packed() -> Vec<Case> {
    let csv = b"a,b\n1,2\n".to_vec();
    let rows = b"1,2\n".repeat(1 << 18);
    let bomb = [gzipped(&csv, 1), gzipped(&rows, 256)].concat();
    let zstd = zstd::encode_all(&rows.repeat(256)[..], 1).unwrap();
    let nested = gzipped(&gzipped(&bomb, 1), 1);
    let twice = nested.clone();
    let cell = [gzipped(b"a\n", 1), gzipped(&vec![b'x'; 1 << 20], 256)].concat();
    let whole = gzipped(&csv, 1);
    let cut = whole[..whole.len() / 2].to_vec();
    let large = (413, "decoded_too_large");
    vec![
        Case::new("gzip: 256 MiB of rows", bomb)
            .packed(CSV, "gzip", (200, CUT))
            .file("a.csv.gz", 200, CUT)
            .preview(200, ""),
        Case::new("zstd: 256 MiB of rows", zstd)
            .packed(CSV, "zstd", large)
            .file("a.csv.zst", 200, CUT)
            .preview(200, ""),
        Case::new("gzip: one cell of 256 MiB", cell)
            .packed(CSV, "gzip", large)
            .file("a.csv.gz", 413, "too_large"),
        Case::new("gzip: three times over", nested)
            .packed(CSV, "gzip", (422, "data"))
            .file("a.csv.gz", 424, "data"),
        Case::new("gzip: named twice in the head", twice).packed(
            CSV,
            "gzip, gzip",
            (415, "unsupported_media_type"),
        ),
        Case::new("gzip: cut short", cut)
            .packed(CSV, "gzip", (400, "malformed"))
            .file("a.csv.gz", 424, "data"),
        Case::new("zstd: a window of 2 GiB", wide_window())
            .packed(CSV, "zstd", (400, "malformed"))
            .file("a.csv.zst", 424, "data"),
        Case::new("gzip: a packed JSON body", gzipped(b"[]", 1)).packed(
            JSON,
            "gzip",
            (415, "unsupported_media_type"),
        ),
    ]
}
