//! Sources over files of their own, and what reading and writing them gives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::{StreamExt, TryStreamExt};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use weir_core::read::Params;
use weir_core::task::Compute;
use weir_core::{
    Context, Deadline, Error, OpenSource, Read, Result, Rows, StreamId, Target, Value, Write,
    WriteMode, Written,
};
use weir_net::{Dialer, Egress};

pub struct Place {
    pub home: TempDir,
}

impl Place {
    /// With a database in which this was run.
    pub fn new(sql: &str) -> Self {
        let place = Place {
            home: tempfile::tempdir().unwrap(),
        };
        place.conn().execute_batch(sql).unwrap();
        place
    }

    pub fn path(&self) -> PathBuf {
        self.home.path().join("a.db")
    }

    /// A handle that is not the service's.
    pub fn conn(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    pub async fn source(&self) -> OpenSource {
        self.source_with(json!({})).await
    }

    pub async fn source_with(&self, extra: Json) -> OpenSource {
        let mut config = json!({"path": self.path()});
        for (name, value) in extra.as_object().unwrap() {
            config[name] = value.clone();
        }
        open(self.home.path(), config).await.unwrap()
    }

    /// Everything in the database, as the sqlite3 shell would dump it.
    pub fn dump(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.conn().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

pub async fn open(root: &Path, config: Json) -> Result<OpenSource> {
    let rules = connect_sql::PathRules {
        roots: vec![root.to_owned()],
        ..Default::default()
    };
    connect_sql::sqlite::entry_with(rules, connect_sql::KeeperSettings::default())
        .open(config, &context())
        .await
}

pub fn context() -> Context {
    Context {
        deadline: Deadline::after(Duration::from_secs(60)),
        cancel: CancellationToken::new(),
        dialer: std::sync::Arc::new(Dialer::new(Egress::default())),
        compute: Compute::current(),
        memory: weir_core::Account::unbounded(),
    }
}

pub fn stream(name: &str) -> Read {
    Read::all(Target::Stream(StreamId::from_parts([name])))
}

pub fn query(text: &str, params: Vec<Value>) -> Read {
    Read::all(Target::Query {
        text: text.into(),
        params: Params::Positional(params),
    })
}

pub async fn rows(source: &OpenSource, read: &Read) -> Result<RecordBatch> {
    let scan = source.scan(&context(), read).await?;
    let batches: Vec<RecordBatch> = scan.stream.try_collect().await?;
    Ok(arrow::compute::concat_batches(&scan.schema, &batches)?)
}

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
    let text = |row| {
        array
            .is_valid(row)
            .then(|| formatter.value(row).to_string())
    };
    (0..array.len()).map(text).collect()
}

pub fn to(name: &str, mode: WriteMode) -> Write {
    Write::new(StreamId::from_parts([name]), mode)
}

pub async fn write(source: &OpenSource, write: &Write, batch: RecordBatch) -> Result<Written> {
    let rows = Rows {
        schema: batch.schema(),
        batches: futures::stream::iter([Ok(batch)]).boxed(),
    };
    source.write(&context(), write, rows).await
}
