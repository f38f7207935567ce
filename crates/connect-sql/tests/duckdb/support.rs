//! Sources over files of DuckDB, and what reading them gives.

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use connect_sql::PathRules;
use connect_sql::duckdb::{DuckDbSettings, entry_with};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use weir_core::read::Params;
use weir_core::task::Compute;
use weir_core::{
    AnyConnector, Context, Deadline, Error, OpenSource, Read, Result, Rows, Scan, StreamId, Target,
    Value, Write, Written,
};
use weir_net::{Dialer, Egress};
pub use weir_tests::duckdb::DuckFile;
use weir_tests::project;

/// A context as a request has it.
pub fn context() -> Context {
    Context {
        deadline: Deadline::after(Duration::from_secs(60)),
        cancel: CancellationToken::new(),
        dialer: Arc::new(Dialer::new(Egress::default())),
        compute: Compute::current(),
        memory: weir_core::Account::unbounded(),
    }
}

/// The connector, allowed the folder of the file.
pub fn connector(file: &DuckFile) -> Arc<dyn AnyConnector> {
    entry_with(DuckDbSettings {
        library: Some(project::duckdb_library()),
        paths: PathRules {
            roots: vec![file.folder()],
            ..PathRules::default()
        },
        scratch: Some(file.folder().join("scratch")),
        ..DuckDbSettings::default()
    })
}

/// A source over the file, with `extra` fields in its config.
pub async fn source_with(file: &DuckFile, extra: Json) -> OpenSource {
    let mut config = file.config();
    for (name, value) in extra.as_object().unwrap() {
        config[name] = value.clone();
    }
    connector(file).open(config, &context()).await.unwrap()
}

/// A source over the file.
pub async fn source(file: &DuckFile) -> OpenSource {
    source_with(file, json!({})).await
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

/// The first column of a query's answer, as text.
pub async fn ask(source: &OpenSource, text: &str) -> Vec<Option<String>> {
    texts(&rows(source, &query(text, Vec::new())).await.unwrap(), 0)
}

/// Writes one batch.
pub async fn write(source: &OpenSource, write: &Write, batch: RecordBatch) -> Result<Written> {
    let rows = Rows {
        schema: batch.schema(),
        batches: futures::stream::iter([Ok(batch)]).boxed(),
    };
    source.write(&context(), write, rows).await
}
