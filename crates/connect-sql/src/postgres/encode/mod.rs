//! Arrow arrays into bytes of the binary format: the way back of `decode`. A
//! column is brought into the one Arrow type that its encoder reads, then each
//! cell is one call that appends to the row.

mod fixed;
mod list;
mod numeric;
mod table;
mod text;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::FieldRef;

pub use crate::shared::convert::Refused;
pub use table::{Wire, created_type, wire};

/// Writes the value of a row that is not null.
pub trait Cells: Send {
    /// Appends its bytes, without their length.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str>;
}

/// The cells of one column of a batch.
pub struct Column {
    nulls: Option<NullBuffer>,
    cells: Box<dyn Cells>,
}

impl Column {
    /// Those of `array`, written as `wire` says.
    pub fn new(wire: &Wire, field: &FieldRef, array: &ArrayRef) -> Result<Self, Refused> {
        Ok(Column {
            nulls: array.logical_nulls(),
            cells: wire.cells(field, array)?,
        })
    }

    /// Appends length and bytes of one cell.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        self.cells.write(row, out)?;
        let length = out.len() - start - 4;
        let length = i32::try_from(length).map_err(|_| "larger than 2 GiB")?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}
