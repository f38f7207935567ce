//! What values mean: numbers and dates read out of text, cleaned names, types
//! of columns, statistics, outliers. Pure functions over Arrow arrays; no plan,
//! no stream and no request is known here.

mod kinds;

pub use kinds::ColumnKind;
