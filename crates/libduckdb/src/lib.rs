//! DuckDB through its C interface, from a shared library that is opened when the
//! service runs.
//!
//! This is the only crate that calls C itself. Every handle of the library is
//! behind a type that frees it once, keeps alive what it depends on, and can be
//! sent to another thread but not be used by two at once.
//!
//! | file | what is in it |
//! |---|---|
//! | `raw` | the functions of the library |
//! | `library` | opening it, and what is said when that fails |
//! | `database` | an open file, its connections, and interrupting them |
//! | `statement` | prepared statements and the chunks of their answers |
//! | `appender` | rows into a table |
//! | `logical` | the types of columns |

mod appender;
mod database;
mod library;
mod logical;
mod raw;
mod statement;

pub use appender::Appender;
pub use database::{Connection, Database, Interrupt};
pub use library::{Error, Library, LoadError, Result};
pub use logical::{Logical, Type};
pub use statement::{Bind, Chunks, Prepared};

/// Rows of a chunk at most.
pub const CHUNK_ROWS: usize = 2048;
