//! Connection tests: of a registered source, and of a config before it is saved.

use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use utoipa::ToSchema;
use weir_core::{AnyConnector, Error, Kind, OpenSource, Result, SourceFault, TestReport};
use weir_store::{Act, LastTest, SourceRow};

use super::find;
use super::save::{self, Wish};
use crate::auth::Editor;
use crate::effective::Effective;
use crate::extract::Json;
use crate::problem::ApiResult;
use crate::state::App;

/// A config to test.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestRequest {
    /// The connector's own fields, secrets included.
    #[schema(value_type = Object)]
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Id or name of a credential whose fields are laid over the config.
    pub credential: Option<String>,
}

/// One step of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestCheck {
    /// `credentials`, `resolve`, `connect`, `tls`, `login`, `query` …
    pub name: String,
    /// Whether it worked.
    pub ok: bool,
    /// How long it took.
    pub elapsed_ms: f64,
    /// What was found, or a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why a test failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestError {
    /// Stable code.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to check next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether it may work later unchanged.
    pub retryable: bool,
}

/// What a test found.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestResult {
    /// Whether every step worked.
    pub ok: bool,
    /// The steps, in order; a failed one is the last.
    pub checks: Vec<TestCheck>,
    /// What the server calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// The whole test.
    pub latency_ms: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TestError>,
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl TestResult {
    fn of(report: TestReport, outcome: &Result<()>, elapsed: Duration) -> Self {
        let checks = report.steps.into_iter().map(|step| TestCheck {
            name: step.name.to_owned(),
            ok: step.ok,
            elapsed_ms: millis(step.elapsed),
            detail: step.detail,
        });
        TestResult {
            ok: outcome.is_ok(),
            checks: checks.collect(),
            server_version: report.server_version,
            latency_ms: millis(elapsed),
            error: outcome.as_ref().err().map(|error| TestError {
                code: error.stable_code().to_owned(),
                message: error.message().to_owned(),
                hint: error.hint_text().map(str::to_owned),
                retryable: error.kind().retryable(),
            }),
        }
    }
}

/// Tests a config that is not saved.
async fn run_config(
    app: &App,
    connector: &dyn AnyConnector,
    effective: &Effective,
) -> (TestResult, Result<()>) {
    run(app, async |ctx| {
        effective.resolved()?;
        let config = effective.config.clone();
        connector.open_hiding(config, &effective.lent, ctx).await
    })
    .await
}

/// Tests what is about to be saved; an error names the step that failed.
pub async fn before_saving(
    app: &App,
    connector: &dyn AnyConnector,
    effective: &Effective,
) -> Result<LastTest> {
    let (result, outcome) = run_config(app, connector, effective).await;
    let Err(error) = outcome else {
        return Ok(last_test(&result));
    };
    let step = result.checks.last().map_or("test", |check| &check.name);
    // That the source took too long is no failure of this service.
    let kind = match error.kind() {
        Kind::Deadline => Kind::Source(SourceFault::Unavailable),
        kind => kind,
    };
    let message = format!(
        "not saved, the test failed at `{step}`: {}",
        error.message()
    );
    let mut told = Error::new(kind, message).code(error.stable_code());
    if let Some(hint) = error.hint_text() {
        told = told.hint(hint.to_owned());
    }
    if let Some(said) = error.source_message() {
        told = told.said(said.clone());
    }
    for field in error.fields() {
        told = told.at(field.pointer.clone(), field.message.clone());
    }
    Err(told)
}

/// What is kept of a test.
pub fn last_test(result: &TestResult) -> LastTest {
    LastTest {
        ok: result.ok,
        at: chrono::Utc::now(),
        code: result.error.as_ref().map(|error| error.code.clone()),
    }
}

/// Opens a source and walks the steps of its test.
pub async fn run(
    app: &App,
    open: impl AsyncFnOnce(&weir_core::Context) -> Result<OpenSource>,
) -> (TestResult, Result<()>) {
    let ctx = app.context(Duration::from_millis(app.limits.test_ms));
    let _stop = ctx.cancel.clone().drop_guard();
    let start = Instant::now();
    let mut report = TestReport::default();
    let opened = report
        .step("credentials", async {
            open(&ctx).await.map(|source| (source, None))
        })
        .await;
    let outcome: Result<()> = match opened {
        Ok(source) => {
            let (walked, outcome) = source.test(&ctx).await;
            report.steps.extend(walked.steps);
            report.server_version = walked.server_version;
            outcome
        }
        Err(error) => Err(error),
    };
    (TestResult::of(report, &outcome, start.elapsed()), outcome)
}

/// Test a source
#[utoipa::path(post, path = "/v1/sources/{source}/test", operation_id = "test_source", tag = "sources",
    params(("source" = String, Path, description = "Id, name or `@kind.name`")),
    responses((status = 200, description = "The test ran; `ok` says how it went", body = TestResult)))]
pub async fn test_source(
    State(app): State<App>,
    Editor(caller): Editor,
    Path(source): Path<String>,
) -> ApiResult<Answer<TestResult>> {
    let row = find(&app, &caller, &source).await?;
    Ok(Answer(run_stored(&app, &row).await?))
}

/// Tests a stored source and keeps how it went.
pub async fn run_stored(app: &App, row: &SourceRow) -> Result<TestResult> {
    let (result, outcome) = run(app, async |ctx| app.open(row, ctx).await).await;
    refuse_store(&outcome)?;
    app.store.record_test(row.id, last_test(&result)).await?;
    Ok(result)
}

/// A store that is sealed or away says nothing about a source.
pub fn refuse_store(outcome: &Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == Kind::NotReady => {
            let mut told =
                Error::new(Kind::NotReady, error.message().to_owned()).code(error.stable_code());
            if let Some(after) = error.retry_after_hint() {
                told = told.retry_after(after);
            }
            Err(told)
        }
        Err(error) if error.kind() == Kind::Sealed => Err(Error::new(
            Kind::Sealed,
            "the secrets of this source are sealed",
        )
        .hint("start the service with the master key its store was made with")),
        _ => Ok(()),
    }
}

/// Test a config before it is saved
#[utoipa::path(post, path = "/v1/connectors/{kind}/test", operation_id = "test_connector", tag = "connectors",
    params(("kind" = String, Path, description = "Kind of connector")),
    request_body = TestRequest,
    responses((status = 200, description = "The test ran; `ok` says how it went", body = TestResult)))]
pub async fn test_connector(
    State(app): State<App>,
    Editor(caller): Editor,
    Path(kind): Path<String>,
    Json(body): Json<TestRequest>,
) -> ApiResult<Answer<TestResult>> {
    let connector = app.registry.get(&kind)?;
    let wish = Wish {
        name: None,
        labels: &BTreeMap::new(),
        config: body.config,
        credential: body.credential.as_deref(),
    };
    let ready = save::fresh(&app, &caller, connector.as_ref(), wish).await?;
    // Written first: a test dials out, so it must not go unseen.
    let act = Act {
        action: "connector.test",
        target_kind: "connector",
        target_id: None,
        target_name: Some(kind.clone()),
        details: Value::Null,
    };
    app.store.record_act(&caller.actor(), act).await?;
    let (result, _) = run_config(&app, connector.as_ref(), &ready.effective).await;
    Ok(Answer(result))
}
