//! Log lines. Drivers are capped at `warn` whatever the filter says: at trace
//! level some of them print what they send, passwords included.

use anyhow::{Context, Result};
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
