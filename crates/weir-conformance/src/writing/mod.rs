//! The sink half: what is written is what was sent, all of it or none.

mod matrix;
mod modes;
mod whole;

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use weir_core::{
    AnyConnector, Capability, Context, Error, Kind, OpenSource, Order, Read, Result as CoreResult,
    Rows, StreamId, Target, Write, WriteMode, Written,
};

use crate::{CaseResult, Cases, Part, ensure, ok, shown};

pub use matrix::batch;

/// What the caller knows of the target behind the config.
#[derive(Debug, Clone)]
pub struct ExpectSink {
    /// A stream of that name that is not there; a suffix is added to the name.
    pub stream: fn(&str) -> StreamId,
    /// Whether rows can be added to those that are there.
    pub append: bool,
    /// Whether rows can be told apart by keys.
    pub keys: bool,
    /// Columns of [`batch`] that the target has no type for.
    pub left_out: &'static [&'static str],
    /// Columns of [`batch`] that come back as something else; only their nulls
    /// are compared.
    pub lossy: &'static [&'static str],
}

/// What the cases write to.
struct Aim<'a> {
    ctx: Context,
    source: OpenSource,
    expect: &'a ExpectSink,
}

/// Checks the sink of `connector`. Every case runs, whatever the others gave.
pub async fn check_sink(
    connector: &dyn AnyConnector,
    config: Value,
    ctx: &Context,
    expect: ExpectSink,
) -> Vec<CaseResult> {
    let mut cases = Cases::of(Part::Write);
    let can = connector.capabilities().contains(&Capability::Write);
    let declared = async { ensure(can, "writing is not declared") };
    cases.run("writing is declared", declared).await;
    let source = match connector.open(config, ctx).await {
        Ok(source) => source,
        Err(error) => {
            let failed = async { Err(shown("open", &error)) };
            cases.run("it opens", failed).await;
            return cases.results;
        }
    };
    let aim = Aim {
        ctx: ctx.clone(),
        source,
        expect: &expect,
    };
    cases
        .run("every type comes back", matrix::every_type(&aim))
        .await;
    cases
        .run("random rows come back", matrix::random(&aim))
        .await;
    cases
        .run("no row is written, too", matrix::empty(&aim))
        .await;
    cases.run("append adds", modes::append(&aim)).await;
    cases.run("replace replaces", modes::replace(&aim)).await;
    cases
        .run("fail fails where something is", modes::fail(&aim))
        .await;
    cases.run("keys tell rows apart", modes::keys(&aim)).await;
    cases
        .run("wrong keys are refused", modes::wrong_keys(&aim))
        .await;
    cases
        .run("an unknown column is refused", modes::unknown_column(&aim))
        .await;
    cases
        .run(
            "an error among the rows leaves all as it was",
            whole::error(&aim),
        )
        .await;
    cases
        .run("a dropped write leaves all as it was", whole::dropped(&aim))
        .await;
    cases
        .run(
            "a cancelled write leaves all as it was",
            whole::cancelled(&aim),
        )
        .await;
    cases
        .run("writers at once lose nothing", whole::at_once(&aim))
        .await;
    cases
        .run(
            "readers see all or nothing of a replace",
            whole::readers(&aim),
        )
        .await;
    cases.results
}

/// Rows of batches that are there.
fn rows_of(batches: Vec<CoreResult<RecordBatch>>, schema: &RecordBatch) -> Rows {
    Rows {
        schema: schema.schema(),
        batches: futures::stream::iter(batches).boxed(),
    }
}

impl Aim<'_> {
    fn stream(&self, name: &str) -> StreamId {
        (self.expect.stream)(name)
    }

    fn write_of(&self, name: &str, mode: WriteMode, keys: &[&str]) -> Write {
        Write::new(self.stream(name), mode).by(keys)
    }

    async fn write(
        &self,
        name: &str,
        mode: WriteMode,
        keys: &[&str],
        batch: &RecordBatch,
    ) -> CoreResult<Written> {
        let write = self.write_of(name, mode, keys);
        let rows = rows_of(vec![Ok(batch.clone())], batch);
        self.source.write(&self.ctx, &write, rows).await
    }

    /// All rows of a stream by `id`; none where there is no stream.
    async fn read(&self, name: &str) -> Result<Option<RecordBatch>, String> {
        let by_id = Order {
            column: "id".to_owned(),
            ascending: true,
            nulls: weir_core::Nulls::Last,
        };
        let read = Read {
            order: vec![by_id],
            ..Read::all(Target::Stream(self.stream(name)))
        };
        let scan = match self.source.scan(&self.ctx, &read).await {
            Err(error) if is_missing(&error) => return Ok(None),
            // Lines name their columns, and there is none.
            Err(error) if error.stable_code() == "unknown_column" => {
                return Ok(Some(nothing()));
            }
            scan => ok("the scan", scan)?,
        };
        let (schema, is_ordered) = (Arc::clone(&scan.schema), scan.pushed.order);
        let batches: Vec<RecordBatch> = ok("reading", scan.stream.try_collect().await)?;
        let all = concat_batches(&schema, &batches).map_err(|error| error.to_string())?;
        if is_ordered {
            return Ok(Some(all));
        }
        if all.num_columns() == 0 && all.num_rows() == 0 {
            return Ok(Some(nothing()));
        }
        let ids = all.column_by_name("id").ok_or("no column `id`")?;
        let order = arrow::compute::sort_to_indices(ids, None, None);
        let order = order.map_err(|error| error.to_string())?;
        let sorted = arrow::compute::take_record_batch(&all, &order);
        sorted.map(Some).map_err(|error| error.to_string())
    }

    /// Names by id, as text.
    async fn names(&self, name: &str) -> Result<Vec<String>, String> {
        let Some(batch) = self.read(name).await? else {
            return Ok(vec!["no stream".to_owned()]);
        };
        if batch.num_columns() == 0 {
            return Ok(Vec::new());
        }
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or(format!("no column `{name}`"))
        };
        let options = arrow::util::display::FormatOptions::default().with_null("null");
        let shown = |column| {
            arrow::util::display::ArrayFormatter::try_new(column, &options)
                .map_err(|e| e.to_string())
        };
        let (ids, names) = (column("id")?, column("name")?);
        let (ids, names) = (shown(ids.as_ref())?, shown(names.as_ref())?);
        let row = |row| format!("{} {}", ids.value(row), names.value(row));
        Ok((0..batch.num_rows()).map(row).collect())
    }
}

/// No rows, of no columns.
fn nothing() -> RecordBatch {
    RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()))
}

fn is_missing(error: &Error) -> bool {
    matches!(error.kind(), Kind::Source(weir_core::SourceFault::NotFound))
}

/// Rows `id`, `name`.
fn named(rows: &[(i64, &str)]) -> RecordBatch {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    let ids: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>());
    let names: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)])
        .unwrap_or_else(|_| nothing())
}
