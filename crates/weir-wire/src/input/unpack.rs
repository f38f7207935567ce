//! Bodies that come compressed: unpacked in small steps, so that a few bytes
//! that stand for gigabytes are refused long before they are written out.

use std::io::Write;

use weir_core::{Error, Kind, Result};
use weir_formats::decode::Ratio;
use zstd::stream::raw::{Decoder as RawZstd, InBuffer, Operation, OutBuffer};

use crate::ContentEncoding;

/// Bytes that are unpacked at once: at the worst ratio of gzip 4 MiB.
pub(super) const PIECE: usize = 4 << 10;

/// Larger windows of zstd would take this much memory a body.
const ZSTD_WINDOW_LOG: u32 = 27;

type Gzip = flate2::write::MultiGzDecoder<Vec<u8>>;

enum Kindly {
    Plain,
    Gzip(Box<Gzip>),
    /// Whether the last frame is complete.
    Zstd(Box<RawZstd<'static>>, bool),
}

/// Unpacks a body and counts.
pub(super) struct Unpacker {
    kind: Kindly,
    packed: u64,
    unpacked: u64,
    ratio: Ratio,
}

fn broken() -> Error {
    Error::new(
        Kind::Malformed,
        "the body cannot be unpacked as its Content-Encoding says",
    )
}

impl Unpacker {
    pub(super) fn new(coding: Option<ContentEncoding>, ratio: Ratio) -> Result<Self> {
        let kind = match coding {
            None => Kindly::Plain,
            Some(ContentEncoding::Gzip) => Kindly::Gzip(Box::new(Gzip::new(Vec::new()))),
            Some(ContentEncoding::Zstd) => {
                let mut raw = RawZstd::new().map_err(Error::internal)?;
                let window = zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_LOG);
                raw.set_parameter(window).map_err(Error::internal)?;
                Kindly::Zstd(Box::new(raw), true)
            }
        };
        Ok(Unpacker {
            kind,
            packed: 0,
            unpacked: 0,
            ratio,
        })
    }

    /// Hands what `piece` unpacks to over to `take`.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.packed += piece.len() as u64;
        match &mut self.kind {
            Kindly::Plain => take(piece),
            Kindly::Gzip(gzip) => {
                // Without it the last of what was unpacked waits inside.
                let written = gzip.write_all(piece).and_then(|()| gzip.flush());
                written.map_err(|error| broken().detail(error))?;
                let bytes = std::mem::take(gzip.get_mut());
                count(&mut self.unpacked, bytes.len(), self.packed, self.ratio)?;
                take(&bytes)
            }
            Kindly::Zstd(raw, is_whole) => {
                let mut input = InBuffer::around(piece);
                let mut buffer = vec![0; 128 << 10];
                loop {
                    let mut output = OutBuffer::around(&mut buffer[..]);
                    let hint = raw.run(&mut input, &mut output);
                    let hint = hint.map_err(|error| broken().detail(error))?;
                    *is_whole = hint == 0;
                    let written = output.pos();
                    count(&mut self.unpacked, written, self.packed, self.ratio)?;
                    take(&buffer[..written])?;
                    if input.pos() == piece.len() && written < buffer.len() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The body has ended: so must what was packed. Hands over what is left.
    pub(super) fn finish(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let is_whole = match &mut self.kind {
            Kindly::Plain => true,
            Kindly::Gzip(gzip) => gzip.try_finish().is_ok(),
            Kindly::Zstd(_, is_whole) => *is_whole,
        };
        if is_whole {
            let left = match &mut self.kind {
                Kindly::Gzip(gzip) => std::mem::take(gzip.get_mut()),
                Kindly::Plain | Kindly::Zstd(..) => Vec::new(),
            };
            count(&mut self.unpacked, left.len(), self.packed, self.ratio)?;
            return take(&left);
        }
        Err(Error::new(
            Kind::Malformed,
            "the packed body ended before it was complete",
        ))
    }
}

fn count(unpacked: &mut u64, bytes: usize, packed: u64, ratio: Ratio) -> Result<()> {
    *unpacked += bytes as u64;
    if *unpacked > ratio.most(packed) {
        let ratio = ratio.times;
        return Err(Error::new(
            Kind::TooLarge,
            format!("the body unpacks to more than {ratio} times its size"),
        )
        .code("decoded_too_large"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(coding: ContentEncoding, bytes: &[u8]) -> Result<Vec<u8>> {
        unpacked_by(7, coding, bytes)
    }

    fn unpacked_by(length: usize, coding: ContentEncoding, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut unpacker = Unpacker::new(Some(coding), Ratio::default())?;
        let mut out = Vec::new();
        let mut take = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        for piece in bytes.chunks(length) {
            unpacker.push(piece, &mut take)?;
        }
        unpacker.finish(&mut take)?;
        Ok(out)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_back_and_a_cut_is_an_error() {
        let text = b"rows and rows and rows".repeat(1000);
        for (coding, packed) in [
            (ContentEncoding::Gzip, gzip(&text)),
            (
                ContentEncoding::Zstd,
                zstd::encode_all(&text[..], 1).unwrap(),
            ),
        ] {
            for length in [1, 7, PIECE, usize::MAX] {
                let seen = unpacked_by(length, coding, &packed).unwrap();
                assert_eq!(seen, text, "{coding:?} by {length}");
            }
            for cut in [packed.len() / 2, packed.len() - 1] {
                assert!(unpacked(coding, &packed[..cut]).is_err(), "{coding:?}");
            }
            assert!(unpacked(coding, b"not packed at all").is_err());
        }
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = vec![0; 64 << 20];
        for (coding, packed) in [
            (ContentEncoding::Gzip, gzip(&zeros)),
            (
                ContentEncoding::Zstd,
                zstd::encode_all(&zeros[..], 1).unwrap(),
            ),
        ] {
            let error = unpacked(coding, &packed)
                .map(|bytes| bytes.len())
                .unwrap_err();
            assert_eq!(error.stable_code(), "decoded_too_large");
        }
    }
}
