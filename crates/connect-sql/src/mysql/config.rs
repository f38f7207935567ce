//! What a MySQL source is configured with, and what follows from it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::{Endpoint, Error, Result, Secret};
use weir_net::TlsSettings;

use super::url;
use crate::shared::settings::{PoolSettings, Unrepresentable, one_of};
use crate::shared::url::UrlParts;

const DEFAULT_PORT: u16 = 3306;

/// A MySQL or MariaDB server: either `url`, or `host` and the fields beside it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MySqlConfig {
    /// Host name or address of the server.
    #[serde(default)]
    #[schemars(extend("x-endpoint" = true, "examples" = ["db.example.com"]))]
    pub host: Option<String>,
    /// TCP port of the server.
    #[serde(default)]
    #[schemars(extend("x-endpoint" = true, "default" = 3306), range(min = 1))]
    pub port: Option<u16>,
    /// Database in which a stream named without one is looked up.
    #[serde(default)]
    pub database: Option<String>,
    /// User to log in as. A user that can only read is the best choice.
    #[serde(default)]
    pub user: Option<String>,
    /// Password of the user.
    #[serde(default)]
    pub password: Option<Secret>,
    /// All of the above as `mysql://user:password@host:port/database?ssl-mode=verify_identity`.
    /// Of its parameters `ssl-mode` and `connect-timeout` are taken, others refused.
    #[serde(default)]
    #[schemars(extend("x-endpoint" = true))]
    pub url: Option<Secret>,
    /// TLS towards the server.
    #[serde(default)]
    #[schemars(extend("x-endpoint" = true))]
    pub tls: TlsSettings,
    /// Connections of this source.
    #[serde(default)]
    pub pool: PoolSettings,
    /// How long connecting and logging in may take, in seconds.
    #[serde(default)]
    #[schemars(extend("default" = 10), range(min = 1, max = 300))]
    pub connect_timeout_seconds: Option<u32>,
    /// What becomes of dates that are none: `0000-00-00`, and those with a month or day of 0.
    #[serde(default)]
    pub unrepresentable: Unrepresentable,
    /// Whether `tinyint(1)`, which is what `BOOLEAN` means to the server, is read as a truth
    /// value; every number but 0 is true.
    #[serde(default = "yes")]
    pub tinyint1_is_bool: bool,
}

fn yes() -> bool {
    true
}

/// Where to connect and as whom: the one reading of `url` and the fields.
#[derive(Debug, Clone)]
pub struct Target {
    /// Host and port.
    pub endpoint: Endpoint,
    /// Database of names without one.
    pub database: Option<String>,
    /// User.
    pub user: String,
    /// Password, where one is set.
    pub password: Option<Secret>,
    /// TLS, with the mode of the URL.
    pub tls: TlsSettings,
    /// For connecting and logging in.
    pub connect_timeout: Duration,
}

impl MySqlConfig {
    /// Reads `url` and the fields together. Pointers are relative to the config.
    pub fn target(&self) -> Result<Target> {
        let parts = match &self.url {
            Some(text) => url::parse(text.expose())?,
            None => UrlParts::default(),
        };
        let host = one_of("host", self.host.clone(), parts.host)?;
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            return Err(Error::invalid("/host", "host is missing").hint("set host, or a url"));
        };
        let user = one_of("user", self.user.clone(), parts.user)?;
        let Some(user) = user.filter(|user| !user.is_empty()) else {
            return Err(
                Error::invalid("/user", "user is missing").hint("set user to the one to log in as")
            );
        };
        let port = one_of("port", self.port, parts.port)?.unwrap_or(DEFAULT_PORT);
        if port == 0 {
            return Err(Error::invalid("/port", "port 0 is not a port"));
        }
        let mut tls = self.tls.clone();
        tls.mode = one_of("tls/mode", self.tls.mode, parts.tls_mode)?;
        let timeout = one_of(
            "connect_timeout_seconds",
            self.connect_timeout_seconds,
            parts.connect_timeout,
        )?;
        let database = one_of("database", self.database.clone(), parts.database)?;
        Ok(Target {
            endpoint: Endpoint { host, port },
            database: database.filter(|name| !name.is_empty()),
            user,
            password: one_of("password", self.password.clone(), parts.password)?,
            tls,
            connect_timeout: Duration::from_secs(u64::from(timeout.unwrap_or(10))),
        })
    }

    /// Checks what the schema cannot say.
    pub fn check(&self) -> Result<()> {
        let target = self.target()?;
        target.tls.check().map_err(|error| error.under("/tls"))?;
        let no_nul = [
            ("/host", target.endpoint.host.as_str()),
            ("/database", target.database.as_deref().unwrap_or_default()),
            ("/user", &target.user),
            (
                "/password",
                target.password.as_ref().map_or("", Secret::expose),
            ),
        ];
        for (pointer, text) in no_nul {
            if text.contains('\0') {
                return Err(Error::invalid(pointer, "holds a NUL character"));
            }
        }
        if target.connect_timeout.is_zero() || target.connect_timeout.as_secs() > 300 {
            let message = "connect_timeout_seconds must be from 1 to 300";
            return Err(Error::invalid("/connect_timeout_seconds", message));
        }
        self.pool.check().map_err(|error| error.under("/pool"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use weir_net::TlsMode;

    fn config(value: serde_json::Value) -> Result<MySqlConfig> {
        weir_core::config::decode(value)
    }

    #[test]
    fn parts_and_url_mean_the_same() {
        let parts = json!({"host": "h", "port": 6000, "user": "u", "password": "p w", "database": "d",
            "tls": {"mode": "require"}, "connect_timeout_seconds": 3});
        let url = json!({"url": "mysql://u:p%20w@h:6000/d?ssl-mode=REQUIRED&connect-timeout=3"});
        for value in [parts, url] {
            let config = config(value).unwrap();
            config.check().unwrap();
            let target = config.target().unwrap();
            assert_eq!(
                (target.endpoint.host.as_str(), target.endpoint.port),
                ("h", 6000)
            );
            assert_eq!(
                (target.user.as_str(), target.database.as_deref()),
                ("u", Some("d"))
            );
            assert_eq!(target.password.unwrap().expose(), "p w");
            assert_eq!(target.tls.mode, Some(TlsMode::Require));
            assert_eq!(target.connect_timeout, Duration::from_secs(3));
            assert!(config.tinyint1_is_bool);
        }
    }

    #[test]
    fn wrong_configs_point_to_the_field() {
        for (value, pointer) in [
            (json!({"user": "u"}), "/host"),
            (json!({"host": "h"}), "/user"),
            (json!({"host": "h", "url": "mysql://u@h"}), "/host"),
            (json!({"url": "mysql://u@h", "port": 0}), "/port"),
            (json!({"url": "mysql://u@h", "hots": 1}), "/hots"),
            (
                json!({"url": "mysql://u@h", "database": "a\0"}),
                "/database",
            ),
            (
                json!({"url": "mysql://u@h", "pool": {"max": 0}}),
                "/pool/max",
            ),
            (json!({"url": "mysql://u@h", "tls": {"ca": "x"}}), "/tls/ca"),
            (
                json!({"url": "mysql://u@h", "init_command": "drop table t"}),
                "/init_command",
            ),
            (
                json!({"url": "mysql://u@h?allowLoadLocalInfile=true"}),
                "/url",
            ),
        ] {
            let error = config(value).and_then(|config| config.check()).unwrap_err();
            assert_eq!(error.fields()[0].pointer, pointer);
        }
    }
}
