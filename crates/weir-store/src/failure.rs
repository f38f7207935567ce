//! Errors of the database as ours.

use std::time::Duration;

use weir_core::{Error, Kind};

const SOON: Duration = Duration::from_secs(2);

/// What an error of the database means for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The store is away, or does not take writes.
    Away,
    /// It is there and did not answer in time.
    Slow,
    /// Its disk is full.
    Full,
    /// It cannot keep a value the caller gave.
    Unstorable,
    /// A fault of ours.
    Fault,
}

/// Starts of SQLSTATE codes, the longer ones first.
const MEANINGS: [(&str, Meaning); 15] = [
    ("53100", Meaning::Full),
    ("57014", Meaning::Slow),
    ("55P03", Meaning::Slow),
    ("40001", Meaning::Slow),
    ("40P01", Meaning::Slow),
    ("25P03", Meaning::Slow),
    // A replica that was not promoted.
    ("25006", Meaning::Away),
    // Characters that a text, and escapes that a JSON document cannot hold.
    ("22021", Meaning::Unstorable),
    ("22P05", Meaning::Unstorable),
    ("22003", Meaning::Unstorable),
    ("08", Meaning::Away),
    ("53", Meaning::Away),
    ("57P", Meaning::Away),
    ("28", Meaning::Away),
    ("3D", Meaning::Away),
];

fn meaning(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        // A connection that broke in the middle of a message.
        | sqlx::Error::Protocol(_) => Meaning::Away,
        sqlx::Error::Database(said) => {
            let code = said.code().unwrap_or_default();
            MEANINGS.iter().find(|(start, _)| code.starts_with(start)).map_or(Meaning::Fault, |(_, meaning)| *meaning)
        }
        _ => Meaning::Fault,
    }
}

/// The caller's view of an error of the database; its text goes to the log only.
pub(crate) fn failed(error: sqlx::Error) -> Error {
    if matches!(error, sqlx::Error::PoolTimedOut) {
        metrics::counter!("weir_store_timeouts_total").increment(1);
    }
    match meaning(&error) {
        Meaning::Away => Error::new(Kind::NotReady, "the store is not available")
            .code("store_unavailable")
            .hint("the service cannot reach its own database; try again shortly")
            .retry_after(SOON)
            .detail(error),
        Meaning::Slow => Error::new(Kind::NotReady, "the store did not answer in time")
            .code("store_unavailable")
            .hint("the service's own database is busy; try again shortly")
            .retry_after(SOON)
            .detail(error),
        Meaning::Full => Error::new(Kind::NotReady, "the store's disk is full")
            .code("storage_full")
            .hint("make room on the disk of the service's own database")
            .detail(error),
        Meaning::Unstorable => Error::new(Kind::Invalid, "a value cannot be kept")
            .hint("texts must not hold the character U+0000, and numbers must have a usable size")
            .detail(error),
        Meaning::Fault => Error::internal(error),
    }
}

/// Whether waiting for the server is in vain: it answered, and said no.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(said) => {
            let code = said.code().unwrap_or_default();
            ["28", "3D", "42"]
                .iter()
                .any(|start| code.starts_with(start))
        }
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => true,
        _ => false,
    }
}

pub(crate) fn sealed() -> Error {
    Error::new(
        Kind::Sealed,
        "the master key at hand does not match the store",
    )
    .hint("start the service with the WEIR_MASTER_KEY its store was made with")
}
