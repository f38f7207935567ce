//! `weir doctor`: looks at the configuration, the store, the master key and
//! every source, and says what is wrong. Changes nothing but the sources' `last_test`.

use std::time::Duration;

use anyhow::Result;
use weir_api::doctor::{Diagnosis, examine};
use weir_api::state::App;
use weir_core::task::Compute;
use weir_store::ListFilter;

use crate::listen::Stages;
use crate::serve::{self, Stored};
use crate::settings::Settings;

/// Sources that are listed at once.
const PAGE: usize = 200;

/// Prints what it finds; says whether everything works.
pub fn examine_all(settings: Result<Settings>) -> Result<bool> {
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            say("configuration", false, &format!("{error:#}"));
            return Ok(false);
        }
    };
    let (http, compute) = serve::runtimes()?;
    let outcome = http.block_on(look(&settings, Compute::new(compute.handle().clone())));
    compute.shutdown_timeout(Duration::from_secs(2));
    http.shutdown_timeout(Duration::from_secs(2));
    Ok(outcome)
}

async fn look(settings: &Settings, compute: Compute) -> bool {
    let listen = settings.listen();
    let keys = settings.master_key().map(drop);
    let tls = crate::listen::tls(settings).map(drop);
    let configured = listen.map(drop).and(keys).and(tls);
    match &configured {
        Ok(()) => say("configuration", true, ""),
        Err(error) => say("configuration", false, &format!("{error:#}")),
    }
    let stored = match Stored::connect(settings, compute.clone()).await {
        Ok(stored) => stored,
        Err(error) => {
            say("store", false, &format!("{error:#}"));
            return false;
        }
    };
    let works = look_into(settings, &stored, compute).await;
    stored.close().await;
    works && configured.is_ok()
}

async fn look_into(settings: &Settings, stored: &Stored, compute: Compute) -> bool {
    if let Err(error) = serve::unlock_known(settings, &stored.store).await {
        say("master key", false, &format!("{error:#}"));
        return false;
    }
    if let Err(error) = stored.store.ready().await {
        say("store", false, &format!("{:#}", serve::explained(error)));
        return false;
    }
    say("store", true, "");
    say("master key", true, "");
    let stages = Stages::default();
    let app = match serve::app(settings, &stored.store, uuid::Uuid::nil(), compute, &stages) {
        Ok(app) => app,
        Err(error) => {
            say("configuration", false, &format!("{error:#}"));
            return false;
        }
    };
    let works = match sources(&app).await {
        Ok(works) => works,
        Err(error) => {
            say("sources", false, &format!("{:#}", serve::explained(error)));
            false
        }
    };
    stages.shutdown.cancel();
    works
}

async fn sources(app: &App) -> weir_core::Result<bool> {
    let mut filter = ListFilter {
        limit: PAGE,
        ..ListFilter::default()
    };
    let (mut all, mut working) = (0, 0);
    loop {
        let (page, next) = examine(app, &filter).await?;
        for one in &page {
            all += 1;
            working += usize::from(one.ok);
            tell(one);
        }
        match next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    say(
        "sources",
        working == all,
        &format!("{working} of {all} work"),
    );
    Ok(working == all)
}

fn tell(one: &Diagnosis) {
    let text = match &one.error {
        None => format!("{:.1} ms", one.latency_ms),
        Some(error) => {
            let step = one.failed_at.as_deref().unwrap_or("test");
            let hint = error
                .hint
                .as_deref()
                .map(|hint| format!("\n  what to check: {hint}"))
                .unwrap_or_default();
            format!("{} at {step}: {}{hint}", error.code, error.message)
        }
    };
    say(&one.reference, one.ok, &text);
}

/// One line of the table.
fn say(what: &str, ok: bool, text: &str) {
    let state = if ok { "ok" } else { "FAILED" };
    let line = format!("{what:<32} {state:<7} {text}");
    // A reader that went away is not a failure.
    let _ = crate::print(&format!("{}\n", line.trim_end()));
}
