//! What values mean: numbers and dates read out of text, cleaned names, types
//! of columns, statistics, outliers. Pure functions over Arrow arrays; no plan,
//! no stream and no request is known here.

pub mod calc;
pub mod calendar;
pub mod case;
pub mod columns;
pub mod convert;
pub mod counts;
pub mod dates;
pub mod detect;
pub mod dice;
pub mod fill;
pub mod imputation;
pub mod instants;
mod kinds;
pub mod missing;
pub mod moment;
pub mod moments;
pub mod names;
pub mod number;
pub mod order;
pub mod outliers;
pub mod patterns;
pub mod pieces;
pub mod quantile;
pub mod replace;
pub mod scale;
pub mod sketch;
pub mod texts;
pub mod trim;
pub mod words;

pub use kinds::ColumnKind;
