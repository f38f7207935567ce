//! Bound values, and the fields of rows in the binary form of the protocol.

use weir_core::{Result, Value};

use super::failure;
use super::types::{ColumnDef, Width};
use super::wire::{Reader, put_text};

/// A value bound to a statement. It shows nothing of itself.
#[derive(Clone, PartialEq)]
pub enum Bound {
    /// A missing value.
    Null,
    /// A whole number.
    Int(i64),
    /// A binary floating point number.
    Double(f64),
    /// A decimal number as text.
    Decimal(String),
    /// Text.
    Text(String),
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Types of the protocol that values are bound as.
const NULL: u8 = 6;
const LONGLONG: u8 = 8;
const DOUBLE: u8 = 5;
const DECIMAL: u8 = 246;
const VAR_STRING: u8 = 253;

impl Bound {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Bound::Text(text.into())
    }

    /// A literal of a request.
    pub fn value(value: &Value) -> Self {
        match value {
            Value::Null => Bound::Null,
            Value::Bool(value) => Bound::Int(i64::from(*value)),
            Value::Int(value) => Bound::Int(*value),
            Value::Text(text) => Bound::text(text),
            Value::Number(text) => match text.parse() {
                Ok(number) if text.contains(['e', 'E']) => Bound::Double(number),
                _ => Bound::Decimal(text.clone()),
            },
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Bound::Null => NULL,
            Bound::Int(_) => LONGLONG,
            Bound::Double(_) => DOUBLE,
            Bound::Decimal(_) => DECIMAL,
            Bound::Text(_) => VAR_STRING,
        }
    }
}

/// Appends values as the execution of a statement takes them.
pub fn put(params: &[Bound], out: &mut Vec<u8>) {
    if params.is_empty() {
        return;
    }
    let mut nulls = vec![0_u8; params.len().div_ceil(8)];
    for (index, param) in params.iter().enumerate() {
        if *param == Bound::Null {
            nulls[index / 8] |= 1 << (index % 8);
        }
    }
    out.extend_from_slice(&nulls);
    // The types follow, and then the values.
    out.push(1);
    for param in params {
        out.extend_from_slice(&[param.kind(), 0]);
    }
    for param in params {
        match param {
            Bound::Null => {}
            Bound::Int(value) => out.extend_from_slice(&value.to_le_bytes()),
            Bound::Double(value) => out.extend_from_slice(&value.to_le_bytes()),
            Bound::Decimal(text) | Bound::Text(text) => put_text(text.as_bytes(), out),
        }
    }
}

/// Splits the fields of a row off, each with its place; none for null.
pub struct Fields<'a> {
    nulls: &'a [u8],
    rest: Reader<'a>,
}

impl<'a> Fields<'a> {
    /// Of a row of so many columns.
    #[inline]
    pub fn of(fields: &'a [u8], columns: usize) -> Result<Self> {
        let mut rest = Reader(fields);
        let nulls = rest.bytes((columns + 9) / 8)?;
        Ok(Fields { nulls, rest })
    }

    /// The field at `place`; they are asked for in their order.
    #[inline]
    pub fn next(&mut self, place: usize, width: Width) -> Result<Option<&'a [u8]>> {
        // The first two bits mean nothing.
        let bit = place + 2;
        if self.nulls[bit / 8] & (1 << (bit % 8)) != 0 {
            return Ok(None);
        }
        match width {
            Width::Fixed(count) => self.rest.bytes(count),
            Width::Short => {
                let count = self.rest.byte()?;
                self.rest.bytes(usize::from(count))
            }
            Width::Text => self.rest.text(),
        }
        .map(Some)
    }

    /// Nothing may be left.
    #[inline]
    pub fn end(self) -> Result<()> {
        if self.rest.0.is_empty() {
            return Ok(());
        }
        Err(failure::protocol("bytes after the last field of a row"))
    }
}

/// The fields of a row as text; for answers to our own queries.
pub fn texts(fields: &[u8], columns: &[ColumnDef]) -> Result<Vec<Option<String>>> {
    let mut reader = Fields::of(fields, columns.len())?;
    let mut row = Vec::with_capacity(columns.len());
    for (place, column) in columns.iter().enumerate() {
        let width = column.width();
        let Some(bytes) = reader.next(place, width)? else {
            row.push(None);
            continue;
        };
        row.push(Some(match width {
            Width::Fixed(_) => {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                let shift = 64 - 8 * bytes.len();
                match column.is_unsigned() {
                    true => u64::from_le_bytes(whole).to_string(),
                    false => (i64::from_le_bytes(whole) << shift >> shift).to_string(),
                }
            }
            Width::Short | Width::Text => String::from_utf8_lossy(bytes).into_owned(),
        }));
    }
    reader.end()?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_with_their_types_and_show_nothing() {
        let params = [Bound::Null, Bound::Int(-2), Bound::text("ä")];
        let mut out = Vec::new();
        put(&params, &mut out);
        let mut expected = vec![1, 1, NULL, 0, LONGLONG, 0, VAR_STRING, 0];
        expected.extend((-2_i64).to_le_bytes());
        expected.extend([2, 0xc3, 0xa4]);
        assert_eq!(out, expected);
        assert_eq!(format!("{params:?}"), "[***, ***, ***]");
        assert!(Bound::value(&Value::Number("1.10".into())) == Bound::Decimal("1.10".into()));
        assert!(Bound::value(&Value::Number("1e3".into())) == Bound::Double(1000.0));
    }
}
