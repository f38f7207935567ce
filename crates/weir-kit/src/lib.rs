//! What connectors share: quoting of identifiers, a keeper of connections, the
//! checks that every sink makes, the limits that hold for every statement, and
//! the paths of the machine that may be opened.

pub mod ahead;
pub mod beneath;
pub mod keeper;
pub mod quote;
pub mod statement;
pub mod write;

pub use beneath::PathRules;
pub use keeper::{Keeper, KeeperSettings, Kept, Place};
pub use quote::Dialect;
