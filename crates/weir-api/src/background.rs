//! What runs beside the requests: hearing what other instances changed, and
//! keeping the partitions of the tables that grow.

use std::time::Duration;

use futures::StreamExt;
use weir_core::Result;
use weir_core::task::Task;
use weir_store::{Message, Store, partitions};

use crate::runs;
use crate::state::App;

/// How often partitions are looked after; they are made days ahead.
const MAINTENANCE: Duration = Duration::from_secs(3_600);
/// Days for which partitions are made ahead.
const DAYS_AHEAD: u32 = 3;

/// How long is kept what grows with use.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Days of the audit.
    pub audit_days: u32,
    /// Hours of answers under idempotency keys.
    pub idempotency_hours: u32,
    /// Days of the runs.
    pub run_days: u32,
}

/// Makes the partitions that are due and drops those that are too old. Called
/// once before anything is written, then now and then.
pub async fn maintain(store: &Store, retention: Retention) -> Result<()> {
    partitions::keep(store, "audit", DAYS_AHEAD, retention.audit_days).await?;
    // The day on which the oldest answer that still stands was claimed stays whole.
    let days = retention.idempotency_hours.div_ceil(24) + 1;
    partitions::keep(store, "idempotency", DAYS_AHEAD, days).await?;
    partitions::keep(store, "runs", DAYS_AHEAD, retention.run_days).await?;
    Ok(())
}

/// Work beside the requests; it ends when this is dropped.
#[derive(Debug)]
pub struct Background {
    _tasks: [Task<()>; 2],
}

impl Background {
    /// Starts it.
    pub fn start(app: &App, retention: Retention) -> Self {
        Background {
            _tasks: [
                app.store.tasks().spawn(listen(app.clone())),
                app.store.tasks().spawn(keep(app.clone(), retention)),
            ],
        }
    }
}

/// Hears what other instances tell, and this one too.
async fn listen(app: App) {
    let mut messages = app.store.listen();
    while let Some(message) = messages.next().await {
        hear(&app, &message).await;
        runs::hear(&app, &message).await;
    }
}

async fn hear(app: &App, message: &Message) {
    match message {
        Message::SourceChanged { id } => app.forget(*id),
        Message::CredentialChanged { id } => app.forget_credential(*id),
        Message::KeyChanged { id } => app.keys().forget(*id),
        // Runs hear of themselves.
        Message::CancelRun { .. } => {}
        // What was told while the line was broken was missed.
        Message::Resync => {
            app.forget_all();
            app.keys().clear();
        }
    }
}

async fn keep(app: App, retention: Retention) {
    let mut tick = tokio::time::interval(MAINTENANCE);
    tick.tick().await;
    loop {
        tick.tick().await;
        if let Err(error) = maintain(&app.store, retention).await {
            tracing::warn!(
                detail = error.log_detail(),
                "partitions not kept, tried again later: {error}"
            );
        }
    }
}
