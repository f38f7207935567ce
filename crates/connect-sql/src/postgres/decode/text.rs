//! How some types are written as text.

use super::Misfit;

/// `jsonb`: a version byte, then the document.
pub fn jsonb(value: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let Some((1, document)) = value.split_first() else {
        return Err(Misfit::Malformed("a jsonb version that is not known"));
    };
    out.extend_from_slice(document);
    Ok(())
}

/// `uuid` in its canonical form.
pub fn uuid(value: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let bytes = value
        .try_into()
        .map_err(|_| Misfit::Malformed("not of its type's width"))?;
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(
        uuid::Uuid::from_bytes(bytes)
            .hyphenated()
            .encode_lower(&mut text)
            .as_bytes(),
    );
    Ok(())
}
