//! What connectors share: quoting of identifiers, a keeper of connections, the
//! checks that every sink makes, and
//! the limits that hold for every statement.

pub mod ahead;
pub mod keeper;
pub mod quote;
pub mod statement;
pub mod write;

pub use keeper::{Keeper, KeeperSettings, Kept, Place};
pub use quote::Dialect;
