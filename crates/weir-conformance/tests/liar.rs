//! A connector that breaks the rules, so that the suite is known to notice.

mod common;

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use common::{context, expect};
use futures::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use weir_conformance::{ExpectSink, check_all, check_sink};
use weir_core::{
    Category, Column, Connector, Context, Descriptor, Discover, Entry, Error, Kind, Page, PushDown,
    Pushed, Read, Result, Rows, Scan, Sink, Source, StreamId, StreamInfo, StreamSchema, TestReport,
    TestedAgainst, Write, WriteMode, Written,
};

/// Accepts what it does not know, documents nothing, and leaves its password open.
#[derive(Deserialize, JsonSchema)]
struct Config {
    password: Option<String>,
}

struct Liar;

#[async_trait]
impl Connector for Liar {
    type Config = Config;
    type Handle = Handle;

    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "liar",
            title: "Liar",
            category: Category::Builtin,
            auth_modes: &[],
            example: serde_json::json!({ "password": 5 }),
            docs: "",
            tested_against: TestedAgainst::Stub,
            config_version: 1,
        }
    }

    fn validate(&self, _: &Config) -> Result<()> {
        Ok(())
    }

    async fn open(&self, config: Config, _: &Context) -> Result<Handle> {
        let _unused = config.password;
        Ok(Handle)
    }
}

struct Handle;

fn batch() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("body_mass_g", DataType::Int64, false),
    ]);
    let ids = Arc::new(Int64Array::from(vec![2, 1, 3]));
    RecordBatch::try_new(Arc::new(schema), vec![ids.clone(), ids]).expect("columns of one length")
}

#[async_trait]
impl Source for Handle {
    async fn test(&self, _: &Context, _: &mut TestReport) -> Result<()> {
        Ok(())
    }

    async fn discover(&self, _: &Context, ask: &Discover) -> Result<Page<StreamInfo>> {
        let item = StreamInfo {
            stream: "penguins".into(),
            kind: "table",
            ..StreamInfo::default()
        };
        let next = (ask.limit == 1 && ask.after.is_none()).then(|| "again".to_owned());
        Ok(Page {
            items: vec![item],
            next,
        })
    }

    async fn schema(&self, _: &Context, stream: &StreamId) -> Result<StreamSchema> {
        let column = Column {
            name: "id".into(),
            data_type: DataType::Utf8,
            type_name: "string".into(),
            native_type: String::new(),
            nullable: true,
            primary_key: false,
            comment: None,
        };
        Ok(StreamSchema {
            stream: stream.to_string(),
            kind: "table",
            columns: vec![column],
            primary_key: Vec::new(),
            estimated_rows: None,
            size_bytes: None,
        })
    }

    async fn scan(&self, _: &Context, read: &Read) -> Result<Scan> {
        if read.limit == Some(0) {
            return Err(Error::new(Kind::Unsupported, "no"));
        }
        // It claims to do everything, and does nothing.
        Ok(Scan {
            schema: batch().schema(),
            stream: futures::stream::iter([Ok(batch())]).boxed(),
            pushed: Pushed {
                filter: vec![PushDown::Exact; read.filter.len()],
                order: true,
                limit: true,
                columns: true,
            },
            estimate: None,
        })
    }
}

#[tokio::test]
async fn every_lie_is_noticed() {
    let connector = Entry::of(Liar).with_source().build();
    let cases = check_all(
        &*connector,
        serde_json::json!({}),
        &context(),
        expect(&["penguins"], 3, "body_mass_g"),
    )
    .await;
    let failed: Vec<&str> = cases
        .iter()
        .filter(|case| case.outcome.is_err())
        .map(|case| case.name)
        .collect();
    let expected = [
        "the example validates",
        "every field is documented",
        "secrets are write-only",
        "unknown fields are refused",
        "a test walks its steps",
        "pages give every stream once",
        "a search narrows",
        "an unknown stream is not found",
        "schema and scan agree",
        "columns are honoured",
        "a limit is honoured",
        "an order is honoured",
        "a filter is honoured",
        "an unknown column has a pointer",
    ];
    assert_eq!(failed, expected);
}

/// Says that everything is written, slowly, and writes nothing.
#[async_trait]
impl Sink for Handle {
    async fn write(&self, ctx: &Context, write: &Write, rows: Rows) -> Result<Written> {
        let mut batches = rows.batches;
        let mut written = Written::default();
        while let Some(batch) = batches.next().await.transpose()? {
            written.rows += batch.num_rows() as u64;
        }
        write.commit.begin(ctx)?;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        Ok(written)
    }
}

#[tokio::test]
async fn every_lie_of_a_sink_is_noticed() {
    let connector = Entry::of(Liar).with_source().with_sink().build();
    let expect = ExpectSink {
        stream: |name| StreamId::from_parts([name]),
        append: true,
        keys: true,
        left_out: &[],
        lossy: &[],
    };
    let cases = check_sink(&*connector, serde_json::json!({}), &context(), expect).await;
    let passed: Vec<&str> = cases
        .iter()
        .filter(|case| case.outcome.is_ok())
        .map(|case| case.name)
        .collect();
    // Formats whose rows name their columns take any of them.
    let expected = ["writing is declared", "an unknown column is refused"];
    assert_eq!(passed, expected);
}

#[tokio::test]
async fn what_has_begun_to_commit_is_waited_for_and_nothing_else() {
    let connector = Entry::of(Liar).with_source().with_sink().build();
    let ctx = context();
    let source = connector.open(serde_json::json!({}), &ctx).await;
    let source = source.expect("it opens");
    let rows = |more: bool| {
        let (first, more) = (futures::stream::iter([Ok(batch())]), usize::from(more));
        Rows {
            schema: batch().schema(),
            batches: first
                .chain(futures::stream::iter(0..more).then(|_| std::future::pending()))
                .boxed(),
        }
    };
    for (more, committed) in [(false, true), (true, false)] {
        let call = Context {
            cancel: ctx.cancel.child_token(),
            ..ctx.clone()
        };
        let write = Write::new(StreamId::from_parts(["t"]), WriteMode::Append);
        let stop = async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            call.cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(source.write(&call, &write, rows(more)), stop);
        match outcome {
            Ok(written) => assert!(committed && written.rows == 3),
            Err(error) => assert!(!committed && error.kind() == Kind::Cancelled, "{error}"),
        }
    }
}
