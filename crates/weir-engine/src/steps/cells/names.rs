//! The step that cleans column names.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use weir_core::Result;
use weir_values::names::clean_all;

use crate::steps::at::At;
use crate::steps::frame::{Frame, Out};
use crate::steps::pipeline::Step;

/// Makes names lower case, of letters, digits and `_`, and no keyword of Python.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanColumnNames {
    /// The columns whose names are cleaned; all of them unless given.
    pub columns: Option<Vec<String>>,
}

impl Step for CleanColumnNames {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let chosen = match &self.columns {
            Some(columns) => frame.indices(columns, at)?,
            None => (0..frame.names().len()).collect(),
        };
        let names = frame.names();
        let cleaned = clean_all(&names, &chosen);
        let changed = names.iter().zip(&cleaned).filter(|(old, new)| *old != new);
        let changed = changed.map(|(old, new)| ((*old).to_owned(), Value::from(new.as_str())));
        frame.note("renamed", changed.collect::<Map<_, _>>());
        let outs = cleaned.into_iter().enumerate();
        frame.columns(
            outs.map(|(place, name)| Out::keep_as(place, name))
                .collect(),
        )
    }
}
