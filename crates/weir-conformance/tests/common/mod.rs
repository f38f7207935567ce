//! What the tests of the suite share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use weir_conformance::Expect;
use weir_core::task::Compute;
use weir_core::{Context, Deadline, Dial, Dialed, Endpoint, Error, Kind, Result, StreamId};

struct Offline;

#[async_trait]
impl Dial for Offline {
    async fn resolve(&self, _: &Endpoint) -> Result<Vec<SocketAddr>> {
        Err(Error::new(Kind::Egress, "offline"))
    }

    async fn connect(&self, _: &Endpoint, _: &[SocketAddr]) -> Result<Box<dyn Dialed>> {
        Err(Error::new(Kind::Egress, "offline"))
    }
}

/// A context without a network.
pub fn context() -> Context {
    Context {
        deadline: Deadline::after(Duration::from_secs(60)),
        cancel: tokio_util::sync::CancellationToken::new(),
        dialer: Arc::new(Offline),
        compute: Compute::current(),
        memory: weir_core::Account::unbounded(),
    }
}

/// What is known of a stream.
pub fn expect(stream: &[&str], rows: u64, order_by: &str) -> Expect {
    Expect {
        stream: StreamId::from_parts(stream.iter().copied()),
        rows,
        order_by: order_by.into(),
    }
}
