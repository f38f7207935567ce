//! The one way out: resolve, check every address, connect to one of those.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use weir_core::{Dial, Dialed, Endpoint, Error, Kind, Result, SourceFault};

use crate::egress::{Denied, Egress};

/// How long resolving or connecting may take each.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A single address of several gets at least this long before the next is tried.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens TCP streams under the egress rules.
#[derive(Debug, Clone)]
pub struct Dialer {
    egress: Egress,
    timeout: Duration,
}

impl Dialer {
    /// A dialer under these rules.
    pub fn new(egress: Egress) -> Self {
        Dialer {
            egress,
            timeout: TIMEOUT,
        }
    }

    /// The same with another limit for resolving and for connecting.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The addresses that may be used. One that can never be reached refuses
    /// the whole name: no honest name has such an address among others.
    fn permitted(&self, endpoint: &Endpoint, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>> {
        let mut permitted = Vec::with_capacity(found.len());
        for address in found {
            match self.egress.check(address.ip()) {
                Ok(()) if !permitted.contains(&address) => permitted.push(address),
                Ok(()) | Err(Denied::NotAllowed) => {}
                Err(Denied::Never(what)) => return Err(denied(endpoint, Some(what))),
            }
        }
        if permitted.is_empty() {
            return Err(denied(endpoint, None));
        }
        Ok(permitted)
    }

    async fn look_up(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>> {
        let host = bare_host(&endpoint.host);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, endpoint.port)]);
        }
        if host.is_empty() || host.contains('\0') || host.contains('/') {
            return Err(unknown_host(endpoint, "not a host name"));
        }
        let look_up = tokio::net::lookup_host((host, endpoint.port));
        match timeout_at(Instant::now() + self.timeout, look_up).await {
            Err(_) => Err(unknown_host(
                endpoint,
                "the name server did not answer in time",
            )),
            Ok(Err(error)) => Err(unknown_host(endpoint, &error.to_string())),
            Ok(Ok(found)) => {
                let found: Vec<SocketAddr> = found.collect();
                if found.is_empty() {
                    return Err(unknown_host(endpoint, "the name has no address"));
                }
                Ok(found)
            }
        }
    }
}

#[async_trait]
impl Dial for Dialer {
    async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>> {
        let found = self.look_up(endpoint).await?;
        self.permitted(endpoint, found)
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        addresses: &[SocketAddr],
    ) -> Result<Box<dyn Dialed>> {
        // Checked again: what is connected to is what was checked, whoever calls.
        let addresses = self.permitted(endpoint, addresses.to_vec())?;
        let end = Instant::now() + self.timeout;
        let mut failure = None;
        for (index, address) in addresses.iter().enumerate() {
            let is_last = index + 1 == addresses.len();
            let until = if is_last {
                end
            } else {
                end.min(Instant::now() + ADDRESS_TIMEOUT)
            };
            match timeout_at(until, open(*address)).await {
                Ok(Ok(stream)) => return Ok(Box::new(stream)),
                Ok(Err(error)) => failure = Some(connect_error(endpoint, &error)),
                Err(_) => failure = Some(connect_timeout(endpoint, self.timeout)),
            }
        }
        Err(failure.unwrap_or_else(|| denied(endpoint, None)))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the dialer that the ban points to"
)]
async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// `[::1]` and `::1` are the same host.
fn bare_host(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host)
}

fn denied(endpoint: &Endpoint, what: Option<&str>) -> Error {
    let host = &endpoint.host;
    match what {
        Some(what) => Error::new(Kind::Egress, format!("host {host} leads to {what}, which is never reached"))
            .hint("use the address of the system itself; link-local and cloud metadata addresses cannot be allowed"),
        None => Error::new(Kind::Egress, format!("host {host} is outside of the networks that this service may reach"))
            .hint("ask whoever runs this service to add the network to WEIR_EGRESS"),
    }
}

fn unknown_host(endpoint: &Endpoint, why: &str) -> Error {
    Error::source(
        SourceFault::Unavailable,
        format!("host {} cannot be resolved", endpoint.host),
    )
    .code("dns")
    .hint("check the spelling of the host name, and that the name servers of this service know it")
    .detail(why)
}

fn connect_error(endpoint: &Endpoint, error: &std::io::Error) -> Error {
    let place = place(endpoint);
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::source(
            SourceFault::Unavailable,
            format!("connection to {place} was refused"),
        )
        .code("connect_refused")
        .hint("check the port, that the server runs, and that it listens on this address"),
        ErrorKind::TimedOut => connect_timeout(endpoint, TIMEOUT),
        _ => Error::source(
            SourceFault::Unavailable,
            format!("connection to {place} failed"),
        )
        .code("connect_failed")
        .hint("check the network between this service and the host: routes, firewalls, interfaces")
        .detail(error),
    }
}

fn connect_timeout(endpoint: &Endpoint, limit: Duration) -> Error {
    let place = place(endpoint);
    Error::source(
        SourceFault::Unavailable,
        format!("{place} did not answer within {} s", limit.as_secs_f32()),
    )
    .code("connect_timeout")
    .hint("check host and port, and that no firewall drops connections from this service")
}

fn place(endpoint: &Endpoint) -> String {
    let host = bare_host(&endpoint.host);
    if host.contains(':') {
        format!("[{host}]:{}", endpoint.port)
    } else {
        format!("{host}:{}", endpoint.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint {
            host: host.into(),
            port,
        }
    }

    async fn failure(dialer: &Dialer, host: &str, port: u16) -> Error {
        let to = endpoint(host, port);
        let outcome = async { dialer.connect(&to, &dialer.resolve(&to).await?).await };
        outcome.await.err().unwrap()
    }

    #[tokio::test]
    async fn connects_to_what_listens() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer = Dialer::new(Egress::default());
        let to = endpoint("localhost", port);
        let addresses = dialer.resolve(&to).await.unwrap();
        let (mine, theirs) = tokio::join!(dialer.connect(&to, &addresses), listener.accept());
        let (mut mine, mut theirs) = (mine.unwrap(), theirs.unwrap().0);
        theirs.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 5];
        mine.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"hello");
    }

    #[tokio::test]
    async fn failures_say_what_and_where() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let dialer = Dialer::new(Egress::default());
        let refused = failure(&dialer, "127.0.0.1", port).await;
        assert_eq!(refused.stable_code(), "connect_refused");
        assert!(
            refused.message().contains(&format!("127.0.0.1:{port}")),
            "{refused}"
        );
        let unknown = failure(&dialer, "no-such-host.invalid", 1).await;
        assert_eq!(unknown.stable_code(), "dns");
        for host in ["", "a/b", "a\0b"] {
            assert_eq!(
                failure(&dialer, host, 1).await.stable_code(),
                "dns",
                "{host}"
            );
        }
    }

    #[tokio::test]
    async fn spellings_of_metadata_addresses_are_refused() {
        let dialer = Dialer::new(Egress::default());
        for host in [
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "::ffff:169.254.169.254",
            "2852039166",
            "0xA9FEA9FE",
            "0251.0376.0251.0376",
            "169.254.43518",
            "0.0.0.0",
            "0",
            "[::]",
            "fe80::1",
            "64:ff9b::a9fe:a9fe",
        ] {
            let error = failure(&dialer, host, 80).await;
            assert_eq!(error.stable_code(), "egress_denied", "{host}: {error}");
        }
    }

    #[tokio::test]
    async fn connect_checks_addresses_again() {
        let dialer = Dialer::new(Egress::parse("10.0.0.0/8").unwrap());
        let to = endpoint("db.example", 5432);
        for address in ["169.254.169.254:80", "127.0.0.1:5432"] {
            let error = dialer
                .connect(&to, &[address.parse().unwrap()])
                .await
                .err()
                .unwrap();
            assert_eq!(error.kind(), Kind::Egress, "{address}");
        }
    }
}
