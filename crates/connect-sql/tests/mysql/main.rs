//! The connector for MySQL against a real MariaDB server, and against servers that
//! do not mean well.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod corpus;
mod reading;
mod rogue;
mod support;
mod writing;
