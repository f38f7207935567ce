//! Which format a file has: by what the config says, its name, or its first bytes.

use schemars::JsonSchema;
use serde::Deserialize;
use weir_formats::Format;

/// A format that files are read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// Separated values.
    Csv,
    /// Values separated by tabs.
    Tsv,
    /// An array of objects, or an object a line.
    Json,
    /// An object a line.
    Ndjson,
    /// Arrow IPC, stream or file.
    Arrow,
    /// Parquet.
    Parquet,
    /// A spreadsheet: xlsx, xlsm, xlsb, xls or ods.
    Excel,
}

/// How a file's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// What is known of a file by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Its format.
    pub format: FileFormat,
    /// Its packing.
    pub packing: Packing,
}

const SUFFIXES: &[(&str, FileFormat, &str)] = &[
    ("csv", FileFormat::Csv, "text/csv"),
    ("tsv", FileFormat::Tsv, "text/tab-separated-values"),
    ("tab", FileFormat::Tsv, "text/tab-separated-values"),
    ("json", FileFormat::Json, "application/json"),
    ("ndjson", FileFormat::Ndjson, "application/x-ndjson"),
    ("jsonl", FileFormat::Ndjson, "application/x-ndjson"),
    (
        "arrow",
        FileFormat::Arrow,
        "application/vnd.apache.arrow.file",
    ),
    (
        "arrows",
        FileFormat::Arrow,
        "application/vnd.apache.arrow.stream",
    ),
    (
        "feather",
        FileFormat::Arrow,
        "application/vnd.apache.arrow.file",
    ),
    (
        "parquet",
        FileFormat::Parquet,
        "application/vnd.apache.parquet",
    ),
    ("pq", FileFormat::Parquet, "application/vnd.apache.parquet"),
    (
        "xlsx",
        FileFormat::Excel,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    (
        "xlsm",
        FileFormat::Excel,
        "application/vnd.ms-excel.sheet.macroEnabled.12",
    ),
    (
        "xlsb",
        FileFormat::Excel,
        "application/vnd.ms-excel.sheet.binary.macroEnabled.12",
    ),
    ("xls", FileFormat::Excel, "application/vnd.ms-excel"),
    (
        "ods",
        FileFormat::Excel,
        "application/vnd.oasis.opendocument.spreadsheet",
    ),
];

impl FileFormat {
    /// Its name, as in the config.
    pub fn name(self) -> &'static str {
        match self {
            FileFormat::Csv => "csv",
            FileFormat::Tsv => "tsv",
            FileFormat::Json => "json",
            FileFormat::Ndjson => "ndjson",
            FileFormat::Arrow => "arrow",
            FileFormat::Parquet => "parquet",
            FileFormat::Excel => "excel",
        }
    }

    /// The format its text or messages are decoded as; `None` where the whole
    /// file is needed.
    pub fn streamed(self) -> Option<Format> {
        match self {
            FileFormat::Csv | FileFormat::Tsv => Some(Format::Csv),
            FileFormat::Json => Some(Format::Json),
            FileFormat::Ndjson => Some(Format::Ndjson),
            FileFormat::Arrow => Some(Format::Arrow),
            FileFormat::Parquet | FileFormat::Excel => None,
        }
    }
}

fn unpacked(name: &str) -> (&str, Packing) {
    for (suffix, packing) in [(".gz", Packing::Gzip), (".zst", Packing::Zstd)] {
        if let Some(at) = name.len().checked_sub(suffix.len())
            && name.is_char_boundary(at)
            && name[at..].eq_ignore_ascii_case(suffix)
        {
            return (&name[..at], packing);
        }
    }
    (name, Packing::Plain)
}

fn row(name: &str) -> Option<&'static (&'static str, FileFormat, &'static str)> {
    let (_, suffix) = name.rsplit_once('.')?;
    SUFFIXES
        .iter()
        .find(|row| row.0.eq_ignore_ascii_case(suffix))
}

/// What the name of a file says.
pub fn by_name(name: &str) -> Option<Kind> {
    let (plain, packing) = unpacked(name);
    let format = row(plain)?.1;
    (packing == Packing::Plain || format.streamed().is_some()).then_some(Kind { format, packing })
}

/// How the name says a file is packed.
pub fn packing(name: &str) -> Packing {
    unpacked(name).1
}

/// The media type of a file by its name.
pub fn content_type(name: &str) -> Option<&'static str> {
    match unpacked(name) {
        (_, Packing::Gzip) => Some("application/gzip"),
        (_, Packing::Zstd) => Some("application/zstd"),
        (plain, Packing::Plain) => row(plain).map(|row| row.2),
    }
}

/// What the first bytes say of the packing.
pub fn packing_of(head: &[u8]) -> Packing {
    match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        _ => Packing::Plain,
    }
}

/// What the first bytes of a file, unpacked, say of its format. Text that is
/// nothing else is CSV; bytes that are no text are nothing we know.
pub fn by_content(head: &[u8]) -> Option<FileFormat> {
    const OLE: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0];
    if head.starts_with(b"PAR1") || head.starts_with(b"PARE") {
        return Some(FileFormat::Parquet);
    }
    if head.starts_with(b"ARROW1") || head.starts_with(&[0xff; 4]) {
        return Some(FileFormat::Arrow);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(OLE) {
        return Some(FileFormat::Excel);
    }
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Some(FileFormat::Csv);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    if text.contains(&0) {
        return None;
    }
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => Some(FileFormat::Json),
        Some(b'{') => Some(FileFormat::Ndjson),
        _ => Some(FileFormat::Csv),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_packing() {
        let kind = |name| by_name(name).map(|kind| (kind.format, kind.packing));
        assert_eq!(kind("a.CSV"), Some((FileFormat::Csv, Packing::Plain)));
        assert_eq!(
            kind("a.b.jsonl.gz"),
            Some((FileFormat::Ndjson, Packing::Gzip))
        );
        assert_eq!(kind("a.tsv.ZST"), Some((FileFormat::Tsv, Packing::Zstd)));
        assert_eq!(kind("a.parquet.gz"), None);
        assert_eq!(kind("a"), None);
        assert_eq!(kind("é.gz"), None);
        assert_eq!(content_type("a.csv.gz"), Some("application/gzip"));
    }

    #[test]
    fn first_bytes_tell_the_format() {
        assert_eq!(by_content(b"PAR1..."), Some(FileFormat::Parquet));
        assert_eq!(by_content(b"\xef\xbb\xbf [1"), Some(FileFormat::Json));
        assert_eq!(by_content(b"{}"), Some(FileFormat::Ndjson));
        assert_eq!(by_content(b"a,b\n1,2"), Some(FileFormat::Csv));
        assert_eq!(by_content(b"\x7fELF\0\0"), None);
        assert_eq!(by_content(b""), Some(FileFormat::Csv));
    }
}
