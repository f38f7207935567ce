//! From the address to the last connection: listening, and stopping in order.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weir_api::state::Limits;
use weir_core::task::{Compute, Task};
use weir_listen::{ListenLimits, Listener, ServerTls};

use crate::files::write_private;
use crate::serve::explained;
use crate::settings::Settings;

/// Files that the store, sources, spilling and the log may need beside sockets.
const OTHER_FILES: u64 = 128;

/// How long streams may take to tell their callers that they break off.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How far the service has stopped.
#[derive(Clone, Default)]
pub struct Stages {
    /// Not ready any more: balancers may look elsewhere.
    pub draining: CancellationToken,
    /// No new connection, no new request.
    pub stopping: CancellationToken,
    /// What still runs ends, visibly.
    pub shutdown: CancellationToken,
}

/// What connections may take: what the limits say, as far as the process may
/// open files.
pub fn listen_limits(limits: &Limits) -> ListenLimits {
    let files = open_files();
    let room = files.saturating_sub(OTHER_FILES).max(files / 2);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room < limits.connections {
        tracing::warn!(
            files,
            connections = room,
            "the process may open few files, so it takes fewer connections; raise `ulimit -n`"
        );
    }
    ListenLimits {
        head: Duration::from_millis(limits.head_ms),
        idle: Duration::from_millis(limits.idle_ms),
        write_stall: Duration::from_millis(limits.write_stall_ms),
        connections: limits.connections.min(room),
        ..ListenLimits::default()
    }
}

/// Files this process may open, once the soft limit is as high as it may be:
/// the low default is for programs that use `select`.
fn open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 1024;
    };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// The certificate to serve with, if one is set.
pub fn tls(settings: &Settings) -> Result<Option<ServerTls>> {
    let (certificate, key) = match (&settings.tls_cert, &settings.tls_key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => bail!("WEIR_TLS_CERT is set, WEIR_TLS_KEY is not"),
        (None, Some(_)) => bail!("WEIR_TLS_KEY is set, WEIR_TLS_CERT is not"),
    };
    ServerTls::read(certificate, key)
        .map(Some)
        .map_err(explained)
        .context("HTTPS cannot be served; see WEIR_TLS_CERT and WEIR_TLS_KEY")
}

/// What is served, and within which bounds.
pub struct Serving {
    /// Where connections come from.
    pub sockets: TcpListener,
    /// How they are encrypted, if they are.
    pub tls: Option<ServerTls>,
    /// Answers the requests.
    pub router: Router,
    /// What connections may take.
    pub limits: ListenLimits,
    /// Where connections run.
    pub tasks: Compute,
}

/// Serves until SIGTERM or SIGINT, then lets loads finish up to a limit.
pub async fn serve(
    settings: &Settings,
    serving: Serving,
    data_dir: &Path,
    stages: &Stages,
) -> Result<()> {
    let Serving {
        sockets,
        tls,
        router,
        limits,
        tasks,
    } = serving;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", sockets.local_addr()?);
    // Watched before anybody is told that the service is there.
    let signals = Signals::watch()?;
    write_private(&data_dir.join("address"), &format!("{url}\n"))?;
    tracing::info!("ready on {url}");
    let _following = tls.clone().map(|tls| tasks.spawn(tls.follow()));
    let abort = CancellationToken::new();
    let listener = Listener {
        sockets,
        tls,
        router,
        tasks: tasks.clone(),
        limits,
    };
    let running = tasks.spawn(listener.run(stages.stopping.clone(), abort.clone()));
    stop(settings, signals, stages, running).await;
    abort.cancel();
    Ok(())
}

/// Waits for the signal and goes through the stages.
async fn stop(settings: &Settings, mut signals: Signals, stages: &Stages, mut running: Task<()>) {
    signals.next().await;
    tracing::info!("stopping: no new requests, running loads may finish");
    stages.draining.cancel();
    let is_hurried = tokio::select! {
        () = tokio::time::sleep(settings.drain_delay()) => false,
        () = signals.next() => true,
    };
    stages.stopping.cancel();
    if !is_hurried {
        tokio::select! {
            _ = &mut running => return,
            () = tokio::time::sleep(settings.drain_limit()) => {
                tracing::warn!("aborting what still runs");
            }
            () = signals.next() => tracing::warn!("second signal: aborting what still runs"),
        }
    }
    // Streams end with an error, so no caller takes a part for the whole.
    stages.shutdown.cancel();
    // Whoever does not read by then learns it from the closed connection.
    let _late = tokio::time::timeout(LAST_WORDS, running).await;
}

/// SIGTERM and SIGINT.
struct Signals {
    term: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn watch() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
