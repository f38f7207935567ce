//! Which statements only read, as DuckDB understands them.
//!
//! Behind this stand two more lines: DuckDB must take the statement for a `SELECT`,
//! and it runs in a transaction that only reads, in an instance that reaches nothing
//! but its own file.

use sqlparser::dialect::DuckDbDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_core::Result;

use crate::shared::guard::Guard;

static GUARD: Guard = Guard {
    dialect: &DuckDbDialect {},
    commands: &[
        "CHECKPOINT",
        "FORCE",
        "SUMMARIZE",
        "DESCRIBE",
        "DESC",
        "PIVOT",
        "UNPIVOT",
        "PRAGMA",
        "ATTACH",
        "DETACH",
        "INSTALL",
        "LOAD",
        "UPDATE",
        "EXPORT",
        "IMPORT",
        "USE",
        "RESET",
        "COMMENT",
        "ABORT",
        "REINDEX",
    ],
    denied: include_str!("denied_functions.txt"),
    odd,
    instead: "use dry_run for the plan's estimate",
};

/// Checks that `text` is exactly one statement that only reads, and gives it
/// without the semicolons and comments after it.
pub fn check(text: &str) -> Result<&str> {
    GUARD.check(text)
}

/// Views that tell settings of the process and paths of the machine.
const TELLING: [&str; 7] = [
    "pragma_database_list",
    "duckdb_databases",
    "duckdb_logs",
    "duckdb_secrets",
    "duckdb_settings",
    "pg_settings",
    "sqlite_temp_master",
];

fn odd(token: &Token, _: &[TokenWithSpan]) -> Option<&'static str> {
    match token {
        Token::DollarQuotedString(_) => Some("dollar quotes are not read"),
        Token::Word(word)
            if TELLING
                .iter()
                .any(|name| word.value.eq_ignore_ascii_case(name)) =>
        {
            Some("it names a view of settings, secrets or paths")
        }
        _ => None,
    }
}
