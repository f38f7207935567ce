//! Estimates in flat memory, for columns whose tables are too large.

mod distinct;
mod quantiles;

pub use distinct::Distinct;
pub use quantiles::Quantiles;
