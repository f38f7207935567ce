//! What a SQLite source is configured with.

use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::{Error, Result};

use crate::shared::file;
use crate::shared::settings::{PoolSettings, Unrepresentable};

const MAX_BUSY_MS: u32 = 300_000;

/// A SQLite database: one file of the machine that Weir runs on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {
    /// Absolute path of the file, below one of the folders in `WEIR_FILE_ROOTS`.
    #[schemars(extend("examples" = ["/srv/data/shop.db"]))]
    pub path: String,
    /// Refuses every write.
    #[serde(default)]
    pub read_only: bool,
    /// Whether a write makes the file where it is not there.
    #[serde(default)]
    pub create: bool,
    /// How long another process that has the database locked is waited for, in milliseconds.
    #[serde(default = "default_busy")]
    #[schemars(range(max = 300_000))]
    pub busy_timeout_ms: u32,
    /// Connections of this source.
    #[serde(default)]
    pub pool: PoolSettings,
    /// What becomes of values that are not of the type that their column declares, as
    /// text in an `INTEGER` column.
    #[serde(default)]
    pub unrepresentable: Unrepresentable,
}

fn default_busy() -> u32 {
    5_000
}

impl SqliteConfig {
    /// Checks what the schema cannot say.
    pub fn check(&self) -> Result<()> {
        file::check(&self.path)?;
        if self.busy_timeout_ms > MAX_BUSY_MS {
            let message = format!("busy_timeout_ms must be at most {MAX_BUSY_MS}");
            return Err(Error::invalid("/busy_timeout_ms", message));
        }
        if self.read_only && self.create {
            return Err(
                Error::invalid("/create", "a source that is read_only makes no file")
                    .hint("leave one of the two out"),
            );
        }
        self.pool.check().map_err(|error| error.under("/pool"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_configs_point_to_the_field() {
        let refusal = |value: serde_json::Value| {
            let checked = weir_core::config::decode::<SqliteConfig>(value).and_then(|c| c.check());
            checked.unwrap_err().fields()[0].pointer.clone()
        };
        for (config, pointer) in [
            (json!({"path": "data.db"}), "/path"),
            (json!({"path": ":memory:"}), "/path"),
            (json!({"path": "file:/srv/data.db?mode=rw"}), "/path"),
            (json!({"path": "/srv/../etc/data.db"}), "/path"),
            (json!({"path": "/srv/data/"}), "/path"),
            (
                json!({"path": "/a", "busy_timeout_ms": 400_000}),
                "/busy_timeout_ms",
            ),
            (
                json!({"path": "/a", "read_only": true, "create": true}),
                "/create",
            ),
            (json!({"path": "/a", "pool": {"max": 0}}), "/pool/max"),
            (json!({"path": "/a", "schema": "x"}), "/schema"),
        ] {
            assert_eq!(refusal(config.clone()), pointer, "{config}");
        }
    }
}
