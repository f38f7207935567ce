//! PostgreSQL: discovery over the catalogue, loads through binary `COPY`
//! decoded straight into Arrow, reads that cannot write, and writes through binary
//! `COPY` that happen whole or not at all.
//!
//! | file | what is in it |
//! |---|---|
//! | `config`, `url` | what a source is configured with |
//! | `client`, `lease` | connecting, sessions, handing them back, cancelling |
//! | `source`, `check` | the reading role and the steps of its test |
//! | `catalog` | what the database has: tables, columns, estimates |
//! | `guard` | which statements only read |
//! | `scan`, `pushdown`, `flow` | one read: its statement, and its batches |
//! | `types`, `decode` | native types by table, and bytes into Arrow |
//! | `sink`, `target` | one write: where its rows go, and its transaction |
//! | `send`, `encode` | batches into tuples, and Arrow into bytes by table |
//! | `bound`, `failure` | bound values, and what the server says as errors |

mod bound;
mod catalog;
mod check;
mod client;
mod config;
mod decode;
mod encode;
mod failure;
mod flow;
mod guard;
mod lease;
mod pushdown;
mod scan;
mod send;
mod sink;
mod source;
mod target;
mod types;
mod url;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use weir_core::{
    AnyConnector, Category, Connector, Context, Descriptor, Entry, Result, TestedAgainst,
};
use weir_kit::{Keeper, KeeperSettings};

pub use config::PostgresConfig;

pub use crate::shared::settings::Unrepresentable;
pub use source::PostgresSource;

use client::Way;
use lease::Pool;
use scan::Reader;

const DOCS: &str = include_str!("docs.md");

/// The connector.
#[derive(Default)]
pub struct Postgres {
    /// Bounds of the connections of a source that does not say its own.
    pub pool: KeeperSettings,
}

/// The connector, ready for the registry.
pub fn entry() -> Arc<dyn AnyConnector> {
    entry_with(KeeperSettings::default())
}

/// The connector with the service's own bounds of connections.
pub fn entry_with(pool: KeeperSettings) -> Arc<dyn AnyConnector> {
    Entry::of(Postgres { pool })
        .with_source()
        .with_sink()
        .build()
}

#[async_trait]
impl Connector for Postgres {
    type Config = PostgresConfig;
    type Handle = PostgresSource;

    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "postgres",
            title: "PostgreSQL",
            category: Category::Sql,
            auth_modes: &["password", "client_certificate", "none"],
            example: json!({
                "host": "db.example.com",
                "port": 5432,
                "database": "shop",
                "user": "reader",
                "password": "correct horse battery staple",
                "tls": { "mode": "verify-full" }
            }),
            docs: DOCS,
            tested_against: TestedAgainst::Live,
            config_version: 1,
        }
    }

    fn validate(&self, config: &PostgresConfig) -> Result<()> {
        config.check()
    }

    async fn open(&self, config: PostgresConfig, _: &Context) -> Result<PostgresSource> {
        let way = Way::new(&config)?;
        let database = way.target.database.clone();
        let pool = Arc::new(Pool {
            way,
            keeper: Keeper::new(config.pool.keeper(&self.pool)),
        });
        let lenient = config.unrepresentable == Unrepresentable::Null;
        Ok(PostgresSource::new(Reader {
            pool,
            schema: config.schema,
            database,
            lenient,
        }))
    }
}
