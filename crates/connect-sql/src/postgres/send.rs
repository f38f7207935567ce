//! Rows into the tuples of a binary `COPY`.

use arrow::array::RecordBatch;
use weir_core::sink::bad_row;
use weir_core::{Error, Result};

use super::encode::{Column, Refused};
use super::target::Outgoing;
use crate::shared::send::Encode;

/// Bytes of a batch that are encoded at once.
pub const PIECE: usize = 1 << 20;
/// Signature, no flags, no extension.
pub const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A tuple of −1 fields.
pub const TAIL: &[u8] = &(-1_i16).to_be_bytes();

/// How rows become tuples.
#[derive(Debug, Clone)]
pub struct Shape {
    /// One for each column of the rows.
    pub columns: Vec<Outgoing>,
    /// Each tuple begins with the number of its row.
    pub numbered: bool,
}

impl Encode for Shape {
    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Vec<u8>> {
        let schema = batch.schema();
        let mut columns = Vec::with_capacity(self.columns.len());
        for ((out, field), array) in self
            .columns
            .iter()
            .zip(schema.fields())
            .zip(batch.columns())
        {
            let cells = Column::new(&out.wire, field, array);
            columns.push(cells.map_err(|Refused { row, why }| {
                bad_row(first + row as u64, Some(&out.name), why)
            })?);
        }
        let fields = columns.len() + usize::from(self.numbered);
        let fields = i16::try_from(fields).map_err(|_| too_many_fields())?;
        let mut out = Vec::with_capacity(PIECE);
        for row in 0..batch.num_rows() {
            out.extend_from_slice(&fields.to_be_bytes());
            if self.numbered {
                out.extend_from_slice(&8_i32.to_be_bytes());
                out.extend_from_slice(&(first + row as u64).to_be_bytes());
            }
            for (place, column) in columns.iter().enumerate() {
                column.write(row, &mut out).map_err(|why| {
                    bad_row(first + row as u64, Some(&self.columns[place].name), why)
                })?;
            }
        }
        Ok(out)
    }
}

fn too_many_fields() -> Error {
    Error::new(
        weir_core::Kind::Invalid,
        "a table has no room for so many columns",
    )
    .code("too_many_columns")
    .hint("PostgreSQL takes at most 1,600 columns")
}
