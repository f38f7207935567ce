//! Sessions: one open handle of the database file each. Opening, what a session may
//! do, handing it back, and stopping what it is at.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_core::task::guarded;
use weir_core::{Context, Deadline, Error, Kind, Result, SourceFault};
use weir_kit::{Keeper, Kept, PathRules, Place};

use super::failure;
use crate::shared::file::{DatabaseFile, Wanted};

/// What SQLite puts behind the name for files of its own.
const SIBLINGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Steps of its machine between two looks whether it should stop.
const STEPS: i32 = 1_000;

/// Bytes of a value or a row at most.
const MAX_VALUE: i32 = 64 << 20;

/// What a hostile statement or schema may ask for. SQLite's own advice is lower yet;
/// these leave room for wide tables and long filters.
const LIMITS: [(Limit, i32); 6] = [
    (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 20),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Nothing of a schema is trusted, and nothing reaches beyond the file. The memory
/// is that of all sessions of the process together.
const HARDENED: &str = "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; \
    PRAGMA cache_size = -2000; PRAGMA hard_heap_limit = 536870912;";

/// A session.
pub struct Session {
    /// The open handle.
    pub conn: Connection,
    identity: Option<(u64, u64)>,
}

/// What holds for all sessions of a source.
pub struct Pool {
    /// What the operator allows.
    pub rules: PathRules,
    /// The file.
    pub path: String,
    /// How long a lock is waited for.
    pub busy: Duration,
    /// Whether nothing is ever written.
    pub is_read_only: bool,
    /// Whether a write may make the file.
    pub may_create: bool,
    /// Sessions that read.
    pub keeper: Keeper<Session>,
}

/// Tells work on another thread to stop: when its guard is dropped, the call is
/// cancelled or its deadline passes.
#[derive(Clone)]
pub struct Stop {
    token: CancellationToken,
    deadline: Deadline,
}

impl Stop {
    /// For what is done within `ctx`, until the guard is dropped.
    pub fn of(ctx: &Context) -> (Stop, DropGuard) {
        let token = ctx.cancel.child_token();
        let stop = Stop {
            token: token.clone(),
            deadline: ctx.deadline,
        };
        (stop, token.drop_guard())
    }

    /// An error when it is time.
    pub fn check(&self) -> Result<()> {
        if self.token.is_cancelled() {
            return Err(weir_core::context::cancelled());
        }
        if self.deadline.left().is_zero() {
            return Err(weir_core::context::deadline_passed());
        }
        Ok(())
    }

    /// Ends as soon as the other side has gone.
    pub async fn gone(&self) {
        self.token.cancelled().await;
    }
}

/// A wait for a lock, of the thread that waits.
struct Waiting {
    stop: Stop,
    limit: Duration,
    began: Instant,
}

thread_local! {
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// Called by SQLite for the `count`th time for one lock; true tries again.
#[expect(
    clippy::disallowed_methods,
    reason = "SQLite runs on threads that may block"
)]
fn wait_for_lock(count: i32) -> bool {
    let goes_on = WAITING.with_borrow_mut(|waiting| {
        let Some(waiting) = waiting else {
            return false;
        };
        if count == 0 {
            waiting.began = Instant::now();
        }
        waiting.stop.check().is_ok() && waiting.began.elapsed() < waiting.limit
    });
    if goes_on {
        let pause = [1, 2, 5, 10, 20][usize::try_from(count).unwrap_or(4).min(4)];
        std::thread::sleep(Duration::from_millis(pause));
    }
    goes_on
}

impl Pool {
    /// Does `work` in a session that reads, on a thread that may block.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        ctx: &Context,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = ctx.bounded(self.keeper.place()).await?;
        let (stop, _guard) = Stop::of(ctx);
        let (pool, compute) = (Arc::clone(self), ctx.compute.clone());
        let task = ctx.compute.blocking(move || {
            pool.within(&stop, || {
                let kept = pool.session(&place)?;
                let value = attended(&kept.item.conn, &stop, work)?;
                place.hand_back(kept, &compute);
                Ok(value)
            })
        });
        ctx.bounded(async { task.await? }).await
    }

    /// Does `work`, in which locks are waited for until `stop`; for threads that
    /// may block.
    pub fn within<T>(&self, stop: &Stop, work: impl FnOnce() -> Result<T>) -> Result<T> {
        stop.check()?;
        let waiting = Waiting {
            stop: stop.clone(),
            limit: self.busy,
            began: Instant::now(),
        };
        WAITING.set(Some(waiting));
        // Where SQLite has no memory left, its wrapper panics.
        let outcome = guarded(work).unwrap_or_else(|_| Err(failure::no_memory()));
        WAITING.set(None);
        // Whatever was said, the reason is that it was told to stop.
        outcome.or_else(|error| stop.check().and(Err(error)))
    }

    /// A session that reads: one that is idle, or a new one.
    pub fn session(&self, place: &Place<Session>) -> Result<Kept<Session>> {
        let file = self.file(false)?;
        while let Some(kept) = place.idle() {
            // Another file may have been put into its place.
            if kept.item.identity == file.identity {
                return Ok(kept);
            }
        }
        self.open_to_read(&file).map(Kept::new)
    }

    /// The file, looked at.
    pub fn file(&self, write: bool) -> Result<DatabaseFile> {
        let wanted = Wanted {
            rules: &self.rules,
            path: &self.path,
            siblings: &SIBLINGS,
            write,
            create: self.may_create,
        };
        wanted.find()
    }

    fn open_to_read(&self, file: &DatabaseFile) -> Result<Session> {
        match open(file, OpenFlags::SQLITE_OPEN_READ_ONLY)? {
            Ok(session) => Ok(session),
            Err(error) if failure::needs_recovery(&error) && !self.is_read_only => {
                // What a writer left that was killed: taken back, as every program does
                // that opens the file next.
                drop(self.open_to_write()?);
                open(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?.map_err(failure::of)
            }
            Err(error) => Err(failure::of(error)),
        }
    }

    /// A session that writes.
    pub fn open_to_write(&self) -> Result<Session> {
        if self.is_read_only && !self.rules.read_only {
            return Err(
                Error::new(Kind::ReadOnly, "this source is read_only").hint("its config says so")
            );
        }
        let file = self.file(true)?;
        check_journal(&file.path)?;
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, file.identity.is_none());
        open(&file, flags)?.map_err(failure::of)
    }
}

/// Does `work` in a session, which stops when it is told to.
pub fn attended<T>(
    conn: &Connection,
    stop: &Stop,
    work: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    attend(conn, stop)?;
    let value = work(conn)?;
    unattended(conn)?;
    Ok(value)
}

/// From here on the session looks at `stop`.
pub fn attend(conn: &Connection, stop: &Stop) -> Result<()> {
    let stop = stop.clone();
    let handler = move || stop.check().is_err();
    conn.progress_handler(STEPS, Some(handler))
        .map_err(failure::of)
}

/// From here on nothing stops the session.
pub fn unattended(conn: &Connection) -> Result<()> {
    conn.progress_handler(0, None::<fn() -> bool>)
        .map_err(failure::of)
}

/// Opens the file. The inner error is SQLite's first word on what is in it.
fn open(file: &DatabaseFile, access: OpenFlags) -> Result<rusqlite::Result<Session>> {
    let flags = access
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let conn = match Connection::open_with_flags(&file.path, flags) {
        Ok(conn) => conn,
        Err(error) => return Ok(Err(error)),
    };
    file.verify()?;
    let reads = access == OpenFlags::SQLITE_OPEN_READ_ONLY;
    let hardened = harden(&conn, reads).and_then(|()| {
        // The first look: takes back what a dead writer left, and reads the schema.
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    });
    Ok(hardened.map(|()| Session {
        conn,
        identity: file.identity,
    }))
}

fn harden(conn: &Connection, reads: bool) -> rusqlite::Result<()> {
    for (setting, value) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
        // A name that is not there is an error, not a text.
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, !reads),
    ] {
        conn.set_db_config(setting, value)?;
    }
    for (limit, value) in LIMITS {
        conn.set_limit(limit, value)?;
    }
    conn.busy_handler(Some(wait_for_lock))?;
    conn.execute_batch(HARDENED)?;
    conn.execute_batch(if reads {
        "PRAGMA query_only = ON"
    } else {
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
    })
}

/// The mark at the end of a journal that belongs to several databases.
const SUPER_JOURNAL: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Refuses a journal that names another file: SQLite would read that one, and
/// remove it, wherever it lies.
fn check_journal(path: &Path) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("-journal");
    let Ok(mut journal) = File::open(name) else {
        return Ok(());
    };
    let mut mark = [0; 8];
    let read = journal
        .seek(SeekFrom::End(-8))
        .and_then(|_| journal.read_exact(&mut mark));
    if read.is_err() || mark != SUPER_JOURNAL {
        return Ok(());
    }
    let message = "a writer of several databases has not ended properly";
    Err(Error::source(SourceFault::Unavailable, message)
        .hint("open the database once with the program that wrote to it"))
}
