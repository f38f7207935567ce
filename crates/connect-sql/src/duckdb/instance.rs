//! Open databases. A process has one instance of a file: two would undo each other's
//! writes, and closing one would drop the locks of both. So all sources and
//! requests of a file share it, for as long as it is used and a little longer; and
//! those of a database of MotherDuck with the same token.

use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libduckdb::{Connection, Database, Library};
use parking_lot::Mutex as SyncMutex;
use tokio::sync::Mutex;
use weir_core::task::Compute;
use weir_core::{Context, Error, Result, SourceFault};

use super::failure;
use super::motherduck::{self, MotherDuck};
use crate::shared::file::DatabaseFile;

/// What DuckDB puts behind the name of a file for files of its own.
pub const SIBLINGS: [&str; 1] = [".wal"];

const DEFAULT_THREADS: u32 = 4;
const MOST_DEFAULT_MB: usize = 1024;
const LEAST_MB: usize = 64;
/// What may lie in the scratch folder, next to memory.
const SCRATCH_LIMIT: &str = "10GiB";

/// Settings that are off in every instance: what would let statements out of it.
pub const OFF: [&str; 6] = [
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "allow_unsigned_extensions",
    "allow_community_extensions",
    "allow_persistent_secrets",
    EXTERNAL_ACCESS,
];
const EXTERNAL_ACCESS: &str = "enable_external_access";

/// Keeps statements from changing settings; the last that is set.
pub const LOCK: &str = "SET GLOBAL lock_configuration = true";

/// What tells databases apart.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    /// Device and inode.
    File((u64, u64)),
    /// The digest of name and token.
    MotherDuck((u64, u64)),
}

/// The databases of this process. They belong to the process, not to a connector:
/// that is what the locks of files do.
static OPEN: LazyLock<SyncMutex<HashMap<Identity, Arc<Slot>>>> = LazyLock::new(SyncMutex::default);

/// Held while a file is made, so that it is made once.
static MAKING: Mutex<()> = Mutex::const_new(());

type Slot = Mutex<Option<Arc<Instance>>>;

/// What is opened.
#[derive(Clone)]
pub enum Location {
    /// A file, looked at just now.
    File(DatabaseFile),
    /// A database that is no file.
    MotherDuck(MotherDuck),
}

impl Location {
    fn identity(&self) -> Option<Identity> {
        match self {
            Location::File(file) => file.identity.map(Identity::File),
            Location::MotherDuck(database) => Some(Identity::MotherDuck(database.digest())),
        }
    }

    /// What an error means that comes of opening it.
    fn failure(&self) -> fn(libduckdb::Error) -> Error {
        match self {
            Location::File(_) => failure::of_open,
            Location::MotherDuck(_) => motherduck::of_open,
        }
    }

    /// Whether it must be made first.
    pub fn is_missing(&self) -> bool {
        self.identity().is_none()
    }
}

/// How a database is to be opened.
#[derive(Clone)]
pub struct Opening {
    /// The library.
    pub library: Library,
    /// Which one.
    pub location: Location,
    /// Only for reading.
    pub read_only: bool,
    /// Threads, as configured.
    pub threads: Option<u32>,
    /// Memory, as configured.
    pub memory_mb: Option<u32>,
    /// Folder for what does not fit into memory.
    pub scratch: Option<PathBuf>,
    /// How long the file stays open without use.
    pub idle: Duration,
}

/// An open file.
pub struct Instance {
    // First, so that the file is closed before its scratch folder goes.
    database: Database,
    _scratch: Option<Scratch>,
    read_only: bool,
    users: AtomicUsize,
    /// Grows with each use, so that an idle time that was interrupted is told.
    uses: AtomicU64,
    broken: AtomicBool,
    /// Writes are brought over one after the other: DuckDB refuses the later of
    /// two that meet.
    pub writer: Mutex<()>,
}

/// The use of an open file. The file may be closed some time after the last one.
pub struct User {
    instance: Arc<Instance>,
    slot: Arc<Slot>,
    idle: Duration,
    compute: Compute,
}

impl User {
    /// The open file.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// It is of no use any more: nobody new gets it.
    pub fn mark_broken(&self) {
        self.instance.broken.store(true, Ordering::SeqCst);
    }

    /// A connection to it.
    pub fn connect(&self) -> Result<Connection> {
        self.instance.database.connect().map_err(failure::of)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let uses = self.instance.uses.load(Ordering::SeqCst);
        if self.instance.users.fetch_sub(1, Ordering::SeqCst) == 1 {
            let (slot, idle) = (Arc::clone(&self.slot), self.idle);
            let compute = self.compute.clone();
            self.compute
                .spawn(close_idle(slot, uses, idle, compute))
                .detach();
        }
    }
}

async fn close_idle(slot: Arc<Slot>, uses: u64, idle: Duration, compute: Compute) {
    tokio::time::sleep(idle).await;
    let mut open = slot.lock().await;
    let is_idle = |instance: &Arc<Instance>| {
        instance.users.load(Ordering::SeqCst) == 0 && instance.uses.load(Ordering::SeqCst) == uses
    };
    if open.as_ref().is_some_and(is_idle) {
        close(&mut open, &compute).await;
    }
}

/// Closes the file; what waits in its log is written into it.
async fn close(open: &mut Option<Arc<Instance>>, compute: &Compute) {
    if let Some(instance) = open.take()
        && let Err(error) = compute.blocking(move || drop(instance)).await
    {
        tracing::warn!(%error, "a database file could not be closed in an orderly way");
    }
}

/// Makes a file that is not there.
pub async fn make(opening: Opening, ctx: &Context) -> Result<()> {
    let _making = MAKING.lock().await;
    if matches!(&opening.location, Location::File(file) if file.path.exists()) {
        return Ok(());
    }
    let request_limit = ctx.memory.request_limit();
    ctx.compute
        .blocking(move || open(&opening, request_limit).map(drop))
        .await?
}

/// The open file, opened now if it is not.
pub async fn acquire(opening: Opening, ctx: &Context) -> Result<User> {
    let Some(identity) = opening.location.identity() else {
        return Err(Error::internal("a database file without an identity"));
    };
    let slot = Arc::clone(OPEN.lock().entry(identity).or_default());
    let mut open = Arc::clone(&slot).lock_owned().await;
    let unfit = open.as_ref().filter(|instance| {
        let is_broken = instance.broken.load(Ordering::SeqCst);
        is_broken || (instance.read_only && !opening.read_only)
    });
    if let Some(instance) = unfit {
        if instance.users.load(Ordering::SeqCst) > 0 {
            return Err(in_use());
        }
        close(&mut open, &ctx.compute).await;
    }
    let idle = opening.idle;
    let instance = match &*open {
        Some(instance) => Arc::clone(instance),
        None => {
            let request_limit = ctx.memory.request_limit();
            // The slot goes along: an opening that outlives whoever waits for it
            // keeps the next from beginning one beside it.
            let opened = ctx.compute.blocking_with(move |place| {
                let opened = match opening.location {
                    Location::File(_) => self::open(&opening, request_limit),
                    // This waits for the network, and nobody else meanwhile.
                    Location::MotherDuck(_) => {
                        place.wait(async { self::open(&opening, request_limit) })
                    }
                };
                (opened, open)
            });
            let (opened, mut open) = opened.await?;
            Arc::clone(open.insert(Arc::new(opened?)))
        }
    };
    instance.users.fetch_add(1, Ordering::SeqCst);
    instance.uses.fetch_add(1, Ordering::SeqCst);
    Ok(User {
        instance,
        slot: Arc::clone(&slot),
        idle,
        compute: ctx.compute.clone(),
    })
}

fn in_use() -> Error {
    Error::source(
        SourceFault::Unavailable,
        "the file is open for reading only, and in use",
    )
    .code("file_locked")
    .hint("try again when reads through sources with read_only have ended")
    .retry_after(Duration::from_secs(2))
}

/// Opens and locks down. What comes first in the list must be there before what
/// forbids it; the lock is the last.
fn open(opening: &Opening, request_limit: usize) -> Result<Instance> {
    let scratch = opening.scratch.as_deref().map(Scratch::new).transpose()?;
    let folder = scratch.as_ref().and_then(|scratch| scratch.0.to_str());
    let usual = (request_limit >> 20).clamp(LEAST_MB, MOST_DEFAULT_MB);
    let memory = opening.memory_mb.map_or(usual, |mb| mb as usize);
    let mut settings = vec![
        ("temp_directory", folder.unwrap_or_default().to_owned()),
        ("max_temp_directory_size", SCRATCH_LIMIT.to_owned()),
        ("memory_limit", format!("{memory}MiB")),
        (
            "threads",
            opening.threads.unwrap_or(DEFAULT_THREADS).to_string(),
        ),
    ];
    settings.extend(OFF.map(|name| (name, "false".to_owned())));
    let path = match &opening.location {
        Location::File(file) => {
            let mode = if opening.read_only {
                "READ_ONLY"
            } else {
                "READ_WRITE"
            };
            settings.push(("access_mode", mode.to_owned()));
            let path = file.path.to_str();
            path.ok_or_else(|| Error::invalid("/path", "the path is not text"))?
                .to_owned()
        }
        Location::MotherDuck(database) => {
            // Its extension is loaded by the path alone, which this would forbid.
            settings.retain(|(name, _)| *name != EXTERNAL_ACCESS);
            settings.extend(database.settings()?);
            database.path()
        }
    };
    let failed = opening.location.failure();
    let database = Database::open(&opening.library, &path, &settings).map_err(failed)?;
    let mut first = database.connect().map_err(failed)?;
    // Times mean the same on every machine. The library may lack time zones, and
    // then has none that could differ.
    if let Err(error) = first.run("SET GLOBAL TimeZone = 'UTC'") {
        tracing::debug!(class = error.class(), "the library has no time zones");
    }
    match &opening.location {
        Location::File(file) => {
            first.run(LOCK).map_err(failed)?;
            file.verify()?;
        }
        Location::MotherDuck(_) => motherduck::lock_down(&mut first)?,
    }
    Ok(Instance {
        database,
        _scratch: scratch,
        read_only: opening.read_only,
        users: AtomicUsize::new(0),
        uses: AtomicU64::new(0),
        broken: AtomicBool::new(false),
        writer: Mutex::new(()),
    })
}

/// A folder that nobody else may look into; it goes with the instance.
struct Scratch(PathBuf);

/// Folders of this process so far.
static FOLDERS: AtomicUsize = AtomicUsize::new(0);

impl Scratch {
    fn new(below: &Path) -> Result<Self> {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            sweep(below);
        }
        let path = below.join(format!("duckdb-{}-{number}", std::process::id()));
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path);
        made.map_err(|error| {
            Error::source(SourceFault::Unavailable, "no scratch folder can be made")
                .hint("look at the disk of the service's data folder")
                .detail(error)
        })?;
        Ok(Scratch(path))
    }
}

/// Removes what processes that were killed have left.
fn sweep(below: &Path) {
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| name.strip_prefix("duckdb-"));
        let process = parts.and_then(|parts| parts.split('-').next()?.parse::<u32>().ok());
        let is_left = process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists());
        if is_left && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(%error, "a scratch folder of an earlier process could not be removed");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a scratch folder could not be removed");
        }
    }
}
