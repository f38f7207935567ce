//! Log lines. Drivers are capped at `warn` whatever the filter says: at trace
//! level some of them print what they send, passwords included.

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{LogFormat, Settings};

/// Targets that may carry secrets below `warn`.
const CAPPED: &[&str] = &[
    "sqlx",
    "tokio_postgres",
    "postgres_protocol",
    "rustls",
    "hyper",
    "h2",
    "reqwest",
    "tungstenite",
];

/// Installs the subscriber for the whole process.
pub fn install(settings: &Settings) -> Result<()> {
    let asked = settings.log.as_deref().unwrap_or("info");
    let mut filter = EnvFilter::try_new(asked)
        .with_context(|| format!("WEIR_LOG is not a valid filter: {asked}"))?;
    for target in CAPPED {
        filter = filter.add_directive(format!("{target}=warn").parse()?);
    }
    let registry = tracing_subscriber::registry().with(filter);
    let writer = std::io::stderr;
    match settings.log_format.unwrap_or(LogFormat::Text) {
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(writer)
                    .with_ansi(false),
            )
            .try_init()?,
        LogFormat::Json => registry
            .with(tracing_subscriber::fmt::layer().json().with_writer(writer))
            .try_init()?,
    }
    Ok(())
}

/// Logs and counts every panic of the process, wherever it happens. Only texts
/// that stand in the code are logged: formatted ones may quote a value. A
/// library that panics over hostile bytes behind a guard is no defect of ours.
pub fn watch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if weir_core::task::is_guarded() {
            metrics::counter!("weir_guarded_panics_total").increment(1);
            return;
        }
        metrics::counter!("weir_panics_total").increment(1);
        let at = panic.location().map(ToString::to_string);
        let at = at.unwrap_or_default();
        let text = panic.payload().downcast_ref::<&str>().copied();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(at, %backtrace, "a panic: {}", text.unwrap_or("see the place"));
    }));
}

/// Bounds of the buckets of durations, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
];

/// Installs the recorder of metrics for the whole process; gives what renders them.
pub fn metrics() -> Result<weir_api::metrics::Render> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&SECONDS)?
        .install_recorder()?;
    weir_api::metrics::describe();
    Ok(std::sync::Arc::new(move || recorder.render()))
}
