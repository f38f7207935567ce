//! Sources over the test server, and what reading them gives.

use std::sync::{Arc, Once};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use weir_core::read::Params;
use weir_core::task::Compute;
use weir_core::{
    Context, Deadline, Error, OpenSource, Read, Result, Scan, StreamId, Target, Value,
};
use weir_net::{Dialer, Egress};
pub use weir_tests::Database;

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
    connect_sql::postgres::entry()
        .open(config, &context())
        .await
}

/// A source over `database`, with `extra` fields in its config.
pub async fn source_with(database: &Database, extra: Json) -> OpenSource {
    let mut config = database.config();
    for (name, value) in extra.as_object().unwrap() {
        config[name] = value.clone();
    }
    open(config).await.unwrap()
}

/// A source over `database`.
pub async fn source(database: &Database) -> OpenSource {
    source_with(database, json!({})).await
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

/// One column as text; null is `None`.
pub fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
    let array = batch.column(column);
    let options = FormatOptions::new().with_null("null");
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    (0..array.len())
        .map(|row| {
            array
                .is_valid(row)
                .then(|| formatter.value(row).to_string())
        })
        .collect()
}

/// The first value of a query that gives one whole number.
pub async fn number(source: &OpenSource, text: &str) -> i64 {
    let batch = rows(source, &query(text, Vec::new())).await.unwrap();
    batch
        .column(0)
        .as_primitive::<arrow::datatypes::Int64Type>()
        .value(0)
}
