//! The reading role of a connector.

use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::read::Read;
use crate::stream_id::StreamId;

/// Batches in the order the source gives them. Dropping it stops the query in
/// the source.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// Something that can be tested, discovered and read.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Walks the steps from the address to a trivial query, adding each to
    /// `report`; the first failing step ends it and is the error.
    async fn test(&self, ctx: &Context, report: &mut TestReport) -> Result<()>;

    /// One page of what can be read, ordered by stream id.
    async fn discover(&self, ctx: &Context, ask: &Discover) -> Result<Page<StreamInfo>>;

    /// The columns of one stream.
    async fn schema(&self, ctx: &Context, stream: &StreamId) -> Result<StreamSchema>;

    /// Prepares a read. Nothing is read before the scan's stream is polled, so
    /// a scan that is only looked at (`dry_run`) costs no rows.
    async fn scan(&self, ctx: &Context, read: &Read) -> Result<Scan>;

    /// Connections in use, and at most.
    fn connections(&self) -> (usize, usize) {
        (0, 0)
    }

    /// How many rows the read has, where the source can count them exactly
    /// without giving them. Order, limit and columns of `read` do not matter.
    async fn count(&self, _: &Context, _: &Read) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass it as [`Discover::after`] for the next page; `None` at the end.
    pub next: Option<String>,
}

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Discover {
    /// Part of a name, matched without case.
    pub search: Option<String>,
    /// Only this namespace (schema, folder).
    pub namespace: Option<String>,
    /// Start after this place, opaque to everyone but the connector.
    pub after: Option<String>,
    /// Items in the page at most.
    pub limit: usize,
}

/// One thing that can be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamInfo {
    /// The id to hand back; see [`StreamId`].
    pub stream: String,
    /// Its own name.
    pub name: String,
    /// Schema, database or folder.
    pub namespace: Option<String>,
    /// `table`, `view`, `materialized_view`, `foreign_table`, `file` …
    pub kind: &'static str,
    /// Path of a file or object.
    pub path: Option<String>,
    /// Size in bytes, where the source knows it cheaply.
    pub size_bytes: Option<u64>,
    /// When it last changed.
    pub modified_at: Option<chrono::DateTime<chrono::Utc>>,
    /// The source's own estimate; absent when it has none.
    pub estimated_rows: Option<u64>,
    /// The comment on it.
    pub comment: Option<String>,
    /// The format of a file's rows: `csv`, `parquet` …
    pub format: Option<&'static str>,
    /// The media type of a file.
    pub content_type: Option<&'static str>,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    pub data_type: arrow::datatypes::DataType,
    /// Its type in the vocabulary of [`crate::types`], see
    /// [`crate::types::field_type_name`].
    pub type_name: String,
    /// The type's name in the source.
    pub native_type: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether it is part of the primary key.
    pub primary_key: bool,
    /// The comment on it.
    pub comment: Option<String>,
}

/// The columns of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSchema {
    /// The stream's id.
    pub stream: String,
    /// See [`StreamInfo::kind`].
    pub kind: &'static str,
    /// In the source's order.
    pub columns: Vec<Column>,
    /// Names in key order.
    pub primary_key: Vec<String>,
    /// The source's own estimate.
    pub estimated_rows: Option<u64>,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
}

/// How much of one conjunct the source takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushDown {
    /// The source's answer is the same; nothing is left to do.
    Exact,
    /// The source drops some rows; the conjunct is applied again.
    Inexact,
    /// The source does not look at it.
    No,
}

/// What the source takes over of a [`Read`]. The engine does the rest.
///
/// A limit may only be pushed when the whole filter is exact and the order, if
/// any, is pushed too. Where columns were wanted, the scan gives them first and
/// in the wanted order, followed by those that only the residue needs; the
/// engine drops the latter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pushed {
    /// One for each conjunct of the read, in its order.
    pub filter: Vec<PushDown>,
    /// The rows come in the wanted order.
    pub order: bool,
    /// No more rows than wanted come.
    pub limit: bool,
    /// Only the wanted columns come, and after them those the residue needs.
    /// When false, all columns come.
    pub columns: bool,
}

/// The source's own estimate of a read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Rows of the answer.
    pub rows: Option<u64>,
    /// Bytes the source would look at.
    pub bytes: Option<u64>,
    /// In the planner's own unit.
    pub cost: Option<f64>,
}

/// A prepared read.
pub struct Scan {
    /// Schema of every batch of `stream`. Each field's metadata may carry
    /// `weir.native_type`.
    pub schema: SchemaRef,
    /// Lazy: the query starts at the first poll.
    pub stream: BatchStream,
    /// What the source does itself.
    pub pushed: Pushed,
    /// Present when the read asked for it and the source has one.
    pub estimate: Option<Estimate>,
}

/// One step of a test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestStep {
    /// `credentials`, `resolve`, `connect`, `tunnel`, `tls`, `login`, `query` …
    pub name: &'static str,
    /// Whether it worked.
    pub ok: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// What was found, or a warning.
    pub detail: Option<String>,
}

/// The steps walked so far. A failed one is followed by nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TestReport {
    /// In the order walked.
    pub steps: Vec<TestStep>,
    /// What the server calls itself.
    pub server_version: Option<String>,
}

impl TestReport {
    /// Runs one step and records it; the error comes back as it was.
    pub async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<(T, Option<String>)>>,
    ) -> Result<T> {
        let start = std::time::Instant::now();
        let outcome = work.await;
        let elapsed = start.elapsed();
        let (ok, detail, outcome) = match outcome {
            Ok((value, detail)) => (true, detail, Ok(value)),
            Err(error) => (false, Some(error.message().to_owned()), Err(error)),
        };
        self.steps.push(TestStep {
            name,
            ok,
            elapsed,
            detail,
        });
        outcome
    }

    /// Adds a step that worked but deserves a word, such as a superuser login.
    pub fn warn(&mut self, name: &'static str, detail: impl Into<String>) {
        self.steps.push(TestStep {
            name,
            ok: true,
            elapsed: Duration::ZERO,
            detail: Some(detail.into()),
        });
    }
}

/// Turns a blocked read into an error when the schema has no such column, with
/// the nearest name.
pub fn unknown_column(name: &str, known: &[&str], pointer: &str) -> Error {
    if let Some(near) = crate::config::nearest(name, known) {
        let message = format!("no column `{name}`; did you mean `{near}`?");
        return Error::invalid(pointer, message).code("unknown_column");
    }
    let error = Error::invalid(pointer, format!("no column `{name}`")).code("unknown_column");
    if known.is_empty() {
        return error.hint("there are no columns here");
    }
    let some: Vec<&str> = known.iter().copied().take(NAMES_SHOWN).collect();
    let more = if known.len() > some.len() {
        ", …"
    } else {
        ""
    };
    error.hint(format!("the columns are: {}{more}", some.join(", ")))
}

/// Columns that a hint lists.
const NAMES_SHOWN: usize = 20;
