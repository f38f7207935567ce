//! Sockets in, requests out: the accept loop.
//!
//! A ready-made server bounds nothing here: a peer that sends half a head, or
//! never reads its answer, would keep a socket, a query and memory for ever.
//! Everything a peer may take is bounded below: time for a head, idle time,
//! time without taking a byte, size of a head, streams, connections.

mod connection;
mod exchange;
mod socket;
pub mod tls;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_core::task::Compute;

pub use tls::ServerTls;

/// What one peer, and all together, may take.
#[derive(Debug, Clone)]
pub struct ListenLimits {
    /// Time for the first byte of a request up to the end of its head; for a
    /// new connection it counts from its acceptance, handshake included.
    pub head: Duration,
    /// Time that a connection may lie idle between requests.
    pub idle: Duration,
    /// Time in which a peer must take at least one byte of its answer.
    pub write_stall: Duration,
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Requests at once on an HTTP/2 connection.
    pub streams: u32,
}

impl Default for ListenLimits {
    fn default() -> Self {
        ListenLimits {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write_stall: Duration::from_secs(60),
            connections: 10_000,
            headers: 100,
            head_bytes: 64 << 10,
            streams: 100,
        }
    }
}

/// Serves `router` until `stopping` fires and the connections have ended, or
/// `abort` fires, which drops those that are left.
pub struct Listener {
    /// Where connections come from.
    pub sockets: TcpListener,
    /// How they are encrypted, if they are.
    pub tls: Option<ServerTls>,
    /// Answers the requests.
    pub router: Router,
    /// Where the connections run.
    pub tasks: Compute,
    /// What they may take.
    pub limits: ListenLimits,
}

/// A process without file descriptors left must not spin: each failed accept
/// waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Listener {
    /// Runs until the end that [`Listener`] names.
    pub async fn run(self, stopping: CancellationToken, abort: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.limits.connections));
        let open = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                accepted = accept(&self.sockets, &room) => accepted,
            };
            let (socket, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    metrics::counter!("weir_accept_failures_total").increment(1);
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let serve = connection::serve(
                socket,
                self.tls.clone(),
                self.router.clone(),
                self.limits.clone(),
                stopping.clone(),
            );
            let abort = abort.clone();
            let work = open.track_future(async move {
                let _permit = permit;
                tokio::select! {
                    () = serve => {}
                    () = abort.cancelled() => {}
                }
            });
            self.tasks.spawn(work).detach();
        }
        // Frees the port, so that a successor can take it while streams end.
        drop(self.sockets);
        open.close();
        open.wait().await;
    }
}

/// Bytes of an answer that may wait in the kernel before any of them is sent.
const UNSENT: u32 = 128 << 10;

/// A kernel that takes megabytes ahead hides for minutes whether the peer reads,
/// and keeps memory that nobody counts. What is under way stays as large as the
/// network needs.
fn hold_little(socket: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!("the kernel does not bound what waits unsent: {error}");
    }
}

/// The next connection, once there is room for it. A peer that has gone again
/// before it was accepted is no failure of ours.
async fn accept(
    sockets: &TcpListener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    use std::io::ErrorKind;
    let permit = Arc::clone(room)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    loop {
        match sockets.accept().await {
            Ok((socket, _peer)) => {
                // Small answers leave at once; a socket that refuses is dead anyway.
                let _refused = socket.set_nodelay(true);
                hold_little(&socket);
                return Ok((socket, permit));
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted
                        | ErrorKind::ConnectionReset
                        | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}
