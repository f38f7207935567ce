//! Wiring: the store, the keys, the routes; then serve until told to stop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use weir_api::background::{self, Background, Retention};
use weir_api::cors::Cors;
use weir_api::state::{App, Limits, Parts, Spool};
use weir_core::task::{Compute, Task};
use weir_core::{Memory, Secret};
use weir_engine::{Engine, EngineLimits};
use weir_listen::{ListenLimits, Listener};
use weir_net::{Dialer, Egress};
use weir_store::embedded::{self, EmbeddedPostgres, EmbeddedSettings};
use weir_store::{Actor, NewApiKey, NewSource, Seal, Store, StoreOptions};
use weir_vault::KeyRing;

use crate::files::{make_data_dir, write_private};
use crate::listen::{self, Serving, Stages};
use crate::settings::Settings;
use crate::sources_file;
use crate::telemetry;

/// Connections to the address of the metrics alone.
const METRICS_CONNECTIONS: usize = 64;
/// How long the ends of runs may take to be recorded when the service stops.
const SETTLE_LIMIT: Duration = Duration::from_secs(3);

/// Two runtimes: one serves HTTP and the store, one computes, so that decoding
/// never delays a health check.
pub fn runtimes() -> Result<(Runtime, Runtime)> {
    let make = |name: &str| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(
                std::thread::available_parallelism()
                    .map_or(2, usize::from)
                    .max(2),
            )
            .thread_name(name)
            .enable_all()
            .build()
    };
    Ok((make("weir-http")?, make("weir-compute")?))
}

/// Runs the service until a signal ends it.
pub fn serve(settings: &Settings) -> Result<()> {
    telemetry::watch_panics();
    let (http, compute) = runtimes()?;
    let outcome = http.block_on(run(settings, Compute::new(compute.handle().clone())));
    // What still runs was told to stop; do not wait for it for ever.
    compute.shutdown_timeout(Duration::from_secs(2));
    http.shutdown_timeout(Duration::from_secs(2));
    outcome
}

/// Brings the store's schema up to date.
pub fn migrate(settings: &Settings) -> Result<()> {
    let (http, compute) = runtimes()?;
    http.block_on(async {
        make_data_dir(&settings.data_dir())?;
        let stored = Stored::open(settings, Compute::new(compute.handle().clone())).await?;
        stored.close().await;
        Ok(())
    })
}

/// The store, and the private Postgres below it if there is one.
pub struct Stored {
    /// The store.
    pub store: Store,
    embedded: Option<EmbeddedPostgres>,
}

impl Stored {
    /// Opens the store beside a service that may be running on it.
    pub async fn beside(settings: &Settings, compute: Compute) -> Result<Self> {
        if settings.database_url.is_none()
            && let Some(url) = embedded::running(&settings.data_dir())
        {
            let options = StoreOptions {
                url,
                max_connections: 2,
                compute: compute.clone(),
            };
            if let Ok(store) = Store::connect(options).await {
                let embedded = None;
                return Ok(Stored { store, embedded });
            }
            // Left by a server that was killed.
        }
        Stored::open(settings, compute).await
    }

    /// Connects and brings the schema up to date.
    async fn open(settings: &Settings, compute: Compute) -> Result<Self> {
        let stored = Stored::connect(settings, compute).await?;
        match stored.store.migrate().await {
            Ok(()) => Ok(stored),
            Err(error) => {
                stored.close().await;
                Err(explained(error))
            }
        }
    }

    /// Connects, and leaves the schema as it is.
    pub async fn connect(settings: &Settings, compute: Compute) -> Result<Self> {
        let (url, embedded) = match &settings.database_url {
            Some(url) => (url.clone(), None),
            None => {
                let server = EmbeddedPostgres::start(EmbeddedSettings {
                    data_dir: settings.data_dir(),
                    binaries: settings.pg_bin.clone(),
                    ..EmbeddedSettings::default()
                })
                .await
                .map_err(explained)?;
                (server.url(), Some(server))
            }
        };
        let options = StoreOptions {
            url,
            max_connections: settings.store_connections()?,
            compute,
        };
        match Store::connect(options).await {
            Ok(store) => Ok(Stored { store, embedded }),
            Err(error) => {
                if let Some(server) = embedded {
                    server.stop().await;
                }
                Err(explained(error))
            }
        }
    }

    /// Closes what was opened.
    pub async fn close(self) {
        self.store.close().await;
        if let Some(server) = self.embedded {
            server.stop().await;
        }
    }
}

/// An error with its hint and its internal half, for the operator's eyes.
pub fn explained(error: weir_core::Error) -> anyhow::Error {
    let mut text = error.message().to_owned();
    if let Some(detail) = error.log_detail() {
        text.push_str(&format!(" ({detail})"));
    }
    if let Some(hint) = error.hint_text() {
        text.push_str(&format!("\n  what to check: {hint}"));
    }
    anyhow!(text)
}

async fn run(settings: &Settings, compute: Compute) -> Result<()> {
    let listen = settings.listen()?;
    let data_dir = settings.data_dir();
    make_data_dir(&data_dir)?;
    // Wrong settings are told before anything starts.
    limits(settings)?;
    egress(settings)?;
    cors(settings)?;
    settings.store_connections()?;
    let tls = listen::tls(settings)?;
    // Taken before the store opens, so that a port in use is told at once.
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; set WEIR_LISTEN to a free address"))?;
    let address = listener.local_addr()?.to_string();
    // The store's work stays on this runtime, which no decoding holds up.
    let stored = Stored::open(settings, Compute::current()).await?;
    let stages = Stages::default();
    let outcome = async {
        prepare(settings, &stored.store, &data_dir).await?;
        let registered = stored
            .store
            .register_instance(weir_api::system::VERSION, &address);
        let instance = registered.await.map_err(explained)?;
        mark_lost(stored.store.clone(), &compute);
        let app = app(
            settings,
            &stored.store,
            instance.id(),
            compute.clone(),
            &stages,
        )?;
        sources_file::apply(settings, &app).await?;
        let _background = Background::start(&app, retention(settings)?);
        let limits = listen::listen_limits(&app.limits);
        let _measured = measure(settings, &app, &data_dir, &limits, &stages).await?;
        let serving = Serving {
            sockets: listener,
            tls,
            router: weir_api::router(app.clone()),
            limits,
            tasks: Compute::current(),
        };
        let outcome = listen::serve(settings, serving, &data_dir, &stages).await;
        stages.shutdown.cancel();
        app.runs().settle(SETTLE_LIMIT).await;
        // So that the others need not wait until its heartbeat is missed.
        if let Err(error) = stored.store.leave(instance).await {
            tracing::warn!(
                detail = error.log_detail(),
                "still listed as running: {error}"
            );
        }
        outcome
    }
    .await;
    stages.shutdown.cancel();
    stored.close().await;
    outcome
}

/// Serves the metrics on an address of their own, where one is set.
async fn measure(
    settings: &Settings,
    app: &App,
    data_dir: &Path,
    limits: &ListenLimits,
    stages: &Stages,
) -> Result<Option<Task<()>>> {
    let Some(address) = settings.metrics_listen else {
        return Ok(None);
    };
    let sockets = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; see WEIR_METRICS_LISTEN"))?;
    let bound = sockets.local_addr()?;
    write_private(
        &data_dir.join("metrics-address"),
        &format!("http://{bound}\n"),
    )?;
    tracing::info!("metrics on http://{bound}/metrics");
    let tasks = Compute::current();
    let listener = Listener {
        sockets,
        tls: None,
        router: weir_api::metrics_router(app.clone()),
        tasks: tasks.clone(),
        limits: ListenLimits {
            connections: METRICS_CONNECTIONS,
            ..limits.clone()
        },
    };
    // Measured to the last: it stops together with what still runs.
    let stop = stages.shutdown.clone();
    Ok(Some(tasks.spawn(listener.run(stop.clone(), stop))))
}

/// Marks what instances left running that did not stop in good order.
fn mark_lost(store: Store, compute: &Compute) {
    let work = async move {
        match store.lose_runs().await {
            Ok(0) => {}
            Ok(runs) => tracing::warn!(
                runs,
                "runs of instances that are gone were marked as failed"
            ),
            Err(error) => {
                tracing::warn!(detail = error.log_detail(), "lost runs not marked: {error}");
            }
        }
    };
    compute.spawn(work).detach();
}

/// The budget of rows, and the size of the process itself where its bound is known.
fn memory(limits: &Limits) -> Memory {
    let (all, one) = (limits.memory_bytes, limits.memory_request_bytes);
    match crate::machine::memory() {
        None => Memory::new(all, one),
        Some(limit) => {
            let now = weir_core::memory::resident_bytes;
            Memory::watching(all, one, weir_core::memory::Resident { limit, now })
        }
    }
}

/// What the routes stand on.
pub fn app(
    settings: &Settings,
    store: &Store,
    instance_id: uuid::Uuid,
    compute: Compute,
    stages: &Stages,
) -> Result<App> {
    let limits = limits(settings)?;
    let spool = Spool::new(settings.data_dir().join("spool"), limits.spill_bytes);
    let engine = Engine::new(EngineLimits {
        spill_dir: settings.data_dir().join("spill"),
        spill_bytes: limits.spill_bytes,
    })
    .map_err(explained)?;
    let connectors = weir_catalog::Options {
        files: weir_catalog::FileRules {
            paths: weir_catalog::PathRules {
                roots: settings.file_roots()?,
                hard_links: settings.file_hard_links.unwrap_or(false),
                read_only: settings.file_read_only.unwrap_or(false),
            },
            limits: limits.decoding(),
        },
        pool: weir_catalog::PoolSettings {
            max: limits.source_connections,
            wait: Duration::from_millis(limits.source_wait_ms),
            ..weir_catalog::PoolSettings::default()
        },
        duckdb_library: settings.duckdb_lib.clone(),
        motherduck: settings
            .duckdb_motherduck
            .unwrap_or(false)
            .then(|| settings.data_dir().join("duckdb-extensions")),
        scratch: Some(settings.data_dir().join("scratch")),
    };
    Ok(App::new(Parts {
        store: store.clone(),
        registry: weir_catalog::registry(connectors),
        engine,
        compute,
        memory: memory(&limits),
        dialer: Arc::new(Dialer::new(egress(settings)?)),
        limits,
        cors: cors(settings)?,
        idempotency_hours: settings.idempotency_hours()?,
        instance_id,
        render_metrics: telemetry::metrics()?,
        log_queries: settings.log_queries.unwrap_or(false),
        spool,
        draining: stages.draining.clone(),
        shutdown: stages.shutdown.clone(),
    }))
}

fn limits(settings: &Settings) -> Result<Limits> {
    settings
        .limits
        .limits(settings.memory_bytes, settings.spill_bytes)
}

fn egress(settings: &Settings) -> Result<Egress> {
    match &settings.egress {
        Some(text) => Egress::parse(text).map_err(explained),
        None => Ok(Egress::default()),
    }
}

fn cors(settings: &Settings) -> Result<Cors> {
    Cors::parse(settings.cors_origins.as_deref().unwrap_or_default()).map_err(explained)
}

/// Opens the secrets, makes the first admin key, registers the sample.
async fn prepare(settings: &Settings, store: &Store, data_dir: &Path) -> Result<()> {
    background::maintain(store, retention(settings)?)
        .await
        .map_err(explained)?;
    unlock(settings, store, data_dir).await?;
    first_admin_key(settings, store, data_dir).await?;
    if store
        .set_setting_once("sample_registered", true.into())
        .await
        .map_err(explained)?
    {
        register_sample(store).await?;
    }
    Ok(())
}

fn retention(settings: &Settings) -> Result<Retention> {
    Ok(Retention {
        audit_days: settings.audit_retention_days.unwrap_or(400),
        idempotency_hours: settings.idempotency_hours()?,
        run_days: settings.run_retention_days.unwrap_or(30),
    })
}

/// Opens the secrets with the keys at hand, and makes none.
pub async fn unlock_known(settings: &Settings, store: &Store) -> Result<()> {
    let ring = given_ring(settings, &settings.data_dir().join("master.key"))?;
    let none = || {
        Err(weir_core::Error::new(
            weir_core::Kind::Sealed,
            "there is no master key",
        ))
    };
    store.unlock(ring, none).await.map(drop).map_err(explained)
}

/// The master keys of the settings, or of the file in the data folder.
fn given_ring(settings: &Settings, path: &Path) -> Result<Option<KeyRing>> {
    let given = match settings.master_key()? {
        Some(text) => Some(text),
        None => match std::fs::read_to_string(path) {
            Ok(text) => Some(Secret::new(text.trim())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        },
    };
    given
        .map(|text| KeyRing::parse(&text))
        .transpose()
        .map_err(explained)
}

async fn unlock(settings: &Settings, store: &Store, data_dir: &Path) -> Result<()> {
    let path = data_dir.join("master.key");
    let ring = given_ring(settings, &path)?;
    let file = path.clone();
    let generate = move || {
        let ring = KeyRing::generate();
        write_private(&file, ring.export().expose()).map_err(weir_core::Error::internal)?;
        Ok(ring)
    };
    match store.unlock(ring, generate).await.map_err(explained)? {
        Seal::Open { generated: true } => tracing::warn!(
            "a master key was made in {}; back it up: without it the stored credentials cannot be opened",
            path.display()
        ),
        Seal::Open { generated: false } => {}
        Seal::Sealed => tracing::error!(
            "sealed: the master key does not match this store; start with the right WEIR_MASTER_KEY"
        ),
    }
    Ok(())
}

async fn first_admin_key(settings: &Settings, store: &Store, data_dir: &Path) -> Result<()> {
    if store.has_admin_key().await.map_err(explained)? {
        return Ok(());
    }
    let path = data_dir.join("admin.key");
    let (key, given) = match &settings.admin_key {
        Some(key) => (key.clone(), true),
        None => (weir_api::new_key().map_err(explained)?, false),
    };
    let printable = key.expose().bytes().all(|b| b.is_ascii_graphic());
    if key.expose().len() < 24 || !printable {
        anyhow::bail!("WEIR_ADMIN_KEY must be at least 24 printable characters without blanks");
    }
    // Written first: a key that is stored but known to nobody would lock everybody out.
    if !given {
        write_private(&path, &format!("{}\n", key.expose()))?;
    }
    let new = NewApiKey {
        id: uuid::Uuid::now_v7(),
        name: "admin".to_owned(),
        role: weir_api::Role::Admin.name().to_owned(),
        hash: weir_api::hash_key(&key),
        prefix: key.expose().chars().take(8).collect(),
        scopes: Vec::new(),
        expires_at: None,
    };
    let made = store
        .create_first_admin_key(new, &Actor::system())
        .await
        .map_err(explained)?;
    match (made, given) {
        (true, false) => tracing::info!("the first admin key is in {}", path.display()),
        (true, true) => tracing::info!("the first admin key is the given one"),
        // Another instance was faster; its key is the one that counts.
        (false, false) => drop(std::fs::remove_file(&path)),
        (false, true) => {}
    }
    Ok(())
}

async fn register_sample(store: &Store) -> Result<()> {
    let sample = NewSource {
        id: uuid::Uuid::now_v7(),
        name: "sample".to_owned(),
        connector: "sample".to_owned(),
        config: serde_json::json!({}),
        config_version: 1,
        labels: Default::default(),
        metadata: serde_json::json!({}),
        description: Some(
            "A small data set that comes with Weir; delete it when you like.".to_owned(),
        ),
        secrets: Vec::new(),
        attached: None,
        managed_by: None,
    };
    let made = store.create_source(sample, &Actor::system()).await;
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == weir_core::Kind::Conflict => Ok(()),
        Err(error) => Err(explained(error)),
    }
}
