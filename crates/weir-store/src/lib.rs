//! The metadata Postgres: sources, sealed credentials, api keys, instances, and
//! the private server that is started where none is given.

mod api_keys;
mod connection;
pub mod embedded;
mod instances;
mod migrate;
mod seal;
mod settings;
mod sources;

pub use api_keys::{ApiKeyRow, NewApiKey};
pub use connection::{Store, StoreOptions};
pub use instances::{Instance, Message};
pub use seal::Seal;
pub use sources::{LastTest, NewSource, SourceChange, SourceFilter, SourceRef, SourceRow};
