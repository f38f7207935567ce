//! What callers see, by path.

mod auth;
mod connectors;
mod credentials;
mod errors;
mod openapi;
pub mod sources;
mod system;
