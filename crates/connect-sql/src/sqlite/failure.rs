//! What SQLite says, as errors for the caller.

use rusqlite::ffi;
use weir_core::error::SourceMessage;
use weir_core::{Error, Kind, SourceFault};

/// The result codes of which more is known than what they say of themselves.
const READ_ONLY_NEEDS_WRITER: [i32; 4] = [
    ffi::SQLITE_READONLY_RECOVERY,
    ffi::SQLITE_READONLY_CANTLOCK,
    ffi::SQLITE_READONLY_ROLLBACK,
    ffi::SQLITE_READONLY_CANTINIT,
];

/// The extended code and the text of an error.
fn said(error: &rusqlite::Error) -> (i32, Option<&str>) {
    match error {
        rusqlite::Error::SqliteFailure(failed, text) => (failed.extended_code, text.as_deref()),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error.extended_code, Some(msg)),
        _ => (ffi::SQLITE_ERROR, None),
    }
}

/// Whether a reader met what only a writer can put in order: the journal of one
/// that did not end.
pub fn needs_recovery(error: &rusqlite::Error) -> bool {
    READ_ONLY_NEEDS_WRITER.contains(&said(error).0)
}

/// The error for the caller.
pub fn of(error: rusqlite::Error) -> Error {
    let (code, text) = said(&error);
    let text = text.map(str::to_owned);
    let detail = error.to_string();
    let source = Error::source;
    let made = match code & 0xff {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => source(
            SourceFault::Unavailable,
            "the database is locked by somebody else",
        )
        .hint("try again when the other has ended, raise busy_timeout_ms, or put the database into WAL mode, in which readers and a writer do not wait for each other"),
        ffi::SQLITE_READONLY if READ_ONLY_NEEDS_WRITER.contains(&code) => source(
            SourceFault::Unavailable,
            "a writer of the database has not ended properly, and what it left can only be put in order by one that may write",
        )
        .hint("open the database once with a program that may write to it; a copy of a database needs the files beside it"),
        ffi::SQLITE_READONLY | ffi::SQLITE_PERM => source(
            SourceFault::Permission,
            "the service's account may not write to the database file",
        )
        .hint("it needs the right to write to the file and to make files in its folder"),
        ffi::SQLITE_AUTH => Error::new(
            Kind::ReadOnly,
            "the query asks for more than reading tables of the database",
        )
        .at("/query", "not a statement that only reads")
        .hint("PRAGMA, ATTACH and functions that reach files are not offered"),
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_FORMAT => source(
            SourceFault::Data,
            "the file is damaged, or is no SQLite database",
        )
        .hint("PRAGMA integrity_check in the sqlite3 shell tells what is wrong with it"),
        ffi::SQLITE_CANTOPEN => source(
            SourceFault::Unavailable,
            "the database file, or one that belongs to it, cannot be opened",
        )
        .hint("a database in WAL mode is read only where its -shm file is there or can be made: not on a read-only medium"),
        ffi::SQLITE_TOOBIG => source(
            SourceFault::Data,
            "a value or a row is larger than what is read",
        )
        .hint("at most 64 MiB are; leave the column out"),
        ffi::SQLITE_NOMEM => no_memory(),
        ffi::SQLITE_FULL => source(
            SourceFault::Unavailable,
            "there is no room on the disk of the database, or of temporary files",
        )
        .code("target_full")
        .hint("make room on the disk, and send the rows again"),
        ffi::SQLITE_IOERR => source(SourceFault::Unavailable, "the disk of the database failed"),
        ffi::SQLITE_CONSTRAINT => constraint(code),
        ffi::SQLITE_SCHEMA => source(
            SourceFault::Unavailable,
            "the tables of the database were changed meanwhile",
        )
        .hint("try again"),
        ffi::SQLITE_INTERRUPT => weir_core::context::cancelled(),
        _ => source(SourceFault::Query, "SQLite refuses the statement"),
    };
    let made = match text {
        Some(message) => made.said(SourceMessage {
            code: Some(code.to_string()),
            sqlstate: None,
            message,
        }),
        None => made,
    };
    made.detail(detail)
}

fn constraint(code: i32) -> Error {
    let what = match code {
        ffi::SQLITE_CONSTRAINT_NOTNULL => "a row has no value where the table wants one",
        ffi::SQLITE_CONSTRAINT_CHECK => "a row fails a check of the table",
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => "a row repeats a key of the table",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
            "a row refers to one that is not there, or one that is gone is referred to"
        }
        ffi::SQLITE_CONSTRAINT_DATATYPE => {
            "a row has a value of another type than a STRICT table takes"
        }
        ffi::SQLITE_CONSTRAINT_TRIGGER => "a trigger of the table refuses a row",
        _ => "a row violates a constraint of the table",
    };
    Error::source(SourceFault::Data, what)
        .hint("nothing was written; which row, SQLite does not say")
}

/// SQLite had no more memory than it may use.
pub fn no_memory() -> Error {
    Error::new(
        Kind::TooLarge,
        "the query needs more memory than SQLite may use",
    )
    .code("too_large_to_compute")
    .hint("read less at once: fewer columns, or smaller values")
}
