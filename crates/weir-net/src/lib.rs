//! Everything that leaves: the egress rules, the dialer that resolves, checks
//! and connects, and TLS over whatever it gives.
//!
//! Connectors reach it through `weir_core::Context::dial`; they never open a
//! socket themselves, so a rule here holds for all of them.

pub mod dialer;
pub mod egress;
pub mod tls;

pub use dialer::Dialer;
pub use egress::Egress;
pub use tls::{TlsClient, TlsMode, TlsSettings, connect_tls};

/// Makes aws-lc-rs the cryptography of every TLS connection of this process.
/// Calling it again changes nothing.
pub fn install_crypto() {
    // An error only says that a provider is in place already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
