//! The reading role.

use std::sync::Arc;

use async_trait::async_trait;
use weir_core::{
    Context, Discover, Error, Page, Read, Result, Scan, Source, SourceFault, StreamId, StreamInfo,
    StreamSchema, TestReport,
};
use weir_kit::Dialect;

use super::instance::Location;
use super::session::Home;
use super::{catalog, scan};

/// An opened DuckDB source.
pub struct DuckDbSource {
    pub(super) home: Arc<Home>,
}

impl DuckDbSource {
    /// A source that opens its file when it is used.
    pub fn new(home: Home) -> Self {
        DuckDbSource {
            home: Arc::new(home),
        }
    }

    /// Schema and name of a stream. The name of the file may stand before them.
    pub(super) fn locate<'a>(&'a self, stream: &'a StreamId) -> Result<(&'a str, &'a str)> {
        let config = &self.home.config;
        match stream.names()? {
            [name] => Ok((&config.schema, name)),
            [schema, name] => Ok((schema, name)),
            [database, schema, name] if database == config.database() => Ok((schema, name)),
            _ => {
                let schema = Dialect::Standard.quote(&config.schema);
                let message = format!("no table or view {stream}");
                let hint = format!("a stream here is schema.name or a name in {schema}");
                Err(Error::source(SourceFault::NotFound, message).hint(hint))
            }
        }
    }
}

#[async_trait]
impl Source for DuckDbSource {
    async fn test(&self, ctx: &Context, report: &mut TestReport) -> Result<()> {
        let home = &self.home;
        let library = report
            .step("library", async {
                let library = home.library(ctx).await?;
                let version = library.version().to_owned();
                Ok((library, Some(version)))
            })
            .await?;
        report.server_version = Some(format!("DuckDB {}", library.version()));
        report
            .step("file", async {
                let found = match home.location(ctx, false).await? {
                    Location::File(file) => format!("{} bytes", file.size),
                    Location::MotherDuck(_) => "a database of MotherDuck".to_owned(),
                };
                Ok(((), Some(found)))
            })
            .await?;
        let mut session = report
            .step("open", async { Ok((home.read(ctx).await?, None)) })
            .await?;
        report
            .step("query", async {
                let ask = Discover {
                    limit: 1,
                    ..Discover::default()
                };
                Ok((catalog::discover(&mut session, &ask).await?, None))
            })
            .await?;
        Ok(())
    }

    async fn discover(&self, ctx: &Context, ask: &Discover) -> Result<Page<StreamInfo>> {
        let mut session = self.home.read(ctx).await?;
        catalog::discover(&mut session, ask).await
    }

    async fn schema(&self, ctx: &Context, stream: &StreamId) -> Result<StreamSchema> {
        let (schema, name) = self.locate(stream)?;
        let mut session = self.home.read(ctx).await?;
        catalog::describe(&mut session, schema, name).await
    }

    async fn scan(&self, ctx: &Context, read: &Read) -> Result<Scan> {
        scan::scan(self, ctx, read).await
    }

    fn connections(&self) -> (usize, usize) {
        self.home.keeper.used()
    }

    async fn count(&self, ctx: &Context, read: &Read) -> Result<Option<u64>> {
        scan::count(self, ctx, read).await
    }
}
