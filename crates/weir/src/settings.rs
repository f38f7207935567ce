//! Every setting of the service: one struct for the TOML file, the environment
//! and the flags; later ones win. The only place that reads the environment.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, CommandFactory, FromArgMatches};
use serde::Deserialize;
use weir_core::Secret;
use weir_core::config::nearest;

use crate::limits::LimitSettings;

/// Settings as they may be given; absent ones take the default named here.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A TOML file with any of these settings, named as here without the prefix; limits stand in a table [limits] [default: none]
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "WEIR_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Allow an address other than loopback; serve HTTPS or put TLS in front of it [default: false]
    #[arg(long, env = "WEIR_ALLOW_REMOTE", value_name = "BOOL")]
    pub allow_remote: Option<bool>,
    /// PEM file with the certificate chain to serve HTTPS with; read again when it changes [default: none]
    #[arg(long, env = "WEIR_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the key of that certificate [default: none]
    #[arg(long, env = "WEIR_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Folder for keys and the private Postgres [default: ./.weir, as root /var/lib/weir]
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Folder with the Postgres server's programs, for the private Postgres [default: found]
    #[arg(long, env = "WEIR_PG_BIN", value_name = "FOLDER")]
    pub pg_bin: Option<PathBuf>,
    /// Connections of this instance to its own Postgres; one more listens [default: 10]
    #[arg(long, env = "WEIR_STORE_CONNECTIONS", value_name = "CONNECTIONS")]
    pub store_connections: Option<u32>,
    /// Networks that connectors may reach, as a comma list of CIDRs [default: all but link-local and cloud metadata]
    #[arg(long, env = "WEIR_EGRESS", value_name = "CIDRS")]
    pub egress: Option<String>,
    /// Folders that sources of local files may read, separated by `:` [default: none]
    #[arg(long, env = "WEIR_FILE_ROOTS", value_name = "FOLDERS")]
    pub file_roots: Option<String>,
    /// Read local files that have more than one name, too; the other one may be outside of the folders [default: false]
    #[arg(long, env = "WEIR_FILE_HARD_LINKS", value_name = "BOOL")]
    pub file_hard_links: Option<bool>,
    /// Write no local files, only read them [default: false]
    #[arg(long, env = "WEIR_FILE_READ_ONLY", value_name = "BOOL")]
    pub file_read_only: Option<bool>,
    /// DuckDB's shared library, for sources of its files [default: where the system has libraries]
    #[arg(long, env = "WEIR_DUCKDB_LIB", value_name = "FILE")]
    pub duckdb_lib: Option<PathBuf>,
    /// Let sources reach MotherDuck by DuckDB's own extension, which speaks to the network beside the egress rules and tunnels; it must lie in the data folder's duckdb-extensions [default: false]
    #[arg(long, env = "WEIR_DUCKDB_MOTHERDUCK", value_name = "BOOL")]
    pub duckdb_motherduck: Option<bool>,
    /// Origins whose pages may call, as a comma list of scheme://host[:port], or * for all [default: none]
    #[arg(long, env = "WEIR_CORS_ORIGINS", value_name = "ORIGINS")]
    pub cors_origins: Option<String>,
    /// How long an Idempotency-Key stands for one request, in hours, 1 to 720 [default: 24]
    #[arg(long, env = "WEIR_IDEMPOTENCY_HOURS", value_name = "HOURS")]
    pub idempotency_hours: Option<u32>,
    /// Sources and credentials as a .toml or .json file, applied at start [default: none]
    #[arg(long, env = "WEIR_SOURCES_FILE", value_name = "FILE")]
    pub sources_file: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or a filter such as info,weir_store=debug [default: info]
    #[arg(long, env = "WEIR_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Shape of log lines: text or json [default: text]
    #[arg(long, env = "WEIR_LOG_FORMAT", value_name = "SHAPE")]
    pub log_format: Option<LogFormat>,
    /// How long to keep accepting after SIGTERM, in seconds [default: 0]
    #[arg(long, env = "WEIR_DRAIN_DELAY", value_name = "SECONDS")]
    pub drain_delay: Option<u64>,
    /// How long running loads may take to finish after that, in seconds [default: 20]
    #[arg(long, env = "WEIR_DRAIN_LIMIT", value_name = "SECONDS")]
    pub drain_limit: Option<u64>,
    /// Memory for rows in all requests together, in bytes [default: 1073741824, or half of what the process may have]
    #[arg(long, env = "WEIR_MEMORY_BYTES", value_name = "BYTES")]
    pub memory_bytes: Option<usize>,
    /// Disk for spilling, in bytes [default: 10737418240]
    #[arg(long, env = "WEIR_SPILL_BYTES", value_name = "BYTES")]
    pub spill_bytes: Option<u64>,
    /// How long the audit is kept, in days [default: 400]
    #[arg(long, env = "WEIR_AUDIT_RETENTION_DAYS", value_name = "DAYS")]
    pub audit_retention_days: Option<u32>,
    /// Address that gives /metrics without a key [default: none, /metrics takes a reader key]
    #[arg(long, env = "WEIR_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// Keep the text of queries in runs, not only its hash; it may hold values [default: false]
    #[arg(long, env = "WEIR_LOG_QUERIES", value_name = "BOOL")]
    pub log_queries: Option<bool>,
    /// How many days runs are kept [default: 30]
    #[arg(long, env = "WEIR_RUN_RETENTION_DAYS", value_name = "DAYS")]
    pub run_retention_days: Option<u32>,
    /// What callers may ask for.
    #[command(flatten, next_help_heading = "Limits")]
    pub limits: LimitSettings,
    /// `WEIR_DATABASE_URL`: the metadata Postgres; unset, a private one is started.
    /// Secrets never come as flags: other accounts of the machine can read those.
    #[arg(skip)]
    pub database_url: Option<Secret>,
    /// `WEIR_MASTER_KEY`: one or several 32-byte base64 keys, newest first, or `file:PATH`.
    #[arg(skip)]
    pub master_key: Option<Secret>,
    /// `WEIR_ADMIN_KEY`: the first admin key, 24 or more printable characters.
    #[arg(skip)]
    pub admin_key: Option<Secret>,
}

/// Environment variables that hold secrets.
const SECRET_VARIABLES: [&str; 3] = ["WEIR_DATABASE_URL", "WEIR_MASTER_KEY", "WEIR_ADMIN_KEY"];

/// Shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Settings {
    /// Lays the environment's secrets and the file below `self`.
    pub fn complete(mut self) -> Result<Self> {
        refuse_unknown_variables()?;
        self = self.with_secrets();
        let Some(path) = self.config.clone() else {
            return Ok(self);
        };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
        let file: Settings = toml::from_str(&text)
            .with_context(|| format!("the configuration file {} is not valid", path.display()))?;
        Ok(self.over(file))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the configuration")]
    fn with_secrets(mut self) -> Self {
        let read = |name: &str| {
            std::env::var(name)
                .ok()
                .filter(|v| !v.is_empty())
                .map(Secret::new)
        };
        self.database_url = read(SECRET_VARIABLES[0]);
        self.master_key = read(SECRET_VARIABLES[1]);
        self.admin_key = read(SECRET_VARIABLES[2]);
        self
    }

    fn over(self, below: Settings) -> Self {
        Settings {
            config: self.config,
            listen: self.listen.or(below.listen),
            allow_remote: self.allow_remote.or(below.allow_remote),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            data_dir: self.data_dir.or(below.data_dir),
            pg_bin: self.pg_bin.or(below.pg_bin),
            store_connections: self.store_connections.or(below.store_connections),
            egress: self.egress.or(below.egress),
            file_roots: self.file_roots.or(below.file_roots),
            file_hard_links: self.file_hard_links.or(below.file_hard_links),
            file_read_only: self.file_read_only.or(below.file_read_only),
            duckdb_lib: self.duckdb_lib.or(below.duckdb_lib),
            duckdb_motherduck: self.duckdb_motherduck.or(below.duckdb_motherduck),
            idempotency_hours: self.idempotency_hours.or(below.idempotency_hours),
            cors_origins: self.cors_origins.or(below.cors_origins),
            sources_file: self.sources_file.or(below.sources_file),
            log: self.log.or(below.log),
            log_format: self.log_format.or(below.log_format),
            drain_delay: self.drain_delay.or(below.drain_delay),
            drain_limit: self.drain_limit.or(below.drain_limit),
            memory_bytes: self.memory_bytes.or(below.memory_bytes),
            spill_bytes: self.spill_bytes.or(below.spill_bytes),
            audit_retention_days: self.audit_retention_days.or(below.audit_retention_days),
            metrics_listen: self.metrics_listen.or(below.metrics_listen),
            log_queries: self.log_queries.or(below.log_queries),
            run_retention_days: self.run_retention_days.or(below.run_retention_days),
            limits: self.limits.over(below.limits),
            database_url: self.database_url.or(below.database_url),
            master_key: self.master_key.or(below.master_key),
            admin_key: self.admin_key.or(below.admin_key),
        }
    }

    /// Where to listen; anything but loopback needs `allow_remote`.
    pub fn listen(&self) -> Result<SocketAddr> {
        let address = self
            .listen
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        if !address.ip().is_loopback() && self.allow_remote != Some(true) {
            let (danger, way) = match self.tls_cert {
                Some(_) => ("", "if that is meant"),
                None => (
                    ", and keys would travel unencrypted",
                    "if TLS is in front of it, or set WEIR_TLS_CERT and WEIR_TLS_KEY, too",
                ),
            };
            bail!(
                "{address} can be reached from other machines{danger}; \
                 set WEIR_ALLOW_REMOTE=true {way}; or listen on 127.0.0.1"
            );
        }
        Ok(address)
    }

    /// Connections of this instance to its store.
    pub fn store_connections(&self) -> Result<u32> {
        match self.store_connections.unwrap_or(10) {
            0 => bail!("WEIR_STORE_CONNECTIONS must be at least 1"),
            connections => Ok(connections),
        }
    }

    /// The folder for keys and the private Postgres.
    pub fn data_dir(&self) -> PathBuf {
        let default = || {
            if nix::unistd::geteuid().is_root() {
                PathBuf::from("/var/lib/weir")
            } else {
                PathBuf::from(".weir")
            }
        };
        let folder = self.data_dir.clone().unwrap_or_else(default);
        std::path::absolute(&folder).unwrap_or(folder)
    }

    /// The folders that sources of local files may read.
    pub fn file_roots(&self) -> Result<Vec<PathBuf>> {
        let given = self.file_roots.as_deref().unwrap_or_default();
        let folders = given.split(':').filter(|folder| !folder.is_empty());
        folders
            .map(|folder| {
                let path = PathBuf::from(folder);
                let is_plain = path.is_absolute() && !folder.split('/').any(|part| part == "..");
                if !is_plain {
                    bail!("WEIR_FILE_ROOTS has `{folder}`; give absolute paths without `..`");
                }
                Ok(path)
            })
            .collect()
    }

    /// How long an idempotency key stands for one request.
    pub fn idempotency_hours(&self) -> Result<u32> {
        match self.idempotency_hours.unwrap_or(24) {
            hours @ 1..=720 => Ok(hours),
            hours => bail!("WEIR_IDEMPOTENCY_HOURS is {hours}, it must be between 1 and 720"),
        }
    }

    /// How long to keep accepting after SIGTERM.
    pub fn drain_delay(&self) -> Duration {
        Duration::from_secs(self.drain_delay.unwrap_or(0))
    }

    /// How long running loads may take to finish.
    pub fn drain_limit(&self) -> Duration {
        Duration::from_secs(self.drain_limit.unwrap_or(20))
    }

    /// The master keys that were given; `file:PATH` is read.
    pub fn master_key(&self) -> Result<Option<Secret>> {
        let Some(given) = &self.master_key else {
            return Ok(None);
        };
        let Some(path) = given.expose().strip_prefix("file:") else {
            return Ok(Some(given.clone()));
        };
        let text = std::fs::read_to_string(Path::new(path))
            .with_context(|| format!("cannot read the master key file {path}"))?;
        Ok(Some(Secret::new(text.trim())))
    }
}

#[derive(clap::Parser)]
struct Probe {
    #[command(flatten)]
    settings: Settings,
}

/// Names of every environment variable the service reads.
fn known_variables() -> BTreeSet<String> {
    let command = Probe::command();
    let flags = command
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned));
    flags.chain(SECRET_VARIABLES.map(str::to_owned)).collect()
}

/// A misspelt variable would silently leave the default in place.
#[expect(clippy::disallowed_methods, reason = "this is the configuration")]
fn refuse_unknown_variables() -> Result<()> {
    let known = known_variables();
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if !name.starts_with("WEIR_") || known.contains(&*name) || name.starts_with("WEIR_TEST_") {
            continue;
        }
        match nearest(&name, &names) {
            Some(near) => bail!("unknown setting {name}; did you mean {near}?"),
            None => bail!("unknown setting {name}; `weir serve --help` lists them all"),
        }
    }
    Ok(())
}

/// The settings of a process that was given neither flags nor variables.
pub fn bare() -> Result<Settings> {
    let matches = Probe::command().get_matches_from(["weir"]);
    Ok(Probe::from_arg_matches(&matches)?.settings)
}
