//! The opened source. Every call opens the root anew, so that a folder that was
//! replaced is seen as it is; all work with files is done on threads of its own.

use std::sync::Arc;

use arrow::datatypes::Field;
use async_trait::async_trait;
use cap_std::fs::Dir;
use globset::GlobMatcher;
use weir_core::context::{cancelled, deadline_passed};
use weir_core::types::{NATIVE_TYPE, field_type_name};
use weir_core::{
    Column, Context, Discover, Error, Page, Read, Result, Scan, Source, StreamId, StreamInfo,
    StreamSchema, Target, TestReport,
};

use crate::config::FilesConfig;
use crate::discover::{self, Listing};
use crate::pattern::Resolver;
use crate::scan::Described;
use crate::table::{Known, Table};
use crate::{Rules, flow, scan};
use weir_kit::beneath::open_root;

/// A folder of files.
pub struct Folder {
    pub(crate) shared: Arc<Shared>,
}

/// What work on other threads needs of it.
pub struct Shared {
    /// The source.
    pub config: FilesConfig,
    /// The service's rules.
    pub rules: Arc<Rules>,
    /// Files that exist for the source; all when none.
    pub only: Option<GlobMatcher>,
    /// Schemas that were found out.
    pub known: Known,
}

impl Shared {
    /// The root's handle.
    pub fn root(&self) -> Result<Dir> {
        open_root(&self.rules.paths, &self.config.root)
    }

    fn describe(&self, id: &str, go_on: &dyn Fn() -> Result<()>) -> Result<Described> {
        let root = self.root()?;
        let resolver = Resolver {
            root: &root,
            config: &self.config,
            rules: &self.rules,
            only: self.only.as_ref(),
            go_on,
        };
        let meant = resolver.resolve(id)?;
        scan::describe(self, &root, meant, go_on)
    }

    fn listing<'a>(&'a self, root: &'a Dir, go_on: &'a dyn Fn() -> Result<()>) -> Listing<'a> {
        Listing {
            root,
            config: &self.config,
            rules: &self.rules,
            only: self.only.as_ref(),
            go_on,
        }
    }
}

impl Folder {
    /// The folder of a config.
    pub fn new(config: FilesConfig, rules: Arc<Rules>) -> Self {
        let only = config.only();
        let shared = Arc::new(Shared {
            config,
            rules,
            only,
            known: Known::default(),
        });
        Folder { shared }
    }

    /// Runs `work` on a thread that may wait for a disk. The last argument
    /// fails when the caller has gone or the time is up.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        ctx: &Context,
        work: impl FnOnce(&Shared, &dyn Fn() -> Result<()>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        // Ends when the call is dropped, too, which cancels nothing by itself.
        let cancel = ctx.cancel.child_token();
        let guard = cancel.clone().drop_guard();
        let deadline = ctx.deadline;
        let outcome = ctx
            .compute
            .blocking(move || {
                let go_on = || match () {
                    () if cancel.is_cancelled() => Err(cancelled()),
                    () if deadline.left().is_zero() => Err(deadline_passed()),
                    () => Ok(()),
                };
                go_on()?;
                work(&shared, &go_on)
            })
            .await?;
        drop(guard);
        outcome
    }
}

#[async_trait]
impl Source for Folder {
    async fn test(&self, ctx: &Context, report: &mut TestReport) -> Result<()> {
        let open = self.blocking(ctx, |shared, _| {
            shared
                .root()
                .map(|_| ((), Some(shared.config.root.clone())))
        });
        report.step("root", open).await?;
        let list = self.blocking(ctx, |shared, go_on| {
            let root = shared.root()?;
            let first = discover::first_file(&shared.listing(&root, go_on))?;
            let detail = match &first {
                Some(_) => None,
                None => Some("no file with a known format".to_owned()),
            };
            Ok((first, detail))
        });
        let Some(first) = report.step("list", list).await? else {
            return Ok(());
        };
        let read = self.blocking(ctx, move |shared, _| {
            let path = first.stream;
            let table = Table::open(shared, &shared.root()?, &path, None)?;
            let columns = table.schema.fields().len();
            Ok(((), Some(format!("{path}: {columns} columns"))))
        });
        report.step("read", read).await
    }

    async fn discover(&self, ctx: &Context, ask: &Discover) -> Result<Page<StreamInfo>> {
        let ask = ask.clone();
        self.blocking(ctx, move |shared, go_on| {
            shared.listing(&shared.root()?, go_on).page(&ask)
        })
        .await
    }

    async fn schema(&self, ctx: &Context, stream: &StreamId) -> Result<StreamSchema> {
        let id = stream.text().to_owned();
        self.blocking(ctx, move |shared, go_on| {
            let described = shared.describe(&id, go_on)?;
            let columns = described.schema.fields().iter().map(|field| column(field));
            Ok(StreamSchema {
                kind: if described.is_union { "files" } else { "file" },
                stream: id,
                columns: columns.collect(),
                primary_key: Vec::new(),
                estimated_rows: described.rows,
                size_bytes: Some(described.bytes),
            })
        })
        .await
    }

    async fn scan(&self, ctx: &Context, read: &Read) -> Result<Scan> {
        let Target::Stream(stream) = &read.target else {
            return Err(no_queries());
        };
        let (id, read) = (stream.text().to_owned(), read.clone());
        let again = Arc::clone(&self.shared);
        let job = self.blocking(ctx, move |shared, go_on| {
            let described = shared.describe(&id, go_on)?;
            scan::plan(&again, described, &read)
        });
        let mut job = job.await?;
        Ok(Scan {
            schema: Arc::clone(&job.schema),
            pushed: std::mem::take(&mut job.pushed),
            estimate: job.estimate.take(),
            stream: flow::stream(job, ctx),
        })
    }
}

fn column(field: &Field) -> Column {
    let type_name = field_type_name(field);
    let native = field.metadata().get(NATIVE_TYPE).cloned();
    Column {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        native_type: native.unwrap_or_else(|| type_name.clone()),
        type_name,
        nullable: field.is_nullable(),
        primary_key: false,
        comment: None,
    }
}

fn no_queries() -> Error {
    Error::unsupported("files take no queries")
        .at("/query", "not supported here")
        .hint("read a stream, with columns, filter, order_by and limit; POST /v1/transform has a step `sql`")
}
