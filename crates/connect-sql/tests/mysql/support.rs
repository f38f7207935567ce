//! Sources over the test server, and what reading them gives.

use std::sync::{Arc, Once};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;
use weir_core::read::Params;
use weir_core::task::Compute;
use weir_core::{
    Context, Deadline, Error, OpenSource, Read, Result, Rows, Scan, StreamId, Target, Value, Write,
    WriteMode, Written,
};
use weir_net::{Dialer, Egress};
pub use weir_tests::MyDatabase;

/// A context as a request has it.
pub fn context() -> Context {
    static CRYPTO: Once = Once::new();
    CRYPTO.call_once(weir_net::install_crypto);
    Context {
        deadline: Deadline::after(Duration::from_secs(60)),
        cancel: CancellationToken::new(),
        dialer: Arc::new(Dialer::new(Egress::default())),
        compute: Compute::current(),
        memory: weir_core::Account::unbounded(),
    }
}

/// Opens a source with this config.
pub async fn open(config: Json) -> Result<OpenSource> {
    connect_sql::mysql::entry().open(config, &context()).await
}

/// A source over `database`, with `extra` fields in its config.
pub async fn source_with(database: &MyDatabase, extra: Json) -> OpenSource {
    let mut config = database.owner_config();
    for (name, value) in extra.as_object().unwrap() {
        config[name] = value.clone();
    }
    open(config).await.unwrap()
}

/// A read of a stream.
pub fn stream(id: &str) -> Read {
    Read::all(Target::Stream(StreamId::parse(id, "/stream").unwrap()))
}

/// A read of a query.
pub fn query(text: &str, params: Vec<Value>) -> Read {
    Read::all(Target::Query {
        text: text.into(),
        params: Params::Positional(params),
    })
}

/// All rows, as one batch.
pub async fn rows(source: &OpenSource, read: &Read) -> Result<RecordBatch> {
    collect(source.scan(&context(), read).await?).await
}

/// All rows of a scan, as one batch.
pub async fn collect(scan: Scan) -> Result<RecordBatch> {
    let batches: Vec<RecordBatch> = scan.stream.try_collect().await?;
    for batch in &batches {
        assert_eq!(batch.schema(), scan.schema);
    }
    Ok(arrow::compute::concat_batches(&scan.schema, &batches)?)
}

/// The error that a read ends with, wherever it comes.
pub async fn failure(source: &OpenSource, read: &Read) -> Error {
    match rows(source, read).await {
        Ok(batch) => panic!("{} rows instead of an error", batch.num_rows()),
        Err(error) => error,
    }
}

/// One column as text; null is `null`.
pub fn texts(batch: &RecordBatch, column: usize) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let array = batch.column(column);
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    (0..array.len())
        .map(|row| formatter.value(row).to_string())
        .collect()
}

/// Writes one batch.
pub async fn write(
    source: &OpenSource,
    to: &str,
    mode: WriteMode,
    keys: &[&str],
    batch: &RecordBatch,
) -> Result<Written> {
    let write = Write::new(StreamId::parse(to, "/stream").unwrap(), mode).by(keys);
    write_as(source, &write, batch).await
}

/// The same, as `write` says.
pub async fn write_as(source: &OpenSource, write: &Write, batch: &RecordBatch) -> Result<Written> {
    let rows = Rows {
        schema: batch.schema(),
        batches: futures::stream::iter(vec![Ok(batch.clone())]).boxed(),
    };
    source.write(&context(), write, rows).await
}
