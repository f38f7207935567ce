//! What values mean: numbers and dates read out of text, cleaned names, types
//! of columns, statistics, outliers. Pure functions over Arrow arrays; no plan,
//! no stream and no request is known here.

pub mod calendar;
pub mod columns;
mod kinds;
pub mod moment;
pub mod names;
pub mod number;
pub mod patterns;
pub mod texts;

pub use kinds::ColumnKind;
