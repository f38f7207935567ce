//! Steps over text: white space, case, and the `reformat` of Mage.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::Result;

use super::change::{Cells, Work, is_plain_text};
use crate::steps::at::At;
use crate::steps::frame::Frame;
use crate::steps::function::RowFunction;
use crate::steps::pipeline::Step;

/// Does `work` to those of the columns that are text; the others stay.
pub(super) fn on_text(frame: Frame, columns: &[String], work: &Work, at: &At) -> Result<Frame> {
    let places: BTreeSet<usize> = frame.indices(columns, at)?.into_iter().collect();
    let mut changes: Vec<(usize, Arc<dyn RowFunction>, Vec<usize>)> = Vec::new();
    for place in places {
        let field = frame.field(place);
        frame.tally().count("changed", field.name(), 0);
        if is_plain_text(field) {
            let cells = Cells::new(work.clone(), field, frame.tally())?;
            changes.push((place, Arc::new(cells), vec![place]));
        }
    }
    frame.replace_all(changes)
}

/// Takes the white space of Unicode around texts away; blank text becomes empty.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrimWhitespace {
    /// The columns; those that are no text stay.
    pub columns: Vec<String>,
}

impl Step for TrimWhitespace {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        on_text(frame, &self.columns, &Work::Trim, at)
    }
}

/// Makes texts lower case, by the full mapping of Unicode.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lowercase {
    /// The columns; those that are no text stay.
    pub columns: Vec<String>,
}

impl Step for Lowercase {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let (upper, no_blanks) = (false, false);
        on_text(frame, &self.columns, &Work::Case { upper, no_blanks }, at)
    }
}

/// Makes texts upper case, by the full mapping of Unicode.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uppercase {
    /// The columns; those that are no text stay.
    pub columns: Vec<String>,
}

impl Step for Uppercase {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let (upper, no_blanks) = (true, false);
        on_text(frame, &self.columns, &Work::Case { upper, no_blanks }, at)
    }
}

/// What `reformat` does.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One case for all texts; blank ones become null.
    Caps,
    /// Amounts of money become numbers: `$1,234.50`, `(5.00)` for −5.
    Currency,
    /// Dates in any common form become timestamps.
    Date,
    /// White space around texts goes.
    Trim,
}

/// Upper or lower case.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Letters {
    /// Capitals.
    #[default]
    Upper,
    /// Small letters.
    Lower,
}

/// Gives the texts of columns one form; what cannot be read becomes null.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reformat {
    /// What is done.
    pub mode: Mode,
    /// The columns; those that are no text stay.
    pub columns: Vec<String>,
    /// The case, for `caps`.
    #[serde(default)]
    pub case: Letters,
}

impl Step for Reformat {
    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let work = match self.mode {
            Mode::Caps => Work::Case {
                upper: matches!(self.case, Letters::Upper),
                no_blanks: true,
            },
            Mode::Currency => Work::Currency,
            Mode::Date => Work::Date,
            Mode::Trim => Work::Trim,
        };
        on_text(frame, &self.columns, &work, at)
    }
}
