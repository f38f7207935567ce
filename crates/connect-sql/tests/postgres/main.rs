//! The PostgreSQL connector against a real server, which is started for this
//! process and ends with it.

mod cancel;
mod discovery;
mod failures;
mod pushdown;
mod queries;
mod support;
mod tls;
mod types;
