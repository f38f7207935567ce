//! The pool, and how work on it is kept whole.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::oneshot;
use weir_core::task::Compute;
use weir_core::{Error, Kind, Result, Secret};
use weir_vault::KeyRing;

/// How to reach the store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `postgres://…`, password included.
    pub url: Secret,
    /// Connections of this instance at most.
    pub max_connections: u32,
    /// Where store work runs to its end when its caller goes away.
    pub compute: Compute,
}

/// The metadata Postgres. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    compute: Compute,
    pub(crate) ring: Arc<RwLock<Option<KeyRing>>>,
}

/// How long a request waits for a connection before it is answered 503.
const ACQUIRE: Duration = Duration::from_secs(2);
/// How long a start waits for the server to answer.
const PATIENCE: Duration = Duration::from_secs(30);

impl Store {
    /// Connects, waiting a while for a server that is still starting.
    pub async fn connect(options: StoreOptions) -> Result<Self> {
        let connect = PgConnectOptions::from_str(options.url.expose())
            .map_err(|_| Error::new(Kind::Invalid, "the database url is not a valid postgres url")
                .hint("WEIR_DATABASE_URL looks like postgres://user:password@host:5432/database; characters such as @ : / % in the password are percent-encoded"))?
            .application_name("weir")
            .options([
                ("statement_timeout", "30s"),
                ("lock_timeout", "10s"),
                ("idle_in_transaction_session_timeout", "30s"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(ACQUIRE)
            .after_release(|connection, _| {
                Box::pin(async move {
                    // A begin that was cut in its round trip leaves a transaction
                    // open that the pool does not know of.
                    sqlx::query("rollback").execute(connection).await?;
                    Ok(true)
                })
            })
            .connect_lazy_with(connect);
        let store = Store {
            pool,
            compute: options.compute,
            ring: Arc::default(),
        };
        store.wait_for_server().await?;
        Ok(store)
    }

    async fn wait_for_server(&self) -> Result<()> {
        let start = std::time::Instant::now();
        loop {
            let error = match sqlx::query("select 1").execute(&self.pool).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let refused = matches!(&error, sqlx::Error::Database(said) if said.code().is_some_and(|c| c.starts_with("28") || c.starts_with("3D")));
            if refused || start.elapsed() > PATIENCE {
                return Err(Error::new(Kind::NotReady, "the store cannot be reached")
                    .code("store_unavailable")
                    .hint("check WEIR_DATABASE_URL: host, port, user, password and database")
                    .detail(error));
            }
            tracing::info!("waiting for the store's database");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs `work` to its end even when the caller goes away: a transaction cut
    /// in half would stay open in its session.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        self.compute
            .spawn(async move {
                // Nobody may be waiting any more.
                let _ = done.send(work.await);
            })
            .detach();
        outcome
            .await
            .map_err(|_| Error::internal("a store task ended without an answer"))?
    }

    pub(crate) fn compute(&self) -> &Compute {
        &self.compute
    }

    pub(crate) fn ring(&self) -> Result<KeyRing> {
        self.ring.read().clone().ok_or_else(sealed)
    }

    /// Reachable, schema current or newer, and not sealed.
    pub async fn ready(&self) -> Result<()> {
        self.check_schema().await?;
        self.ring().map(drop)
    }
}

pub(crate) fn sealed() -> Error {
    Error::new(
        Kind::Sealed,
        "the master key at hand does not match the store",
    )
    .hint("start the service with the WEIR_MASTER_KEY its store was made with")
}

/// An error of the database as ours: a store that is away is 503, all else is a
/// fault of ours.
pub(crate) fn failed(error: sqlx::Error) -> Error {
    let away = match &error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(said) => said.code().is_some_and(|code| {
            code.starts_with("57P") || code.starts_with("08") || code.starts_with("53")
        }),
        _ => false,
    };
    if away {
        return Error::new(Kind::NotReady, "the store is not available")
            .code("store_unavailable")
            .hint("the service cannot reach its own database; try again shortly")
            .retry_after(Duration::from_secs(2))
            .detail(error);
    }
    Error::internal(error)
}
