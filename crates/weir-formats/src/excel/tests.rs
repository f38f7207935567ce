//! Archives that are not what they say.

use std::io::{Cursor, Write};

use weir_core::Kind;
use weir_tests::xlsx::{Entry, archive, entries};

use super::*;

fn read_book(bytes: &[u8]) -> Result<Sheet> {
    let options = Options {
        header: true,
        ..Options::default()
    };
    read(
        Cursor::new(bytes),
        bytes.len() as u64,
        &options,
        &DecodeLimits::default(),
    )
}

fn deflated(name: &str, bytes: &[u8], size: u32) -> Entry {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    Entry {
        method: 8,
        packed: packer.finish().unwrap(),
        size,
        ..Entry::stored(name, "")
    }
}

#[test]
fn bombs_are_refused_whatever_their_directory_says() {
    let spaces = vec![b' '; 64 << 20];
    for said in [spaces.len() as u32, 10] {
        let mut all = entries(&[("a", "")]);
        all.push(deflated("xl/sharedStrings.xml", &spaces, said));
        let bytes = archive(&all);
        assert!(bytes.len() < 100_000);
        assert_eq!(read_book(&bytes).unwrap_err().kind(), Kind::TooLarge);
    }
    let many: Vec<Entry> = (0..20_000)
        .map(|n| Entry::stored(&n.to_string(), ""))
        .collect();
    assert_eq!(
        read_book(&archive(&many)).unwrap_err().kind(),
        Kind::TooLarge
    );
}

#[test]
fn every_cut_and_every_changed_byte_ends_in_rows_or_an_error() {
    let rows = r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="2"><c r="A2"><v>2</v></c></row>"#;
    let whole = archive(&entries(&[("a", rows)]));
    assert_eq!(read_book(&whole).unwrap().rows(), 1);
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        for bytes in [&whole[..at], &changed[..]] {
            if let Err(error) = read_book(bytes) {
                assert_ne!(error.kind(), Kind::Internal, "at {at}: {error:?}");
            }
        }
    }
}
