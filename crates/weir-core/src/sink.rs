//! The writing role of a connector.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use crate::config::escape_pointer;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::source::BatchStream;
use crate::stream_id::StreamId;

/// Something that rows are written to.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Writes `rows` as `write` says. Ends when everything is durable, or with
    /// an error when nothing is. An error among the rows is given back as it is.
    ///
    /// Dropping the future before [`Write::commit`] was begun leaves the target
    /// as it was. From there on the caller waits for the outcome, because only
    /// the sink can tell it.
    async fn write(&self, ctx: &Context, write: &Write, rows: Rows) -> Result<Written>;
}

/// Rows on their way.
pub struct Rows {
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// The batches. They are polled on the compute runtime.
    pub batches: BatchStream,
}

/// What becomes of rows that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteMode {
    /// They stay, and the new ones come beside them.
    Append,
    /// They go, and readers see either all of them or all of the new ones.
    Replace,
    /// One with the same keys takes the values of the new one.
    Upsert,
    /// One with the same keys stays, and the new one is left out.
    Ignore,
    /// Nothing is written where the stream exists.
    Fail,
}

impl WriteMode {
    /// All of them.
    pub const ALL: [WriteMode; 5] = [
        WriteMode::Append,
        WriteMode::Replace,
        WriteMode::Upsert,
        WriteMode::Ignore,
        WriteMode::Fail,
    ];

    /// Its name in requests.
    pub fn name(self) -> &'static str {
        match self {
            WriteMode::Append => "append",
            WriteMode::Replace => "replace",
            WriteMode::Upsert => "upsert",
            WriteMode::Ignore => "ignore",
            WriteMode::Fail => "fail",
        }
    }

    /// Whether rows are told apart by keys.
    pub fn needs_keys(self) -> bool {
        match self {
            WriteMode::Upsert | WriteMode::Ignore => true,
            WriteMode::Append | WriteMode::Replace | WriteMode::Fail => false,
        }
    }

    /// Refuses keys where the mode takes none, none where it needs some, and
    /// one that stands twice.
    pub fn check_keys(self, keys: &[String]) -> Result<()> {
        let name = self.name();
        if self.needs_keys() && keys.is_empty() {
            let message = format!("mode {name} needs the columns that tell rows apart");
            return Err(Error::invalid("/keys", message).hint("give keys=a,b"));
        }
        if !self.needs_keys() && !keys.is_empty() {
            let message = format!("mode {name} takes no keys");
            return Err(Error::invalid("/keys", message)
                .hint("keys tell rows apart for upsert and ignore; leave them out here"));
        }
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].contains(key) {
                let message = format!("the key `{key}` stands twice");
                return Err(Error::invalid("/keys", message));
            }
        }
        Ok(())
    }
}

/// What becomes of columns that the target does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SchemaChange {
    /// They are refused.
    #[default]
    Freeze,
    /// They are added to the target.
    Evolve,
}

/// What to write, and how.
#[derive(Debug, Clone)]
pub struct Write {
    /// Where to; made when it is not there.
    pub stream: StreamId,
    /// What becomes of rows that are there.
    pub mode: WriteMode,
    /// Columns that tell rows apart; for [`WriteMode::needs_keys`] only.
    pub keys: Vec<String>,
    /// What becomes of columns that the target does not have.
    pub schema_change: SchemaChange,
    /// Files whose bytes depend on nothing but the rows; sinks that write no
    /// text refuse it.
    pub deterministic: bool,
    /// To be begun right before the rows become visible to others.
    pub commit: Commit,
}

impl Write {
    /// Writes into `stream` and changes none of its columns.
    pub fn new(stream: StreamId, mode: WriteMode) -> Self {
        Write {
            stream,
            mode,
            keys: Vec::new(),
            schema_change: SchemaChange::Freeze,
            deterministic: false,
            commit: Commit::default(),
        }
    }

    /// The same, with rows told apart by `keys`.
    #[must_use]
    pub fn by(mut self, keys: &[&str]) -> Self {
        self.keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self
    }
}

/// The point from which on a write is not given up any more.
#[derive(Debug, Clone, Default)]
pub struct Commit(Arc<AtomicBool>);

impl Commit {
    /// The next thing makes the rows visible. Refused where the call has ended
    /// by now; else it will not end before the sink says how it went.
    pub fn begin(&self, ctx: &Context) -> Result<()> {
        self.0.store(true, Ordering::SeqCst);
        // In this order: whoever ends the call looks at the mark afterwards.
        let outcome = ctx.check();
        if outcome.is_err() {
            self.0.store(false, Ordering::SeqCst);
        }
        outcome
    }

    /// Whether it was begun.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows of the target that are new or were changed. Rows that were left out
    /// or came again within one write are not counted.
    pub rows: u64,
    /// The stream was not there before.
    pub created: bool,
    /// Columns that the target did not have before.
    pub added_columns: Vec<String>,
}

/// A row that cannot be written. `row` counts from 0, in the error from 1; a
/// header is none. No value is told: it may be a secret.
pub fn bad_row(row: u64, column: Option<&str>, what: &str) -> Error {
    let number = row + 1;
    let (place, pointer) = match column {
        Some(column) => (
            format!("row {number}, column `{column}`"),
            format!("/{row}/{}", escape_pointer(column)),
        ),
        None => (format!("row {number}"), format!("/{row}")),
    };
    Error::invalid(pointer, format!("{place}: {what}")).code("bad_row")
}
