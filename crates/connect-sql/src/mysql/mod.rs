//! MySQL and MariaDB: discovery over `information_schema`, loads through the binary
//! protocol decoded straight into Arrow, and reads that cannot write.
//!
//! | file | what is in it |
//! |---|---|
//! | `config`, `url` | what a source is configured with |
//! | `wire`, `login` | packets; greeting, TLS and the ways to log in |
//! | `client`, `lease` | sessions, handing them back, killing queries |
//! | `source`, `check` | the reading role and the steps of its test |
//! | `catalog` | what the server has: tables, columns, estimates |
//! | `guard` | which statements only read |
//! | `scan`, `pushdown`, `flow` | one read: its statement, and its batches |
//! | `types`, `decode` | native types by table, and bytes into Arrow |
//! | `sink`, `stage` | one write: its transaction, and where its rows wait |
//! | `encode`, `cells` | native types by table, and Arrow into text |
//! | `bound`, `failure` | bound values, and what the server says as errors |

mod bound;
mod catalog;
mod cells;
mod check;
mod client;
mod config;
mod decode;
mod encode;
mod failure;
mod flow;
mod guard;
mod lease;
mod login;
mod pushdown;
mod scan;
mod sink;
mod source;
mod stage;
mod types;
mod url;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use weir_core::{
    AnyConnector, Category, Connector, Context, Descriptor, Entry, Result, TestedAgainst,
};
use weir_kit::{Keeper, KeeperSettings};

pub use crate::shared::settings::Unrepresentable;
pub use config::MySqlConfig;
pub use source::MySqlSource;

use client::Way;
use lease::Pool;
use scan::Reader;
use types::Rules;

const DOCS: &str = include_str!("docs.md");

/// The connector.
#[derive(Default)]
pub struct MySql {
    /// Bounds of the connections of a source that does not say its own.
    pub pool: KeeperSettings,
}

/// The connector, ready for the registry.
pub fn entry() -> Arc<dyn AnyConnector> {
    entry_with(KeeperSettings::default())
}

/// The connector with the service's own bounds of connections.
pub fn entry_with(pool: KeeperSettings) -> Arc<dyn AnyConnector> {
    Entry::of(MySql { pool }).with_source().with_sink().build()
}

#[async_trait]
impl Connector for MySql {
    type Config = MySqlConfig;
    type Handle = MySqlSource;

    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "mysql",
            title: "MySQL and MariaDB",
            category: Category::Sql,
            auth_modes: &["password", "client_certificate", "none"],
            example: json!({
                "host": "db.example.com",
                "port": 3306,
                "database": "shop",
                "user": "reader",
                "password": "correct horse battery staple",
                "tls": { "mode": "verify-full" }
            }),
            docs: DOCS,
            tested_against: TestedAgainst::Compatible,
            config_version: 1,
        }
    }

    fn validate(&self, config: &MySqlConfig) -> Result<()> {
        config.check()
    }

    async fn open(&self, config: MySqlConfig, _: &Context) -> Result<MySqlSource> {
        let pool = Arc::new(Pool {
            way: Way::new(&config)?,
            keeper: Keeper::new(config.pool.keeper(&self.pool)),
        });
        Ok(MySqlSource {
            reader: Reader {
                pool,
                rules: Rules {
                    tinyint1_is_bool: config.tinyint1_is_bool,
                    lenient: config.unrepresentable == Unrepresentable::Null,
                },
            },
        })
    }
}
