//! What callers see, by path.

mod auth;
mod connectors;
mod conventions;
mod cors;
mod credentials;
mod errors;
mod formats;
mod idempotency;
mod negotiation;
mod openapi;
mod runs;
pub mod sources;
mod system;
mod transform;
