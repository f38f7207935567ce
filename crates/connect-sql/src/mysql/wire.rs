//! Packets: a length of three bytes, a number that counts, and the content.
//!
//! What a server says of lengths is not believed: room is made as bytes arrive,
//! and a packet has a limit. Contents are looked at where they lie.

use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_core::{Dialed, Error, Kind, Result};
use weir_net::TlsClient;

use super::failure;

/// Content of a packet at most; longer ones are sent in several.
const PIECE: usize = 0xff_ff_ff;
const HEAD: usize = 4;

/// Bytes that are read at once.
const ROOM: usize = 128 << 10;
/// Room that an idle connection may keep.
const KEPT: usize = 1 << 20;

/// What the server sends before it knows us, and of itself at any time.
pub const SHORT: usize = 1 << 20;
/// A row: no cell of a server is larger than its `max_allowed_packet`, and nobody
/// has so much memory for one row.
pub const LONG: usize = 256 << 20;

/// One end of a connection.
pub struct Wire {
    stream: Box<dyn Dialed>,
    host: String,
    /// The number that the next packet has, in either direction.
    sequence: u8,
    room: Vec<u8>,
    filled: Range<usize>,
    /// Where the last packet is; none: it is in `long`.
    at: Option<Range<usize>>,
    /// Pieces of a packet of several.
    long: Vec<u8>,
    is_long_whole: bool,
    limit: usize,
}

impl Wire {
    /// Over a stream on which nothing was said yet.
    pub fn new(stream: Box<dyn Dialed>, host: &str) -> Self {
        Wire {
            stream,
            host: host.to_owned(),
            sequence: 0,
            room: vec![0; ROOM],
            filled: 0..0,
            at: None,
            long: Vec::new(),
            is_long_whole: false,
            limit: SHORT,
        }
    }

    /// Host, for messages.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Lets packets be this long from here on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.room.len() + self.long.capacity()
    }

    /// The same through TLS. Nothing may have come that is not read yet: it would
    /// not have come through it.
    pub async fn secured(mut self, tls: &TlsClient) -> Result<Self> {
        if !self.filled.is_empty() {
            return Err(failure::protocol("bytes before TLS began"));
        }
        self.stream = tls.connect(self.stream).await?;
        Ok(self)
    }

    /// The next packet, waiting for it.
    pub async fn read(&mut self) -> Result<&[u8]> {
        while !self.ready()? {
            self.fill().await?;
        }
        Ok(self.packet())
    }

    /// Whether the next packet has come whole; it is then the one that
    /// [`Wire::packet`] gives.
    pub fn ready(&mut self) -> Result<bool> {
        if self.is_long_whole {
            self.long = Vec::new();
            self.is_long_whole = false;
        }
        loop {
            let Some((head, rest)) = self.room[self.filled.clone()].split_first_chunk::<HEAD>()
            else {
                return Ok(false);
            };
            let length =
                usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
            if head[3] != self.sequence {
                return Err(failure::protocol("a packet out of its order"));
            }
            if self.long.len() + length > self.limit {
                return Err(too_long(self.limit));
            }
            if rest.len() < length {
                return Ok(false);
            }
            self.sequence = self.sequence.wrapping_add(1);
            let from = self.filled.start + HEAD;
            self.filled.start = from + length;
            if length < PIECE && self.long.is_empty() {
                self.at = Some(from..from + length);
                return Ok(true);
            }
            self.long.extend_from_slice(&self.room[from..from + length]);
            if length < PIECE {
                self.at = None;
                self.is_long_whole = true;
                return Ok(true);
            }
        }
    }

    /// The packet that has come.
    pub fn packet(&self) -> &[u8] {
        match &self.at {
            Some(at) => &self.room[at.clone()],
            None => &self.long,
        }
    }

    /// Reads what is there, waiting for one byte at least. Nothing is lost when
    /// this is dropped.
    pub async fn fill(&mut self) -> Result<()> {
        if self.filled.is_empty() {
            self.filled = 0..0;
            if self.room.len() > KEPT {
                self.room = vec![0; ROOM];
            }
        }
        if self.filled.end == self.room.len() {
            if self.filled.start > 0 {
                self.room.copy_within(self.filled.clone(), 0);
                self.filled = 0..self.filled.len();
            } else {
                // As much again as has really come.
                self.room.resize(self.room.len() * 2, 0);
            }
        }
        let room = &mut self.room[self.filled.end..];
        match self.stream.read(room).await {
            Ok(0) => Err(failure::closed(&self.host)),
            Ok(count) => {
                self.filled.end += count;
                Ok(())
            }
            Err(error) => Err(weir_net::tls::io_error(&self.host, &error)),
        }
    }

    /// Begins a command: numbers start anew.
    pub async fn command(&mut self, command: u8, content: &[u8]) -> Result<()> {
        if !self.filled.is_empty() {
            return Err(failure::protocol("an answer to nothing"));
        }
        self.sequence = 0;
        let mut whole = Vec::with_capacity(content.len() + 1);
        whole.push(command);
        whole.extend_from_slice(content);
        self.send(&whole).await
    }

    /// Sends content, in as many packets as it takes.
    pub async fn send(&mut self, content: &[u8]) -> Result<()> {
        let mut rest = content;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(PIECE));
            let length = piece.len() as u32;
            let [a, b, c, _] = length.to_le_bytes();
            let mut out = Vec::with_capacity(HEAD + piece.len());
            out.extend_from_slice(&[a, b, c, self.sequence]);
            out.extend_from_slice(piece);
            self.sequence = self.sequence.wrapping_add(1);
            let sent = self.stream.write_all(&out).await;
            sent.map_err(|error| weir_net::tls::io_error(&self.host, &error))?;
            rest = after;
            if piece.len() < PIECE {
                break;
            }
        }
        let sent = self.stream.flush().await;
        sent.map_err(|error| weir_net::tls::io_error(&self.host, &error))
    }
}

fn too_long(limit: usize) -> Error {
    if limit < LONG {
        return failure::protocol("a packet that is too long");
    }
    let message = format!("a row is longer than {} MiB", LONG >> 20);
    Error::new(Kind::TooLarge, message)
        .code("too_large_to_compute")
        .hint("leave the large column out, or cut it in a query")
}

/// Reads a content from its front. Everything may be missing.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// This many bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(short)?;
        self.0 = rest;
        Ok(head)
    }

    /// This many bytes, as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(short)?;
        self.0 = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number of two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A number of four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number that says its own length.
    pub fn length(&mut self) -> Result<u64> {
        Ok(match self.byte()? {
            first @ 0..=0xfa => u64::from(first),
            0xfc => u64::from(self.u16()?),
            0xfd => {
                let [a, b, c] = self.array()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            0xfe => self.array().map(u64::from_le_bytes)?,
            _ => return Err(failure::protocol("a length that is none")),
        })
    }

    /// Bytes after their length.
    #[inline]
    pub fn text(&mut self) -> Result<&'a [u8]> {
        if let Some((first @ 0..=0xfa, rest)) = self.0.split_first() {
            self.0 = rest;
            return self.bytes(usize::from(*first));
        }
        let length = usize::try_from(self.length()?).map_err(|_| short())?;
        self.bytes(length)
    }

    /// Bytes up to a NUL, or all.
    pub fn until_nul(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let (head, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest.get(1..).unwrap_or_default();
        head
    }
}

fn short() -> Error {
    failure::protocol("a packet that is too short")
}

/// Appends bytes after their length.
pub fn put_text(bytes: &[u8], out: &mut Vec<u8>) {
    let length = bytes.len() as u64;
    match length {
        0..=0xfa => out.push(length as u8),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(length as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&(length as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&length.to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn content_of_any_length_comes_through() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 5, 2 * PIECE] {
            let (here, there) = tokio::io::duplex(1 << 16);
            let mut sender = Wire::new(Box::new(here), "h");
            let mut receiver = Wire::new(Box::new(there), "h");
            receiver.set_limit(LONG);
            let content: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let (sent, came) = tokio::join!(sender.send(&content), async {
                receiver.read().await.map(<[u8]>::to_vec)
            });
            sent.unwrap();
            assert!(came.unwrap() == content, "{length}");
        }
    }

    #[tokio::test]
    async fn lengths_and_numbers_that_lie_are_refused_without_room_for_them() {
        for (bytes, said) in [
            (&[0xff, 0xff, 0xff, 0][..], "too long"),
            (&[1, 0, 0, 7, 0], "out of its order"),
            (&[5, 0, 0, 0, 1], "closed"),
        ] {
            let (mut here, there) = tokio::io::duplex(64);
            here.write_all(bytes).await.unwrap();
            drop(here);
            let mut wire = Wire::new(Box::new(there), "h");
            let error = wire.read().await.unwrap_err();
            assert!(error.message().contains(said), "{error}");
            assert!(wire.memory() <= ROOM);
        }
        for bytes in [
            &[0xfc, 1][..],
            &[5, 1, 2],
            &[0xff],
            &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert!(Reader(bytes).text().is_err());
        }
        let mut out = Vec::new();
        put_text(&[7; 70_000], &mut out);
        assert_eq!(Reader(&out).text().unwrap().len(), 70_000);
    }
}
