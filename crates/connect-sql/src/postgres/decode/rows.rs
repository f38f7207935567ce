//! Rows into batches. `COPY` tuples and the rows of the extended protocol have
//! the same fields, so both end in the same builder.

use tokio_postgres::Row;
use weir_core::{Error, Result, SourceFault};

use super::super::bound::Raw;
use crate::shared::decode::RowBuilder;

/// Appends the fields of a tuple: a length and its bytes for each, -1 for null.
fn push_tuple(rows: &mut RowBuilder, mut fields: &[u8]) -> Result<()> {
    let bytes = fields.len();
    for index in 0..rows.width() {
        let (value, rest) =
            next_field(fields).ok_or_else(|| malformed("a tuple that is too short"))?;
        rows.push_field(index, value)?;
        fields = rest;
    }
    if !fields.is_empty() {
        return Err(malformed("bytes after the last field of a tuple"));
    }
    rows.end_row(bytes);
    Ok(())
}

/// Appends a row of the extended protocol.
pub fn push_row(rows: &mut RowBuilder, row: &Row) -> Result<()> {
    if row.len() != rows.width() {
        return Err(malformed("a row of another width"));
    }
    let mut bytes = 0;
    for index in 0..rows.width() {
        let Raw(value) = row.try_get(index).map_err(Error::internal)?;
        bytes += 4 + value.map_or(0, <[u8]>::len);
        rows.push_field(index, value)?;
    }
    rows.end_row(bytes);
    Ok(())
}

#[inline]
fn next_field(fields: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = fields.split_first_chunk::<4>()?;
    let length = i32::from_be_bytes(*length);
    if length == -1 {
        return Some((None, rest));
    }
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(value), rest))
}

fn malformed(what: &'static str) -> Error {
    Error::source(SourceFault::Unavailable, format!("the server sent {what}"))
        .code("protocol")
        .hint("a proxy in between may not speak all of the protocol")
}

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Reads a binary `COPY`, whatever pieces it comes in. The server sends a tuple
/// in a piece, which is decoded where it lies.
#[derive(Default)]
pub struct CopyReader {
    carry: Vec<u8>,
    started: bool,
    ended: bool,
}

impl CopyReader {
    /// Takes a piece.
    pub fn feed(&mut self, piece: &[u8], rows: &mut RowBuilder) -> Result<()> {
        if self.carry.is_empty() {
            let used = self.consume(piece, rows)?;
            self.carry.extend_from_slice(&piece[used..]);
            return Ok(());
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(piece);
        let used = self.consume(&carry, rows)?;
        carry.drain(..used);
        self.carry = carry;
        Ok(())
    }

    /// Whether the end mark came and nothing after it.
    pub fn is_complete(&self) -> bool {
        self.ended && self.carry.is_empty()
    }

    /// Decodes what is whole of `bytes`, and says how much that is.
    fn consume(&mut self, bytes: &[u8], rows: &mut RowBuilder) -> Result<usize> {
        let mut used = 0;
        if !self.started {
            match header(bytes)? {
                Some(length) => used = length,
                None => return Ok(0),
            }
            self.started = true;
        }
        while let Some((count, fields)) = bytes[used..].split_first_chunk::<2>() {
            if self.ended {
                return Err(malformed("rows after the end of the rows"));
            }
            let count = i16::from_be_bytes(*count);
            if count == -1 {
                self.ended = true;
                used += 2;
                continue;
            }
            if usize::try_from(count) != Ok(rows.width()) {
                return Err(malformed("a tuple of another width"));
            }
            let Some(length) = tuple_length(fields, rows.width())? else {
                break;
            };
            push_tuple(rows, &fields[..length])?;
            used += 2 + length;
        }
        Ok(used)
    }
}

/// Length of the header, when it is whole.
fn header(bytes: &[u8]) -> Result<Option<usize>> {
    let Some((signature, rest)) = bytes.split_first_chunk::<11>() else {
        return Ok(None);
    };
    if signature != SIGNATURE {
        return Err(malformed("a COPY that is not binary"));
    }
    let Some((flags, rest)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    // The high half holds what a reader must understand.
    if u32::from_be_bytes(*flags) >> 16 != 0 {
        return Err(malformed("a COPY of an unknown form"));
    }
    let Some((extension, rest)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let extension = u32::from_be_bytes(*extension) as usize;
    if extension > 1024 {
        return Err(malformed("a COPY with an oversized header"));
    }
    Ok((rest.len() >= extension).then_some(19 + extension))
}

/// Length of a tuple of `count` fields, when it is whole.
#[inline]
fn tuple_length(fields: &[u8], count: usize) -> Result<Option<usize>> {
    let mut at = 0;
    for _ in 0..count {
        let Some(length) = fields.get(at..at + 4) else {
            return Ok(None);
        };
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        at += 4;
        match usize::try_from(length) {
            Ok(length) => at += length,
            Err(_) if length == -1 => {}
            Err(_) => return Err(malformed("a field of negative length")),
        }
    }
    Ok((at <= fields.len()).then_some(at))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array};
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use proptest::prelude::*;

    use super::super::{Fixed, Text, plain};
    use super::*;

    fn builder() -> RowBuilder {
        let fields = vec![
            Field::new("n", DataType::Int32, true),
            Field::new("t", DataType::Utf8, true),
        ];
        let decoders = vec![
            Fixed::<Int32Type, _, 4>::boxed(&DataType::Int32, "", |b| Some(i32::from_be_bytes(b))),
            Text::boxed(plain),
        ];
        RowBuilder::new(Arc::new(Schema::new(fields)), decoders, true)
    }

    fn copy_of(rows: &[(Option<i32>, Option<String>)]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0; 8]);
        for (number, text) in rows {
            bytes.extend(2_i16.to_be_bytes());
            let fields = [
                number.map(|n| n.to_be_bytes().to_vec()),
                text.clone().map(String::into_bytes),
            ];
            for field in fields {
                match field {
                    Some(value) => {
                        bytes.extend((value.len() as i32).to_be_bytes());
                        bytes.extend(value);
                    }
                    None => bytes.extend((-1_i32).to_be_bytes()),
                }
            }
        }
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_rows(
            rows in prop::collection::vec((any::<Option<i32>>(), any::<Option<String>>()), 0..20),
            size in 1_usize..40,
        ) {
            let (mut reader, mut builder) = (CopyReader::default(), builder());
            for piece in copy_of(&rows).chunks(size) {
                reader.feed(piece, &mut builder).unwrap();
            }
            prop_assert!(reader.is_complete());
            prop_assert_eq!(builder.rows(), rows.len());
            let batch = builder.finish().unwrap();
            let numbers: Int32Array = rows.iter().map(|row| row.0).collect();
            prop_assert_eq!(batch.column(0).as_primitive::<Int32Type>(), &numbers);
            let texts: Vec<Option<&str>> = batch.column(1).as_string::<i32>().iter().collect();
            prop_assert_eq!(texts, rows.iter().map(|row| row.1.as_deref()).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), whole: bool) {
            let (mut reader, mut builder) = (CopyReader::default(), builder());
            let mut input = if whole { copy_of(&[])[..19].to_vec() } else { Vec::new() };
            input.extend(bytes);
            let _ = reader.feed(&input, &mut builder).and_then(|()| builder.finish());
        }
    }

    #[test]
    fn errors_name_column_and_row() {
        let mut bytes = copy_of(&[(Some(1), None)]);
        bytes.truncate(bytes.len() - 2);
        bytes.extend([0, 2, 0, 0, 0, 3, 1, 2, 3, 255, 255, 255, 255]);
        let error = CopyReader::default()
            .feed(&bytes, &mut builder())
            .unwrap_err();
        assert!(error.message().starts_with("column `n`, row 2"), "{error}");
    }
}
