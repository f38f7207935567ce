//! The reading role.

use async_trait::async_trait;
use weir_core::{
    Context, Discover, Page, Read, Result, Scan, Source, StreamId, StreamInfo, StreamSchema,
    TestReport,
};

use super::lease::Lease;
use super::scan::Reader;
use super::{catalog, check};

/// An opened PostgreSQL source.
pub struct PostgresSource {
    pub(super) reader: Reader,
}

impl PostgresSource {
    /// A source that connects when it is used.
    pub fn new(reader: Reader) -> Self {
        PostgresSource { reader }
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn test(&self, ctx: &Context, report: &mut TestReport) -> Result<()> {
        check::walk(&self.reader.pool, ctx, report).await
    }

    async fn discover(&self, ctx: &Context, ask: &Discover) -> Result<Page<StreamInfo>> {
        let mut lease = Lease::take(&self.reader.pool, ctx).await?;
        catalog::discover(&mut lease, ask).await
    }

    async fn schema(&self, ctx: &Context, stream: &StreamId) -> Result<StreamSchema> {
        let (schema, name) = self.reader.locate(stream)?;
        let mut lease = Lease::take(&self.reader.pool, ctx).await?;
        let relation = catalog::relation(&mut lease, schema, name).await?;
        catalog::describe(&mut lease, relation).await
    }

    async fn scan(&self, ctx: &Context, read: &Read) -> Result<Scan> {
        self.reader.scan(ctx, read).await
    }

    fn connections(&self) -> (usize, usize) {
        self.reader.pool.keeper.used()
    }

    async fn count(&self, ctx: &Context, read: &Read) -> Result<Option<u64>> {
        self.reader.count(ctx, read).await
    }
}
