//! What the black-box tests stand on: a real PostgreSQL server, a real `weir`
//! process for each test, and clients that speak HTTP as callers do.
//!
//! Everything is started on 127.0.0.1 on a free port and ends with the test
//! process, also when that is killed: each program runs below a guard, which
//! waits on a pipe that closes with the process (see `guard.sh`).

#![expect(
    clippy::unwrap_used,
    reason = "a harness that cannot work is a failed test"
)]

pub mod client;
pub mod confine;
pub mod conformance;
pub mod database;
pub mod duckdb;
pub mod fault;
pub mod generated;
pub mod guard;
pub mod mariadb;
pub mod postgres;
pub mod profiles;
pub mod project;
pub mod report;
pub mod service;
pub mod tables;
pub mod wire;
pub mod xlsx;

pub use client::{Answer, Client};
pub use confine::Confined;
pub use database::Database;
pub use mariadb::MyDatabase;
pub use service::{Options, Service, StoreKind};

use std::time::{Duration, Instant};

/// Waits until `done` gives a value; gives nothing when `limit` has passed.
pub async fn eventually<T>(limit: Duration, mut done: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = done().await {
            return Some(value);
        }
        if start.elapsed() > limit {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A setting of the test run, for those who want more rounds than CI does.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests read their settings"
)]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A name that no other test uses.
pub fn unique(prefix: &str) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("{prefix}_{}", &id[..12])
}
