//! Pages of lists: the parameters, the envelope, the opaque cursor.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weir_core::{Error, Result};

/// Items of a page when the caller names no limit.
pub const DEFAULT_ITEMS: usize = 100;

/// Bytes of the checksum in front of a place.
const CHECK: usize = 6;

/// Hides a place in a list. The checksum is no secret: it tells a cursor that
/// was cut, edited or made up from one of ours.
pub fn cursor(place: &str) -> String {
    let mut bytes = checksum(place).to_vec();
    bytes.extend_from_slice(place.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn checksum(place: &str) -> [u8; CHECK] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"weir cursor 1\0");
    context.update(place.as_bytes());
    let mut check = [0; CHECK];
    check.copy_from_slice(&context.finish().as_ref()[..CHECK]);
    check
}

/// The place behind a cursor.
pub fn place(cursor: Option<&str>) -> Result<Option<String>> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let opened = || {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (check, place) = bytes.split_at_checked(CHECK)?;
        let place = std::str::from_utf8(place).ok()?;
        (checksum(place) == check).then(|| place.to_owned())
    };
    opened().map(Some).ok_or_else(|| {
        Error::invalid("?cursor", "the cursor is not one that a list of ours gave")
            .hint("pass next_cursor of the page before, unchanged")
    })
}

/// A page size within the limit.
pub fn size(limit: Option<usize>, most: usize) -> Result<usize> {
    match limit {
        None => Ok(DEFAULT_ITEMS.min(most)),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => Err(Error::invalid(
            "?limit",
            format!("limit is {limit}, it must be between 1 and {most}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{cursor, place};

    #[test]
    fn a_cursor_comes_back_and_a_changed_one_is_refused() {
        for name in ["", "shop", "naïve/%"] {
            let hidden = cursor(name);
            assert_eq!(place(Some(&hidden)).unwrap().as_deref(), Some(name));
            for at in 0..hidden.len() {
                let mut changed = hidden.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert!(place(Some(&changed)).is_err(), "{changed}");
            }
            assert!(place(Some(&hidden[1..])).is_err());
        }
        for made_up in ["", "c2hvcA", "***", "é"] {
            assert!(place(Some(made_up)).is_err(), "{made_up}");
        }
    }
}
