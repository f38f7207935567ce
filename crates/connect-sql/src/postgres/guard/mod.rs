//! Which statements only read, as PostgreSQL understands them.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_core::Result;

use crate::shared::guard::Guard;

static GUARD: Guard = Guard {
    dialect: &PostgreSqlDialect {},
    commands: &[
        "DO",
        "REFRESH",
        "REINDEX",
        "CLUSTER",
        "CHECKPOINT",
        "REASSIGN",
        "SECURITY",
        "IMPORT",
        "MOVE",
        "ABORT",
    ],
    denied: include_str!("denied_functions.txt"),
    odd,
    instead: "use dry_run for the plan's estimate, and current_setting('…') for a setting",
};

/// Checks that `text` is exactly one statement that only reads, and gives it
/// without the semicolons and comments after it.
pub fn check(text: &str) -> Result<&str> {
    GUARD.check(text)
}

fn odd(token: &Token, rest: &[TokenWithSpan]) -> Option<&'static str> {
    match token {
        Token::Word(word)
            if word.quote_style.is_none()
                && word.value.eq_ignore_ascii_case("u")
                && starts_unicode_name(rest) =>
        {
            Some("names with unicode escapes are not read")
        }
        Token::DollarQuotedString(quoted) => {
            let tag = quoted.tag.as_deref().unwrap_or_default();
            let has_digit = tag.starts_with(|first: char| first.is_ascii_digit());
            has_digit.then_some("a dollar quote cannot begin with a digit")
        }
        _ => None,
    }
}

fn starts_unicode_name(rest: &[TokenWithSpan]) -> bool {
    matches!(rest, [and, name, ..]
        if and.token == Token::Ampersand
            && matches!(&name.token, Token::Word(word) if word.quote_style.is_some()))
}

#[cfg(test)]
mod tests;
