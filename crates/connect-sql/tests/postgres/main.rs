//! The PostgreSQL connector against a real server, which is started for this
//! process and ends with it.

#![expect(clippy::unwrap_used, reason = "what cannot work is a failed test")]

mod cancel;
mod cases;
mod corpus;
mod discovery;
mod failures;
mod pushdown;
mod queries;
mod rogue;
mod support;
mod tls;
mod types;
