//! What callers see, by path.

mod audit;
mod auth;
mod connectors;
mod conventions;
mod cors;
mod credentials;
mod cuts;
mod errors;
mod formats;
mod golden;
mod hostile;
mod idempotency;
mod keys;
mod limits;
mod memory;
mod metrics;
mod negotiation;
mod openapi;
mod pool;
mod profile;
mod recipes;
mod runs;
pub mod sources;
mod steps;
mod system;
mod transform;
