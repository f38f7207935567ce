//! What a DuckDB source is configured with.

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::{Error, Result, Secret};

use super::motherduck;
use super::types::Lossy;
use crate::shared::file;

const MAX_CONNECTIONS: u32 = 100;
const MAX_THREADS: u32 = 64;
const MIN_MEMORY_MB: u32 = 32;
const MAX_MEMORY_MB: u32 = 1 << 20;

/// A database file of DuckDB, below a folder that the operator allows, or a database
/// of MotherDuck.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DuckDbConfig {
    /// The file, an absolute path. It must lie below one of the folders that the
    /// operator named in `WEIR_FILE_ROOTS`. Or `md:` and the name of a database of
    /// MotherDuck, where the operator set `WEIR_DUCKDB_MOTHERDUCK`.
    #[schemars(extend("x-endpoint" = true, "examples" = ["/srv/data/shop.duckdb", "md:shop"]))]
    pub path: String,
    /// Access token of MotherDuck, for a database of it.
    #[serde(default)]
    pub motherduck_token: Option<Secret>,
    /// Schema in which a stream named without one is looked up.
    #[serde(default = "default_schema")]
    pub schema: String,
    /// Whether the file is only read. While it is open for sources that only read,
    /// other programs may read it, too.
    #[serde(default)]
    pub read_only: bool,
    /// Whether the first write makes the file when it is not there.
    #[serde(default)]
    pub create: bool,
    /// Threads that run statements of this file.
    #[serde(default)]
    #[schemars(extend("default" = 4), range(min = 1, max = 64))]
    pub threads: Option<u32>,
    /// Memory of DuckDB for this file, in MiB. Unset: what one request may hold,
    /// at most 1024.
    #[serde(default)]
    #[schemars(range(min = 32, max = 1_048_576))]
    pub memory_limit_mb: Option<u32>,
    /// Connections of this source, and how long the file stays open.
    #[serde(default)]
    pub pool: FilePool,
    /// What becomes of values that the column's type cannot hold: `infinity` in dates
    /// and timestamps, the time `24:00:00`, `HUGEINT` beyond 38 digits.
    #[serde(default)]
    pub unrepresentable: Lossy,
}

/// Connections of a source, and how long its file stays open.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilePool {
    /// Connections at once, shared by preview, discovery and load; the
    /// service's own limit, usually 10, when absent.
    #[schemars(range(min = 1, max = 100))]
    pub max: Option<u32>,
    /// The file is closed after this many idle seconds. Until then its lock keeps
    /// other programs out.
    #[schemars(range(min = 1, max = 3600))]
    pub idle_seconds: u32,
}

impl Default for FilePool {
    fn default() -> Self {
        FilePool {
            max: None,
            idle_seconds: 5,
        }
    }
}

fn default_schema() -> String {
    "main".into()
}

impl DuckDbConfig {
    /// Checks what the schema cannot say. Pointers are relative to the config.
    pub fn check(&self) -> Result<()> {
        if self.path.starts_with(':') || self.path.is_empty() {
            return Err(
                Error::invalid("/path", "a database in memory has nothing to read")
                    .hint("give the path of a file"),
            );
        }
        if !motherduck::is_meant(&self.path) {
            file::check(&self.path)?;
        }
        motherduck::check(&self.path, self.motherduck_token.as_ref())?;
        if self.schema.is_empty() || self.schema.contains('\0') {
            return Err(Error::invalid("/schema", "schema is empty or holds a NUL"));
        }
        if self.read_only && self.create {
            return Err(Error::invalid(
                "/create",
                "a file that is only read is not made",
            ));
        }
        if self.create && motherduck::is_meant(&self.path) {
            let message = "a database of MotherDuck is not made";
            return Err(Error::invalid("/create", message).hint("make it there"));
        }
        let bounds = [
            ("/threads", self.threads, 1, MAX_THREADS),
            (
                "/memory_limit_mb",
                self.memory_limit_mb,
                MIN_MEMORY_MB,
                MAX_MEMORY_MB,
            ),
            ("/pool/max", self.pool.max, 1, MAX_CONNECTIONS),
            ("/pool/idle_seconds", Some(self.pool.idle_seconds), 1, 3600),
        ];
        for (pointer, value, least, most) in bounds {
            if value.is_some_and(|value| !(least..=most).contains(&value)) {
                let message = format!("must be from {least} to {most}");
                return Err(Error::invalid(pointer, message));
            }
        }
        Ok(())
    }

    /// The name that the database has in statements.
    pub fn database(&self) -> &str {
        let stem = || Path::new(&self.path).file_stem()?.to_str();
        motherduck::database(&self.path)
            .or_else(stem)
            .unwrap_or_default()
    }

    /// How long the file stays open without use.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.pool.idle_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wrong_configs_point_to_the_field() {
        for (config, pointer) in [
            (json!({}), "/path"),
            (json!({"path": ":memory:"}), "/path"),
            (json!({"path": ""}), "/path"),
            (json!({"path": "md:shop"}), "/motherduck_token"),
            (
                json!({"path": "md:shop", "motherduck_token": ""}),
                "/motherduck_token",
            ),
            (
                json!({"path": "md:shop", "motherduck_token": "a\nb"}),
                "/motherduck_token",
            ),
            (
                json!({"path": "/a.db", "motherduck_token": "t"}),
                "/motherduck_token",
            ),
            (json!({"path": "md:", "motherduck_token": "t"}), "/path"),
            (
                json!({"path": "md:shop?saas_mode=false", "motherduck_token": "t"}),
                "/path",
            ),
            (json!({"path": "md:a/b", "motherduck_token": "t"}), "/path"),
            (
                json!({"path": "motherduck:shop", "motherduck_token": "t"}),
                "/path",
            ),
            (
                json!({"path": "md:shop", "motherduck_token": "t", "create": true}),
                "/create",
            ),
            (json!({"path": "relative.db"}), "/path"),
            (json!({"path": "/a/../b.db"}), "/path"),
            (json!({"path": "/a.db", "threads": 0}), "/threads"),
            (
                json!({"path": "/a.db", "memory_limit_mb": 1}),
                "/memory_limit_mb",
            ),
            (json!({"path": "/a.db", "schema": ""}), "/schema"),
            (
                json!({"path": "/a.db", "read_only": true, "create": true}),
                "/create",
            ),
            (
                json!({"path": "/a.db", "pool": {"idle_seconds": 0}}),
                "/pool/idle_seconds",
            ),
            (
                json!({"path": "/a.db", "allow_unsigned_extensions": true}),
                "/allow_unsigned_extensions",
            ),
        ] {
            let read = weir_core::config::decode::<DuckDbConfig>(config.clone());
            let error = read.and_then(|config| config.check()).unwrap_err();
            assert_eq!(error.fields()[0].pointer, pointer, "{config}");
        }
    }

    #[test]
    fn a_token_is_secret_and_the_path_says_where_it_goes() {
        let config = json!({"path": "md:shop-2_x", "motherduck_token": "hunter2"});
        let read = weir_core::config::decode::<DuckDbConfig>(config).unwrap();
        read.check().unwrap();
        assert_eq!(read.database(), "shop-2_x");
        assert!(!format!("{read:?}").contains("hunter2"));
        let schema = serde_json::to_value(schemars::schema_for!(DuckDbConfig)).unwrap();
        let facts = weir_core::config::FieldFacts::of(&schema);
        assert_eq!(facts.secret, [["motherduck_token"]]);
        assert_eq!(facts.endpoint, [["path"]]);
    }
}
