//! Spreadsheets by hand: the smallest archives that are one.

/// One entry of an archive, as it will stand there.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its path.
    pub name: String,
    /// 0 is stored, 8 is deflated.
    pub method: u16,
    /// Its bytes, packed.
    pub packed: Vec<u8>,
    /// Its size unpacked, as the archive says.
    pub size: u32,
    /// Its checksum, as the archive says.
    pub crc: u32,
}

impl Entry {
    /// An entry that is not packed.
    pub fn stored(name: &str, text: &str) -> Self {
        Entry {
            name: name.to_owned(),
            method: 0,
            packed: text.as_bytes().to_vec(),
            size: text.len() as u32,
            crc: crc32(text.as_bytes()),
        }
    }
}

/// The checksum of archives.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// An archive of these entries.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = out.len() as u32;
        let mut common = Vec::new();
        for field in [20, 0, entry.method, 0, 0x21] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        for field in [entry.crc, entry.packed.len() as u32, entry.size] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        common.extend_from_slice(&(entry.name.len() as u16).to_le_bytes());
        common.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&common);
        out.extend_from_slice(entry.name.as_bytes());
        out.extend_from_slice(&entry.packed);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(entry.name.as_bytes());
    }
    let (start, count) = (out.len() as u32, entries.len() as u16);
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&0_u16.to_le_bytes());
    out
}

/// The entries of a workbook. A sheet is its name and its cells as XML: `<c r="A1"><v>1</v></c>`
/// in rows. Style 1 is a date.
pub fn entries(sheets: &[(&str, &str)]) -> Vec<Entry> {
    let numbers = || 1..=sheets.len();
    let each = |of: &dyn Fn(usize) -> String| numbers().map(of).collect::<String>();
    let overrides = each(&|n| {
        format!(
            r#"<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>"#
        )
    });
    let listed = each(&|n| {
        let name = sheets[n - 1].0;
        format!(r#"<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>"#)
    });
    let related = each(&|n| {
        format!(
            r#"<Relationship Id="rId{n}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet{n}.xml"/>"#
        )
    });
    let main = r#"xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships""#;
    let package = "http://schemas.openxmlformats.org/package/2006";
    let mut all = vec![
        Entry::stored(
            "[Content_Types].xml",
            &format!(
                r#"<Types xmlns="{package}/content-types"><Default Extension="xml" ContentType="application/xml"/><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>{overrides}</Types>"#
            ),
        ),
        Entry::stored(
            "_rels/.rels",
            &format!(
                r#"<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
            ),
        ),
        Entry::stored(
            "xl/workbook.xml",
            &format!("<workbook {main}><sheets>{listed}</sheets></workbook>"),
        ),
        Entry::stored(
            "xl/_rels/workbook.xml.rels",
            &format!(
                r#"<Relationships xmlns="{package}/relationships">{related}<Relationship Id="rId99" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>"#
            ),
        ),
        Entry::stored(
            "xl/styles.xml",
            &format!(
                r#"<styleSheet {main}><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>"#
            ),
        ),
    ];
    all.extend(sheets.iter().enumerate().map(|(at, (_, rows))| {
        let text = format!("<worksheet {main}><sheetData>{rows}</sheetData></worksheet>");
        Entry::stored(&format!("xl/worksheets/sheet{}.xml", at + 1), &text)
    }));
    all
}

/// A workbook, see [`entries`].
pub fn workbook(sheets: &[(&str, &str)]) -> Vec<u8> {
    archive(&entries(sheets))
}

/// A row of cells from values as in JSON; a text in `<…>` is a date's serial number.
pub fn row(number: usize, values: &[serde_json::Value]) -> String {
    let cell = |(at, value): (usize, &serde_json::Value)| {
        let place = format!("{}{number}", char::from(b'A' + at as u8));
        match value {
            serde_json::Value::Null => String::new(),
            serde_json::Value::Bool(value) => {
                format!(r#"<c r="{place}" t="b"><v>{}</v></c>"#, u8::from(*value))
            }
            serde_json::Value::String(text) => match text.strip_prefix('<') {
                Some(serial) => format!(r#"<c r="{place}" s="1"><v>{serial}</v></c>"#),
                None => format!(r#"<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>"#),
            },
            other => format!(r#"<c r="{place}"><v>{other}</v></c>"#),
        }
    };
    let cells: String = values.iter().enumerate().map(cell).collect();
    format!(r#"<row r="{number}">{cells}</row>"#)
}
