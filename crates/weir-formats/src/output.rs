//! Where encoders put their bytes.

use bytes::Bytes;

/// Below this a block is copied behind its neighbours: tiny chunks cost more
/// on the wire than a copy.
const COPY_BELOW: usize = 16 * 1024;

/// Text beyond this becomes a chunk of its own.
const CHUNK: usize = 1 << 20;

/// Bytes on their way out: text is appended, large blocks are passed on
/// without a copy.
#[derive(Debug, Default)]
pub struct Output {
    open: Vec<u8>,
    done: Vec<Bytes>,
}

impl Output {
    /// The buffer to append to.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.open
    }

    /// Adds a block, without a copy when it is large.
    pub fn block(&mut self, block: Bytes) {
        if block.len() < COPY_BELOW {
            self.open.extend_from_slice(&block);
            return;
        }
        self.seal();
        self.done.push(block);
    }

    /// Closes the chunk when it is large enough; call it between rows.
    pub fn row_done(&mut self) {
        if self.open.len() >= CHUNK {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            // The next batch will need about as much again.
            let capacity = self.open.len();
            let full = std::mem::replace(
                &mut self.open,
                Vec::with_capacity(capacity.min(CHUNK + CHUNK / 8)),
            );
            self.done.push(full.into());
        }
    }

    /// Takes everything written so far, in order.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.seal();
        std::mem::take(&mut self.done)
    }

    /// Takes everything written so far as one block.
    pub fn concat(mut self) -> Vec<u8> {
        if self.done.is_empty() {
            return self.open;
        }
        self.take().concat()
    }
}
