//! Which statements only read. The parser's view comes first, because it can say
//! what is wrong; SQLite's own view, its authorizer, is the truth.

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use sqlparser::dialect::SQLiteDialect;
use weir_core::{Error, Kind, Result};

use super::failure;
use crate::shared::guard::{Guard, is_denied};

static GUARD: Guard = Guard {
    dialect: &SQLiteDialect {},
    commands: &[
        "PRAGMA", "ATTACH", "DETACH", "VACUUM", "REINDEX", "ANALYZE", "REPLACE", "END", "RELEASE",
    ],
    denied: DENIED,
    odd: |_, _| None,
    instead: "use GET /v1/sources/{source}/streams and their schemas for what the database has",
};

/// Functions that reach beyond the rows of the database. Most are not built in, and
/// stand here for the day that one is.
const DENIED: &str = "
    load_extension
    fts3_tokenizer
    readfile
    writefile
    edit
    fsdir*
    lsdir
    lsmode
    zipfile*
    sqlite_log
    sqlar_*
";

/// Checks that `text` is exactly one statement that only reads, and gives it
/// without the semicolons and comments after it.
pub fn check(text: &str) -> Result<&str> {
    GUARD.check(text)
}

/// What a statement may ask SQLite for when it only reads.
fn authorize(asked: AuthContext<'_>) -> Authorization {
    let is_fine = match asked.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => !is_denied(DENIED, function_name),
        // Full-text tables ask whether somebody else has written.
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => pragma_value.is_none() && pragma_name.eq_ignore_ascii_case("data_version"),
        _ => false,
    };
    if is_fine {
        Authorization::Allow
    } else {
        Authorization::Deny
    }
}

/// Runs `work`, in which nothing but reading is allowed.
pub fn reading<T>(conn: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    conn.authorizer(Some(authorize)).map_err(failure::of)?;
    let outcome = work();
    conn.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
        .map_err(failure::of)?;
    outcome
}

/// Refuses a statement that SQLite does not know to be reading.
pub fn check_readonly(statement: &rusqlite::Statement<'_>) -> Result<()> {
    if statement.readonly() && statement.is_explain() == 0 {
        return Ok(());
    }
    Err(Error::new(Kind::ReadOnly, "the query does more than read")
        .at("/query", "not a statement that only reads"))
}
