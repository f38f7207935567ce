//! Spreadsheets: archives and containers that unpack to more than they are.

use std::io::Write as _;

use weir_tests::xlsx::{Entry, archive, entries};

use super::Case;

fn deflated(name: &str, bytes: &[u8]) -> Entry {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    Entry {
        method: 8,
        packed: packer.finish().unwrap(),
        size: bytes.len() as u32,
        ..Entry::stored(name, "")
    }
}

/// `unit` many times over, deflated once: a flushed block refers to nothing
/// before it and can stand there again.
fn blown(name: &str, unit: &[u8], times: usize, said: Option<u32>) -> Entry {
    let mut packer = flate2::Compress::new(flate2::Compression::best(), false);
    let mut block = Vec::with_capacity(1 << 20);
    let status = packer.compress_vec(unit, &mut block, flate2::FlushCompress::Full);
    assert_eq!(status.unwrap(), flate2::Status::Ok);
    let mut packed = block.repeat(times);
    packed.extend_from_slice(&[0x03, 0x00]);
    Entry {
        method: 8,
        packed,
        size: said.unwrap_or((unit.len() * times) as u32),
        ..Entry::stored(name, "")
    }
}

fn book(more: Vec<Entry>) -> Vec<u8> {
    let mut all = entries(&[("a", "")]);
    let names: Vec<String> = more.iter().map(|entry| entry.name.clone()).collect();
    all.retain(|entry| !names.contains(&entry.name));
    all.extend(more);
    archive(&all)
}

fn sheet(name: &str, cells: &str) -> Vec<u8> {
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let text = format!(r#"<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>"#);
    book(vec![deflated(name, text.as_bytes())])
}

const SHEET: &str = "xl/worksheets/sheet1.xml";

fn ods(table: &str) -> Vec<u8> {
    let content = format!(
        r#"<?xml version="1.0"?><office:document-content><office:body><office:spreadsheet><table:table table:name="a">{table}</table:table></office:spreadsheet></office:body></office:document-content>"#
    );
    archive(&[
        Entry::stored("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
        Entry::stored("META-INF/manifest.xml", "<manifest/>"),
        deflated("content.xml", content.as_bytes()),
    ])
}

/// A container of 512-byte sectors: a table of chains, a directory, a workbook.
fn xls(stream: &[u8], chain: impl Fn(u32, u32) -> u32, directory_next: u32, said: u32) -> Vec<u8> {
    const END: u32 = 0xffff_fffe;
    let mut stream = stream.to_vec();
    stream.resize(stream.len().max(4_096).next_multiple_of(512), 0);
    let count = (stream.len() / 512) as u32;
    let mut head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    head.resize(24, 0);
    for field in [0x3e_u16, 3, 0xfffe, 9, 6] {
        head.extend_from_slice(&field.to_le_bytes());
    }
    head.resize(44, 0);
    for field in [1, 1, 0, 4_096, END, 0, END, 0, 0_u32] {
        head.extend_from_slice(&field.to_le_bytes());
    }
    head.resize(512, 0xff);
    let mut table = vec![0xffff_fffd, directory_next];
    table.extend((0..count).map(|n| chain(n, count)));
    table.resize(128, 0xffff_ffff);
    let mut out = head;
    out.extend(table.iter().flat_map(|entry: &u32| entry.to_le_bytes()));
    let entry = |name: &str, kind: u8, start: u32, size: u32| {
        let mut entry: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = entry.len() as u16 + 2;
        entry.resize(64, 0);
        entry.extend_from_slice(&length.to_le_bytes());
        entry.extend_from_slice(&[kind, 1]);
        entry.resize(116, 0xff);
        entry.extend_from_slice(&start.to_le_bytes());
        entry.extend_from_slice(&size.to_le_bytes());
        entry.resize(128, 0);
        entry
    };
    out.extend(entry("Root Entry", 5, END, 0));
    out.extend(entry("Workbook", 2, 2, said));
    out.resize(512 * 3, 0);
    out.extend(stream);
    out
}

/// Sector 2 and on, one behind the other.
fn straight(n: u32, count: u32) -> u32 {
    if n + 1 == count { 0xffff_fffe } else { n + 3 }
}

fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = kind.to_le_bytes().to_vec();
    out.extend_from_slice(&(data.len() as u16).to_le_bytes());
    out.extend_from_slice(data);
    out
}

/// A workbook stream whose sheets, this many, all have these records.
fn biff(sheets: usize, records: &[Vec<u8>]) -> Vec<u8> {
    let begin = |kind: u16| {
        let mut data = 0x0600_u16.to_le_bytes().to_vec();
        data.extend_from_slice(&kind.to_le_bytes());
        data.resize(16, 0);
        record(0x0809, &data)
    };
    let bound = |at: u32| {
        let mut data = at.to_le_bytes().to_vec();
        data.extend_from_slice(&[0, 0, 1, 0, b'a']);
        record(0x0085, &data)
    };
    let length = begin(5).len() + sheets * bound(0).len() + 4;
    let mut out = begin(5);
    (0..sheets).for_each(|_| out.extend(bound(length as u32)));
    out.extend(record(0x000a, &[]));
    out.extend(begin(0x10));
    out.extend(records.concat());
    out.extend(record(0x000a, &[]));
    out
}

fn number(row: u16, column: u16) -> Vec<u8> {
    let mut data = Vec::new();
    for field in [row, column, 0] {
        data.extend_from_slice(&field.to_le_bytes());
    }
    data.extend_from_slice(&1_f64.to_le_bytes());
    record(0x0203, &data)
}

fn xlsb(name: &str, part: &[u8]) -> Vec<u8> {
    let package = "http://schemas.openxmlformats.org/package/2006/relationships";
    let relations = format!(
        r#"<Relationships xmlns="{package}"><Relationship Id="rId1" Type="x" Target="worksheets/sheet1.bin"/></Relationships>"#
    );
    let mut all = vec![
        Entry::stored("xl/_rels/workbook.bin.rels", &relations),
        Entry::stored("xl/workbook.bin", ""),
    ];
    all.retain(|entry| entry.name != name);
    all.push(deflated(name, part));
    archive(&all)
}

fn large(name: &'static str, file: &'static str, bytes: Vec<u8>) -> Case {
    Case::new(name, bytes).file(file, 413, "too_large")
}

fn broken(name: &'static str, file: &'static str, bytes: Vec<u8>) -> Case {
    Case::new(name, bytes).file(file, 424, "data")
}

pub fn cases() -> Vec<Case> {
    let mut all = archives();
    all.extend(tables());
    all.extend(containers());
    all
}

fn archives() -> Vec<Case> {
    let spaces = vec![b' '; 1 << 20];
    let many = (0..20_000).map(|n| Entry::stored(&n.to_string(), ""));
    let whole = book(Vec::new());
    let end = whole.len() - 22;
    let with_end = |at: usize, value: u32| {
        let mut bytes = whole.clone();
        bytes[end + at..end + at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    let mut twice = whole.clone();
    twice[end + 20] = 22;
    twice.extend_from_slice(&whole[end..]);
    vec![
        large(
            "xlsx: 300 MiB of spaces",
            "a.xlsx",
            book(vec![blown("xl/sharedStrings.xml", &spaces, 300, None)]),
        ),
        large(
            "xlsx: 300 MiB that say 10 bytes",
            "a.xlsx",
            book(vec![blown("xl/sharedStrings.xml", &spaces, 300, Some(10))]),
        ),
        large(
            "xlsx: 300 MiB in a part nobody reads",
            "a.xlsx",
            book(vec![blown("xl/media/a.png", &spaces, 300, None)]),
        ),
        large(
            "xlsx: 20,000 parts",
            "a.xlsx",
            archive(&many.collect::<Vec<_>>()),
        ),
        broken(
            "xlsx: a directory beyond the file",
            "a.xlsx",
            with_end(16, u32::MAX),
        ),
        broken(
            "xlsx: a directory of 4 GiB",
            "a.xlsx",
            with_end(12, u32::MAX),
        ),
        broken("xlsx: two ends", "a.xlsx", twice),
        broken(
            "xlsx: cut short",
            "a.xlsx",
            whole[..whole.len() / 2].to_vec(),
        ),
    ]
}

fn tables() -> Vec<Case> {
    let far = r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>"#;
    let deep = "<a>".repeat(1_000_000);
    let shared = format!("<sst><si><t>{}</t></si></sst>", "a".repeat(1 << 20));
    let cells: String = (1..=100_000)
        .map(|n| format!(r#"<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>"#))
        .collect();
    let named = format!(
        r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{cells}</sheetData></worksheet>"#
    );
    let relations = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" Target="sharedStrings.xml"/></Relationships>"#;
    let repeated = book(vec![
        deflated(SHEET, named.as_bytes()),
        deflated("xl/sharedStrings.xml", shared.as_bytes()),
        Entry::stored("xl/_rels/workbook.xml.rels", relations),
    ]);
    let cell = |attributes: &str, inside: &str| {
        format!(
            r#"<table:table-row><table:table-cell {attributes}>{inside}</table:table-cell></table:table-row>"#
        )
    };
    let one = r#"office:value-type="float" office:value="1""#;
    let text = r#"office:value-type="string""#;
    let block = format!(
        r#"<table:table-row table:number-rows-repeated="1000000"><table:table-cell table:number-columns-repeated="16000" {one}/></table:table-row>"#
    );
    let rows = cell(
        &format!(r#"table:number-columns-repeated="16000" {one}"#),
        "",
    )
    .repeat(10_000);
    let spaces = cell(text, r#"<text:p>a<text:s text:c="4000000000"/></text:p>"#);
    let mut record = vec![0x9f, 0x01, 0xff, 0xff, 0xff, 0x7f];
    record.resize(64, 0);
    vec![
        large(
            "xlsx: two cells 17 billion apart",
            "a.xlsx",
            sheet(SHEET, far),
        ),
        large(
            "xlsx: elements a million deep",
            "a.xlsx",
            sheet(SHEET, &deep),
        ),
        large("xlsx: 100,000 cells of one 1 MiB text", "a.xlsx", repeated),
        large(
            "ods: a cell repeated 16 billion times",
            "a.ods",
            ods(&block),
        ),
        large("ods: 160 million cells in rows", "a.ods", ods(&rows)),
        large("ods: 4 billion spaces in a cell", "a.ods", ods(&spaces)),
        broken(
            "xlsb: a record of 256 MiB in 64 bytes",
            "a.xlsb",
            xlsb("xl/sharedStrings.bin", &record),
        ),
    ]
}

fn containers() -> Vec<Case> {
    const END: u32 = 0xffff_fffe;
    let far = biff(1, &[number(0, 0), number(65_535, 16_000)]);
    let mut dimensions = Vec::new();
    for field in [0, u32::MAX] {
        dimensions.extend_from_slice(&u32::to_le_bytes(field));
    }
    dimensions.extend_from_slice(&[0, 0, 0xff, 0xff, 0, 0]);
    let told = biff(1, &[record(0x0200, &dimensions)]);
    let row: Vec<Vec<u8>> = (0..256).map(|column| number(1, column)).collect();
    let again = biff(2_000, &row);
    let size = |stream: &[u8]| stream.len().max(4_096) as u32;
    let whole = biff(1, &[number(0, 0)]);
    vec![
        large(
            "xls: two cells a billion apart",
            "a.xls",
            xls(&far, straight, END, size(&far)),
        ),
        large(
            "xls: a sheet that says 2^48 cells",
            "a.xls",
            xls(&told, straight, END, size(&told)),
        ),
        broken(
            "xls: 2,000 sheets in one place",
            "a.xls",
            xls(&again, straight, END, size(&again)),
        ),
        broken(
            "xls: a chain of 4 GiB in a circle",
            "a.xls",
            xls(&whole, |n, _| n + 2, END, u32::MAX),
        ),
        broken(
            "xls: a directory in a circle",
            "a.xls",
            xls(&whole, straight, 1, size(&whole)),
        ),
        broken(
            "xls: noise behind its mark",
            "a.xls",
            [&b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"[..], &[0xa5; 4_096]].concat(),
        ),
    ]
}
