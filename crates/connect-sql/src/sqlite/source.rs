//! The reading role, and the steps of its test.

use std::sync::Arc;

use async_trait::async_trait;
use weir_core::{
    Context, Discover, Page, Read, Result, Scan, Source, StreamId, StreamInfo, StreamSchema,
    TestReport,
};

use super::session::Pool;
use super::{catalog, failure, scan};

/// An opened SQLite source.
pub struct SqliteSource {
    pub(super) pool: Arc<Pool>,
    /// Values that do not fit their column become null.
    pub(super) lenient: bool,
}

const TABLES: &str = "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view')";

#[async_trait]
impl Source for SqliteSource {
    async fn test(&self, ctx: &Context, report: &mut TestReport) -> Result<()> {
        let pool = Arc::clone(&self.pool);
        let file = ctx.compute.blocking(move || pool.file(false));
        let file = ctx.bounded(async { file.await? });
        report
            .step("file", async {
                let file = file.await?;
                Ok(((), Some(format!("{} bytes", file.size))))
            })
            .await?;
        let mode = self.pool.run(ctx, |conn| {
            conn.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))
                .map_err(failure::of)
        });
        report
            .step("open", async {
                let mode = mode.await?;
                Ok(((), Some(format!("journal mode {mode}"))))
            })
            .await?;
        let tables = self.pool.run(ctx, |conn| {
            conn.query_row(TABLES, [], |row| row.get::<_, i64>(0))
                .map_err(failure::of)
        });
        report
            .step("query", async {
                let tables = tables.await?;
                Ok(((), Some(format!("{tables} tables and views"))))
            })
            .await?;
        report.server_version = Some(format!("SQLite {}", rusqlite::version()));
        Ok(())
    }

    async fn discover(&self, ctx: &Context, ask: &Discover) -> Result<Page<StreamInfo>> {
        let ask = ask.clone();
        self.pool
            .run(ctx, move |conn| catalog::discover(conn, &ask))
            .await
    }

    async fn schema(&self, ctx: &Context, stream: &StreamId) -> Result<StreamSchema> {
        let name = catalog::locate(stream)?.to_owned();
        self.pool
            .run(ctx, move |conn| scan::described(conn, &name))
            .await
    }

    async fn scan(&self, ctx: &Context, read: &Read) -> Result<Scan> {
        scan::scan(&self.pool, ctx, read, self.lenient).await
    }

    fn connections(&self) -> (usize, usize) {
        self.pool.keeper.used()
    }

    async fn count(&self, ctx: &Context, read: &Read) -> Result<Option<u64>> {
        scan::count(&self.pool, ctx, read, self.lenient).await
    }
}
