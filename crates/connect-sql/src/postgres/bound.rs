//! Bound values. They travel in the text format, so that the server reads them
//! with the input function of the type that the statement gives them.

use bytes::{BufMut, BytesMut};
use postgres_types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};
use weir_core::Value;

type Failure = Box<dyn std::error::Error + Sync + Send>;

/// A value bound to a statement. It shows nothing of itself: drivers log what
/// they bind.
#[derive(Clone, PartialEq, Eq)]
pub struct Bound(Option<String>);

impl Bound {
    /// A value from its text.
    pub fn text(text: impl Into<String>) -> Self {
        Bound(Some(text.into()))
    }

    /// A value that may be missing.
    pub fn optional(text: Option<&str>) -> Self {
        Bound(text.map(str::to_owned))
    }

    /// A literal.
    pub fn value(value: &Value) -> Self {
        match value {
            Value::Null => Bound(None),
            Value::Bool(value) => Bound::text(value.to_string()),
            Value::Int(value) => Bound::text(value.to_string()),
            Value::Number(value) | Value::Text(value) => Bound::text(value),
        }
    }

    /// A list of oids.
    pub fn oids(oids: impl IntoIterator<Item = u32>) -> Self {
        Bound::list(oids.into_iter().map(|oid| oid.to_string()))
    }

    /// A list of numbers, already as text.
    pub fn list(items: impl IntoIterator<Item = String>) -> Self {
        let items: Vec<String> = items.into_iter().collect();
        Bound::text(format!("{{{}}}", items.join(",")))
    }
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl ToSql for Bound {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match &self.0 {
            Some(text) => {
                out.put_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The bytes of a field as they came.
pub struct Raw<'a>(pub Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Raw(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
