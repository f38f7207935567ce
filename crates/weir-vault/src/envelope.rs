//! Sealing and opening; the crate's head states the byte layout.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use aws_lc_rs::error::Unspecified;
use uuid::Uuid;
use weir_core::{Error, Kind, Result, Secret};
use zeroize::Zeroizing;

use crate::keys::{KEY_BYTES, KeyId, KeyRing, MasterKey, cipher, random};

const FORMAT: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;
const KEY_ID: std::ops::Range<usize> = 1..9;
/// Nonce, ciphertext and tag of the data key.
const WRAPPED: std::ops::Range<usize> = 9..9 + NONCE + KEY_BYTES + TAG;
const SHORTEST: usize = WRAPPED.end + NONCE + TAG;

/// Whose secret it is. It is bound to the ciphertext and not stored in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// What kind of thing owns it, for example `credential`.
    pub kind: &'a str,
    /// The owner's id.
    pub id: Uuid,
    /// Which version of the owner's secrets.
    pub version: i32,
    /// Dotted path of the field.
    pub field: &'a str,
}

impl Owner<'_> {
    /// Associated data of the value; with `key`, that of the wrapped data key.
    fn associated(&self, key: Option<KeyId>) -> Vec<u8> {
        let mut data = vec![FORMAT];
        let mut part = |bytes: &[u8]| {
            // Texts come from names and field paths, far below 4 GiB.
            data.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend_from_slice(bytes);
        };
        part(self.kind.as_bytes());
        part(self.id.as_bytes());
        part(&self.version.to_be_bytes());
        part(self.field.as_bytes());
        if let Some(key) = key {
            part(&key.0);
        }
        data
    }
}

/// Where nonces and data keys come from; fixed only in the test vector.
type Randomness<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<()>;

impl KeyRing {
    /// Seals `secret` for `owner` under the newest master key.
    pub fn seal(&self, owner: &Owner<'_>, secret: &Secret) -> Result<Vec<u8>> {
        self.seal_with(owner, secret, &mut random)
    }

    /// Opens what was sealed for `owner`. [`Kind::Sealed`] when the ring does
    /// not hold the key it was sealed under; an internal error when it was
    /// changed, or sealed for somebody else.
    pub fn open(&self, owner: &Owner<'_>, envelope: &[u8]) -> Result<Secret> {
        let (master, data_key) = self.unwrap_key(owner, envelope)?;
        let value = decrypt(
            &cipher(&data_key)?,
            &owner.associated(None),
            &envelope[WRAPPED.end..],
        )
        .map_err(|Unspecified| does_not_open(owner, master.id))?;
        let text = std::str::from_utf8(&value).map_err(|_| does_not_open(owner, master.id))?;
        Ok(Secret::new(text))
    }

    /// The same envelope with its data key wrapped under the newest master key;
    /// the value's bytes stay as they are.
    pub fn rewrap(&self, owner: &Owner<'_>, envelope: &[u8]) -> Result<Vec<u8>> {
        let (_, data_key) = self.unwrap_key(owner, envelope)?;
        let mut fresh = self.head(owner, &data_key, &mut random)?;
        fresh.extend_from_slice(&envelope[WRAPPED.end..]);
        Ok(fresh)
    }

    pub(crate) fn seal_with(
        &self,
        owner: &Owner<'_>,
        secret: &Secret,
        randomness: Randomness<'_>,
    ) -> Result<Vec<u8>> {
        let mut data_key = Zeroizing::new([0; KEY_BYTES]);
        randomness(&mut data_key[..])?;
        let mut envelope = self.head(owner, &data_key, randomness)?;
        let value = secret.expose().as_bytes();
        let sealed = encrypt(
            &cipher(&data_key)?,
            &owner.associated(None),
            value,
            randomness,
        )?;
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// Everything before the value: format, key id, wrapped data key.
    fn head(
        &self,
        owner: &Owner<'_>,
        data_key: &[u8; KEY_BYTES],
        randomness: Randomness<'_>,
    ) -> Result<Vec<u8>> {
        let master = self.newest();
        let associated = owner.associated(Some(master.id));
        let wrapped = encrypt(&master.wrapping()?, &associated, data_key, randomness)?;
        let mut head = vec![FORMAT];
        head.extend_from_slice(&master.id.0);
        head.extend_from_slice(&wrapped);
        Ok(head)
    }

    fn unwrap_key(
        &self,
        owner: &Owner<'_>,
        envelope: &[u8],
    ) -> Result<(&MasterKey, Zeroizing<[u8; KEY_BYTES]>)> {
        let id = key_of(envelope)?;
        let master = self.find(id).ok_or_else(|| unknown_key(id))?;
        let associated = owner.associated(Some(id));
        let opened = decrypt(&master.wrapping()?, &associated, &envelope[WRAPPED])
            .map_err(|Unspecified| does_not_open(owner, id))?;
        let mut data_key = Zeroizing::new([0; KEY_BYTES]);
        if opened.len() != KEY_BYTES {
            return Err(does_not_open(owner, id));
        }
        data_key.copy_from_slice(&opened);
        Ok((master, data_key))
    }
}

/// The master key an envelope was sealed under.
fn key_of(envelope: &[u8]) -> Result<KeyId> {
    if envelope.len() < SHORTEST || envelope[0] != FORMAT {
        let seen = envelope.first().copied().unwrap_or_default();
        return Err(Error::internal(format!(
            "not an envelope of format {FORMAT}: {} bytes, format {seen}",
            envelope.len()
        )));
    }
    let mut id = [0; 8];
    id.copy_from_slice(&envelope[KEY_ID]);
    Ok(KeyId(id))
}

/// Nonce, then ciphertext, then tag.
fn encrypt(
    key: &LessSafeKey,
    associated: &[u8],
    plain: &[u8],
    randomness: Randomness<'_>,
) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE];
    randomness(&mut nonce)?;
    let mut out = Vec::with_capacity(NONCE + plain.len() + TAG);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(associated), &mut out[NONCE..])
        .map_err(|Unspecified| Error::internal("sealing failed"))?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

fn decrypt(
    key: &LessSafeKey,
    associated: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE).ok_or(Unspecified)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce)?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length = key
        .open_in_place(nonce, Aad::from(associated), &mut buffer)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

fn unknown_key(id: KeyId) -> Error {
    Error::new(
        Kind::Sealed,
        format!("sealed under master key {id}, which this instance does not have"),
    )
    .hint("start the service with the master key its store was made with, beside any newer one")
}

fn does_not_open(owner: &Owner<'_>, key: KeyId) -> Error {
    Error::internal(format!(
        "the secret {} of {} {} version {} does not open under key {key}: it was changed or moved",
        owner.field, owner.kind, owner.id, owner.version
    ))
}
