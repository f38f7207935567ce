//! Refuses JSON objects that name a field twice.
//!
//! Parsers differ in which of the two they take, so a proxy or an audit in
//! between could see another request than the service does.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::config::escape_pointer;
use crate::error::{Error, Result};

/// Fields of an object that are compared one by one before a set is worth it.
const FEW: usize = 16;

/// Refuses the first field that stands twice. Text that is not JSON passes:
/// the decoder says better what is wrong with it.
pub(crate) fn refuse(bytes: &[u8]) -> Result<()> {
    let found = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let walk = Walk {
        at: &Place::Root,
        found: &found,
    };
    let outcome = walk.deserialize(&mut reader);
    match found.into_inner() {
        Some((pointer, name)) if outcome.is_err() => Err(twice(pointer, &name)),
        _ => Ok(()),
    }
}

/// The error for a field that stands twice.
pub(crate) fn twice(pointer: String, name: &str) -> Error {
    Error::invalid(pointer, format!("the field `{name}` stands twice")).code("duplicate_field")
}

/// Where the walk is; only spelled out when a field stands twice.
enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Field(above, name) => write!(f, "{above}/{}", escape_pointer(name)),
            Place::Item(above, index) => write!(f, "{above}/{index}"),
        }
    }
}

type Found = RefCell<Option<(String, String)>>;

struct Walk<'a> {
    at: &'a Place<'a>,
    found: &'a Found,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A key, borrowed where the text has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let at = Place::Item(self.at, index);
            let inner = Walk {
                at: &at,
                found: self.found,
            };
            if items.next_element_seed(inner)?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut few: Vec<Cow<'de, str>> = Vec::new();
        let mut many: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(key) = fields.next_key_seed(Key)? {
            let at = Place::Field(self.at, &key);
            if few.contains(&key) || many.contains(&key) {
                *self.found.borrow_mut() = Some((at.to_string(), key.clone().into_owned()));
                return Err(A::Error::custom("a field stands twice"));
            }
            fields.next_value_seed(Walk {
                at: &at,
                found: self.found,
            })?;
            if few.len() < FEW {
                few.push(key);
            } else {
                many.insert(key);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::refuse;

    #[test]
    fn a_field_that_stands_twice_is_found_at_any_depth() {
        let many: String = (0..40).map(|n| format!("\"f{n}\":{n},")).collect();
        for (text, pointer) in [
            (r#"{"a":1,"a":2}"#.to_owned(), "/a"),
            (
                r#"{"a":{"b/c":[0,{"x":1,"\u0078":2}]}}"#.to_owned(),
                "/a/b~1c/1/x",
            ),
            (format!("{{{many}\"f39\":0}}"), "/f39"),
        ] {
            let error = refuse(text.as_bytes()).unwrap_err();
            assert_eq!(error.fields()[0].pointer, pointer);
            assert_eq!(error.stable_code(), "duplicate_field");
        }
    }

    #[test]
    fn everything_else_passes() {
        for text in [
            r#"{"a":{"x":1},"b":{"x":1.5e400,"y":[true,null,"t",12345678901234567890123]}}"#,
            r#"[{"a":1},{"a":1}]"#,
            "not json",
            r#"{"a":"#,
            "",
        ] {
            assert!(refuse(text.as_bytes()).is_ok(), "{text}");
        }
    }
}
