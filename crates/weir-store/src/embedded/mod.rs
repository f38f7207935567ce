//! The private Postgres: found binaries, a data folder of its own, a socket
//! that only this account (and the server's) can reach.

use std::path::PathBuf;

use weir_core::{Result, Secret};

/// How to run the private server.
#[derive(Debug, Clone, Default)]
pub struct EmbeddedSettings {
    /// The service's data folder; the server's lies below it.
    pub data_dir: PathBuf,
    /// Where the server's programs are; `None` looks for them.
    pub binaries: Option<PathBuf>,
}

/// A running private server.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    url: Secret,
}

impl EmbeddedPostgres {
    /// Starts the server.
    pub async fn start(_settings: EmbeddedSettings) -> Result<Self> {
        Err(weir_core::Error::unsupported("the private server is not built yet"))
    }

    /// Where it listens.
    pub fn url(&self) -> Secret {
        self.url.clone()
    }

    /// Stops the server.
    pub async fn stop(self) {}
}
