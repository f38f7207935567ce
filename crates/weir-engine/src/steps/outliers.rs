//! The step that removes rows unlike the others.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_core::evaluate::index_of;
use weir_core::types::field_type_name;
use weir_core::{BatchStream, Error, Result, config};
use weir_values::imputation::Strategy;
use weir_values::missing::Missing;
use weir_values::texts::is_text;

use super::at::At;
use super::env::Env;
use super::facts::{Column, Facts, Gather, Wanted, spooled};
use super::fences::{Fence, inside, kept};
use super::fill::Gap;
use super::frame::Frame;
use super::impute::gaps;
use super::operator::{Operator, later};
use super::pipeline::Step;
use super::report::Tally;
use super::shape::no_repeats;
use super::unlike::Unlike;

/// Removes rows unlike the others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveOutliers {
    /// The columns to look at; those that are no numbers are skipped. A row with a
    /// null in one of them stays.
    pub columns: Vec<String>,
    /// How.
    #[serde(default)]
    pub method: Method,
    /// How far off a value may be: in interquartile ranges beyond the quartiles
    /// (`iqr`, 1.5 without it), in standard deviations from the mean (`zscore`, 3).
    pub threshold: Option<f64>,
    /// The share of rows that `lof` and `isolation_forest` remove, above 0 and at
    /// most 0.5; without it, that of rows with at least half of their values beyond
    /// the fences of `iqr`, from 0.025 to 0.15.
    pub contamination: Option<f64>,
    /// The same rows go for the same seed.
    #[serde(default = "seed", deserialize_with = "config::whole")]
    pub seed: u64,
}

fn seed() -> u64 {
    42
}

/// A way to find outliers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Values beyond the quartiles by more than 1.5 interquartile ranges.
    Iqr,
    /// Values more than 3 standard deviations from the mean.
    Zscore,
    /// Rows that random cuts set apart early.
    IsolationForest,
    /// Rows in thinner surroundings than their neighbours.
    Lof,
    /// `lof` of up to five columns, `isolation_forest` of more.
    #[default]
    Auto,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Iqr => "iqr",
            Method::Zscore => "zscore",
            Method::IsolationForest => "isolation_forest",
            Method::Lof => "lof",
            Method::Auto => "auto",
        }
    }
}

/// Columns of which `auto` looks at neighbours.
const FEW_COLUMNS: usize = 5;

impl Step for RemoveOutliers {
    fn check(&self, at: &At) -> Result<()> {
        no_repeats("columns", &self.columns, at)?;
        if self.threshold.is_some_and(|t| !t.is_finite() || t < 0.0) {
            let message = "`threshold` is a number from 0 on";
            return Err(Error::invalid(at.field("threshold"), message));
        }
        if self.contamination.is_some_and(|c| !(c > 0.0 && c <= 0.5)) {
            let message = "`contamination` is a share above 0 and at most 0.5";
            return Err(Error::invalid(at.field("contamination"), message));
        }
        Ok(())
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let tally = frame.tally();
        let mut looked_at = Vec::new();
        for gap in gaps(&frame, &self.columns, at)? {
            let field = frame.field(frame.index(&gap.name, &gap.pointer)?);
            let data_type = field.data_type();
            if data_type.is_numeric() || (is_text(data_type) && gap.is_number()) {
                looked_at.push(gap);
            } else {
                let (name, shown) = (&gap.name, field_type_name(field));
                tally.warn(format!("the column `{name}` is a {shown}, it is skipped"));
            }
        }
        let method = match self.method {
            Method::Auto if looked_at.len() <= FEW_COLUMNS => Method::Lof,
            Method::Auto => Method::IsolationForest,
            method => method,
        };
        let by_fences = matches!(method, Method::Iqr | Method::Zscore);
        if self.threshold.is_some() && !by_fences {
            tally.warn("`threshold` does nothing but with the methods `iqr` and `zscore`");
        }
        if self.contamination.is_some() && by_fences {
            tally.warn("`contamination` does nothing with the methods `iqr` and `zscore`");
        }
        tally.set("method", method.name());
        tally.set("seed", self.seed);
        tally.add("removed", 0);
        if looked_at.is_empty() {
            return Ok(frame);
        }
        frame.operate(Arc::new(Outliers {
            gaps: looked_at,
            method,
            threshold: self.threshold,
            contamination: self.contamination,
            seed: self.seed,
            tally,
        }))
    }
}

/// Removes rows unlike the others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outliers {
    gaps: Vec<Gap>,
    method: Method,
    threshold: Option<f64>,
    pub(super) contamination: Option<f64>,
    pub(super) seed: u64,
    #[serde(skip)]
    pub(super) tally: Arc<Tally>,
}

impl Outliers {
    fn columns(&self, schema: &SchemaRef) -> Result<Vec<Column>> {
        let column = |gap: &Gap| {
            index_of(schema, &gap.name)?;
            gap.column(schema, Strategy::Average, Missing::Nulls)
        };
        self.gaps.iter().map(column).collect()
    }

    fn wanted(&self) -> Wanted {
        match self.method {
            Method::Zscore => Wanted {
                moments: true,
                ..Wanted::default()
            },
            Method::Lof | Method::IsolationForest if self.contamination.is_some() => {
                Wanted::default()
            }
            _ => Wanted {
                quantiles: vec![0.25, 0.75],
                ..Wanted::default()
            },
        }
    }

    fn fence(&self, facts: &Facts) -> Fence {
        match self.method {
            Method::Zscore => Fence::around(facts, self.threshold.unwrap_or(3.0)),
            Method::Iqr => Fence::of_quartiles(facts, self.threshold.unwrap_or(1.5)),
            Method::Lof | Method::IsolationForest | Method::Auto => Fence::of_quartiles(facts, 1.5),
        }
    }

    async fn rows(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> Result<BatchStream> {
        let columns = self.columns(&schema)?;
        let wanted = columns.iter().map(|column| (column.clone(), self.wanted()));
        let mut gather = Gather::new(wanted.collect(), &schema, &env)?;
        let spooled = spooled(input, &schema, &env, &mut gather).await?;
        let facts = gather.finish(&spooled).await?;
        let fences: Vec<Fence> = facts.iter().map(|facts| self.fence(facts)).collect();
        if let Method::Lof | Method::IsolationForest = self.method {
            let unlike = Unlike {
                is_forest: self.method == Method::IsolationForest,
                columns,
                fences,
                env,
                tally: Arc::clone(&self.tally),
                seed: self.seed,
                contamination: self.contamination,
            };
            return unlike.rows(spooled).await;
        }
        for (column, fence) in columns.iter().zip(&fences) {
            let shown = json!({"low": fence.low, "high": fence.high});
            self.tally.set_of("bounds", &column.name, shown);
        }
        let tally = Arc::clone(&self.tally);
        let mut before = 0;
        let rows = spooled.read().and_then(move |batch: RecordBatch| {
            let stays = inside(&batch, &columns, &fences, before);
            before += batch.num_rows() as u64;
            futures::future::ready(stays.and_then(|stays| kept(&batch, &stays, &tally)))
        });
        Ok(rows.boxed())
    }
}

impl Operator for Outliers {
    fn name(&self) -> &'static str {
        "weir_outliers"
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(self.rows(input, schema, env))
    }
}
