//! The ring of master keys.

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{hkdf, rand};
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use weir_core::{Error, Kind, Result, Secret};
use zeroize::Zeroizing;

/// Bytes of a master key and of a data key.
pub(crate) const KEY_BYTES: usize = 32;

/// How a good key is made, for hints.
const MAKE_ONE: &str = "make one with `openssl rand -base64 32`";

/// The name of a master key, derived from it; safe to store and to show.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// One master key with what is derived from it.
#[derive(Clone)]
pub(crate) struct MasterKey {
    pub(crate) id: KeyId,
    material: Zeroizing<[u8; KEY_BYTES]>,
    wrap: Zeroizing<[u8; KEY_BYTES]>,
    check: [u8; 32],
}

impl MasterKey {
    fn new(material: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&material[..]);
        let mut id = [0; 8];
        let mut check = [0; 32];
        let mut wrap = Zeroizing::new([0; KEY_BYTES]);
        derive(&root, b"weir/v1/id", &mut id)?;
        derive(&root, b"weir/v1/check", &mut check)?;
        derive(&root, b"weir/v1/wrap", &mut wrap[..])?;
        Ok(MasterKey {
            id: KeyId(id),
            material,
            wrap,
            check,
        })
    }

    /// The key that wraps data keys.
    pub(crate) fn wrapping(&self) -> Result<LessSafeKey> {
        cipher(&self.wrap)
    }
}

/// The length of what HKDF shall give.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(root: &hkdf::Prk, label: &[u8], out: &mut [u8]) -> Result<()> {
    root.expand(&[label], Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|Unspecified| Error::internal("deriving from a master key failed"))
}

/// An AES-256-GCM key over `bytes`.
pub(crate) fn cipher(bytes: &[u8; KEY_BYTES]) -> Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes)
        .map(LessSafeKey::new)
        .map_err(|Unspecified| Error::internal("the cipher refused a key of 32 bytes"))
}

/// Fills `out` with random bytes of the system.
pub(crate) fn random(out: &mut [u8]) -> Result<()> {
    rand::fill(out).map_err(|Unspecified| Error::internal("the system gives no random bytes"))
}

/// Master keys in order, the first is the newest: it seals, all of them open.
/// `Debug` shows their ids only.
#[derive(Clone)]
pub struct KeyRing(Vec<MasterKey>);

impl KeyRing {
    /// Reads one or several base64 keys of 32 bytes, divided by commas or blanks.
    pub fn parse(text: &Secret) -> Result<Self> {
        let mut keys: Vec<MasterKey> = Vec::new();
        let parts = text.expose().split(|c: char| c == ',' || c.is_whitespace());
        for part in parts.filter(|part| !part.is_empty()) {
            let place = keys.len() + 1;
            let key = MasterKey::new(decode(part, place)?)?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(invalid(format!("master key {place} is given twice")));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(invalid("the master key is empty").hint(MAKE_ONE));
        }
        Ok(KeyRing(keys))
    }

    /// A ring with one new random key.
    ///
    /// # Panics
    ///
    /// When the operating system gives no random bytes: there is no safe way on.
    #[must_use]
    pub fn generate() -> Self {
        let mut material = Zeroizing::new([0; KEY_BYTES]);
        let key = random(&mut material[..]).and_then(|()| MasterKey::new(material));
        match key {
            Ok(key) => KeyRing(vec![key]),
            Err(error) => panic!("cannot make a master key: {:?}", error.log_detail()),
        }
    }

    /// The newest key as base64, as [`KeyRing::parse`] takes it.
    pub fn export(&self) -> Secret {
        Secret::new(engine().encode(&self.newest().material[..]))
    }

    /// The ids of all keys, newest first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.0.iter().map(|key| key.id).collect()
    }

    /// The id of the newest key, which seals.
    pub fn primary(&self) -> KeyId {
        self.newest().id
    }

    /// A value that proves possession of the key and reveals nothing of it.
    pub fn check_value(&self, id: KeyId) -> Option<[u8; 32]> {
        self.find(id).map(|key| key.check)
    }

    pub(crate) fn newest(&self) -> &MasterKey {
        // `parse` and `generate` are the only makers, and neither makes an empty ring.
        &self.0[0]
    }

    pub(crate) fn find(&self, id: KeyId) -> Option<&MasterKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyRing").field(&self.ids()).finish()
    }
}

/// Base64 with or without padding.
fn engine() -> GeneralPurpose {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&base64::alphabet::STANDARD, config)
}

fn decode(part: &str, place: usize) -> Result<Zeroizing<[u8; KEY_BYTES]>> {
    // URL-safe base64 is taken too: the alphabets differ in two signs only.
    let standard = Zeroizing::new(part.replace('-', "+").replace('_', "/"));
    let bytes = engine()
        .decode(standard.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| invalid(format!("master key {place} is not base64")).hint(MAKE_ONE))?;
    if bytes.len() != KEY_BYTES {
        let text = format!(
            "master key {place} has {} bytes, it needs {KEY_BYTES}",
            bytes.len()
        );
        return Err(invalid(text).hint(MAKE_ONE));
    }
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err(invalid(format!("master key {place} is one byte repeated")).hint(MAKE_ONE));
    }
    let mut material = Zeroizing::new([0; KEY_BYTES]);
    material.copy_from_slice(&bytes);
    Ok(material)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message.into()).code("master_key")
}
