//! The `sample` connector: a small real data set inside the binary, so that the
//! first request of a newcomer answers with rows. Origin and licence stand
//! beside the file in `data/`.

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::source::unknown_column;
use weir_core::types::{NATIVE_TYPE, type_name};
use weir_core::{
    AnyConnector, Category, Column, Connector, Context, Descriptor, Discover, Entry, Error,
    Estimate, Page, PushDown, Pushed, Read, Result, Scan, Source, SourceFault, StreamId,
    StreamInfo, StreamSchema, Target, TestReport, TestedAgainst,
};

const PENGUINS: &str = include_str!("../data/penguins.csv");
const STREAM: &str = "penguins";
/// Small on purpose: a newcomer sees that rows come in batches.
const BATCH_ROWS: usize = 128;

/// The sample needs no settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {}

/// The connector.
pub struct Sample;

/// The connector for the catalogue.
pub fn entry() -> Arc<dyn AnyConnector> {
    Entry::of(Sample).with_source().build()
}

#[async_trait]
impl Connector for Sample {
    type Config = SampleConfig;
    type Handle = Penguins;

    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "sample",
            title: "Sample data",
            category: Category::Builtin,
            auth_modes: &["none"],
            example: serde_json::json!({}),
            docs: "344 penguins of three species, measured at Palmer Station, Antarctica (CC0). One stream, `penguins`; nothing to configure.",
            tested_against: TestedAgainst::Live,
            config_version: 1,
        }
    }

    fn validate(&self, _: &SampleConfig) -> Result<()> {
        Ok(())
    }

    async fn open(&self, _: SampleConfig, _: &Context) -> Result<Penguins> {
        let batches = TABLE.as_ref().map_err(Error::internal)?;
        Ok(Penguins { batches })
    }
}

/// The opened sample.
pub struct Penguins {
    batches: &'static [RecordBatch],
}

/// Parsed once; the file is part of the binary.
static TABLE: LazyLock<std::result::Result<Vec<RecordBatch>, String>> =
    LazyLock::new(|| parse().map_err(|error| error.to_string()));

fn parse() -> std::result::Result<Vec<RecordBatch>, arrow::error::ArrowError> {
    let columns = [
        ("species", DataType::Utf8),
        ("island", DataType::Utf8),
        ("bill_length_mm", DataType::Float64),
        ("bill_depth_mm", DataType::Float64),
        ("flipper_length_mm", DataType::Int32),
        ("body_mass_g", DataType::Int32),
        ("sex", DataType::Utf8),
        ("year", DataType::Int16),
    ];
    let field = |(name, data_type): (&str, DataType)| {
        let native = [(NATIVE_TYPE.to_owned(), type_name(&data_type))];
        Field::new(name, data_type, true).with_metadata(native.into())
    };
    let schema = Arc::new(Schema::new(columns.map(field).to_vec()));
    let reader = ReaderBuilder::new(schema)
        .with_header(true)
        .with_batch_size(BATCH_ROWS)
        .with_null_regex(missing()?)
        .build(Cursor::new(PENGUINS))?;
    reader.collect()
}

/// The file writes missing values as nothing or `NA`.
fn missing() -> std::result::Result<regex::Regex, arrow::error::ArrowError> {
    regex::Regex::new("^(NA)?$")
        .map_err(|error| arrow::error::ArrowError::ParseError(error.to_string()))
}

impl Penguins {
    fn rows(&self) -> u64 {
        self.batches
            .iter()
            .map(|batch| batch.num_rows() as u64)
            .sum()
    }

    fn schema(&self) -> Result<Arc<Schema>> {
        let first = self
            .batches
            .first()
            .ok_or_else(|| Error::internal("the sample is empty"))?;
        Ok(first.schema())
    }
}

fn known(stream: &StreamId) -> Result<()> {
    if stream.names()? == [STREAM] {
        return Ok(());
    }
    Err(Error::source(
        SourceFault::NotFound,
        format!("the sample has no stream `{stream}`"),
    )
    .hint("its only stream is `penguins`"))
}

#[async_trait]
impl Source for Penguins {
    async fn test(&self, _: &Context, report: &mut TestReport) -> Result<()> {
        let rows = self.rows();
        report
            .step("query", async { Ok(((), Some(format!("{rows} rows")))) })
            .await
    }

    async fn discover(&self, _: &Context, ask: &Discover) -> Result<Page<StreamInfo>> {
        let named = ask
            .search
            .as_ref()
            .is_none_or(|part| STREAM.contains(&part.to_lowercase()));
        let wanted = named && ask.namespace.is_none() && ask.after.is_none() && ask.limit > 0;
        let item = StreamInfo {
            stream: STREAM.to_owned(),
            name: STREAM.to_owned(),
            kind: "table",
            size_bytes: Some(PENGUINS.len() as u64),
            estimated_rows: Some(self.rows()),
            comment: Some("Penguins of Palmer Station, Antarctica, 2007 to 2009 (CC0)".to_owned()),
            ..StreamInfo::default()
        };
        Ok(Page {
            items: wanted.then_some(item).into_iter().collect(),
            next: None,
        })
    }

    async fn schema(&self, _: &Context, stream: &StreamId) -> Result<StreamSchema> {
        known(stream)?;
        let column = |field: &Arc<Field>| Column {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            type_name: type_name(field.data_type()),
            native_type: type_name(field.data_type()),
            nullable: field.is_nullable(),
            primary_key: false,
            comment: None,
        };
        Ok(StreamSchema {
            stream: STREAM.to_owned(),
            kind: "table",
            columns: self.schema()?.fields().iter().map(column).collect(),
            primary_key: Vec::new(),
            estimated_rows: Some(self.rows()),
            size_bytes: Some(PENGUINS.len() as u64),
        })
    }

    async fn scan(&self, _: &Context, read: &Read) -> Result<Scan> {
        let Target::Stream(stream) = &read.target else {
            return Err(Error::unsupported("the sample takes no queries")
                .at("/query", "not supported here")
                .hint("read its stream `penguins`, with columns, filter, order_by and limit"));
        };
        known(stream)?;
        let schema = self.schema()?;
        if let Some(names) = &read.columns {
            let all: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            let missing = names
                .iter()
                .enumerate()
                .find(|(_, name)| !all.contains(&name.as_str()));
            if let Some((place, name)) = missing {
                return Err(unknown_column(name, &all, &format!("/columns/{place}")));
            }
        }
        Ok(Scan {
            schema,
            stream: futures::stream::iter(self.batches.iter().cloned().map(Ok)).boxed(),
            // The engine does it all: nothing is saved in a table this small.
            pushed: Pushed {
                filter: vec![PushDown::No; read.filter.len()],
                ..Pushed::default()
            },
            estimate: read.estimate.then(|| Estimate {
                rows: Some(self.rows()),
                ..Estimate::default()
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_parses_with_its_missing_values() {
        let batches = parse().unwrap();
        assert_eq!(
            batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
            344
        );
        let missing: usize = batches.iter().map(|b| b.column(6).null_count()).sum();
        assert_eq!(missing, 11);
    }
}
