//! A caller that hangs up: bare TCP, so that nothing is read ahead or reused.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Client;

/// A request whose answer is read as far as wanted; dropping it hangs up.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    /// What was read so far.
    pub read: Vec<u8>,
}

impl Wire {
    /// Sends `GET path` with the key of `client`.
    pub async fn get(client: &Client, path: &str) -> Self {
        let key = client.key();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
        );
        Wire::send(client, head.as_bytes()).await
    }

    /// Sends these bytes as they are.
    pub async fn send(client: &Client, bytes: &[u8]) -> Self {
        let address = client.base().strip_prefix("http://").unwrap();
        let socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut socket = TcpStream::from_std(socket).unwrap();
        socket.write_all(bytes).await.unwrap();
        Wire {
            socket,
            read: Vec::new(),
        }
    }

    /// Reads until `count` bytes have come, or the other side has closed.
    pub async fn read_at_least(&mut self, count: usize) -> &[u8] {
        let mut piece = vec![0; 64 * 1024];
        while self.read.len() < count {
            match self.socket.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(some) => self.read.extend_from_slice(&piece[..some]),
            }
        }
        &self.read
    }

    /// Reads to the end, which may be a broken one.
    pub async fn read_all(&mut self) -> &[u8] {
        self.read_at_least(usize::MAX).await
    }

    /// Says that nothing more will be sent; the answer can still be read.
    pub async fn close_sending(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// The status line and headers.
    pub fn head(&self) -> String {
        let end = self.read.windows(4).position(|four| four == b"\r\n\r\n");
        String::from_utf8_lossy(&self.read[..end.unwrap_or(self.read.len())]).into_owned()
    }
}
