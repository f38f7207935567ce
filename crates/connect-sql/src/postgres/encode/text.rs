//! Text, bytes, JSON documents and ids.

use arrow::array::cast::AsArray;
use arrow::array::{ArrayRef, BinaryArray, FixedSizeBinaryArray, StringArray};
use weir_formats::json::JsonCells;

use super::Cells;

struct Text {
    values: StringArray,
    /// Comes before each.
    version: Option<u8>,
}

impl Cells for Text {
    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let text = self.values.value(row).as_bytes();
        if text.contains(&0) {
            return Err("a NUL character, which PostgreSQL cannot hold in text");
        }
        out.extend(self.version);
        out.extend_from_slice(text);
        Ok(())
    }
}

/// `text` and its kin.
pub fn text(array: &ArrayRef, version: Option<u8>) -> Box<dyn Cells> {
    Box::new(Text {
        values: array.as_string::<i32>().clone(),
        version,
    })
}

struct Json {
    cells: JsonCells,
    version: Option<u8>,
}

impl Cells for Json {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.extend(self.version);
        self.cells.write(row, out);
        Ok(())
    }
}

/// Any value as a JSON document.
pub fn json(cells: JsonCells, version: Option<u8>) -> Box<dyn Cells> {
    Box::new(Json { cells, version })
}

struct Bytes(BinaryArray);

impl Cells for Bytes {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.extend_from_slice(self.0.value(row));
        Ok(())
    }
}

/// `bytea`.
pub fn bytes(array: &ArrayRef) -> Box<dyn Cells> {
    Box::new(Bytes(array.as_binary::<i32>().clone()))
}

struct UuidBytes(FixedSizeBinaryArray);

impl Cells for UuidBytes {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.extend_from_slice(self.0.value(row));
        Ok(())
    }
}

struct UuidText(StringArray);

impl Cells for UuidText {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let id = uuid::Uuid::try_parse(self.0.value(row).trim()).map_err(|_| "not a UUID")?;
        out.extend_from_slice(id.as_bytes());
        Ok(())
    }
}

/// `uuid` of sixteen bytes.
pub fn uuid_bytes(array: &ArrayRef) -> Box<dyn Cells> {
    Box::new(UuidBytes(array.as_fixed_size_binary().clone()))
}

/// `uuid` of its text.
pub fn uuid_text(array: &ArrayRef) -> Box<dyn Cells> {
    Box::new(UuidText(array.as_string::<i32>().clone()))
}
