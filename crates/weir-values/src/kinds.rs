//! What a column means, beyond the type it is stored in: a number that is a
//! phone number, a text that is a date. Callers say it in `column_types`, or it
//! is detected.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a column means.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// One of few texts.
    Category,
    /// One of many texts, which do come again.
    CategoryHighCardinality,
    /// A moment or a day.
    Datetime,
    /// An address of mail.
    Email,
    /// Several values in one cell.
    List,
    /// A whole number.
    Number,
    /// A number.
    NumberWithDecimals,
    /// A phone number.
    PhoneNumber,
    /// Text of its own in every row.
    Text,
    /// One of two truths.
    TrueOrFalse,
    /// A postal code.
    ZipCode,
}

impl ColumnKind {
    /// All of them, in the order of their names.
    pub const ALL: [ColumnKind; 11] = [
        ColumnKind::Category,
        ColumnKind::CategoryHighCardinality,
        ColumnKind::Datetime,
        ColumnKind::Email,
        ColumnKind::List,
        ColumnKind::Number,
        ColumnKind::NumberWithDecimals,
        ColumnKind::PhoneNumber,
        ColumnKind::Text,
        ColumnKind::TrueOrFalse,
        ColumnKind::ZipCode,
    ];

    /// Its name in requests and answers.
    pub fn name(self) -> &'static str {
        match self {
            ColumnKind::Category => "category",
            ColumnKind::CategoryHighCardinality => "category_high_cardinality",
            ColumnKind::Datetime => "datetime",
            ColumnKind::Email => "email",
            ColumnKind::List => "list",
            ColumnKind::Number => "number",
            ColumnKind::NumberWithDecimals => "number_with_decimals",
            ColumnKind::PhoneNumber => "phone_number",
            ColumnKind::Text => "text",
            ColumnKind::TrueOrFalse => "true_or_false",
            ColumnKind::ZipCode => "zip_code",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        ColumnKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether text of this kind is read as numbers where a step calculates.
    pub fn is_number(self) -> bool {
        matches!(self, ColumnKind::Number | ColumnKind::NumberWithDecimals)
    }
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_requests() {
        for kind in ColumnKind::ALL {
            let written = serde_json::to_value(kind).unwrap();
            assert_eq!(written, kind.name());
            assert_eq!(ColumnKind::from_name(kind.name()), Some(kind));
            let read: ColumnKind = serde_json::from_value(written).unwrap();
            assert_eq!(read, kind);
        }
        assert_eq!(ColumnKind::from_name("Number"), None);
    }
}
