//! How filters and orders are written here. Literals stand in the statement itself,
//! in forms that nothing can leave: digits, and text as hexadecimal.
//!
//! Text is compared as the bytes of its UTF-8, which no collation and no padding
//! touches; only text that the server sorts whole is left to it (see `types`).

use weir_core::Nulls;

use crate::shared::compare::{Compare, Literal, Term, Terms};

/// The dialect.
pub struct Spelling;

impl Terms for Spelling {
    fn bind(&mut self, literal: Literal) -> Option<String> {
        // The server knows no moment before the first year.
        let in_range = |text: &str| !text.starts_with("0000");
        Some(match literal {
            Literal::Bool(value) => u8::from(value).to_string(),
            Literal::Int(value) => value.to_string(),
            Literal::Float(value) => format!("{value:e}"),
            Literal::Decimal(text) => text,
            Literal::Text(text) => {
                use std::fmt::Write;
                let mut hex = String::with_capacity(text.len() * 2);
                for byte in text.bytes() {
                    let _never = write!(hex, "{byte:02x}");
                }
                format!("_utf8mb4 X'{hex}'")
            }
            Literal::Date(text) if in_range(&text) => format!("DATE'{text}'"),
            Literal::Timestamp(text) | Literal::Instant(text) if in_range(&text) => {
                format!("TIMESTAMP'{text}'")
            }
            Literal::Date(_) | Literal::Timestamp(_) | Literal::Instant(_) => return None,
        })
    }

    fn bound(&self) -> usize {
        0
    }

    fn take_back(&mut self, _: usize) {}

    fn by_bytes(&self, sql: &str) -> String {
        format!("CAST(CONVERT({sql} USING utf8mb4) AS BINARY)")
    }

    fn text_equals(&self, sql: &str, bound: &str) -> String {
        // Equal bytes are equal in any collation, whose index serves this.
        format!("{sql} = {bound} AND {} = {bound}", self.by_bytes(sql))
    }

    fn differs(&self, left: &str, right: &str) -> String {
        format!("NOT ({left} <=> {right})")
    }

    fn contains(&self, text: &str, needle: &str) -> String {
        format!("LOCATE({needle}, {text}) > 0")
    }

    fn starts_with(&self, text: &str, prefix: &str) -> String {
        format!("SUBSTRING({text}, 1, LENGTH({prefix})) = {prefix}")
    }

    fn sort(&self, sql: &str, ascending: bool, nulls: Nulls) -> String {
        // Null is the smallest by itself.
        match (ascending, nulls) {
            (true, Nulls::First) => format!("{sql} ASC"),
            (true, Nulls::Last) => format!("{sql} IS NULL ASC, {sql} ASC"),
            (false, Nulls::Last) => format!("{sql} DESC"),
            (false, Nulls::First) => format!("{sql} IS NULL DESC, {sql} DESC"),
        }
    }
}

/// A column as a statement speaks of it.
pub fn term(name: &str, reference: &str, mapping: &super::types::Mapping, lenient: bool) -> Term {
    let is_moment = matches!(
        mapping.compare,
        Compare::Date | Compare::Timestamp | Compare::TimestampTz
    );
    Term {
        name: name.to_owned(),
        sql: match mapping.compare {
            Compare::Bool => format!("({reference} <> 0)"),
            _ => reference.to_owned(),
        },
        compare: mapping.compare,
        is_text: mapping.data_type == arrow::datatypes::DataType::Utf8,
        special: (is_moment && lenient)
            .then(|| format!("MONTH({reference}) = 0 OR DAYOFMONTH({reference}) = 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_be_left() {
        let bind = |literal| Spelling.bind(literal);
        assert_eq!(
            bind(Literal::Text("a'\\".into())).unwrap(),
            "_utf8mb4 X'61275c'"
        );
        assert_eq!(bind(Literal::Float(0.1)).unwrap(), "1e-1");
        assert_eq!(
            bind(Literal::Date("2024-12-31".into())).unwrap(),
            "DATE'2024-12-31'"
        );
        assert_eq!(bind(Literal::Date("0000-12-31".into())), None);
    }
}
