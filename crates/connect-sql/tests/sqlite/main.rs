//! SQLite on real files.

mod corpus;
mod hostile;
mod pushdown;
mod reading;
mod sharing;
mod support;
mod writing;
