//! DuckDB, on files made by its own library.

mod corpus;
mod guarded;
mod lifecycle;
mod pushdown;
mod support;
mod types;
mod writing;
