//! Text in any encoding to UTF-8, as it comes.

use encoding_rs::{Decoder, Encoding, UTF_8};
use weir_core::{Error, Result};

use super::plan::data_error;

/// Turns the bytes of a text into UTF-8. A byte order mark wins over the
/// encoding that was asked for, and is taken off.
pub(super) struct Charset {
    asked: Option<&'static Encoding>,
    head: Vec<u8>,
    decoder: Option<Decoder>,
    started: bool,
}

impl Charset {
    pub(super) fn new(label: Option<&str>) -> Result<Self> {
        let find = |label: &str| {
            Encoding::for_label(label.as_bytes()).ok_or_else(|| {
                Error::invalid(
                    "/encoding",
                    format!("`{label}` is no encoding that is known here"),
                )
                .hint("such as utf-8, utf-16le, windows-1252, iso-8859-15, shift_jis, gb18030")
            })
        };
        Ok(Charset {
            asked: label.map(find).transpose()?,
            head: Vec::new(),
            decoder: None,
            started: false,
        })
    }

    /// Appends `bytes` to `out` as UTF-8. Without an encoding the bytes pass as
    /// they are: cells are checked when they are read, with row and column.
    pub(super) fn push(&mut self, bytes: &[u8], is_last: bool, out: &mut Vec<u8>) -> Result<()> {
        if self.started {
            return self.decode(bytes, is_last, out);
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() < 3 && !is_last {
            return Ok(());
        }
        self.started = true;
        let head = std::mem::take(&mut self.head);
        let (encoding, length) =
            Encoding::for_bom(&head).unwrap_or((self.asked.unwrap_or(UTF_8), 0));
        if encoding != UTF_8 {
            self.decoder = Some(encoding.new_decoder_without_bom_handling());
        }
        self.decode(&head[length..], is_last, out)
    }

    fn decode(&mut self, bytes: &[u8], is_last: bool, out: &mut Vec<u8>) -> Result<()> {
        let Some(decoder) = &mut self.decoder else {
            out.extend_from_slice(bytes);
            return Ok(());
        };
        let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
        let start = out.len();
        out.resize(
            start + room.unwrap_or(bytes.len().saturating_mul(3) + 16),
            0,
        );
        let (result, _, written) =
            decoder.decode_to_utf8_without_replacement(bytes, &mut out[start..], is_last);
        out.truncate(start + written);
        match result {
            encoding_rs::DecoderResult::InputEmpty => Ok(()),
            _ => {
                let name = decoder.encoding().name();
                Err(data_error(format!("the text is not valid {name}")))
            }
        }
    }
}
