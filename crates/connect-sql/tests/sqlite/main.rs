//! SQLite on real files.

#![expect(clippy::unwrap_used, reason = "what cannot work is a failed test")]

mod corpus;
mod hostile;
mod pushdown;
mod reading;
mod sharing;
mod support;
mod writing;
