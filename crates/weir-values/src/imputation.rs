//! Which way of filling a column suits it: the rules of `impute` with the
//! strategy `auto`, and of what a profile suggests. Pure: facts in, choice out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::ColumnKind;

/// A way to fill missing values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The mean of the values that are there.
    Average,
    /// Their median.
    Median,
    /// The most frequent one; of several the smallest.
    Mode,
    /// One value for all.
    Constant,
    /// Values that are there, by chance.
    Random,
    /// The last one before it, in the order of `order_by`.
    Sequential,
    /// The value of another column in the same row.
    Column,
    /// Rows with a missing value go.
    RowRm,
    /// By rules, column by column.
    Auto,
}

impl Strategy {
    /// Its name in requests and answers.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Average => "average",
            Strategy::Median => "median",
            Strategy::Mode => "mode",
            Strategy::Constant => "constant",
            Strategy::Random => "random",
            Strategy::Sequential => "sequential",
            Strategy::Column => "column",
            Strategy::RowRm => "row_rm",
            Strategy::Auto => "auto",
        }
    }
}

/// Where one rule of `auto` ends and the next begins. Shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Share of complete rows from which on incomplete ones go.
    pub complete_rows: f64,
    /// Longest run of missing values that `sequential` fills in a time series.
    pub max_missing_run: u64,
    /// Share of missing values up to which a datetime column makes a time series.
    pub datetime_missing_rate: f64,
    /// Number of values up to which a column of numbers is a small one.
    pub small_count: u64,
    /// Share of missing values up to which a small column of numbers is averaged.
    pub small_missing_rate: f64,
    /// The same of a larger one.
    pub large_missing_rate: f64,
    /// Skew, whatever its sign, below which the average is taken and from which
    /// on the median.
    pub skew: f64,
    /// Share of the most frequent value from which on it is taken.
    pub mode_ratio: f64,
    /// Share of missing values up to which they are drawn by chance.
    pub random_missing_rate: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            complete_rows: 0.7,
            max_missing_run: 4,
            datetime_missing_rate: 0.1,
            small_count: 100,
            small_missing_rate: 0.3,
            large_missing_rate: 0.5,
            skew: 0.7,
            mode_ratio: 0.4,
            random_missing_rate: 0.3,
        }
    }
}

/// What is known of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// What it means.
    pub kind: ColumnKind,
    /// Rows in which a value is there.
    pub count: u64,
    /// Share of rows in which it is missing.
    pub missing_rate: f64,
    /// Rows of the longest run of missing values.
    pub longest_run: u64,
    /// Whether the first value is there.
    pub starts: bool,
    /// Skew of a column of numbers.
    pub skew: Option<f64>,
    /// Share of rows that the most frequent value has.
    pub mode_ratio: Option<f64>,
}

/// What to do about all rows, before any column is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChoice {
    /// Nothing is missing.
    Nothing,
    /// Incomplete rows go.
    Remove,
    /// Each column is filled.
    Columns,
}

impl Thresholds {
    /// What to do where `complete` of `rows` rows are complete.
    pub fn rows(&self, complete: u64, rows: u64) -> RowChoice {
        if complete == rows {
            RowChoice::Nothing
        } else if complete as f64 / rows as f64 >= self.complete_rows {
            RowChoice::Remove
        } else {
            RowChoice::Columns
        }
    }

    /// How to fill a column, none where nothing is missing.
    pub fn column(&self, facts: &Facts, is_time_series: bool) -> Option<Strategy> {
        if facts.missing_rate == 0.0 {
            return None;
        }
        if is_time_series && facts.longest_run <= self.max_missing_run && facts.starts {
            return Some(Strategy::Sequential);
        }
        Some(match facts.kind {
            ColumnKind::Number | ColumnKind::NumberWithDecimals => {
                let most = if facts.count <= self.small_count {
                    self.small_missing_rate
                } else {
                    self.large_missing_rate
                };
                if facts.missing_rate > most {
                    Strategy::Constant
                } else if facts.skew.is_some_and(|skew| skew.abs() < self.skew) {
                    Strategy::Average
                } else {
                    Strategy::Median
                }
            }
            ColumnKind::Datetime => Strategy::Constant,
            ColumnKind::Category
            | ColumnKind::CategoryHighCardinality
            | ColumnKind::Email
            | ColumnKind::List
            | ColumnKind::PhoneNumber
            | ColumnKind::Text
            | ColumnKind::TrueOrFalse
            | ColumnKind::ZipCode => {
                if facts
                    .mode_ratio
                    .is_some_and(|ratio| ratio >= self.mode_ratio)
                {
                    Strategy::Mode
                } else if facts.count > 0 && facts.missing_rate <= self.random_missing_rate {
                    Strategy::Random
                } else {
                    Strategy::Constant
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(kind: ColumnKind) -> Facts {
        Facts {
            kind,
            count: 80,
            missing_rate: 0.2,
            longest_run: 10,
            starts: true,
            skew: Some(0.1),
            mode_ratio: Some(0.1),
        }
    }

    #[test]
    fn rows_first() {
        let rules = Thresholds::default();
        assert_eq!(rules.rows(0, 0), RowChoice::Nothing);
        assert_eq!(rules.rows(10, 10), RowChoice::Nothing);
        assert_eq!(rules.rows(7, 10), RowChoice::Remove);
        assert_eq!(rules.rows(6, 10), RowChoice::Columns);
    }

    #[test]
    fn columns_by_kind() {
        let rules = Thresholds::default();
        let choice = |facts: Facts| rules.column(&facts, false);
        let number = facts(ColumnKind::Number);
        assert_eq!(choice(number), Some(Strategy::Average));
        let skewed = Facts {
            skew: Some(-0.7),
            ..number
        };
        assert_eq!(choice(skewed), Some(Strategy::Median));
        assert_eq!(
            choice(Facts {
                skew: None,
                ..number
            }),
            Some(Strategy::Median)
        );
        let gaps = Facts {
            missing_rate: 0.31,
            ..number
        };
        assert_eq!(choice(gaps), Some(Strategy::Constant));
        assert_eq!(
            choice(Facts { count: 101, ..gaps }),
            Some(Strategy::Average)
        );
        assert_eq!(
            choice(Facts {
                missing_rate: 0.0,
                ..number
            }),
            None
        );
        let short = Facts {
            longest_run: 4,
            ..number
        };
        assert_eq!(rules.column(&short, true), Some(Strategy::Sequential));
        let late = Facts {
            starts: false,
            ..short
        };
        assert_eq!(rules.column(&late, true), Some(Strategy::Average));
        assert_eq!(
            choice(facts(ColumnKind::Datetime)),
            Some(Strategy::Constant)
        );
        let text = facts(ColumnKind::Text);
        assert_eq!(choice(text), Some(Strategy::Random));
        assert_eq!(
            choice(Facts {
                mode_ratio: Some(0.4),
                ..text
            }),
            Some(Strategy::Mode)
        );
        assert_eq!(
            choice(Facts {
                missing_rate: 0.4,
                ..text
            }),
            Some(Strategy::Constant)
        );
    }
}
