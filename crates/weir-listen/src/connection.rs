//! One connection: handshake, requests, and the watch over its peer.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures::FutureExt;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::exchange::{Exchanges, Panicked, Watched};
use crate::socket::Socket;
use crate::{ListenLimits, ServerTls};

/// How often a connection looks at its peer.
const WATCH: Duration = Duration::from_secs(1);

/// Serves one connection to its end.
pub(crate) async fn serve(
    socket: TcpStream,
    tls: Option<ServerTls>,
    router: Router,
    limits: ListenLimits,
    stopping: CancellationToken,
) {
    let accepted = Instant::now();
    let Ok(peer) = socket.peer_addr() else {
        return;
    };
    tracing::trace!(%peer, "a connection");
    match tls {
        None => requests(socket, peer, router, limits, stopping, accepted).await,
        Some(tls) => {
            let shaken = tokio::time::timeout(limits.head, tls.acceptor().accept(socket)).await;
            match shaken {
                Ok(Ok(socket)) => requests(socket, peer, router, limits, stopping, accepted).await,
                Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
                Err(_) => tracing::debug!("a TLS handshake did not end in time"),
            }
        }
    }
}

async fn requests<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: S,
    peer: SocketAddr,
    router: Router,
    limits: ListenLimits,
    stopping: CancellationToken,
    accepted: Instant,
) {
    let exchanges = Exchanges::new();
    let io = Socket::new(
        socket,
        Arc::clone(&exchanges),
        accepted,
        limits.head,
        limits.write_stall,
    );
    let answering = Arc::clone(&exchanges);
    let service = service_fn(move |request: Request<Incoming>| {
        let running = answering.begin();
        let router = router.clone();
        async move {
            let (mut parts, body) = request.into_parts();
            parts.extensions.insert(ConnectInfo(peer));
            let request = Request::from_parts(parts, Body::new(body));
            // A panic ends this request visibly, and not the others of the connection.
            let answering = AssertUnwindSafe(router.oneshot(request)).catch_unwind();
            match answering.await {
                Ok(Ok(answer)) => Ok(answer.map(|body| Watched::new(body, running))),
                Ok(Err(never)) => match never {},
                Err(_) => Err(Panicked),
            }
        }
    });
    let builder = builder(&limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut watch = tokio::time::interval(WATCH.min(limits.write_stall));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!("a connection broke: {error}");
                }
                return;
            }
            () = stopping.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = watch.tick() => {
                if exchanges.has_stalled(limits.write_stall) {
                    metrics::counter!("weir_connections_closed_total", "why" => "write_stall").increment(1);
                    return;
                }
                if exchanges.running() == 0 && exchanges.quiet() > limits.idle {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder(limits: &ListenLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The head's own limit is kept by the socket; this one bounds idleness.
        .header_read_timeout(limits.idle)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
