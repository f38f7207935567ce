//! DuckDB, on files made by its own library.

#![expect(
    clippy::unwrap_used,
    reason = "a harness that cannot work is a failed test"
)]

mod corpus;
mod guarded;
mod lifecycle;
mod motherduck;
mod pushdown;
mod support;
mod types;
mod writing;
