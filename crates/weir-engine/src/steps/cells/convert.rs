//! The step that changes types.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::Result;
use weir_values::convert::Target;

use super::change::{Cells, Work};
use super::numbered::{Numbered, Slot};
use crate::steps::at::At;
use crate::steps::frame::Frame;
use crate::steps::function::RowFunction;
use crate::steps::pipeline::Step;

/// What happens to a cell that cannot be read, or does not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It becomes null, and is counted.
    #[default]
    Null,
    /// The request fails, and names the column, the row and the value.
    Fail,
}

/// Changes the type of columns.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvertType {
    /// The columns.
    pub columns: Vec<String>,
    /// `int64`, `float64`, `decimal(p,s)`, `string`, `bool`, `date` or `timestamp`.
    #[serde(rename = "type")]
    pub type_: String,
    /// What happens to a cell that cannot be read. Blank text is null either way.
    #[serde(default)]
    pub on_error: OnError,
}

/// What is wrong with a type of the argument `type`.
pub(crate) fn checked_type(text: &str, at: &At) -> Result<Target> {
    text.parse::<Target>()
        .map_err(|error| error.repointed(|_| at.field("type")))
}

/// The frame with one column converted; what cannot be read is null and counted.
pub(crate) fn converted(frame: Frame, place: usize, to: &str) -> Result<Frame> {
    let work = Work::Convert {
        to: to.to_owned(),
        fail: false,
    };
    let cells = Cells::new(work, frame.field(place), frame.tally())?;
    frame.replace(place, Arc::new(cells), vec![place])
}

impl Step for ConvertType {
    fn check(&self, at: &At) -> Result<()> {
        checked_type(&self.type_, at).map(drop)
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let places: BTreeSet<usize> = frame.indices(&self.columns, at)?.into_iter().collect();
        let fail = self.on_error == OnError::Fail;
        let mut numbered = Numbered::new(at.field("columns"));
        let mut changes: Vec<(usize, Arc<dyn RowFunction>, Vec<usize>)> = Vec::new();
        for place in places {
            let field = frame.field(place);
            frame.tally().count("unreadable", field.name(), 0);
            let to = self.type_.clone();
            let cells = Arc::new(Cells::new(
                Work::Convert { to, fail },
                field,
                frame.tally(),
            )?);
            if fail {
                numbered = numbered.with(Slot::At(place), cells, vec![place]);
            } else {
                changes.push((place, cells, vec![place]));
            }
        }
        match fail {
            true => frame.operate(Arc::new(numbered)),
            false => frame.replace_all(changes),
        }
    }
}
