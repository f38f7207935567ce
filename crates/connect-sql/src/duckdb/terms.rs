//! How DuckDB compares, for filters and orders that it takes over.
//!
//! Text compares by bytes once no collation of the column is in the way; NaN and
//! what cannot be represented are `special`; `-0` equals `0` there, too.

use libduckdb::Bind;

use crate::shared::compare::{Literal, Terms};

/// Values bound to a statement.
#[derive(Debug, Default)]
pub struct DuckTerms {
    /// What was bound, the query's own parameters first.
    pub values: Vec<Bind>,
}

/// Digits before the point up to which every column has a common type with a value.
const MOST_DIGITS: usize = 20;

impl Terms for DuckTerms {
    fn bind(&mut self, literal: Literal) -> Option<String> {
        let (value, cast) = match literal {
            Literal::Bool(value) => (Bind::Bool(value), "BOOLEAN".to_owned()),
            Literal::Int(value) => (Bind::Int(value), "BIGINT".to_owned()),
            Literal::Float(value) => (Bind::Double(value), "DOUBLE".to_owned()),
            Literal::Decimal(text) => {
                let digits = text.trim_start_matches(['-', '+']);
                let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
                if whole.len() > MOST_DIGITS || whole.is_empty() {
                    return None;
                }
                let cast = format!("DECIMAL({}, {})", whole.len() + places.len(), places.len());
                (Bind::Text(text), cast)
            }
            Literal::Text(text) => (Bind::Text(text), "VARCHAR".to_owned()),
            Literal::Date(text) => (Bind::Text(text), "DATE".to_owned()),
            Literal::Timestamp(text) => (Bind::Text(text), "TIMESTAMP".to_owned()),
            Literal::Instant(text) => (Bind::Text(format!("{text}+00")), "TIMESTAMPTZ".to_owned()),
        };
        self.values.push(value);
        Some(format!("CAST(${} AS {cast})", self.values.len()))
    }

    fn bound(&self) -> usize {
        self.values.len()
    }

    fn take_back(&mut self, from: usize) {
        self.values.truncate(from);
    }

    fn by_bytes(&self, sql: &str) -> String {
        format!("({sql} COLLATE \"binary\")")
    }

    fn contains(&self, text: &str, needle: &str) -> String {
        format!("contains({text}, {needle})")
    }

    fn starts_with(&self, text: &str, prefix: &str) -> String {
        format!("starts_with({text}, {prefix})")
    }
}
