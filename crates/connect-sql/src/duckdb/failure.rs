//! What the library says, as errors that name the cause and what to check.

use libduckdb::Error as Said;
use weir_core::{Error, Kind, SourceFault, SourceMessage};

/// One row of the table: the class of an error, what it means, and a hint.
type Meaning = (&'static str, Kind, &'static str);

const QUERY: Kind = Kind::Source(SourceFault::Query);
const DATA: Kind = Kind::Source(SourceFault::Data);
const GONE: Kind = Kind::Source(SourceFault::Unavailable);

/// What the statement itself says of a value that its column's type cannot hold.
pub const UNREPRESENTABLE: &str = "has a value that its type cannot represent";

const QUERY_HINT: &str = "check the statement against DuckDB's own SQL";
const VALUE_HINT: &str =
    "a value cannot be computed or converted; check casts, divisions and params";

const MEANINGS: [Meaning; 21] = [
    ("Parser", QUERY, QUERY_HINT),
    ("Syntax", QUERY, QUERY_HINT),
    ("Binder", QUERY, QUERY_HINT),
    (
        "Catalog",
        QUERY,
        "check the names of tables, columns and functions; those of extensions are not there",
    ),
    ("Conversion", DATA, VALUE_HINT),
    ("Out of Range", DATA, VALUE_HINT),
    ("Invalid Input", DATA, VALUE_HINT),
    ("Mismatch Type", DATA, VALUE_HINT),
    (
        "Constraint",
        DATA,
        "a row violates a constraint of the table",
    ),
    ("Dependency", QUERY, "something else depends on it"),
    ("INTERRUPT", Kind::Cancelled, "the statement was stopped"),
    (
        "Out of Memory",
        QUERY,
        "raise memory_limit_mb of the source, or narrow the read",
    ),
    (
        "TransactionContext",
        GONE,
        "another write was faster; try again",
    ),
    (
        "Permission",
        Kind::Source(SourceFault::Permission),
        "statements reach nothing but the tables of their own file",
    ),
    ("IO", GONE, "look at the disk and the rights of the file"),
    ("Not implemented", QUERY, "DuckDB does not support this"),
    (
        "Serialization",
        DATA,
        "the file may be damaged, or of a newer version",
    ),
    (
        "Data Corruption",
        DATA,
        "the file is damaged; restore it from a backup",
    ),
    (
        "Missing Extension",
        QUERY,
        "extensions are not loaded for queries",
    ),
    (
        "FATAL",
        GONE,
        "DuckDB gave the file up; it is opened anew with the next request",
    ),
    (
        "INTERNAL",
        GONE,
        "DuckDB failed; the file is opened anew with the next request",
    ),
];

/// What an error of the library means. What it says about values goes to whoever
/// asked, never into a log.
pub fn of(said: Said) -> Error {
    let class = said.class().to_owned();
    let text = first_line(&said.message);
    if text.contains("read-only mode") {
        return Error::new(Kind::ReadOnly, "the statement would write")
            .hint("sources are read in transactions that only read")
            .said(message(&class, text));
    }
    let found = MEANINGS.iter().find(|(name, ..)| *name == class);
    if text.contains(UNREPRESENTABLE) {
        let said = text.split_once(" Error: ").map_or(text, |(_, said)| said);
        return Error::source(SourceFault::Data, said.to_owned())
            .code("unrepresentable")
            .hint("with unrepresentable set to null in the source's config it becomes null");
    }
    let (_, kind, hint) = found.unwrap_or(&("", QUERY, QUERY_HINT));
    let what = match kind {
        Kind::Cancelled => "the query was cancelled in DuckDB",
        _ => "DuckDB refused the statement",
    };
    let error = Error::new(*kind, what).hint(*hint);
    match kind {
        Kind::Cancelled => error,
        _ => error.said(message(&class, text)),
    }
}

/// The same for a write: DuckDB quotes values of rows, which are not told.
pub fn of_write(said: Said) -> Error {
    let class = said.class().to_owned();
    let is_of_value = matches!(
        class.as_str(),
        "Conversion" | "Out of Range" | "Invalid Input"
    );
    match class.as_str() {
        "Constraint" => Error::source(SourceFault::Data, "a row violates a constraint of the table")
            .hint("a primary key or unique index, a check, or a foreign key from or to the table; which row, DuckDB says with its value, which is not told")
            .said(message(&class, constraint(&said.message))),
        _ if is_of_value => Error::source(SourceFault::Data, "a value does not fit its column")
            .hint("convert the column first"),
        _ => of(said),
    }
}

/// What of a message about constraints holds no value.
fn constraint(text: &str) -> &'static str {
    [
        ("foreign key", "Violates foreign key constraint"),
        ("NOT NULL", "NOT NULL constraint failed"),
        ("CHECK", "CHECK constraint failed"),
        ("uplicate key", "Duplicate key violates unique constraint"),
    ]
    .iter()
    .find(|(part, _)| text.contains(part))
    .map_or("constraint failed", |(_, said)| said)
}

/// Whether the open file is of no use after this.
pub fn is_fatal(said: &Said) -> bool {
    matches!(said.class(), "FATAL" | "INTERNAL") || said.message.contains("has been invalidated")
}

/// Why a file could not be opened.
pub fn of_open(said: Said) -> Error {
    let text = said.message.to_ascii_lowercase();
    let unavailable = |message: &'static str| Error::source(SourceFault::Unavailable, message);
    let data = |message: &'static str| Error::source(SourceFault::Data, message);
    let error = if text.contains("lock") {
        unavailable("another program has the database file open")
            .code("file_locked")
            .hint("close it there, or let both only read; a file is open here for pool.idle_seconds after its last use")
    } else if text.contains("not a valid duckdb") {
        data("the file is not a database of DuckDB").hint("check the path")
    } else if text.contains("version") {
        data("the file was written by a version of DuckDB that this library does not read")
            .hint("whoever runs this service brings a newer DuckDB 1 (WEIR_DUCKDB_LIB); DuckDB 2 writes files for it with ATTACH … (STORAGE_VERSION 'v1.0.0')")
    } else if text.contains("permission") || text.contains("read-only file") {
        Error::source(
            SourceFault::Permission,
            "the service's account may not open the file",
        )
        .hint("give it the right to read and write the file and its folder, or set read_only")
    } else if said.class() == "IO" {
        unavailable("the database file cannot be opened").hint("look at the file and its disk")
    } else {
        data("the database file cannot be opened; it may be damaged")
    };
    error.detail(said)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn message(class: &str, text: &str) -> SourceMessage {
    SourceMessage {
        code: Some(class.to_owned()).filter(|class| !class.is_empty()),
        sqlstate: None,
        message: text.chars().take(500).collect(),
    }
}
