//! `POST /v1/sources/test`, the doctor: tests every source, several at once.

use std::time::{Duration, Instant};

use axum::extract::State;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};
use weir_core::{Kind, Result};
use weir_store::{LastTest, ListFilter, SourceRow};

use super::test::{TestError, last_test, refuse_store, run};
use crate::auth::Editor;
use crate::extract::ListOf;
use crate::lookup::{Asked, filter};
use crate::paging;
use crate::problem::ApiResult;
use crate::state::App;

/// Sources that are tested at once.
const AT_ONCE: usize = 16;
/// Of them, how many read their secrets from the store at once: other requests
/// want its connections too.
const OPENING: usize = 4;
/// How often a source is opened while the store is busy.
const TRIES: usize = 5;
/// After this long no further test starts; the rest is on the next page.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which sources to test.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DoctorQuery {
    /// Sources in the page, 1 to 1000; there are fewer when they are slow to answer.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only this kind of connector.
    pub connector: Option<String>,
    /// Only with this label, `key:value`; may be repeated.
    #[param(value_type = Option<Vec<String>>)]
    pub label: Option<String>,
    /// Part of the name, without case.
    pub search: Option<String>,
}

/// How the test of one source went.
#[derive(Debug, Serialize, ToSchema)]
pub struct Diagnosis {
    /// Id of the source.
    pub source: uuid::Uuid,
    /// `@kind.name`
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its name.
    pub name: String,
    /// Its connector.
    pub connector: String,
    /// Whether every step worked.
    pub ok: bool,
    /// The whole test.
    pub latency_ms: f64,
    /// The step that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TestError>,
}

/// A page of the doctor's findings.
#[derive(Debug, Serialize, ToSchema)]
pub struct DoctorPage {
    /// Whether all sources of this page work.
    pub ok: bool,
    /// The sources, by name.
    pub items: Vec<Diagnosis>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

/// Test all sources
///
/// Sixteen at a time; how each test went is kept as its `last_test`.
#[utoipa::path(post, path = "/v1/sources/test", operation_id = "test_sources", tag = "sources", params(DoctorQuery),
    responses((status = 200, description = "The tests ran; `ok` says how each went", body = DoctorPage)))]
pub async fn test_sources(
    State(app): State<App>,
    Editor(caller): Editor,
    ListOf { query, labels }: ListOf<DoctorQuery>,
) -> ApiResult<axum::Json<DoctorPage>> {
    let asked = Asked {
        labels,
        search: query.search,
        cursor: query.cursor,
        limit: query.limit,
    };
    let filter = ListFilter {
        connector: query.connector,
        ..filter(&app, caller, asked)?
    };
    let (items, next) = examine(&app, &filter).await?;
    Ok(axum::Json(DoctorPage {
        ok: items.iter().all(|item| item.ok),
        items,
        next_cursor: next.as_deref().map(paging::cursor),
    }))
}

/// Tests a page of sources, and gives the place of the next.
pub async fn examine(app: &App, filter: &ListFilter) -> Result<(Vec<Diagnosis>, Option<String>)> {
    let page = app.store.list_sources(filter).await?;
    let start = Instant::now();
    let gate = Semaphore::new(OPENING);
    let mut tests = Vec::new();
    let mut items: Vec<Diagnosis> = Vec::new();
    let mut waiting = page.items.iter();
    let mut running = futures::stream::FuturesOrdered::new();
    loop {
        while running.len() < AT_ONCE && start.elapsed() < PATIENCE {
            let Some(row) = waiting.next() else { break };
            running.push_back(diagnose(app, &gate, row));
        }
        match running.next().await {
            Some(done) => {
                let (item, test) = done?;
                tests.push((item.source, test));
                items.push(item);
            }
            None => break,
        }
    }
    app.store.record_tests(&tests).await?;
    let next = match waiting.next() {
        Some(_) => items.last().map(|item| item.name.clone()),
        None => page.next,
    };
    Ok((items, next))
}

async fn diagnose(app: &App, gate: &Semaphore, row: &SourceRow) -> Result<(Diagnosis, LastTest)> {
    let mut tries = 0;
    let (result, outcome) = loop {
        let tested = run(app, async |ctx| {
            // Never closed.
            let _permit = gate.acquire().await;
            app.open(row, ctx).await
        })
        .await;
        tries += 1;
        match &tested.1 {
            // That the store is busy, with these very tests perhaps, says nothing of the source.
            Err(error) if error.kind() == Kind::NotReady && tries < TRIES => {}
            _ => break tested,
        }
    };
    refuse_store(&outcome)?;
    let last = last_test(&result);
    let failed = result.checks.into_iter().find(|check| !check.ok);
    let found = Diagnosis {
        source: row.id,
        reference: format!("@{}.{}", row.connector, row.name),
        name: row.name.clone(),
        connector: row.connector.clone(),
        ok: result.ok,
        latency_ms: result.latency_ms,
        failed_at: failed.map(|check| check.name),
        error: result.error,
    };
    Ok((found, last))
}
