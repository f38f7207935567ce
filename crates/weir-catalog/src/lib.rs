//! The list of every connector of this build. Adding one is one line here.

pub use connect_files::Rules as FileRules;
pub use connect_sql::{KeeperSettings as PoolSettings, PathRules};
use weir_core::Registry;

/// What the operator's settings mean for connectors.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What local files may be read.
    pub files: FileRules,
    /// Connections of a source that does not say how many.
    pub pool: PoolSettings,
}

/// Every connector, by kind.
pub fn registry(options: Options) -> Registry {
    Registry::new([
        connect_files::entry(options.files.clone()),
        connect_sample::entry(),
        connect_sql::postgres::entry_with(options.pool.clone()),
        connect_sql::sqlite::entry_with(options.files.paths, options.pool),
    ])
}
