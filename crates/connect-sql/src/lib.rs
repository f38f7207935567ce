//! Connectors to databases that speak SQL over their own wire protocol.

pub mod postgres;

pub use weir_kit::KeeperSettings;
