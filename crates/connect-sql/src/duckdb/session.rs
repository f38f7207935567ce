//! A connection on loan. Its calls block, so they run apart; dropping whoever
//! waits for one stops it in DuckDB and closes the connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use libduckdb::{Bind, Connection, Interrupt};
use weir_core::task::Compute;
use weir_core::{Context, Error, Result};
use weir_kit::{Keeper, PathRules, Place};

use super::config::DuckDbConfig;
use super::failure;
use super::instance::{self, Location, Opening, SIBLINGS, User};
use super::library::Loader;
use super::motherduck::{self, MotherDuck};
use crate::shared::file::{DatabaseFile, Wanted};

/// An interrupt may come right before a statement begins, which forgets it; so it
/// is repeated this often until the connection is gone.
const REPEAT: Duration = Duration::from_millis(20);

/// Where the sessions of one source come from.
pub struct Home {
    /// Bounds how many there are.
    pub keeper: Keeper<()>,
    /// The library.
    pub loader: Arc<Loader>,
    /// Which files may be opened.
    pub rules: PathRules,
    /// Folder for what does not fit into memory.
    pub scratch: Option<PathBuf>,
    /// Where the extension for MotherDuck lies, where it may be loaded.
    pub motherduck: Option<PathBuf>,
    /// The source's config.
    pub config: DuckDbConfig,
}

impl Home {
    /// What is to be opened. A file is looked at now.
    pub async fn location(&self, ctx: &Context, write: bool) -> Result<Location> {
        let Some(database) = motherduck::database(&self.config.path) else {
            return Ok(Location::File(self.file(ctx, write).await?));
        };
        let extensions = self.motherduck.clone().ok_or_else(motherduck::forbidden)?;
        Ok(Location::MotherDuck(MotherDuck {
            database: database.to_owned(),
            token: self
                .config
                .motherduck_token
                .clone()
                .ok_or_else(|| Error::internal("a config without its token was opened"))?,
            extensions,
        }))
    }

    async fn file(&self, ctx: &Context, write: bool) -> Result<DatabaseFile> {
        let (rules, config) = (self.rules.clone(), self.config.clone());
        let look = move || {
            let wanted = Wanted {
                rules: &rules,
                path: &config.path,
                siblings: &SIBLINGS,
                write,
                create: config.create,
            };
            wanted.find()
        };
        ctx.compute.blocking(look).await?
    }

    /// The library, opened now if it is not.
    pub async fn library(&self, ctx: &Context) -> Result<libduckdb::Library> {
        let loader = Arc::clone(&self.loader);
        ctx.compute.blocking(move || loader.get()).await?
    }

    /// Whether the file is opened for reading only. A database of MotherDuck has no
    /// such way that all versions take; transactions that only read do it there.
    fn is_read_only(&self) -> bool {
        let is_file = !motherduck::is_meant(&self.config.path);
        is_file && (self.config.read_only || self.rules.read_only)
    }

    /// A session in a transaction that only reads.
    pub async fn read(&self, ctx: &Context) -> Result<Session> {
        let mut session = self.session(ctx, false).await?;
        session
            .run(|c| c.run("BEGIN TRANSACTION READ ONLY").map(drop))
            .await?;
        Ok(session)
    }

    /// A session that may write, outside of any transaction.
    pub async fn write(&self, ctx: &Context) -> Result<Session> {
        if self.config.read_only {
            return Err(
                Error::unsupported("the source is configured with read_only")
                    .hint("write through a source without it"),
            );
        }
        self.session(ctx, true).await
    }

    async fn session(&self, ctx: &Context, write: bool) -> Result<Session> {
        if motherduck::is_meant(&self.config.path) && self.motherduck.is_none() {
            return Err(motherduck::forbidden());
        }
        let place = self.keeper.place().await?;
        let library = self.library(ctx).await?;
        let mut opening = Opening {
            library,
            location: self.location(ctx, write).await?,
            read_only: self.is_read_only(),
            threads: self.config.threads,
            memory_mb: self.config.memory_limit_mb,
            scratch: self.scratch.clone(),
            idle: self.config.idle(),
        };
        if opening.location.is_missing() {
            instance::make(opening.clone(), ctx).await?;
            opening.location = self.location(ctx, write).await?;
        }
        let user = instance::acquire(opening, ctx).await?;
        let connection = user.connect()?;
        Ok(Session {
            seat: Some(Seat {
                connection,
                user,
                _place: place,
            }),
            compute: ctx.compute.clone(),
        })
    }
}

/// What goes to the thread that a call blocks, so that all of it is held until
/// the call has ended.
struct Seat {
    connection: Connection,
    user: User,
    _place: Place<()>,
}

/// A connection on loan.
pub struct Session {
    seat: Option<Seat>,
    compute: Compute,
}

impl Session {
    /// Runs blocking work on the connection.
    pub async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> libduckdb::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run_as(work, failure::of).await
    }

    /// The same, with what an error means.
    pub async fn run_as<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> libduckdb::Result<T> + Send + 'static,
        failure: fn(libduckdb::Error) -> Error,
    ) -> Result<T> {
        let mut seat = self.seat.take().ok_or_else(taken)?;
        let mut stop = StopOnDrop(Some(seat.connection.interrupt()), self.compute.clone());
        let task = self.compute.blocking(move || {
            let outcome = work(&mut seat.connection);
            (seat, outcome)
        });
        let (seat, outcome) = task.await?;
        stop.0 = None;
        if outcome.as_ref().is_err_and(super::failure::is_fatal) {
            seat.user.mark_broken();
        }
        self.seat = Some(seat);
        outcome.map_err(failure)
    }

    /// The rows of a small answer.
    pub async fn rows(&mut self, sql: &'static str, values: Vec<Bind>) -> Result<Vec<RecordBatch>> {
        self.run(move |connection| connection.rows(sql, &values))
            .await
    }

    /// The open file.
    pub fn instance(&self) -> Result<Arc<instance::Instance>> {
        let seat = self.seat.as_ref().ok_or_else(taken)?;
        Ok(Arc::clone(seat.user.instance()))
    }
}

fn taken() -> Error {
    Error::internal("a session was used after a call of it was given up")
}

/// Stops what the connection is doing when whoever waits for it goes away.
struct StopOnDrop(Option<Interrupt>, Compute);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let Some(interrupt) = self.0.take() else {
            return;
        };
        let stop = async move {
            while interrupt.stop() {
                tokio::time::sleep(REPEAT).await;
            }
        };
        self.1.spawn(stop).detach();
    }
}
