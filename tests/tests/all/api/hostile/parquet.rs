//! Parquet: footers and pages by hand.

use std::io::Write as _;

use super::thrift::{Struct, varint};
use super::{CUT, Case, gzipped};

const MEDIA: &str = "application/vnd.apache.parquet";

const INT32: i64 = 1;
const BYTES: i64 = 6;
const FIXED: i64 = 7;

const PLAIN: i64 = 0;
const DELTA_LENGTH: i64 = 6;
const DELTA: i64 = 7;
const DICTIONARY: i64 = 8;

const RAW: i64 = 0;
const SNAPPY: i64 = 1;
const GZIP: i64 = 2;
const BROTLI: i64 = 4;
const ZSTD: i64 = 6;

/// A page: its header, and what follows.
struct Page {
    header: Struct,
    data: Vec<u8>,
}

fn page(unpacked: i64, values: i64, encoding: i64, data: Vec<u8>) -> Page {
    let values = Struct::default()
        .int(1, values)
        .int(2, encoding)
        .int(3, 3)
        .int(4, 3);
    let header = Struct::default()
        .int(1, 0)
        .int(2, unpacked)
        .int(3, data.len() as i64)
        .inner(5, values);
    Page { header, data }
}

fn dictionary(unpacked: i64, values: i64, data: Vec<u8>) -> Page {
    let header = Struct::default()
        .int(1, 2)
        .int(2, unpacked)
        .int(3, data.len() as i64)
        .inner(7, Struct::default().int(1, values).int(2, PLAIN));
    Page { header, data }
}

/// One required column in one row group.
struct File {
    kind: i64,
    length: i64,
    codec: i64,
    encodings: Vec<i64>,
    rows: i64,
    is_list: bool,
    has_dictionary: bool,
    pages: Vec<Page>,
}

impl Default for File {
    fn default() -> Self {
        File {
            kind: INT32,
            length: 0,
            codec: RAW,
            encodings: vec![PLAIN, 3],
            rows: 4,
            is_list: false,
            has_dictionary: false,
            pages: Vec::new(),
        }
    }
}

impl File {
    fn bytes(self) -> Vec<u8> {
        let mut out = b"PAR1".to_vec();
        let mut first_data = 4;
        for (at, page) in self.pages.into_iter().enumerate() {
            if at == 1 && self.has_dictionary {
                first_data = out.len() as i64;
            }
            out.extend(page.header.end());
            out.extend(page.data);
        }
        let size = out.len() as i64 - 4;
        let mut encodings = Vec::new();
        for encoding in &self.encodings {
            varint((*encoding as u64) << 1, &mut encodings);
        }
        let values = if self.is_list { 1 << 30 } else { self.rows };
        let meta = Struct::default()
            .int(1, self.kind)
            .list(2, 5, self.encodings.len(), &encodings)
            .list(3, 8, 1, b"\x01a")
            .int(4, self.codec)
            .long(5, values)
            .long(6, size)
            .long(7, size)
            .long(9, first_data);
        let meta = if self.has_dictionary {
            meta.long(11, 4)
        } else {
            meta
        };
        let chunk = Struct::default().long(2, 0).inner(3, meta);
        let group = Struct::default()
            .structs(1, vec![chunk])
            .long(2, size)
            .long(3, self.rows);
        let repetition = if self.is_list { 2 } else { 0 };
        let column = Struct::default().int(1, self.kind);
        let column = if self.length > 0 {
            column.int(2, self.length)
        } else {
            column
        };
        let column = column.int(3, repetition).text(4, "a");
        let footer = Struct::default()
            .int(1, 1)
            .structs(2, vec![root(1), column])
            .long(3, self.rows)
            .structs(4, vec![group]);
        with_footer(out, &footer.end())
    }
}

fn root(children: i64) -> Struct {
    Struct::default().text(4, "m").int(5, children)
}

fn with_footer(mut out: Vec<u8>, footer: &[u8]) -> Vec<u8> {
    out.extend_from_slice(footer);
    out.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    out.extend_from_slice(b"PAR1");
    out
}

/// A file with nothing but this footer.
fn footer(footer: Struct) -> Vec<u8> {
    with_footer(b"PAR1".to_vec(), &footer.end())
}

/// Snappy text that says it has this many bytes.
fn snappy_of(bytes: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(bytes, &mut out);
    out.extend_from_slice(&[0x00, b'a']);
    out
}

/// One byte, this many times, as brotli.
fn brotli_of(bytes: usize) -> Vec<u8> {
    let mut packer = brotli::CompressorWriter::new(Vec::new(), 1 << 16, 1, 22);
    packer.write_all(&vec![b'a'; bytes]).unwrap();
    packer.flush().unwrap();
    packer.into_inner()
}

fn case(
    name: &'static str,
    bytes: Vec<u8>,
    body: (u16, &'static str),
    file: (u16, &'static str),
) -> Case {
    Case::new(name, bytes)
        .body(MEDIA, body.0, body.1)
        .file("a.parquet", file.0, file.1)
}

/// What cannot be read is the caller's in a body, the source's in a file.
fn broken(name: &'static str, bytes: Vec<u8>) -> Case {
    case(name, bytes, (422, "data"), (424, "data"))
}

fn large(name: &'static str, bytes: Vec<u8>, code: &'static str) -> Case {
    case(name, bytes, (413, code), (413, code))
}

fn plain(values: &[i32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Rows come before it shows.
fn cut(name: &'static str, bytes: Vec<u8>) -> Case {
    case(name, bytes, (200, CUT), (200, CUT)).preview(424, "data")
}

/// Texts behind their lengths.
fn texts(text: &[u8], times: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..times {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text);
    }
    out
}

pub fn cases() -> Vec<Case> {
    let mut all = footers();
    all.extend(pages());
    all.extend(values());
    all
}

fn footers() -> Vec<Case> {
    let leaf = |name: &str| Struct::default().int(1, INT32).int(3, 0).text(4, name);
    let group = |children| Struct::default().int(3, 0).text(4, "g").int(5, children);
    let empty = |schema| Struct::default().int(1, 1).structs(2, schema).long(3, 0);
    let many: Vec<Struct> = std::iter::once(root(2_000_000))
        .chain((0..2_000_000).map(|_| leaf("a")))
        .collect();
    let deep: Vec<Struct> = std::iter::once(root(1))
        .chain((0..200_000).map(|_| group(1)))
        .chain([leaf("a")])
        .collect();
    let chunk = || {
        Struct::default().long(2, 0).inner(
            3,
            Struct::default()
                .int(1, INT32)
                .list(2, 5, 0, &[])
                .list(3, 8, 1, b"\x01a")
                .int(4, 0)
                .long(5, 0)
                .long(6, 0)
                .long(7, 0)
                .long(9, 4),
        )
    };
    let groups = |count: usize| {
        let group = || {
            Struct::default()
                .structs(1, vec![chunk()])
                .long(2, 0)
                .long(3, 0)
        };
        empty(vec![root(1), leaf("a")]).structs(4, (0..count).map(|_| group()).collect())
    };
    let huge_list = |id| {
        Struct::default()
            .int(1, 1)
            .list(id, 12, 0x7fff_ffff, &[0; 64])
    };
    let mut huge_footer = b"PAR1".to_vec();
    huge_footer.extend_from_slice(&[0; 64]);
    huge_footer.extend_from_slice(&u32::MAX.to_le_bytes());
    huge_footer.extend_from_slice(b"PAR1");
    let wild = |rows| File {
        rows,
        pages: vec![page(16, 4, PLAIN, plain(&[1, 2, 3, 4]))],
        ..File::default()
    };
    vec![
        broken("parquet: footer longer than the file", huge_footer),
        large(
            "parquet: footer of 40 MiB",
            with_footer(b"PAR1".to_vec(), &vec![0; 40 << 20]),
            "too_large",
        ),
        broken("parquet: schema of 2 billion entries", footer(huge_list(2))),
        broken("parquet: 2 billion row groups", footer(huge_list(4))),
        case(
            "parquet: 2 million columns",
            footer(empty(many)),
            (422, "too_many_columns"),
            (422, "too_many_columns"),
        ),
        case(
            "parquet: schema 200,000 levels deep",
            footer(empty(deep)),
            (400, "too_deep"),
            (424, "too_deep"),
        ),
        large(
            "parquet: 300,000 row groups",
            footer(groups(300_000)),
            "too_large",
        ),
        cut("parquet: 9 quintillion rows", wild(i64::MAX).bytes()),
        broken("parquet: less than no rows", wild(-5).bytes()),
        cut(
            "parquet: more rows than its pages have",
            wild(1_000_000).bytes(),
        ),
    ]
}

fn pages() -> Vec<Case> {
    let ints = || plain(&[1, 2, 3, 4]);
    let one = |codec, page| {
        File {
            codec,
            pages: vec![page],
            ..File::default()
        }
        .bytes()
    };
    let zeros = vec![0; 256 << 20];
    let zstd = zstd::encode_all(&zeros[..], 1).unwrap();
    let mut negative = page(-1, 4, PLAIN, ints());
    negative.header = Struct::default().int(1, 0).int(2, -1).int(3, -1);
    let mut endless = page(16, 4, PLAIN, ints());
    endless.header = Struct::default()
        .int(1, 0)
        .int(2, 16)
        .int(3, 16)
        .list(4, 8, 0x7fff_ffff, &[]);
    let packed = gzipped(&zeros[..1 << 20], 256);
    let packed_brotli = brotli_of(8 << 20);
    vec![
        large(
            "parquet: snappy page of 2 GiB in 8 bytes",
            one(SNAPPY, page(0x7fff_fff0, 4, PLAIN, snappy_of(0x7fff_fff0))),
            "too_large",
        ),
        large(
            "parquet: snappy page of 60 MiB in 8 bytes",
            one(SNAPPY, page(60 << 20, 4, PLAIN, snappy_of(60 << 20))),
            "decoded_too_large",
        ),
        large(
            "parquet: zstd page of 256 MiB",
            one(ZSTD, page(256 << 20, 4, PLAIN, zstd)),
            "too_large",
        ),
        large(
            "parquet: gzip page of 256 MiB that says 16",
            one(GZIP, page(16, 4, PLAIN, packed)),
            "decoded_too_large",
        ),
        large(
            "parquet: brotli page of 8 MiB that says 16",
            one(BROTLI, page(16, 4, PLAIN, packed_brotli)),
            "decoded_too_large",
        ),
        broken("parquet: page of negative size", one(SNAPPY, negative)),
        broken(
            "parquet: page header with an endless list",
            one(SNAPPY, endless),
        ),
        broken(
            "parquet: page beyond its column",
            one(
                SNAPPY,
                Page {
                    header: Struct::default()
                        .int(1, 0)
                        .int(2, 16)
                        .int(3, 1 << 30)
                        .inner(5, Struct::default().int(1, 4).int(2, 0).int(3, 3).int(4, 3)),
                    data: ints(),
                },
            ),
        ),
        broken(
            "parquet: header that is no header",
            one(
                SNAPPY,
                Page {
                    header: Struct::default().inner(15, Struct::default()),
                    data: vec![0x5c; 4_096],
                },
            ),
        ),
    ]
}

fn values() -> Vec<Case> {
    // One text of 4 MiB, and a million rows that name it.
    let long = texts(&vec![b'a'; 4 << 20], 1);
    let mut indices = vec![1];
    varint(1_000_000 << 1, &mut indices);
    indices.push(0);
    let repeated = File {
        kind: BYTES,
        codec: ZSTD,
        encodings: vec![PLAIN, 3, DICTIONARY],
        rows: 1_000_000,
        has_dictionary: true,
        pages: vec![
            dictionary(
                long.len() as i64,
                1,
                zstd::encode_all(&long[..], 1).unwrap(),
            ),
            page(
                indices.len() as i64,
                1_000_000,
                DICTIONARY,
                zstd::encode_all(&indices[..], 1).unwrap(),
            ),
        ],
        ..File::default()
    };
    let counted = File {
        kind: BYTES,
        encodings: vec![PLAIN, 3, DICTIONARY],
        has_dictionary: true,
        pages: vec![
            dictionary(5, 0x7fff_ffff, texts(b"a", 1)),
            page(3, 4, DICTIONARY, vec![1, 8, 0]),
        ],
        ..File::default()
    };
    let lengths = |count: u64| {
        let mut out = Vec::new();
        for number in [128, 4, count, 0] {
            varint(number, &mut out);
        }
        out.extend_from_slice(&[0, 0, 0, 0, 0]);
        out
    };
    let delta = |encoding, declared, data: Vec<u8>| File {
        kind: BYTES,
        encodings: vec![PLAIN, 3, declared],
        pages: vec![page(data.len() as i64, 4, encoding, data)],
        ..File::default()
    };
    let fixed = File {
        kind: FIXED,
        length: 0x7fff_ffff,
        pages: vec![page(16, 4, PLAIN, plain(&[1, 2, 3, 4]))],
        ..File::default()
    };
    // A row of a billion values, as one run.
    let mut run = vec![5, 0, 0, 0];
    varint((1 << 30) << 1, &mut run);
    run.push(1);
    run[0] = (run.len() - 4) as u8;
    let mut list = run.clone();
    list.extend_from_slice(&run);
    let list = File {
        is_list: true,
        rows: 1,
        pages: vec![page(list.len() as i64, 1 << 30, PLAIN, list)],
        ..File::default()
    };
    // Rows of 8 MiB each, of which the footer says that they are small.
    let wide = texts(&vec![b'a'; 8 << 20], 1);
    let wide_packed = zstd::encode_all(&wide[..], 1).unwrap();
    let wide = File {
        kind: BYTES,
        codec: ZSTD,
        rows: 64,
        pages: (0..64)
            .map(|_| page(wide.len() as i64, 1, PLAIN, wide_packed.clone()))
            .collect(),
        ..File::default()
    };
    vec![
        case(
            "parquet: a million rows of one 4 MiB text",
            repeated.bytes(),
            (413, "decoded_too_large"),
            (200, ""),
        )
        .rows(3),
        broken(
            "parquet: dictionary of 2 billion in 5 bytes",
            counted.bytes(),
        ),
        broken(
            "parquet: lengths of 2^50 texts",
            delta(DELTA_LENGTH, DELTA_LENGTH, lengths(1 << 50)).bytes(),
        ),
        broken(
            "parquet: differences of 2^50 texts",
            delta(DELTA, DELTA, lengths(1 << 50)).bytes(),
        ),
        broken(
            "parquet: lengths that the footer hides",
            delta(DELTA_LENGTH, PLAIN, lengths(1 << 50)).bytes(),
        ),
        large("parquet: values of 2 GiB each", fixed.bytes(), "too_large"),
        large(
            "parquet: a list of a billion in one row",
            list.bytes(),
            "too_large",
        ),
        case(
            "parquet: 64 rows of 8 MiB in 64 KiB",
            wide.bytes(),
            (413, "decoded_too_large"),
            (200, ""),
        )
        .rows(3),
    ]
}
