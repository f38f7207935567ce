//! What callers see, by path.

mod auth;
mod connectors;
mod credentials;
mod conventions;
mod cors;
mod errors;
mod idempotency;
mod openapi;
pub mod sources;
mod system;
