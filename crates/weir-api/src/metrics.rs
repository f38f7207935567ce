//! `GET /metrics`: counters kept where things happen, and gauges read when
//! somebody looks. Labels are templates and codes of ours, never names, paths
//! or values of callers, so their number is bounded.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use metrics::{counter, gauge, histogram};
use weir_core::{Error, Kind};

use crate::auth::Reader;
use crate::state::App;

/// Gives all metrics in the text format of Prometheus.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Metrics
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "system",
    responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain")))]
pub async fn metrics(State(app): State<App>, _: Reader) -> Response {
    text(&app)
}

/// The same without a key, for an address of its own.
pub async fn open(State(app): State<App>) -> Response {
    text(&app)
}

fn text(app: &App) -> Response {
    look(app);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], (app.render_metrics)()).into_response()
}

/// What is read only when somebody looks.
fn look(app: &App) {
    gauge!("weir_loads_running").set(app.runs().loads() as f64);
    gauge!("weir_runs_active").set(app.runs().active() as f64);
    gauge!("weir_tasks", "runtime" => "http").set(app.store.tasks().tasks_alive() as f64);
    gauge!("weir_tasks", "runtime" => "compute").set(app.compute.tasks_alive() as f64);
    gauge!("weir_store_waiting").set(app.store.waiting() as f64);
    let (size, idle) = app.store.connections();
    gauge!("weir_store_connections", "state" => "idle").set(idle as f64);
    gauge!("weir_store_connections", "state" => "used")
        .set((size as usize).saturating_sub(idle) as f64);
    for (kind, count, used, most) in app.open_by_kind() {
        gauge!("weir_sources_open", "kind" => kind).set(count as f64);
        gauge!("weir_source_connections_used", "kind" => kind).set(used as f64);
        gauge!("weir_source_connections_limit", "kind" => kind).set(most as f64);
    }
    let memory = app.memory.figures();
    gauge!("weir_memory_used_bytes").set(memory.used as f64);
    gauge!("weir_memory_limit_bytes").set(memory.limit as f64);
    gauge!("weir_memory_waiting").set(memory.waiting as f64);
    if let Some(bytes) = weir_core::memory::resident_bytes() {
        gauge!("weir_process_resident_bytes").set(bytes as f64);
    }
}

/// A request was answered; `route` is its template.
pub fn answered(route: Option<&str>, method: &Method, status: StatusCode, took: Duration) {
    let route = route.unwrap_or("none").to_owned();
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let method = known.into_iter().find(|known| *known == method.as_str());
    let method = method.unwrap_or("other");
    let status = status.as_u16().to_string();
    counter!("weir_http_requests_total", "route" => route.clone(), "method" => method, "status" => status)
        .increment(1);
    histogram!("weir_http_request_seconds", "route" => route, "method" => method)
        .record(took.as_secs_f64());
}

/// Rows went out.
pub fn sent(rows: u64, bytes: u64) {
    counter!("weir_rows_sent_total").increment(rows);
    counter!("weir_bytes_sent_total").increment(bytes);
}

/// Rows were written, or not, of a body of this size.
pub fn received(rows: u64, bytes: u64) {
    counter!("weir_rows_written_total").increment(rows);
    counter!("weir_bytes_received_total").increment(bytes);
}

/// An error was answered, or ended an answer.
pub fn failed(error: &Error) {
    let code = error.stable_code();
    if matches!(error.kind(), Kind::Source(_)) {
        counter!("weir_source_errors_total", "code" => code).increment(1);
    }
}

/// Counters that must be there before anything was counted.
pub fn describe() {
    counter!("weir_panics_total").increment(0);
    counter!("weir_guarded_panics_total").increment(0);
    counter!("weir_store_timeouts_total").increment(0);
    sent(0, 0);
    received(0, 0);
}
