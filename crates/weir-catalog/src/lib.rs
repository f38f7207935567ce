//! The list of every connector of this build. Adding one is one line here.

use std::path::PathBuf;

pub use connect_files::Rules as FileRules;
use connect_sql::duckdb::{self, DuckDbSettings};
pub use connect_sql::{KeeperSettings as PoolSettings, PathRules};
use weir_core::Registry;

/// What the operator's settings mean for connectors.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What local files may be read.
    pub files: FileRules,
    /// Connections of a source that does not say how many.
    pub pool: PoolSettings,
    /// DuckDB's library, where the operator names it.
    pub duckdb_library: Option<PathBuf>,
    /// Where DuckDB's extension for MotherDuck lies, where MotherDuck is allowed.
    pub motherduck: Option<PathBuf>,
    /// Folder for what databases in this process cannot keep in memory.
    pub scratch: Option<PathBuf>,
}

/// Every connector, by kind.
pub fn registry(options: Options) -> Registry {
    let duckdb = DuckDbSettings {
        pool: options.pool.clone(),
        paths: options.files.paths.clone(),
        library: options.duckdb_library,
        scratch: options.scratch,
        motherduck: options.motherduck,
    };
    Registry::new([
        connect_files::entry(options.files.clone()),
        connect_sample::entry(),
        connect_sql::mysql::entry_with(options.pool.clone()),
        connect_sql::postgres::entry_with(options.pool.clone()),
        connect_sql::sqlite::entry_with(options.files.paths, options.pool),
        duckdb::entry_with(duckdb),
    ])
}
