//! A line to the server that holds every piece up for a while.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use weir_core::Secret;
use weir_core::task::Compute;

use crate::connection::parse;

/// The url of the same database through a line that takes `delay` each way.
pub(super) async fn slow(url: &Secret, delay: Duration) -> Secret {
    let options = parse(url).unwrap();
    let socket = options.get_socket().unwrap();
    let server = socket.join(format!(".s.PGSQL.{}", options.get_port()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let compute = Compute::current();
    let inner = compute.clone();
    let serving = async move {
        while let Ok((near, _)) = listener.accept().await {
            near.set_nodelay(true).unwrap();
            let far = UnixStream::connect(&server).await.unwrap();
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            inner.spawn(carry(near_in, far_out, delay)).detach();
            inner.spawn(carry(far_in, near_out, delay)).detach();
        }
    };
    compute.spawn(serving).detach();
    let (user, database) = (options.get_username(), options.get_database().unwrap());
    Secret::new(format!(
        "postgres://{user}@127.0.0.1:{port}/{database}?sslmode=disable"
    ))
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(some @ 1..) = from.read(&mut piece).await {
        tokio::time::sleep(delay).await;
        if to.write_all(&piece[..some]).await.is_err() {
            return;
        }
    }
}
