//! SQLite: a database that is one file below a folder that the operator allows.
//! Loads straight from the values of its rows into Arrow, reads that cannot write,
//! and writes that wait beside the database until they happen whole.
//!
//! | file | what is in it |
//! |---|---|
//! | `config` | what a source is configured with |
//! | `session` | opening the file, what a session may do, handing it back, stopping |
//! | `source` | the reading role and the steps of its test |
//! | `catalog` | what the database has: tables, columns, keys |
//! | `guard` | which statements only read, and what SQLite itself refuses |
//! | `scan`, `pushdown` | one read: its statement, and its batches |
//! | `types`, `decode`, `moment` | declared types by table, and values into Arrow |
//! | `sink`, `encode` | one write: its transaction, and Arrow into values by table |
//! | `failure` | what SQLite says as errors |

mod catalog;
mod config;
mod decode;
mod encode;
mod failure;
mod guard;
mod moment;
mod pushdown;
mod scan;
mod session;
mod sink;
mod source;
mod types;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use weir_core::{
    AnyConnector, Category, Connector, Context, Descriptor, Entry, Result, TestedAgainst,
};
use weir_kit::{Keeper, KeeperSettings, PathRules};

pub use config::SqliteConfig;
use session::Pool;
pub use source::SqliteSource;

use crate::shared::settings::Unrepresentable;

const DOCS: &str = include_str!("docs.md");

/// The connector.
pub struct Sqlite {
    rules: PathRules,
    pool: KeeperSettings,
}

/// The connector for files that `rules` allow, with the service's own bounds of
/// connections.
pub fn entry_with(rules: PathRules, pool: KeeperSettings) -> Arc<dyn AnyConnector> {
    Entry::of(Sqlite { rules, pool })
        .with_source()
        .with_sink()
        .build()
}

#[async_trait]
impl Connector for Sqlite {
    type Config = SqliteConfig;
    type Handle = SqliteSource;

    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "sqlite",
            title: "SQLite",
            category: Category::Sql,
            auth_modes: &["none"],
            example: json!({"path": "/srv/data/shop.db"}),
            docs: DOCS,
            tested_against: TestedAgainst::Live,
            config_version: 1,
        }
    }

    fn validate(&self, config: &SqliteConfig) -> Result<()> {
        config.check()
    }

    async fn open(&self, config: SqliteConfig, _: &Context) -> Result<SqliteSource> {
        let keeper = Keeper::new(config.pool.keeper(&self.pool));
        Ok(SqliteSource {
            lenient: config.unrepresentable == Unrepresentable::Null,
            pool: Arc::new(Pool {
                rules: self.rules.clone(),
                busy: Duration::from_millis(config.busy_timeout_ms.into()),
                is_read_only: config.read_only || self.rules.read_only,
                may_create: config.create,
                path: config.path,
                keeper,
            }),
        })
    }
}
