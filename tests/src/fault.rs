//! A network that fails on command: bytes go to and from the test's PostgreSQL
//! server until enough have come from it. It has a thread of its own, so that a
//! test may wait for programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::postgres::server;

/// What happens to a connection once enough has come through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is closed, as by a server that goes away.
    Cut,
    /// It is reset, as by a firewall that forgot it.
    Reset,
    /// Nothing comes any more, and nobody says so.
    Silence,
}

/// How long a client may take to read what came before a reset.
const READ: Duration = Duration::from_secs(1);

/// A proxy before the test's PostgreSQL server; dropping it ends it.
#[derive(Debug)]
pub struct FaultProxy {
    /// Its port on 127.0.0.1.
    pub port: u16,
    after: Arc<AtomicU64>,
    _running: oneshot::Sender<()>,
}

impl FaultProxy {
    /// Fails each connection when `after` bytes have come from the server.
    pub fn start(fault: Fault, after: u64) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let after = Arc::new(AtomicU64::new(after));
        let (_running, over) = oneshot::channel();
        let shared = Arc::clone(&after);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    _dropped = over => {}
                    () = accept(&listener, fault, &shared) => {}
                }
            });
        });
        FaultProxy {
            port,
            after,
            _running,
        }
    }

    /// From now on connections fail after `after` bytes; those that are open, too.
    pub fn fail_after(&self, after: u64) {
        self.after.store(after, Ordering::SeqCst);
    }
}

async fn accept(listener: &TcpListener, fault: Fault, after: &AtomicU64) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (client, _) = accepted.unwrap();
                connections.push(connection(client, fault, after));
            }
            Some(()) = connections.next() => {}
        }
    }
}

async fn connection(mut client: TcpStream, fault: Fault, after: &AtomicU64) {
    let address = ([127, 0, 0, 1], server().port).into();
    let socket = TcpSocket::new_v4().unwrap();
    let Ok(mut server) = socket.connect(address).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let asked = tokio::io::copy(&mut from_client, &mut to_server);
    let has_failed = tokio::select! {
        _gone = asked => false,
        failed = answer(&mut from_server, &mut to_client, after) => failed,
    };
    if !has_failed {
        return;
    }
    match fault {
        Fault::Cut => client.shutdown().await.unwrap_or_default(),
        Fault::Reset => {
            // What a client has not read it loses, so it gets time to read.
            tokio::time::sleep(READ).await;
            return client.set_zero_linger().unwrap();
        }
        Fault::Silence => {}
    }
    // Until the client gives up: to close with bytes unread would be a reset.
    let mut piece = [0; 1 << 10];
    while let Ok(1..) = client.read(&mut piece).await {}
}

/// Gives the client what the server sends; true when that was enough.
async fn answer(server: &mut ReadHalf<'_>, client: &mut WriteHalf<'_>, after: &AtomicU64) -> bool {
    let (mut came, mut piece) = (0_u64, vec![0; 16 << 10]);
    while let Ok(count @ 1..) = server.read(&mut piece).await {
        let left = after.load(Ordering::SeqCst).saturating_sub(came);
        let passed = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        if client.write_all(&piece[..passed]).await.is_err() {
            return false;
        }
        came += count as u64;
        if passed < count {
            return true;
        }
    }
    false
}
