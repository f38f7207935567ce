//! What a call runs in: its deadline, its cancellation, and the only way out
//! to the network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::memory::Account;
use crate::task::Compute;

/// A byte stream to a source, whatever lies below it.
pub trait Dialed: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Dialed for T {}

/// Where a connector wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Opens streams. Egress rules, name resolution and (later) tunnels live
/// behind it, so connectors never open sockets themselves.
#[async_trait]
pub trait Dial: Send + Sync {
    /// The addresses of `endpoint` that the egress rules allow; an error names
    /// the rule or the failed look-up.
    async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<std::net::SocketAddr>>;

    /// Connects to the first of `addresses` that answers.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        addresses: &[std::net::SocketAddr],
    ) -> Result<Box<dyn Dialed>>;
}

/// When a call must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline this far from now.
    pub fn after(duration: Duration) -> Self {
        Deadline(Instant::now() + duration)
    }

    /// How long is left; zero when it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The instant itself.
    pub fn instant(self) -> Instant {
        self.0
    }
}

/// What a call runs in. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// When the call must have ended.
    pub deadline: Deadline,
    /// Fires when the caller went away, cancelled, or the service stops.
    pub cancel: CancellationToken,
    /// The way to the network.
    pub dialer: Arc<dyn Dial>,
    /// Where decoding, encoding and other long computing runs.
    pub compute: Compute,
    /// The memory that the call may hold.
    pub memory: Account,
}

impl Context {
    /// Resolves and connects in one go.
    pub async fn dial(&self, endpoint: &Endpoint) -> Result<Box<dyn Dialed>> {
        let addresses = self.dialer.resolve(endpoint).await?;
        self.dialer.connect(endpoint, &addresses).await
    }

    /// Runs `work` until it ends, the deadline passes or the call is cancelled.
    pub async fn bounded<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(cancelled()),
            outcome = tokio::time::timeout_at(self.deadline.instant().into(), work) => {
                outcome.unwrap_or_else(|_| Err(deadline_passed()))
            }
        }
    }

    /// An error when the call must have ended by now.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        if self.deadline.left().is_zero() {
            return Err(deadline_passed());
        }
        Ok(())
    }

    /// Why the call must end, as soon as it must.
    pub async fn ended(self) -> Error {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => cancelled(),
            () = tokio::time::sleep_until(self.deadline.instant().into()) => deadline_passed(),
        }
    }

    /// The same context with an earlier deadline, if `limit` is earlier.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Context {
            deadline: self.deadline.min(Deadline::after(limit)),
            ..self.clone()
        }
    }
}

/// The error of a cancelled call.
pub fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "the request was cancelled")
}

/// The error of a passed deadline.
pub fn deadline_passed() -> Error {
    Error::new(Kind::Deadline, "the deadline passed before the source answered")
        .hint("raise timeout_ms, narrow the read with columns, filter or limit, or look at what the source is busy with")
}
