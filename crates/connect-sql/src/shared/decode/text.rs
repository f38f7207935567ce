//! Types of varying length: bytes are copied, offsets are noted, and UTF-8 is
//! checked once a batch.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};

use super::{Decoder, Misfit};

/// Appends the text or bytes of one value.
pub type Write = fn(&[u8], &mut Vec<u8>) -> Result<(), Misfit>;

/// Growing values with their offsets.
struct Values {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    write: Write,
}

impl Values {
    fn new(write: Write) -> Self {
        Values {
            bytes: Vec::new(),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
            write,
        }
    }

    #[inline]
    fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        (self.write)(value, &mut self.bytes)?;
        self.close()?;
        self.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    fn close(&mut self) -> Result<(), Misfit> {
        let end = i32::try_from(self.bytes.len())
            .map_err(|_| Misfit::Malformed("a batch of more than 2 GiB"))?;
        self.offsets.push(end);
        Ok(())
    }

    #[inline]
    fn push_null(&mut self) {
        let end = self.offsets.last().copied().unwrap_or_default();
        self.offsets.push(end);
        self.nulls.append_null();
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Vec<u8>, Option<NullBuffer>) {
        let mut fresh = Vec::with_capacity(self.offsets.len());
        fresh.push(0);
        let offsets = std::mem::replace(&mut self.offsets, fresh);
        let fresh = Vec::with_capacity(self.bytes.len());
        let bytes = std::mem::replace(&mut self.bytes, fresh);
        // Offsets only grow: each is the length of what was appended so far.
        (
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            bytes,
            self.nulls.finish(),
        )
    }
}

/// Text of any kind.
pub struct Text(Values);

impl Text {
    /// Values as `write` puts them.
    pub fn boxed(write: Write) -> Box<dyn Decoder> {
        Box::new(Text(Values::new(write)))
    }
}

impl Decoder for Text {
    #[inline]
    fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        self.0.push(value)
    }

    #[inline]
    fn push_null(&mut self) {
        self.0.push_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, Misfit> {
        let (offsets, bytes, nulls) = self.0.finish();
        let array = StringArray::try_new(offsets, bytes.into(), nulls);
        Ok(Arc::new(array.map_err(|_| {
            Misfit::Malformed("text that is not UTF-8")
        })?))
    }
}

/// Bytes of any kind.
pub struct Bytes(Values);

impl Bytes {
    /// Values as they are.
    pub fn boxed() -> Box<dyn Decoder> {
        Box::new(Bytes(Values::new(plain)))
    }
}

impl Decoder for Bytes {
    fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        self.0.push(value)
    }

    fn push_null(&mut self) {
        self.0.push_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, Misfit> {
        let (offsets, bytes, nulls) = self.0.finish();
        Ok(Arc::new(BinaryArray::new(offsets, bytes.into(), nulls)))
    }
}

/// As it is.
pub fn plain(value: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    out.extend_from_slice(value);
    Ok(())
}
