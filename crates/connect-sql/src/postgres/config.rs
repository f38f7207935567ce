//! What a PostgreSQL source is configured with, and what follows from it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::{Endpoint, Error, Result, Secret};
use weir_net::TlsSettings;

use super::url;
use crate::shared::settings::{PoolSettings, Unrepresentable, one_of};
use crate::shared::url::UrlParts;

const DEFAULT_PORT: u16 = 5432;

/// A PostgreSQL database: either `url`, or `host` and the fields beside it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Host name or address of the server.
    #[serde(default)]
    #[schemars(extend("x-endpoint" = true, "examples" = ["db.example.com"]))]
    pub host: Option<String>,
    /// TCP port of the server.
    #[serde(default)]
    #[schemars(extend("x-endpoint" = true, "default" = 5432), range(min = 1))]
    pub port: Option<u16>,
    /// Database to connect to. Unset: the one named like the user.
    #[serde(default)]
    pub database: Option<String>,
    /// Role to log in as. A role that can only read is the best choice.
    #[serde(default)]
    pub user: Option<String>,
    /// Password of the role.
    #[serde(default)]
    pub password: Option<Secret>,
    /// All of the above as `postgresql://user:password@host:port/database?sslmode=verify-full`.
    /// Of its parameters `sslmode`, `connect_timeout` and `dbname` are taken, others refused.
    #[serde(default)]
    #[schemars(extend("x-endpoint" = true))]
    pub url: Option<Secret>,
    /// Schema in which a stream named without one is looked up.
    #[serde(default = "default_schema")]
    pub schema: String,
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
    /// What becomes of values that the column's type cannot hold: `NaN` in `numeric(p,s)`,
    /// `infinity` in dates and timestamps, timestamps after the year 294246, the time `24:00:00`.
    #[serde(default)]
    pub unrepresentable: Unrepresentable,
}

fn default_schema() -> String {
    "public".into()
}

/// Where to connect and as whom: the one reading of `url` and the fields.
#[derive(Debug, Clone)]
pub struct Target {
    /// Host and port.
    pub endpoint: Endpoint,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Password, where one is set.
    pub password: Option<Secret>,
    /// TLS, with the mode of the URL.
    pub tls: TlsSettings,
    /// For connecting and logging in.
    pub connect_timeout: Duration,
}

impl PostgresConfig {
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
            return Err(Error::invalid("/user", "user is missing")
                .hint("set user to the role to log in as"));
        };
        let port = one_of("port", self.port, parts.port)?.unwrap_or(DEFAULT_PORT);
        if port == 0 {
            return Err(Error::invalid("/port", "port 0 is not a port"));
        }
        let database = one_of("database", self.database.clone(), parts.database)?;
        let mut tls = self.tls.clone();
        tls.mode = one_of("tls/mode", self.tls.mode, parts.tls_mode)?;
        let timeout = one_of(
            "connect_timeout_seconds",
            self.connect_timeout_seconds,
            parts.connect_timeout,
        )?;
        Ok(Target {
            endpoint: Endpoint { host, port },
            database: database
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| user.clone()),
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
            ("/database", &target.database),
            ("/user", &target.user),
            ("/schema", &self.schema),
        ];
        for (pointer, text) in no_nul {
            if text.contains('\0') {
                return Err(Error::invalid(pointer, "holds a NUL character"));
            }
        }
        if self.schema.is_empty() {
            return Err(Error::invalid("/schema", "schema is empty"));
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

    fn config(value: serde_json::Value) -> Result<PostgresConfig> {
        weir_core::config::decode(value)
    }

    fn refusal(value: serde_json::Value) -> String {
        let error = config(value).and_then(|c| c.check()).unwrap_err();
        error.fields()[0].pointer.clone()
    }

    #[test]
    fn parts_and_url_mean_the_same() {
        let parts = config(
            json!({"host": "h", "port": 6000, "user": "u", "password": "p w", "database": "d",
            "tls": {"mode": "require"}, "connect_timeout_seconds": 3}),
        );
        let url =
            config(json!({"url": "postgres://u:p%20w@h:6000/d?sslmode=require&connect_timeout=3"}));
        for target in [
            parts.unwrap().target().unwrap(),
            url.unwrap().target().unwrap(),
        ] {
            assert_eq!(
                target.endpoint,
                Endpoint {
                    host: "h".into(),
                    port: 6000
                }
            );
            assert_eq!((target.user.as_str(), target.database.as_str()), ("u", "d"));
            assert_eq!(target.password.unwrap().expose(), "p w");
            assert_eq!(target.tls.mode, Some(TlsMode::Require));
            assert_eq!(target.connect_timeout, Duration::from_secs(3));
        }
    }

    #[test]
    fn defaults_are_those_people_know() {
        let target = config(json!({"host": "h", "user": "u"}))
            .unwrap()
            .target()
            .unwrap();
        assert_eq!(
            (target.endpoint.port, target.database.as_str()),
            (5432, "u")
        );
    }

    #[test]
    fn wrong_configs_point_to_the_field() {
        assert_eq!(refusal(json!({"user": "u"})), "/host");
        assert_eq!(refusal(json!({"host": "h"})), "/user");
        assert_eq!(
            refusal(json!({"host": "h", "user": "u", "url": "postgres://h"})),
            "/host"
        );
        assert_eq!(
            refusal(json!({"user": "u", "url": "postgres://u@h"})),
            "/user"
        );
        assert_eq!(
            refusal(json!({"port": 1, "url": "postgres://u@h:1"})),
            "/port"
        );
        assert_eq!(
            refusal(json!({"tls": {"mode": "require"}, "url": "postgres://u@h?sslmode=require"})),
            "/tls/mode"
        );
        assert_eq!(
            refusal(json!({"host": "h", "user": "u", "hots": 1})),
            "/hots"
        );
        assert_eq!(
            refusal(json!({"host": "h", "user": "u", "port": 0})),
            "/port"
        );
        assert_eq!(
            refusal(json!({"host": "h", "user": "u", "pool": {"max": 0}})),
            "/pool/max"
        );
        assert_eq!(
            refusal(json!({"host": "h", "user": "u", "tls": {"ca": "x"}})),
            "/tls/ca"
        );
        assert_eq!(
            refusal(json!({"host": "h", "user": "u", "database": "a\0"})),
            "/database"
        );
        assert_eq!(
            refusal(json!({"host": "h", "user": "u", "schema": ""})),
            "/schema"
        );
    }
}
