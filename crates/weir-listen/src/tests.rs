//! Peers that misbehave, against limits small enough to wait for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use weir_core::task::{Compute, Task};

use crate::{ListenLimits, Listener, ServerTls};

const HEAD: Duration = Duration::from_millis(300);
const IDLE: Duration = Duration::from_millis(1200);
const STALL: Duration = Duration::from_millis(500);

struct Served {
    address: std::net::SocketAddr,
    stopping: CancellationToken,
    abort: CancellationToken,
    /// Endless answers that have not been dropped.
    endless: Arc<AtomicUsize>,
    task: Task<()>,
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a peer that misbehaves on loopback"
)]
async fn try_connect(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}

async fn connect(address: std::net::SocketAddr) -> TcpStream {
    try_connect(address).await.unwrap()
}

async fn served(change: impl FnOnce(&mut ListenLimits), tls: Option<ServerTls>) -> Served {
    let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = sockets.local_addr().unwrap();
    let endless = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&endless);
    let router = Router::new()
        .route("/", get(|| async { "here" }))
        .route(
            "/panic",
            get(|| async {
                let panics = |here: bool| assert!(!here, "on purpose");
                panics(true);
            }),
        )
        .route(
            "/panic-later",
            get(|| async {
                let chunks = futures::stream::iter(0..2).map(|n| {
                    assert!(n < 1, "on purpose");
                    Ok::<_, io::Error>("some")
                });
                Body::from_stream(chunks)
            }),
        )
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(2 * STALL).await;
                "late"
            }),
        )
        .route(
            "/endless",
            get(move || async move {
                count.fetch_add(1, Ordering::SeqCst);
                let counted = Counted(count);
                let chunks = futures::stream::repeat_with(move || {
                    let _counted = &counted;
                    Ok::<_, io::Error>(vec![7_u8; 64 << 10])
                });
                Body::from_stream(chunks)
            }),
        );
    let mut limits = ListenLimits {
        head: HEAD,
        idle: IDLE,
        write_stall: STALL,
        ..ListenLimits::default()
    };
    change(&mut limits);
    let (stopping, abort) = (CancellationToken::new(), CancellationToken::new());
    let listener = Listener {
        sockets,
        tls,
        router,
        tasks: Compute::current(),
        limits,
    };
    let task = Compute::current().spawn(listener.run(stopping.clone(), abort.clone()));
    Served {
        address,
        stopping,
        abort,
        endless,
        task,
    }
}

/// How long until the server closed, and what it had sent.
async fn until_closed(socket: &mut TcpStream) -> (Duration, Vec<u8>) {
    let start = Instant::now();
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut all));
    // A reset is an end like any other.
    let _reset = read.await.expect("the server kept the connection");
    (start.elapsed(), all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_end_is_cut() {
    let served = served(|_| {}, None).await;
    for start in ["", "G", "GET / HTTP/1.1\r\nhost: x\r\n", "PRI * HTTP/2"] {
        let mut socket = connect(served.address).await;
        socket.write_all(start.as_bytes()).await.unwrap();
        let (after, _) = until_closed(&mut socket).await;
        assert!(after >= HEAD / 2 && after < HEAD * 4, "{start:?} {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_in_drops_is_cut_too() {
    let served = served(|_| {}, None).await;
    let mut socket = connect(served.address).await;
    let start = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nx-long: 0123456789012345678901234567890\r\n".iter() {
        if socket.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(HEAD / 10).await;
    }
    let (_, all) = until_closed(&mut socket).await;
    assert!(start.elapsed() < HEAD * 7 && !all.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_head_has_its_own_time_and_idleness_another() {
    let served = served(|_| {}, None).await;
    let mut socket = connect(served.address).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut buffer = [0; 1024];
    for _ in 0..2 {
        socket.write_all(request).await.unwrap();
        assert!(socket.read(&mut buffer).await.unwrap() > 0);
        // Longer than a head may take, shorter than a connection may lie idle.
        tokio::time::sleep(HEAD * 2).await;
    }
    socket.write_all(b"GET / HT").await.unwrap();
    let (after, _) = until_closed(&mut socket).await;
    assert!(after < HEAD * 3, "{after:?}");

    let mut idle = connect(served.address).await;
    idle.write_all(request).await.unwrap();
    let (after, all) = until_closed(&mut idle).await;
    assert!(all.ends_with(b"here"));
    assert!(after >= IDLE && after < IDLE * 4, "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_loses_its_answer() {
    let served = served(|_| {}, None).await;
    let mut socket = connect(served.address).await;
    let request = b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let start = Instant::now();
    while served.endless.load(Ordering::SeqCst) == 0 && start.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while served.endless.load(Ordering::SeqCst) > 0 && start.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = start.elapsed();
    assert!(after >= STALL && after < STALL * 8, "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_is_no_stall_of_its_peer() {
    let served = served(|_| {}, None).await;
    let mut socket = connect(served.address).await;
    let request = b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let (_, all) = until_closed(&mut socket).await;
    assert!(all.ends_with(b"late"), "{}", String::from_utf8_lossy(&all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_peer_that_reads_steadily_keeps_its_answer() {
    let served = served(|_| {}, None).await;
    let mut socket = connect(served.address).await;
    let request = b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut buffer = vec![0; 256 << 10];
    let start = Instant::now();
    while start.elapsed() < 6 * STALL {
        assert!(socket.read(&mut buffer).await.unwrap() > 0, "it was cut");
        tokio::time::sleep(STALL / 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_its_request_visibly() {
    let served = served(|_| {}, None).await;
    for path in ["/panic", "/panic-later"] {
        let mut socket = connect(served.address).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let (_, all) = until_closed(&mut socket).await;
        let text = String::from_utf8_lossy(&all);
        assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let served = served(|limits| limits.connections = 1, None).await;
    let mut first = connect(served.address).await;
    let mut second = connect(served.address).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    second.write_all(request).await.unwrap();
    // The first one says nothing, so its place is free after the limit of a head.
    let (_, nothing) = until_closed(&mut first).await;
    let (_, all) = until_closed(&mut second).await;
    assert!(nothing.is_empty() && all.ends_with(b"here"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_too_large_is_refused() {
    let served = served(|limits| limits.head_bytes = 8 << 10, None).await;
    let many = "x: y\r\n".repeat(101);
    let large = format!("x: {}\r\n", "y".repeat(32 << 10));
    for lines in [many, large] {
        let mut socket = connect(served.address).await;
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{lines}\r\n");
        let _reset = socket.write_all(request.as_bytes()).await;
        let (_, all) = until_closed(&mut socket).await;
        let text = String::from_utf8_lossy(&all);
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 431"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_lets_answers_end_and_abort_does_not() {
    let served = served(|limits| limits.write_stall = 60 * STALL, None).await;
    let request = |path| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut slow = connect(served.address).await;
    slow.write_all(request("/slow").as_bytes()).await.unwrap();
    let mut endless = connect(served.address).await;
    endless
        .write_all(request("/endless").as_bytes())
        .await
        .unwrap();
    let mut buffer = vec![0; 1 << 16];
    assert!(endless.read(&mut buffer).await.unwrap() > 0);
    served.stopping.cancel();
    let (_, all) = until_closed(&mut slow).await;
    assert!(all.ends_with(b"late"));
    assert!(!served.task.is_finished());
    assert!(try_connect(served.address).await.is_err());
    served.abort.cancel();
    tokio::time::timeout(Duration::from_secs(2), served.task)
        .await
        .expect("aborted")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_certificate_serves_new_handshakes() {
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let write = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().to_vec()
    };
    let first = write();
    let tls = ServerTls::read(&certificate, &key).unwrap();
    let following = Compute::current().spawn(tls.clone().follow());
    let served = served(|_| {}, Some(tls)).await;
    assert_eq!(seen_certificate(served.address, &first).await, "here");
    std::fs::write(&certificate, "nonsense").unwrap();
    tokio::time::sleep(Duration::from_millis(5500)).await;
    assert_eq!(seen_certificate(served.address, &first).await, "here");
    let second = write();
    tokio::time::sleep(Duration::from_millis(5500)).await;
    assert_eq!(seen_certificate(served.address, &second).await, "here");
    drop(following);
}

/// Asks over TLS, trusting just `certificate`, and gives the body.
async fn seen_certificate(address: std::net::SocketAddr, certificate: &[u8]) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.to_vec().into()).unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let socket = connect(address).await;
    let name = "localhost".try_into().unwrap();
    let mut socket = connector
        .connect(name, socket)
        .await
        .expect("the certificate");
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut text = Vec::new();
    let _end = socket.read_to_end(&mut text).await;
    let text = String::from_utf8(text).unwrap();
    text.rsplit("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .to_owned()
}
