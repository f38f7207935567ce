//! What every handler shares.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use weir_core::task::Compute;
use weir_core::{
    Context, Deadline, Dial, Discover, Memory, OpenSource, Page, Registry, Result, StreamInfo,
};
use weir_engine::Engine;
use weir_store::{Access, AccessLog, SourceRow, Store};
pub use weir_wire::Spool;
use weir_wire::decode::DecodeOptions;

use crate::auth::Caller;

use crate::cors::Cors;
use crate::credentials::attach::{self, Wanting};
use crate::effective::Effective;
pub use crate::limits::Limits;
use crate::runs::Runs;

/// What the service is made of.
pub struct Parts {
    /// Its own Postgres.
    pub store: Store,
    /// Every connector of this build.
    pub registry: Registry,
    /// Residue of reads.
    pub engine: Engine,
    /// Where rows are decoded and encoded.
    pub compute: Compute,
    /// Memory for rows on their way, in all requests together.
    pub memory: Memory,
    /// The way to the network.
    pub dialer: Arc<dyn Dial>,
    /// Limits.
    pub limits: Limits,
    /// Which pages of other origins may call.
    pub cors: Cors,
    /// How long an idempotency key stands for one request.
    pub idempotency_hours: u32,
    /// The instance of the service that this is.
    pub instance_id: uuid::Uuid,
    /// Gives the metrics of the process.
    pub render_metrics: crate::metrics::Render,
    /// Runs keep the text of queries, not only its hash.
    pub log_queries: bool,
    /// Where bodies wait that must be whole before they are read.
    pub spool: Spool,
    /// Fires when the service was told to stop, while it still serves.
    pub draining: CancellationToken,
    /// Fires when what still runs must end.
    pub shutdown: CancellationToken,
}

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// Behind [`App`].
pub struct Shared {
    parts: Parts,
    open: Mutex<HashMap<uuid::Uuid, Kept>>,
    pages: Mutex<HashMap<PageKey, KeptPage>>,
    runs: Runs,
    pub(crate) keys: crate::auth::KeyCache,
    reads: AccessLog,
}

/// Of the source, of its own secrets, of the credential it attaches.
type SourceVersion = (i64, i32, i64);

fn version_of(row: &SourceRow) -> SourceVersion {
    let attached = row.attached.as_ref().map_or(0, |c| c.revision);
    (row.version, row.secret_version, attached)
}

/// An opened source, and the credential it was opened with.
struct Kept {
    version: SourceVersion,
    credential: Option<uuid::Uuid>,
    source: OpenSource,
}
type KeptPage = (Instant, Arc<Page<StreamInfo>>);
type PageKey = (uuid::Uuid, SourceVersion, Discover);

/// Pages of discovery kept at most; the oldest go first.
const PAGES_KEPT: usize = 1_000;

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

impl App {
    /// Wraps the parts.
    pub fn new(parts: Parts) -> Self {
        let reads = AccessLog::start(&parts.store);
        App(Arc::new(Shared {
            reads,
            parts,
            open: Mutex::default(),
            pages: Mutex::default(),
            runs: Runs::default(),
            keys: crate::auth::KeyCache::default(),
        }))
    }

    pub(crate) fn keys(&self) -> &crate::auth::KeyCache {
        &self.0.keys
    }

    /// For each kind of connector: sources that are open, and their
    /// connections in use and at most.
    pub fn open_by_kind(&self) -> Vec<(&'static str, usize, usize, usize)> {
        let mut kinds: Vec<_> = self
            .registry
            .iter()
            .map(|c| (c.descriptor().kind, 0, 0, 0))
            .collect();
        for kept in self.0.open.lock().values() {
            let (used, most) = kept.source.connections();
            if let Some(kind) = kinds.iter_mut().find(|kind| kind.0 == kept.source.kind()) {
                (kind.1, kind.2, kind.3) = (kind.1 + 1, kind.2 + used, kind.3 + most);
            }
        }
        kinds
    }

    /// The runs of this instance.
    pub fn runs(&self) -> &Runs {
        &self.0.runs
    }

    /// How bodies of rows are read.
    pub fn decode_options(&self) -> DecodeOptions {
        DecodeOptions {
            limits: self.limits.decoding(),
            ..DecodeOptions::default()
        }
    }

    /// Records a read; to be awaited before the first byte of its answer.
    pub async fn access(&self, caller: &Caller, access: Access) -> Result<()> {
        self.0.reads.record(caller.actor(), access).await
    }

    /// A context that ends after `limit` or when the service stops.
    pub fn context(&self, limit: Duration) -> Context {
        Context {
            deadline: Deadline::after(limit),
            cancel: self.shutdown.child_token(),
            dialer: Arc::clone(&self.dialer),
            compute: self.compute.clone(),
            memory: self.memory.account(),
        }
    }

    /// The opened source of `row`. Kept per version, so a change of the source
    /// or of its secrets opens anew and lets the old connections drain.
    pub async fn open(&self, row: &SourceRow, ctx: &Context) -> Result<OpenSource> {
        let version = version_of(row);
        if let Some(kept) = self.0.open.lock().get(&row.id)
            && kept.version == version
        {
            return Ok(kept.source.clone());
        }
        let connector = self.registry.get(&row.connector)?;
        let effective = Effective::of(&self.store, connector.as_ref(), row).await?;
        effective.resolved()?;
        if let Some(credential) = &row.attached {
            // It may have been narrowed since it was attached.
            let wanting = Wanting {
                connector: connector.as_ref(),
                name: Some(&row.name),
                labels: &row.labels,
                effective: &effective,
                before: None,
            };
            attach::bound(credential, &wanting)?;
        }
        let Effective { config, lent, .. } = effective;
        let source = connector.open_hiding(config, &lent, ctx).await?;
        let mut open = self.0.open.lock();
        // Of several first requests at once one stays, or each would bring
        // connections of its own beside the bound of the source.
        if let Some(first) = open.get(&row.id)
            && first.version == version
        {
            return Ok(first.source.clone());
        }
        let kept = Kept {
            version,
            credential: row.attached.as_ref().map(|c| c.id),
            source: source.clone(),
        };
        open.insert(row.id, kept);
        Ok(source)
    }

    /// Forgets the sources that were opened with a credential: the next request
    /// opens them anew, and what runs keeps its connections until it ends.
    pub fn forget_credential(&self, id: uuid::Uuid) {
        self.0
            .open
            .lock()
            .retain(|_, kept| kept.credential != Some(id));
    }

    /// Forgets what is kept of a source.
    pub fn forget(&self, id: uuid::Uuid) {
        self.0.open.lock().remove(&id);
        self.0
            .pages
            .lock()
            .retain(|(source, _, _), _| *source != id);
    }

    /// Forgets what is kept of every source.
    pub fn forget_all(&self) {
        self.0.open.lock().clear();
        self.0.pages.lock().clear();
    }

    /// One page of discovery, from the cache when it is young enough.
    pub async fn discover(
        &self,
        row: &SourceRow,
        ask: Discover,
        refresh: bool,
    ) -> Result<Arc<Page<StreamInfo>>> {
        let key = (row.id, version_of(row), ask);
        let keep = Duration::from_secs(self.limits.discovery_cache_seconds);
        if !refresh
            && let Some((at, page)) = self.0.pages.lock().get(&key)
            && at.elapsed() < keep
        {
            return Ok(Arc::clone(page));
        }
        let ctx = self.context(Duration::from_millis(self.limits.discover_ms));
        let source = self.open(row, &ctx).await?;
        let page = Arc::new(source.discover(&ctx, &key.2).await?);
        let mut pages = self.0.pages.lock();
        if pages.len() >= PAGES_KEPT {
            pages.retain(|_, (at, _)| at.elapsed() < keep);
            if pages.len() >= PAGES_KEPT {
                pages.clear();
            }
        }
        pages.insert(key, (Instant::now(), Arc::clone(&page)));
        Ok(page)
    }
}
