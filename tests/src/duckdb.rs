//! Files of DuckDB, made by its own library.

use std::path::PathBuf;

use libduckdb::{Connection, Database, Library};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::project;

/// A database file in a folder of its own.
pub struct DuckFile {
    folder: TempDir,
    path: PathBuf,
}

impl DuckFile {
    /// A file with what these statements make.
    pub fn with(sql: &str) -> Self {
        crate::report::note("DuckDB, in the process");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("shop.duckdb");
        let file = DuckFile { folder, path };
        file.run(sql);
        file
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// The config of a source.
    pub fn config(&self) -> Value {
        json!({"path": self.path(), "pool": {"idle_seconds": 1}})
    }

    /// Runs statements on a connection of the test's own, and closes the file.
    /// Nobody else may have it open.
    pub fn run(&self, sql: &str) {
        self.connection().run(sql).unwrap();
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> Connection {
        let library = Library::open(&project::duckdb_library()).unwrap();
        let database = Database::open(&library, self.path(), &[]).unwrap();
        database.connect().unwrap()
    }
}
