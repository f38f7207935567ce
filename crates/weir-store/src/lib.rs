//! The metadata Postgres: sources, sealed credentials, api keys, instances, and
//! the private server that is started where none is given.

mod access;
mod api_keys;
mod audit;
mod audit_list;
mod connection;
mod credentials;
pub mod embedded;
mod failure;
mod idempotency;
mod instances;
mod managed;
mod messages;
mod migrate;
mod named;
pub mod partitions;
mod recipes;
mod rewrap;
mod runs;
mod scopes;
mod seal;
mod settings;
mod sources;
#[cfg(test)]
mod tests;

pub use access::{Access, AccessLog};
pub use api_keys::{ApiKeyChange, ApiKeyRow, NewApiKey, Rotation};
pub use audit::{Act, Actor};
pub use audit_list::{AuditFilter, AuditPage, AuditPlace, AuditRow};
pub use connection::{Store, StoreOptions};
pub use credentials::{
    CredentialChange, CredentialRow, CredentialUse, Fields, NewCredential, VersionRow,
};
pub use idempotency::{Claimed, IdempotencyClaim, KeptAnswer};
pub use instances::{Instance, InstanceRow};
pub use managed::Turn;
pub use messages::{Message, Messages};
pub use named::{ListFilter, ObjectRef};
pub use recipes::{NewRecipe, RecipeChange, RecipeRow, RecipeVersionRow, Steps};
pub use runs::{NewRun, RunEnd, RunFilter, RunRow, RunSight, RunStatus, run_id_taken};
pub use scopes::Scopes;
pub use seal::Seal;
pub use sources::{LastTest, NewSource, SourceChange, SourceRow};
