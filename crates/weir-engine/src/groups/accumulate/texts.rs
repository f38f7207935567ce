//! One value of any length of each group, in an arena that is swept when half of
//! it is no longer wanted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, LargeBinaryBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use weir_core::Result;

use super::super::lanes::{Bytes, Lane, converter, lane};
use super::extreme::Keep;
use super::physical::is_bytes;
use super::{Accumulator, for_valid};

/// Text and binary as they are; other values as rows of bytes.
pub(super) struct Texts {
    keep: Keep,
    result: DataType,
    /// Where each group's value stands; none yet where `start` is `UNSET`.
    spans: Vec<(usize, u32)>,
    arena: Vec<u8>,
    /// Bytes of the arena that no group wants any more.
    idle: usize,
}

const UNSET: usize = usize::MAX;

/// A smaller arena is not worth a sweep.
const SMALL: usize = 1 << 20;

impl Texts {
    pub(super) fn new(keep: Keep, input: &DataType) -> Self {
        Texts {
            keep,
            result: input.clone(),
            spans: Vec::new(),
            arena: Vec::new(),
            idle: 0,
        }
    }

    fn put(&mut self, id: usize, new: &[u8]) {
        let Some((start, len)) = self.spans.get(id).copied() else {
            return;
        };
        if start != UNSET {
            let old = &self.arena[start..start + len as usize];
            let wins = match self.keep {
                Keep::Min => new < old,
                Keep::Max => new > old,
                Keep::First => false,
                Keep::Last => true,
            };
            if !wins {
                return;
            }
            // In its own place where it fits, which keeps the arena small.
            if new.len() <= len as usize {
                self.arena[start..start + new.len()].copy_from_slice(new);
                self.idle += len as usize - new.len();
                self.spans[id].1 = new.len() as u32;
                return;
            }
            self.idle += len as usize;
        }
        self.spans[id] = (self.arena.len(), new.len() as u32);
        self.arena.extend_from_slice(new);
    }

    fn sweep(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.idle);
        for (start, len) in &mut self.spans {
            if *start != UNSET {
                let text = &self.arena[*start..*start + *len as usize];
                *start = arena.len();
                arena.extend_from_slice(text);
            }
        }
        self.arena = arena;
        self.idle = 0;
    }

    fn bytes_of(&self, values: &ArrayRef) -> Result<Lane> {
        if is_bytes(values.data_type()) {
            return lane(values);
        }
        let converter = converter(std::iter::once(values.data_type()))?;
        let rows = converter.convert_columns(std::slice::from_ref(values))?;
        let encoded: BinaryArray = rows.try_into_binary()?;
        Ok(Lane::Bytes(Bytes::Encoded(encoded, values.logical_nulls())))
    }
}

impl Accumulator for Texts {
    fn grow(&mut self, groups: usize) {
        self.spans.resize(groups, (UNSET, 0));
    }

    fn update(&mut self, ids: &[u32], values: &ArrayRef) -> Result<()> {
        let lane = self.bytes_of(values)?;
        if let Lane::Bytes(bytes) = &lane {
            for_valid(ids, lane.nulls(), |row| {
                self.put(ids[row] as usize, bytes.value(row));
            });
        }
        if self.arena.len() > SMALL && self.idle > self.arena.len() / 2 {
            self.sweep();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let spans = std::mem::take(&mut self.spans);
        let arena = std::mem::take(&mut self.arena);
        let value = |(start, len): (usize, u32)| {
            (start != UNSET).then(|| &arena[start..start + len as usize])
        };
        if is_bytes(&self.result) {
            let mut builder = LargeBinaryBuilder::with_capacity(spans.len(), arena.len());
            spans
                .iter()
                .for_each(|span| builder.append_option(value(*span)));
            return texts_as(Arc::new(builder.finish()), &self.result);
        }
        // Rows of bytes back to values; a group without one is a null.
        let converter = converter(std::iter::once(&self.result))?;
        let null = arrow::array::new_null_array(&self.result, 1);
        let nothing = converter.convert_columns(&[null])?;
        let parser = converter.parser();
        let rows = spans.iter().map(|span| match value(*span) {
            Some(bytes) => parser.parse(bytes),
            None => nothing.row(0),
        });
        let mut columns = converter.convert_rows(rows)?;
        columns
            .pop()
            .ok_or_else(|| weir_core::Error::internal("rows without columns"))
    }

    fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<(usize, u32)>() + 2 * self.arena.len()
    }
}

/// Bytes as the text they are, in the wanted one of its types.
fn texts_as(bytes: ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let is_text = matches!(
        wanted,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let bytes = match is_text {
        true => cast(&bytes, &DataType::LargeUtf8)?,
        false => bytes,
    };
    Ok(cast(&bytes, wanted)?)
}
