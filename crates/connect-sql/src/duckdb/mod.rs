//! DuckDB: files read and written in this process, through a library that the
//! operator brings, in instances that are locked down before anything runs.
//!
//! | file | what is in it |
//! |---|---|
//! | `config` | what a source is configured with |
//! | `library` | finding the library |
//! | `instance` | open databases, one instance each, and what they may do |
//! | `motherduck` | databases that are no files |
//! | `session` | a connection on loan, its blocking calls and stopping them |
//! | `source` | the reading role |
//! | `catalog` | what the database has |
//! | `guard` | which statements only read |
//! | `scan`, `terms`, `flow` | one read: its statement, filters, and batches |
//! | `types`, `encode` | native types by table, to Arrow and back |
//! | `sink`, `target` | one write: where its rows go, and its transaction |
//! | `failure` | what the library says as errors |

mod catalog;
mod config;
mod encode;
mod failure;
mod flow;
mod guard;
mod instance;
mod library;
mod motherduck;
mod scan;
mod session;
mod sink;
mod source;
mod target;
mod terms;
mod types;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use weir_core::{
    AnyConnector, Category, Connector, Context, Descriptor, Entry, Result, TestedAgainst,
};
use weir_kit::{Keeper, KeeperSettings, PathRules};

pub use config::DuckDbConfig;
pub use instance::{LOCK, OFF};
pub use source::DuckDbSource;

use library::Loader;
use session::Home;

const DOCS: &str = include_str!("docs.md");

/// What the operator says for all sources.
#[derive(Debug, Clone, Default)]
pub struct DuckDbSettings {
    /// Bounds of the connections of a source that does not say its own.
    pub pool: KeeperSettings,
    /// Which files may be opened.
    pub paths: PathRules,
    /// The library; looked for where the system keeps libraries when absent.
    pub library: Option<PathBuf>,
    /// Folder for what does not fit into memory; none is written without it.
    pub scratch: Option<PathBuf>,
    /// Where DuckDB's extension for MotherDuck lies, where the operator allows
    /// MotherDuck; it is refused without.
    pub motherduck: Option<PathBuf>,
}

/// The connector.
pub struct DuckDb {
    settings: DuckDbSettings,
    loader: Arc<Loader>,
}

/// The connector, ready for the registry.
pub fn entry_with(settings: DuckDbSettings) -> Arc<dyn AnyConnector> {
    let loader = Arc::new(Loader::new(settings.library.clone()));
    Entry::of(DuckDb { settings, loader })
        .with_source()
        .with_sink()
        .build()
}

#[async_trait]
impl Connector for DuckDb {
    type Config = DuckDbConfig;
    type Handle = DuckDbSource;

    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "duckdb",
            title: "DuckDB",
            category: Category::Sql,
            auth_modes: &["none", "token"],
            example: json!({"path": "/srv/data/shop.duckdb", "read_only": true}),
            docs: DOCS,
            tested_against: TestedAgainst::Live,
            config_version: 1,
        }
    }

    fn validate(&self, config: &DuckDbConfig) -> Result<()> {
        config.check()
    }

    async fn open(&self, config: DuckDbConfig, _: &Context) -> Result<DuckDbSource> {
        let pool = KeeperSettings {
            max: config
                .pool
                .max
                .map_or(self.settings.pool.max, |max| max as usize),
            ..self.settings.pool.clone()
        };
        Ok(DuckDbSource::new(Home {
            keeper: Keeper::new(pool),
            loader: Arc::clone(&self.loader),
            rules: self.settings.paths.clone(),
            scratch: self.settings.scratch.clone(),
            motherduck: self.settings.motherduck.clone(),
            config,
        }))
    }
}
