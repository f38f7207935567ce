use proptest::prelude::*;
use uuid::Uuid;
use weir_core::{Kind, Secret};

use crate::{KeyRing, Owner};

const OWNER: Owner<'static> = Owner {
    kind: "credential",
    id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
    version: 1,
    field: "auth.password",
};

/// Bytes 0 to 31.
const FIXED_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn ring(text: &str) -> KeyRing {
    KeyRing::parse(&Secret::new(text)).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_test_vector_holds() {
    // Every random byte is a count from 0x40, drawn in the order: data key,
    // nonce of the wrapped key, nonce of the value.
    let mut next = 0x40_u8;
    let mut counted = |out: &mut [u8]| {
        for byte in out {
            *byte = next;
            next += 1;
        }
        Ok(())
    };
    let ring = ring(FIXED_KEY);
    let secret = Secret::new("correct horse battery staple");
    let envelope = ring.seal_with(&OWNER, &secret, &mut counted).unwrap();
    assert_eq!(
        ring.primary().to_string(),
        include_str!("vector/key-id.txt").trim()
    );
    let check = ring.check_value(ring.primary()).unwrap();
    assert_eq!(hex(&check), include_str!("vector/check-value.txt").trim());
    assert_eq!(hex(&envelope), include_str!("vector/envelope.txt").trim());
    assert_eq!(
        ring.open(&OWNER, &envelope).unwrap().expose(),
        secret.expose()
    );
}

#[test]
fn every_flipped_bit_is_noticed() {
    let ring = KeyRing::generate();
    let envelope = ring.seal(&OWNER, &Secret::new("p")).unwrap();
    for place in 0..envelope.len() {
        for bit in 0..8 {
            let mut changed = envelope.clone();
            changed[place] ^= 1 << bit;
            assert!(
                ring.open(&OWNER, &changed).is_err(),
                "byte {place} bit {bit}"
            );
            assert!(
                ring.rewrap(&OWNER, &changed).is_err() || place >= 69,
                "byte {place} bit {bit}"
            );
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    let ring = KeyRing::generate();
    let mut envelope = ring.seal(&OWNER, &Secret::new("secret")).unwrap();
    for length in 0..envelope.len() {
        assert!(
            ring.open(&OWNER, &envelope[..length]).is_err(),
            "{length} bytes"
        );
    }
    envelope.push(0);
    assert!(ring.open(&OWNER, &envelope).is_err());
}

#[test]
fn opens_for_its_owner_only() {
    let ring = KeyRing::generate();
    let envelope = ring.seal(&OWNER, &Secret::new("p")).unwrap();
    let others = [
        Owner {
            kind: "source",
            ..OWNER
        },
        Owner {
            id: Uuid::from_u128(2),
            ..OWNER
        },
        Owner {
            version: 2,
            ..OWNER
        },
        Owner {
            field: "auth.passwor",
            ..OWNER
        },
        Owner {
            kind: "credentialauth",
            field: ".password",
            ..OWNER
        },
    ];
    for other in others {
        let error = ring.open(&other, &envelope).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal, "{other:?}");
        assert!(ring.rewrap(&other, &envelope).is_err(), "{other:?}");
    }
}

#[test]
fn rewrapping_keeps_the_value_and_changes_the_key() {
    let old = KeyRing::generate();
    let new = KeyRing::generate();
    let both = ring(&format!(
        "{}, {}",
        new.export().expose(),
        old.export().expose()
    ));
    let envelope = old.seal(&OWNER, &Secret::new("päss 🔑")).unwrap();
    let moved = both.rewrap(&OWNER, &envelope).unwrap();
    assert_eq!(moved[69..], envelope[69..]);
    assert_ne!(moved[..69], envelope[..69]);
    assert_eq!(new.open(&OWNER, &moved).unwrap().expose(), "päss 🔑");
    assert_eq!(old.open(&OWNER, &moved).unwrap_err().kind(), Kind::Sealed);
    assert_eq!(
        new.open(&OWNER, &envelope).unwrap_err().kind(),
        Kind::Sealed
    );
    assert_eq!(both.open(&OWNER, &envelope).unwrap().expose(), "päss 🔑");
}

#[test]
fn a_wrapped_key_does_not_fit_another_value() {
    let ring = KeyRing::generate();
    let first = ring.seal(&OWNER, &Secret::new("first")).unwrap();
    let second = ring.seal(&OWNER, &Secret::new("other")).unwrap();
    let mixed = [&first[..69], &second[69..]].concat();
    assert!(ring.open(&OWNER, &mixed).is_err());
}

#[test]
fn nothing_shows_the_keys() {
    let ring = ring(FIXED_KEY);
    let shown = format!("{ring:?} {:?}", ring.export());
    assert!(!shown.contains("AAEC"), "{shown}");
    assert!(shown.contains(&ring.primary().to_string()), "{shown}");
}

#[test]
fn bad_keys_are_told_apart() {
    let cases = [
        ("", "the master key is empty"),
        (" , \n", "the master key is empty"),
        ("not base64!", "master key 1 is not base64"),
        ("c2hvcnQ=", "master key 1 has 5 bytes, it needs 32"),
        (
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "master key 1 is one byte repeated",
        ),
    ];
    for (text, message) in cases {
        let error = KeyRing::parse(&Secret::new(text)).unwrap_err();
        assert_eq!(error.message(), message);
    }
    let twice = format!("{FIXED_KEY}\n{FIXED_KEY}");
    let error = KeyRing::parse(&Secret::new(twice)).unwrap_err();
    assert_eq!(error.message(), "master key 2 is given twice");
}

#[test]
fn padding_and_alphabet_do_not_matter() {
    let bytes: Vec<u8> = (0..32).map(|i| 255 - i).collect();
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let standard = ring(&STANDARD.encode(&bytes));
    assert_eq!(ring(&URL_SAFE_NO_PAD.encode(&bytes)).ids(), standard.ids());
}

proptest! {
    #[test]
    fn what_is_sealed_opens(text in ".*", field in ".{0,80}", version in any::<i32>(), id in any::<u128>()) {
        let ring = KeyRing::generate();
        let owner = Owner { kind: "credential", id: Uuid::from_u128(id), version, field: &field };
        let envelope = ring.seal(&owner, &Secret::new(text.clone())).unwrap();
        let opened = ring.open(&owner, &envelope).unwrap();
        prop_assert_eq!(opened.expose(), text.as_str());
    }

    #[test]
    fn garbage_never_opens_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(KeyRing::generate().open(&OWNER, &bytes).is_err());
    }
}
