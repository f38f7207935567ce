//! The pool, and how work on it is kept whole.
//!
//! Two traps are closed here. A transaction runs in a task of its own, so a
//! caller that goes away cannot cut it in half. And a `begin` cut in its round
//! trip leaves a transaction that the pool does not know of, so every
//! connection that comes back is cleared of one.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::RwLock;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::oneshot;
use tracing::log::LevelFilter;
use weir_core::task::Compute;
use weir_core::{Error, Kind, Result, Secret};
use weir_vault::KeyRing;

use crate::failure::{failed, is_refusal, sealed};

/// How to reach the store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `postgres://…`, password included.
    pub url: Secret,
    /// Connections of this instance at most; one more listens.
    pub max_connections: u32,
    /// Where store work runs to its end when its caller goes away. Not where rows
    /// are decoded: a connection would be held while its task waits for a thread.
    pub compute: Compute,
}

/// The metadata Postgres. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    pub(crate) options: PgConnectOptions,
    pub(crate) compute: Compute,
    pub(crate) ring: Arc<RwLock<Option<Arc<KeyRing>>>>,
}

/// The oldest server that works, as `server_version_num`.
const OLDEST: i32 = 140_000;
/// How long a request waits for a connection before it is answered 503.
const ACQUIRE: Duration = Duration::from_secs(2);
/// How long a start waits for the server to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a single piece of work may take. The server's own limits are
/// shorter; this one holds when the network swallows its answer.
const WORK: Duration = Duration::from_secs(45);
const SLOW: Duration = Duration::from_secs(1);

/// Sent on connect instead of in the start-up message, which poolers refuse.
const SESSION: &str = "set statement_timeout = '30s'; set lock_timeout = '10s'; \
    set idle_in_transaction_session_timeout = '30s'; set default_transaction_isolation = 'read committed'; \
    set client_min_messages = 'warning'";

/// Parameters of a url that count.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Parameters that other clients know and hosted databases put into their urls.
const PASSED_OVER: [&str; 12] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

impl Store {
    /// Connects, waiting a while for a server that is still starting.
    pub async fn connect(options: StoreOptions) -> Result<Self> {
        let connect = parse(&options.url)?;
        let pool = pool(options.max_connections).connect_lazy_with(connect.clone());
        wait_for_server(&pool, &connect).await?;
        Ok(Store {
            pool,
            options: connect,
            compute: options.compute,
            ring: Arc::default(),
        })
    }

    /// Connections that there are, and those of them that are idle.
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    /// Pieces of work that wait for a connection; at most one more or less for
    /// each that comes or goes meanwhile.
    pub fn waiting(&self) -> usize {
        let (size, idle) = self.connections();
        let held = (size as usize).saturating_sub(idle);
        UNDER_WAY.load(Ordering::Relaxed).saturating_sub(held)
    }

    /// Where work beside a request runs that asks the store.
    pub fn tasks(&self) -> &Compute {
        &self.compute
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Reachable, schema current or newer, and not sealed.
    pub async fn ready(&self) -> Result<()> {
        self.check_schema().await?;
        self.ring().map(drop)
    }

    /// Runs `work` in a transaction, to its end even when the caller goes away,
    /// and commits when it succeeds.
    pub(crate) async fn transact<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let pool = self.pool.clone();
        let whole = async move {
            let mut transaction = pool.begin().await.map_err(failed)?;
            let value = work(&mut transaction).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(value)
        };
        let (done, outcome) = oneshot::channel();
        let run = async move {
            // Fails only when nobody waits any more.
            let _ = done.send(bounded(whole).await);
        };
        self.compute.spawn(run).detach();
        outcome
            .await
            .map_err(|_| Error::internal("a store task ended without an answer"))?
    }

    pub(crate) fn ring(&self) -> Result<Arc<KeyRing>> {
        self.ring.read().clone().ok_or_else(sealed)
    }
}

/// Pieces of work of this process that have a connection or wait for one.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Counts one piece of work until it is dropped, and then measures it.
struct Counted(Instant);

impl Counted {
    fn new() -> Self {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        Counted(Instant::now())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        metrics::histogram!("weir_store_seconds").record(self.0.elapsed().as_secs_f64());
    }
}

/// Runs one statement's worth of work under the limit for all of them.
pub(crate) async fn bounded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let _counted = Counted::new();
    let outcome = tokio::time::timeout(WORK, work).await;
    outcome.unwrap_or_else(|_| Err(failed(sqlx::Error::PoolTimedOut)))
}

/// A pool whose sessions have our limits and never keep a transaction open.
pub(crate) fn pool(max_connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| Box::pin(async move { run(connection, SESSION).await }))
        .after_release(|connection, _| Box::pin(clear_transaction(connection)))
}

/// A connection beside the pool, for what holds one longer than a request may.
pub(crate) async fn apart(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let connecting = async {
        let mut connection = PgConnection::connect_with(options).await?;
        run(&mut connection, SESSION).await?;
        Ok(connection)
    };
    let outcome = tokio::time::timeout(WORK, connecting).await;
    outcome.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// Ends a transaction left open, in one round trip where there is none. A bare
/// `rollback` would leave a warning in the server's log each time.
async fn clear_transaction(connection: &mut PgConnection) -> sqlx::Result<bool> {
    if run(connection, "begin; rollback").await.is_err() {
        run(connection, "rollback").await?;
    }
    Ok(true)
}

pub(crate) fn parse(url: &Secret) -> Result<PgConnectOptions> {
    // The parser's own error could quote a part of the url.
    let options = PgConnectOptions::from_str(known_parameters(url)?.expose())
        .map_err(|_| invalid_url("the database url is not a valid postgres url"))?;
    Ok(options
        .application_name("weir")
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Warn, SLOW))
}

/// The url with the parameters that count. An unknown one is refused: a
/// misspelt `sslmode` must not quietly mean less than it says.
fn known_parameters(url: &Secret) -> Result<Secret> {
    let Some((start, query)) = url.expose().split_once('?') else {
        return Ok(url.clone());
    };
    if query.contains('@') {
        // The question mark stood in the password, which must not be quoted.
        return Err(invalid_url("the database url is not a valid postgres url"));
    }
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if PARAMETERS.contains(&name) || name.starts_with("options[") {
            kept.push(pair);
        } else if PASSED_OVER.contains(&name) {
            tracing::debug!(name, "parameter of the database url passed over");
        } else {
            let name: String = name.chars().take(40).collect();
            return Err(invalid_url(format!(
                "the database url has an unknown parameter `{name}`"
            )));
        }
    }
    Ok(Secret::new(format!("{start}?{}", kept.join("&"))))
}

fn invalid_url(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message.into()).code("database_url").hint(
        "WEIR_DATABASE_URL looks like postgres://user:password@host:5432/database?sslmode=require; \
         characters such as @ : / % ? in the password are percent-encoded",
    )
}

async fn wait_for_server(pool: &PgPool, options: &PgConnectOptions) -> Result<()> {
    let start = Instant::now();
    let place = place(options);
    loop {
        let error = match server_version(pool).await {
            Ok(version) => return check_version(version),
            Err(error) => error,
        };
        if is_refusal(&error) || start.elapsed() > PATIENCE {
            return Err(Error::new(Kind::NotReady, format!("the store at {place} cannot be used: {}", said(&error)))
                .code("store_unavailable")
                .hint("check WEIR_DATABASE_URL: host, port, user, password, database and sslmode, and that the server runs")
                .detail(error));
        }
        tracing::info!(
            seconds = start.elapsed().as_secs(),
            "waiting for the store at {place}: {}",
            said(&error)
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Connects past the pool, whose own retries would hide why it fails.
async fn server_version(pool: &PgPool) -> sqlx::Result<i32> {
    let connecting = async {
        let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
        let version = sqlx::query_scalar("select current_setting('server_version_num')::int")
            .fetch_one(&mut connection)
            .await;
        // Nothing depends on how the probe ends.
        let _ = connection.close().await;
        version
    };
    let outcome = tokio::time::timeout(Duration::from_secs(5), connecting).await;
    outcome.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn check_version(version: i32) -> Result<()> {
    if version >= OLDEST {
        return Ok(());
    }
    let message = format!(
        "the store's server is postgres {}, at least {} is needed",
        version / 10_000,
        OLDEST / 10_000
    );
    Err(Error::new(Kind::NotReady, message).code("store_unavailable"))
}

/// Where the store is, without user and password.
fn place(options: &PgConnectOptions) -> String {
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// What the server or the system said, which is for the operator.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(said) => said.message().to_owned(),
        sqlx::Error::PoolTimedOut => "it does not answer".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_told_without_being_shown() {
        let cases = [
            "postgres://u:hunter2@h:port/db",
            "mysql://u:hunter2@h/db?passwrod=hunter2",
            "postgres://u@h/db?passwrod=hunter2",
            "postgres://u:p?hunter2=x@h/db",
            "hunter2",
            "postgres://u:hunter2@h/db?sslmode=hunter2",
        ];
        for url in cases {
            let error = parse(&Secret::new(url)).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            assert_eq!(error.stable_code(), "database_url");
        }
    }

    #[test]
    fn urls_of_hosted_databases_are_taken() {
        let url = "postgres://u:p@h/db?sslmode=require&channel_binding=require&connect_timeout=10";
        let kept = known_parameters(&Secret::new(url)).unwrap();
        assert_eq!(kept.expose(), "postgres://u:p@h/db?sslmode=require");
        let error = parse(&Secret::new("postgres://u@h/db?sslmdoe=require")).unwrap_err();
        assert!(error.message().contains("`sslmdoe`"), "{error}");
    }

    #[test]
    fn the_place_names_no_user() {
        let options = parse(&Secret::new(
            "postgres://user:secret@db.example:6432/weir?sslmode=disable",
        ))
        .unwrap();
        assert_eq!(place(&options), "db.example:6432/weir");
        let options = parse(&Secret::new("postgres://u@localhost/weir?host=%2Frun%2Fpg")).unwrap();
        assert_eq!(place(&options), "/run/pg/weir");
    }
}
