//! Parts of the configuration that every server's connector has.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::{Error, Result};
use weir_kit::KeeperSettings;
use weir_net::TlsMode;

const MAX_CONNECTIONS: u32 = 100;

/// What becomes of a value that the column's Arrow type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unrepresentable {
    /// It becomes null.
    #[default]
    Null,
    /// The read ends with an error that names the column and the row.
    Error,
}

/// Connections of a source.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// Connections at once, shared by preview, discovery and load; the
    /// service's own limit, usually 10, when absent.
    #[schemars(range(min = 1, max = 100))]
    pub max: Option<u32>,
    /// A connection is closed after this many idle seconds.
    #[schemars(range(min = 1))]
    pub idle_seconds: u32,
    /// A connection is not used again when it is older than this many seconds.
    #[schemars(range(min = 1))]
    pub recycle_seconds: u32,
}

impl Default for PoolSettings {
    fn default() -> Self {
        PoolSettings {
            max: None,
            idle_seconds: 300,
            recycle_seconds: 1800,
        }
    }
}

impl PoolSettings {
    /// Checks what the schema cannot say. Pointers are relative to the settings.
    pub fn check(&self) -> Result<()> {
        if self
            .max
            .is_some_and(|max| !(1..=MAX_CONNECTIONS).contains(&max))
        {
            return Err(Error::invalid(
                "/max",
                format!("max must be from 1 to {MAX_CONNECTIONS}"),
            ));
        }
        for (pointer, seconds) in [
            ("/idle_seconds", self.idle_seconds),
            ("/recycle_seconds", self.recycle_seconds),
        ] {
            if seconds == 0 {
                return Err(Error::invalid(pointer, "must be at least 1"));
            }
        }
        Ok(())
    }

    /// The bounds for the keeper; `usual` where the source does not say.
    pub fn keeper(&self, usual: &KeeperSettings) -> KeeperSettings {
        KeeperSettings {
            max: self.max.map_or(usual.max, |max| max as usize),
            idle: Duration::from_secs(self.idle_seconds.into()),
            recycle: Duration::from_secs(self.recycle_seconds.into()),
            ..usual.clone()
        }
    }
}

/// The field or the URL's part; both is one too many.
pub fn one_of<T>(field: &str, value: Option<T>, of_url: Option<T>) -> Result<Option<T>> {
    match (value, of_url) {
        (Some(_), Some(_)) => {
            let message = format!("{} is set here and in url", field.replace('/', "."));
            Err(Error::invalid(format!("/{field}"), message).hint("set it in one place only"))
        }
        (value, of_url) => Ok(value.or(of_url)),
    }
}

/// The modes as libpq spells them in `sslmode`.
pub fn tls_mode(text: &str) -> Option<TlsMode> {
    Some(match text {
        "disable" => TlsMode::Disable,
        "allow" | "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        _ => return None,
    })
}
