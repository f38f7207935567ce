//! The behaviour every connector must show, as plain async functions over the
//! erased connector. A connector's own tests call [`check_all`] with what they
//! know of their server, and fail when a case does.

mod bounds;
mod configuration;
mod discovery;
mod reading;
mod secrecy;
pub mod writing;

pub use writing::{ExpectSink, check_sink};

use std::fmt::Display;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_core::{AnyConnector, Capability, Context, OpenSource, Read, StreamId, Target};

/// What the caller knows of the server behind the config.
#[derive(Debug, Clone)]
pub struct Expect {
    /// A stream that discovery must give, with two columns at least.
    pub stream: StreamId,
    /// How many rows it has; more than one.
    pub rows: u64,
    /// A column of it with more than one value, to order by.
    pub order_by: String,
}

/// How one case went.
#[derive(Debug)]
pub struct CaseResult {
    /// What was checked.
    pub name: &'static str,
    /// What it is a part of.
    pub part: Part,
    /// What was seen instead, if it failed.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: Duration,
}

/// Parts of the suite: the configuration, and what a connector may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What it is configured with, and that none of it leaks.
    Configuration,
    /// Walking the steps of a connection.
    Test,
    /// Listing streams.
    Discover,
    /// Reading: previews and loads.
    Load,
    /// Writing.
    Write,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 5] = [
        Part::Configuration,
        Part::Test,
        Part::Discover,
        Part::Load,
        Part::Write,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Part::Configuration => "configuration",
            Part::Test => "test",
            Part::Discover => "discover",
            Part::Load => "load",
            Part::Write => "write",
        }
    }
}

/// How many cases of each part passed.
pub fn passed(cases: &[CaseResult]) -> Vec<(&'static str, usize)> {
    let count = |part: &Part| {
        let of_part = cases.iter().filter(|case| case.part == *part);
        of_part.filter(|case| case.outcome.is_ok()).count()
    };
    let counts = Part::ALL.iter().map(|part| (part.name(), count(part)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Nothing, or what was seen instead of what was expected.
pub type Outcome = Result<(), String>;

/// A case may take this long.
const CASE_LIMIT: Duration = Duration::from_secs(60);

/// What the cases look at.
struct Subject<'a> {
    connector: &'a dyn AnyConnector,
    config: &'a Value,
    ctx: Context,
    source: OpenSource,
    expect: &'a Expect,
}

impl Subject<'_> {
    fn can(&self, capability: Capability) -> bool {
        self.connector.capabilities().contains(&capability)
    }

    fn read(&self) -> Read {
        Read::all(Target::Stream(self.expect.stream.clone()))
    }
}

/// Checks everything `connector` declares, against the server that `config`
/// leads to. Every case runs, whatever the others gave.
pub async fn check_all(
    connector: &dyn AnyConnector,
    config: Value,
    ctx: &Context,
    expect: Expect,
) -> Vec<CaseResult> {
    let mut cases = Cases::of(Part::Configuration);
    cases
        .run("the example validates", configuration::example(connector))
        .await;
    cases
        .run(
            "every field is documented",
            configuration::documented(connector),
        )
        .await;
    cases
        .run(
            "secrets are write-only",
            configuration::write_only(connector),
        )
        .await;
    cases
        .run(
            "unknown fields are refused",
            configuration::unknown_field(connector, &config),
        )
        .await;
    cases
        .run(
            "secrets never show",
            secrecy::canary(connector, &config, ctx),
        )
        .await;
    let source = match connector.open(config.clone(), ctx).await {
        Ok(source) => source,
        Err(error) => {
            cases
                .run("it opens", async { Err(shown("open", &error)) })
                .await;
            return cases.results;
        }
    };
    let subject = Subject {
        connector,
        config: &config,
        ctx: ctx.clone(),
        source,
        expect: &expect,
    };
    cases
        .run(
            "what is not declared is unsupported",
            configuration::undeclared(&subject),
        )
        .await;
    if subject.can(Capability::Test) {
        cases.part = Part::Test;
        cases
            .run("a test walks its steps", discovery::test(&subject))
            .await;
    }
    if subject.can(Capability::Discover) {
        cases.part = Part::Discover;
        discover(&mut cases, &subject).await;
    }
    if subject.can(Capability::Load) {
        cases.part = Part::Load;
        load(&mut cases, &subject).await;
    }
    cases.results
}

async fn discover(cases: &mut Cases, subject: &Subject<'_>) {
    cases
        .run("pages give every stream once", discovery::pages(subject))
        .await;
    cases
        .run("a search narrows", discovery::search(subject))
        .await;
    cases
        .run(
            "an unknown stream is not found",
            discovery::unknown_stream(subject),
        )
        .await;
}

async fn load(cases: &mut Cases, subject: &Subject<'_>) {
    cases
        .run("schema and scan agree", reading::schemas_agree(subject))
        .await;
    cases
        .run(
            "batches have the declared schema",
            reading::batches(subject),
        )
        .await;
    cases
        .run("columns are honoured", reading::columns(subject))
        .await;
    cases
        .run("a limit is honoured", reading::limit(subject))
        .await;
    cases
        .run("an order is honoured", reading::order(subject))
        .await;
    cases
        .run("a filter is honoured", reading::filter(subject))
        .await;
    cases
        .run(
            "an unknown column has a pointer",
            reading::unknown_column(subject),
        )
        .await;
    cases
        .run("a cancelled call ends", bounds::cancelled(subject))
        .await;
    cases
        .run("a cancelled stream ends", bounds::cancelled_stream(subject))
        .await;
    cases
        .run("a passed deadline ends a call", bounds::deadline(subject))
        .await;
    cases
        .run("a dropped stream leaves nothing", bounds::dropped(subject))
        .await;
}

struct Cases {
    results: Vec<CaseResult>,
    /// What the next cases are a part of.
    part: Part,
}

impl Cases {
    fn of(part: Part) -> Self {
        Cases {
            results: Vec::new(),
            part,
        }
    }

    async fn run(&mut self, name: &'static str, case: impl Future<Output = Outcome>) {
        let start = Instant::now();
        let outcome = tokio::time::timeout(CASE_LIMIT, case)
            .await
            .unwrap_or_else(|_| Err(format!("did not end within {CASE_LIMIT:?}")));
        self.results.push(CaseResult {
            name,
            part: self.part,
            outcome,
            elapsed: start.elapsed(),
        });
    }
}

/// How many passed, and every failure on a line of its own.
pub fn report(cases: &[CaseResult]) -> String {
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("\n{}: {}", case.name, case.outcome.as_ref().err()?)))
        .collect();
    format!(
        "{} passed, {} failed{}",
        cases.len() - failed.len(),
        failed.len(),
        failed.concat()
    )
}

/// `Ok` when every case passed, else the [`report`].
pub fn verdict(cases: &[CaseResult]) -> Outcome {
    if cases.iter().all(|case| case.outcome.is_ok()) {
        return Ok(());
    }
    Err(report(cases))
}

fn shown(what: &str, error: &weir_core::Error) -> String {
    format!("{what} gave {} ({error})", error.stable_code())
}

/// Fails with `what` unless `holds`.
fn ensure(holds: bool, what: impl Display) -> Outcome {
    if holds { Ok(()) } else { Err(what.to_string()) }
}

/// The value, or the error as a failure of the case.
fn ok<T>(what: &str, outcome: weir_core::Result<T>) -> Result<T, String> {
    outcome.map_err(|error| shown(what, &error))
}

/// The error, or a failure of the case because there was none.
fn err<T>(what: &str, outcome: weir_core::Result<T>) -> Result<weir_core::Error, String> {
    outcome.err().ok_or_else(|| format!("{what} succeeded"))
}
