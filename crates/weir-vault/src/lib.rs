//! Sealing of secrets: AES-256-GCM envelopes under a ring of master keys.
//!
//! Every secret is sealed under a data key of its own; the data key is wrapped
//! under the newest master key. Rotation opens and wraps data keys again and
//! leaves the sealed values alone.
//!
//! # Envelope
//!
//! | offset | bytes | what |
//! |---:|---:|---|
//! | 0 | 1 | format, `0x01` |
//! | 1 | 8 | id of the master key that wraps the data key |
//! | 9 | 12 | nonce of the wrapped data key |
//! | 21 | 48 | wrapped data key: 32 bytes of ciphertext, 16 of tag |
//! | 69 | 12 | nonce of the value |
//! | 81 | n + 16 | value: as many bytes of ciphertext as the secret has in UTF-8, 16 of tag |
//!
//! # Associated data
//!
//! Of the value: format, owner kind, owner id, version, field path. Of the
//! wrapped data key: the same, then the master key's id. A ciphertext moved to
//! another row, version or field therefore does not open. Encoding: the format
//! as one byte; then each part preceded by its length as four bytes, big
//! endian; texts as UTF-8, the id as its 16 bytes, the version as four bytes,
//! big endian, the key id as its 8 bytes.
//!
//! # What is derived from a master key
//!
//! HKDF-SHA256 without salt, with the master key as input and these labels as
//! info: `weir/v1/wrap` gives the wrapping key (32 bytes), `weir/v1/id` the
//! key's id (8 bytes), `weir/v1/check` the check value (32 bytes). Id and check
//! value may be stored openly: they show that somebody holds the key and say
//! nothing about it, as the key is 32 random bytes.
//!
//! # How many secrets one master key may seal
//!
//! Nonces are random. A data key seals one value, so only wrapping counts: stay
//! below 2^31 seals and wraps under one master key, then rotate.

mod envelope;
mod keys;

pub use envelope::Owner;
pub use keys::{KeyId, KeyRing};

#[cfg(test)]
mod tests;
