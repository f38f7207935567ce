//! Connection tests: of a registered source, and of a config before it is saved.

use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};
use utoipa::ToSchema;
use weir_core::{Error, OpenSource, Result, TestReport};
use weir_store::{Act, LastTest};

use super::find;
use crate::auth::Editor;
use crate::extract::Json;
use crate::problem::ApiResult;
use crate::state::App;

/// A config to test.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestRequest {
    /// The connector's own fields, secrets included.
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
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

async fn run(
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
    let (result, outcome) = run(&app, async |ctx| app.open(&row, ctx).await).await;
    if let Err(error) = &outcome
        && error.kind() == weir_core::Kind::Sealed
    {
        return Err(sealed().into());
    }
    let last = LastTest {
        ok: result.ok,
        at: chrono::Utc::now(),
        code: result.error.as_ref().map(|error| error.code.clone()),
    };
    app.store.record_test(row.id, last).await?;
    Ok(Answer(result))
}

fn sealed() -> Error {
    Error::new(
        weir_core::Kind::Sealed,
        "the secrets of this source are sealed",
    )
    .hint("start the service with the master key its store was made with")
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
    let whole = Value::Object(body.config);
    connector
        .check(&whole)
        .map_err(|error| error.under("/config"))?;
    // Written first: a test dials out, so it must not go unseen.
    let act = Act {
        action: "connector.test",
        target_kind: "connector",
        target_id: None,
        target_name: Some(kind.clone()),
        details: Value::Null,
    };
    app.store.record_act(&caller.actor(), act).await?;
    let (result, _) = run(&app, async |ctx| connector.open(whole, ctx).await).await;
    Ok(Answer(result))
}
