//! What is in the data: types and statistics of columns, what holds across them,
//! and what should be cleaned.

mod across;
mod advice;
mod adviser;
mod again;
mod apply;
mod cells;
mod collinear;
mod column;
mod disk;
mod first;
mod forms;
mod groups;
mod pairs;
mod parts;
mod ranked;
mod rows;
mod run;
mod second;
mod shown;
mod spread;
mod statistics;
mod suggest;
mod tally;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};
use weir_values::ColumnKind;
use weir_values::detect::Detected;

pub use suggest::{Choice, Suggestion};

#[cfg(test)]
mod golden_tests;

/// How rows are profiled.
#[derive(Debug, Clone)]
pub struct ProfileOptions {
    /// What columns mean, by name; the others are detected.
    pub kinds: Vec<(String, ColumnKind)>,
    /// Where the caller said so: `/column_types` unless set.
    pub kinds_at: Option<String>,
    /// Whether blanks and quotes around text go, blank text is null, and numbers
    /// are read out of text before values are counted.
    pub clean: bool,
    /// Sketches in the place of tables of all values.
    pub approximate: bool,
}

impl Default for ProfileOptions {
    fn default() -> Self {
        ProfileOptions {
            kinds: Vec::new(),
            kinds_at: None,
            clean: true,
            approximate: false,
        }
    }
}

/// What is in the data.
#[derive(Debug, Serialize)]
pub struct Profile {
    /// What holds for the rows as a whole.
    pub dataset: Map<String, Value>,
    /// The columns, in their order; an object by name in JSON.
    #[serde(serialize_with = "by_name")]
    pub columns: Vec<ProfiledColumn>,
    /// What should be cleaned, in the order in which it should be.
    pub suggestions: Vec<Suggestion>,
    /// Which statistics are estimates, and how far off they may be; absent when
    /// all are exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approximate: Option<Value>,
    /// What columns mean for the steps of suggestions.
    #[serde(skip)]
    pub kinds: Vec<(String, ColumnKind)>,
}

/// A column and what is in it.
#[derive(Debug, Serialize)]
pub struct ProfiledColumn {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// What it means.
    #[serde(flatten)]
    pub detected: Detected,
    /// Its statistics by name.
    pub statistics: Map<String, Value>,
}

fn by_name<S: Serializer>(columns: &[ProfiledColumn], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(columns.len()))?;
    for column in columns {
        map.serialize_entry(&column.name, column)?;
    }
    map.end()
}

#[cfg(test)]
mod across_tests;
#[cfg(test)]
mod tests;
